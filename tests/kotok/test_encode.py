"""`kotok encode`: content of the shards, hold-out, workers, interruption and resume, refusals, errors."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodata.doc import Corpus
from kodata.run.errors import UsageError, UserError
from kotok import load, open_shards, parts
from kotok.chat import render, template_of
from kotok.encode import EncodeConfig, encode
from kotok.holdout import held_out, holdout_key


def files_of(folder):
    kept = ("train", "val", "refused", "meta.json")
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for k in kept
        for p in [folder / k, *(folder / k).rglob("*")]
        if p.is_file()
    }


def jsonl(path, rows):
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return str(path)


def chat(i, answer="네, 그렇습니다.", **more):
    return {
        "id": f"대화{i}",
        "messages": [
            {"role": "user", "content": f"{i}번 책은 있나요?"},
            {"role": "assistant", "content": answer, **more},
        ],
    }


def pair(i):
    return {
        "id": f"쌍{i}",
        "prompt": [{"role": "user", "content": f"{i}번 책은?"}],
        "chosen": [{"role": "assistant", "content": "있습니다."}],
        "rejected": [{"role": "assistant", "content": "몰라요."}],
    }


def test_text_shards(corpus, tok_folder, tok, tmp_path):
    result = encode(
        [str(corpus)], tok=tok_folder, output=tmp_path / "s", config=EncodeConfig(val=0.1), workers=1
    )
    documents = Corpus(corpus).head(10_000)
    for split in ("train", "val"):
        shards = open_shards(tmp_path / "s", split)
        mine = [d for d in documents if held_out(d.id, 0.1) == (split == "val")]
        assert len(shards) == len(mine) > 0
        for i, document in enumerate(mine):
            assert shards.tokens(i).tolist() == [*tok.encode(document.text), tok.eot_id]
        assert shards.bytes == sum(len(d.text.encode()) for d in mine)
        assert shards.kind == "text" and shards.tokenizer_fingerprint == tok.fingerprint
        assert shards.meta["sources"].keys() == {"출처0", "출처1", "출처2"}
    assert load(tmp_path / "s" / "tokenizer").fingerprint == tok.fingerprint
    assert result.summary["train_documents"] + result.summary["val_documents"] == 200
    again = encode([str(corpus)], tok=tok_folder, output=tmp_path / "s", config=EncodeConfig(val=0.1))
    assert again.summary == result.summary


def test_same_bytes_whatever_the_workers_and_after_a_failure(corpus, tok_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "PART_BYTES", 1)  # every file its own part
    encode([str(corpus)], tok=tok_folder, output=tmp_path / "one", workers=1)
    encode([str(corpus)], tok=tok_folder, output=tmp_path / "two", workers=2)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    assert len(list((tmp_path / "one/train").glob("*.ds"))) == 3

    real, seen = parts.encode_part, []

    def breaks(job, *rest):
        seen.append(job.part)
        if job.part == 1 and len(seen) == 2:
            raise KeyboardInterrupt
        return real(job, *rest)

    monkeypatch.setattr(parts, "encode_part", breaks)
    with pytest.raises(KeyboardInterrupt):
        encode([str(corpus)], tok=tok_folder, output=tmp_path / "cut", workers=1)
    with pytest.raises(UserError, match=r"meta\.json"):
        open_shards(tmp_path / "cut")
    encode([str(corpus)], tok=tok_folder, output=tmp_path / "cut", workers=1)
    assert seen == [0, 1, 1, 2]
    assert files_of(tmp_path / "one") == files_of(tmp_path / "cut")


def test_killed_with_sigkill_and_resumed(tok_folder, tmp_path, monkeypatch):
    from tests.kotok.conftest import documents

    for n in range(4):
        jsonl(tmp_path / f"{n}.jsonl", [{**d, "id": f"{n}-{i}"} for i, d in enumerate(documents() * 8)])
    script = tmp_path / "run.py"
    script.write_text(
        "import kotok.parts; kotok.parts.PART_BYTES = 1\n"
        "from kotok.encode import encode; from pathlib import Path; import sys\n"
        "if __name__ == '__main__': encode(sys.argv[3:], tok=Path(sys.argv[1]), output=Path(sys.argv[2]), workers=2)\n"
    )
    inputs = [str(tmp_path / f"{n}.jsonl") for n in range(4)]
    command = [sys.executable, str(script), str(tok_folder), str(tmp_path / "killed"), *inputs]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and not list((tmp_path / "killed").glob("parts/*.json")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)  # the parent only: its workers must not spoil the next run
    process.wait()
    monkeypatch.setattr(parts, "PART_BYTES", 1)
    encode(inputs, tok=tok_folder, output=tmp_path / "killed", workers=1)
    encode(inputs, tok=tok_folder, output=tmp_path / "calm", workers=1)
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "calm")


def test_chat_shards(tok_folder, tok, tmp_path):
    rows = [
        chat(0),
        chat(1, "모릅니다."),
        {
            "id": "x",
            "messages": [
                {"role": "system", "content": "너는 사서다."},
                {"role": "user", "content": "가?"},
                {"role": "assistant", "content": "나.", "train": False},
                {"role": "user", "content": "다?"},
                {"role": "assistant", "content": "라. <|eot_id|>"},
            ],
        },
    ]
    encode(
        [jsonl(tmp_path / "c.jsonl", rows)], tok=tok_folder, output=tmp_path / "s", config=EncodeConfig(val=0)
    )
    shards = open_shards(tmp_path / "s")
    assert shards.kind == "chat" and len(shards) == 3 and shards.meta["template"] == "bitnet"
    for i, row in enumerate(rows):
        ids, mask = render(tok, row["messages"])
        assert (shards.tokens(i).tolist(), shards.mask(i).tolist()) == (ids, mask)
    learned = " 네, 그렇습니다." + " 모릅니다." + " 라. <|eot_id|>"
    assert shards.bytes == len(learned.encode())  # what the targets stand for, control tokens left out


def test_pair_shards(tok_folder, tok, tmp_path):
    rows = [
        pair(0),
        {
            **pair(1),
            "prompt": [
                {"role": "user", "content": "가?"},
                {"role": "assistant", "content": "나."},
                {"role": "user", "content": "다?"},
            ],
        },
    ]
    encode(
        [jsonl(tmp_path / "p.jsonl", rows)], tok=tok_folder, output=tmp_path / "s", config=EncodeConfig(val=0)
    )
    shards = open_shards(tmp_path / "s")
    assert shards.kind == "pair" and len(shards) == 4
    for i, row in enumerate(rows):
        for k, key in enumerate(("chosen", "rejected")):
            ids, mask = render(tok, [*row["prompt"], *row[key]], train="last")
            assert (shards.tokens(2 * i + k).tolist(), shards.mask(2 * i + k).tolist()) == (ids, mask)


def test_the_saved_tokenizer_speaks_the_template_of_the_shards(tok_folder, tok, tmp_path):
    source = jsonl(tmp_path / "c.jsonl", [chat(0)])
    config = EncodeConfig(val=0, template="chatml")
    encode([source], tok=tok_folder, output=tmp_path / "s", config=config)
    shards, saved = open_shards(tmp_path / "s"), load(tmp_path / "s" / "tokenizer")
    assert shards.meta["template"] == template_of(saved) == "chatml" and template_of(tok) == "bitnet"
    assert saved.fingerprint == tok.fingerprint == shards.tokenizer_fingerprint
    assert shards.meta["end_of_turn_id"] == saved.end_of_turn_id == tok.control["<|im_end|>"]
    assert {**saved.config, "chat_template": tok.config["chat_template"]} == tok.config
    encode([source], tok=tmp_path / "s" / "tokenizer", output=tmp_path / "again", config=EncodeConfig(val=0))
    assert open_shards(tmp_path / "again").tokens(0).tolist() == shards.tokens(0).tolist()


def test_a_file_given_twice_or_through_a_link_is_read_once(tok_folder, tmp_path):
    source = jsonl(tmp_path / "c.jsonl", [chat(0), chat(1)])
    (tmp_path / "link.jsonl").symlink_to(source)
    (tmp_path / "d").mkdir()
    inputs = [source, source, str(tmp_path / "link.jsonl"), str(tmp_path / "d" / ".." / "c.jsonl")]
    encode(inputs, tok=tok_folder, output=tmp_path / "s", config=EncodeConfig(val=0))
    assert len(open_shards(tmp_path / "s")) == 2


def test_what_learns_nothing_is_refused_by_name_and_line(tok_folder, tmp_path):
    rows = [chat(0), chat(1, "가" * 300), chat(2, train=False), chat(3)]
    source = jsonl(tmp_path / "c.jsonl", rows)
    result = encode(
        [source], tok=tok_folder, output=tmp_path / "s", config=EncodeConfig(val=0, max_tokens=100)
    )
    assert len(open_shards(tmp_path / "s")) == 2
    refused = [json.loads(line) for line in (tmp_path / "s/refused/00000.jsonl").read_text().splitlines()]
    assert [(r["line"], r["id"], r["reason"]) for r in refused] == [
        (2, "대화1", "too_long"),
        (3, "대화2", "nothing_to_learn"),
    ]
    assert result.summary["refused"] == 2 and any("c.jsonl:2" in line for line in result.lines)
    with pytest.raises(UserError, match="nothing to encode"):
        encode(
            [jsonl(tmp_path / "d.jsonl", rows[1:3])],
            tok=tok_folder,
            output=tmp_path / "e",
            config=EncodeConfig(val=0, max_tokens=100),
        )


@given(st.lists(st.text(max_size=8), max_size=30), st.floats(0, 0.9), st.floats(0, 0.09))
def test_a_larger_share_holds_out_more(keys, share, more):
    for key in keys:
        assert held_out(key, share + more) or not held_out(key, share)
        assert not held_out(key, 0)


def test_duplicates_stay_on_one_side():
    assert holdout_key("a", {"cluster": "c7"}) == holdout_key("b", {"cluster": "c7"}) == "c7"
    assert holdout_key("a", {}) == holdout_key("a", {"cluster": None}) == "a"
    kept = sum(held_out(str(i), 0.02) for i in range(20_000))
    assert 300 < kept < 500


def test_limit_and_dry_run(corpus, tok_folder, tmp_path):
    result = encode([str(corpus)], tok=tok_folder, output=tmp_path / "s", config=EncodeConfig(val=0), limit=7)
    assert result.summary["train_documents"] == 7
    plan = encode([str(corpus)], tok=tok_folder, output=tmp_path / "none", dry_run=True)
    assert not (tmp_path / "none").exists() and plan.summary["tokens"] > 0


def test_large_vocabulary_gives_u32(tok_folder, tmp_path, corpus):
    tok = load(tok_folder)
    spec = json.loads(json.dumps(tok.spec))
    for token in spec["added_tokens"]:
        token["id"] += 70_000
    from kotok.tokenizer import Tokenizer

    Tokenizer(spec, tok.config).save(tmp_path / "tok")
    encode([str(corpus)], tok=tmp_path / "tok", output=tmp_path / "s")
    shards = open_shards(tmp_path / "s")
    assert shards.dtype.itemsize == 4 and shards.tokens(0)[-1] == tok.eot_id + 70_000


def test_text_files_and_empty_documents(tok_folder, tok, tmp_path):
    (tmp_path / "글.txt").write_text("첫째 줄\n둘째 줄\n", encoding="utf-8-sig")
    encode([str(tmp_path / "글.txt")], tok=tok_folder, output=tmp_path / "s", config=EncodeConfig(val=0))
    assert open_shards(tmp_path / "s").tokens(0).tolist() == [*tok.encode("첫째 줄\n둘째 줄\n"), tok.eot_id]
    source = jsonl(tmp_path / "d.jsonl", [{"id": "a", "text": ""}, {"id": "b", "text": "있음"}])
    result = encode([source], tok=tok_folder, output=tmp_path / "e", config=EncodeConfig(val=0))
    assert result.summary["empty"] == 1 and len(open_shards(tmp_path / "e")) == 1


def test_errors(tok_folder, tmp_path, corpus):
    out = tmp_path / "o"

    def refused(match, *inputs, tok=tok_folder, **more):
        with pytest.raises(UserError, match=match):
            encode([str(i) for i in inputs], tok=tok, output=out, **more)
        if not more:
            shutil.rmtree(out, ignore_errors=True)

    refused("no such file", tmp_path / "nothing.jsonl")
    refused("no tokenizer", corpus, tok=tmp_path / "notok")
    refused("empty", jsonl(tmp_path / "empty.jsonl", []))
    refused("several kinds", jsonl(tmp_path / "c.jsonl", [chat(0)]), corpus)
    (tmp_path / "broken.jsonl").write_text('{"id": "a", "text": "좋음"}\n{"id": "b", "te\n')
    refused(r"broken.jsonl:2", tmp_path / "broken.jsonl")
    refused(r"k.jsonl:2.*text", jsonl(tmp_path / "k.jsonl", [{"id": "a", "text": "b"}, {"id": "c"}]))
    refused(
        r"r.jsonl:1.*role",
        jsonl(tmp_path / "r.jsonl", [{"id": "a", "messages": [{"role": "assistant", "content": "x"}]}]),
    )
    refused("neither", jsonl(tmp_path / "u.jsonl", [{"a": 1}]))
    refused("not a form", jsonl(tmp_path / "x.json", [{"a": 1}]))
    (tmp_path / "cp949.txt").write_bytes("한국어".encode("cp949"))
    refused("not UTF-8", tmp_path / "cp949.txt")
    encode([str(corpus)], tok=tok_folder, output=out)
    refused("val 0.01", corpus, config=EncodeConfig(val=0.02))
    with pytest.raises(UsageError):
        EncodeConfig(val=1.0)


def test_command_line(corpus, tok_folder, tmp_path):
    command = [
        sys.executable,
        "-m",
        "kotok",
        "encode",
        str(corpus),
        "--tok",
        str(tok_folder),
        "-o",
        str(tmp_path / "s"),
        "--val",
        "0.1",
        "-q",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONIOENCODING": "utf-8"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(tmp_path / "s")
    bad = subprocess.run([*command[:4], "없는것", *command[5:]], capture_output=True, text=True)
    assert bad.returncode == 1 and len(bad.stderr.splitlines()) == 2 and "Traceback" not in bad.stderr
