"""The cleaning run: whole, resumed, on any number of workers, on broken input. in = kept + dropped + failed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import pytest

from kodata.doc import Corpus, read_records
from kodata.pii import PiiConfig
from kodata.pipeline import CleanConfig, clean
from kodata.pipeline.plan import make_plan
from kodata.pipeline.unit import pieces
from kodata.run.errors import UsageError, UserError
from kodata.sources import Settings, SourceRule

ROOT = Path(__file__).resolve().parents[2]
WORDS = "아침 저녁 바람이 강가에서 천천히 불었고 아이들은 마당에서 뛰어놀다가 어머니가 부르는 소리를 듣고 집으로 돌아갔다 그날 먹은 감자는 맛있었다".split()


def sentence(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(8, 16))) + "."


def article(rng: random.Random) -> str:
    return "\n".join(sentence(rng) for _ in range(rng.randint(3, 8)))


def rows(path: Path, texts: list[str], **more: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"id": f"{path.stem}-{i}", "text": text, **more}, ensure_ascii=False)
        for i, text in enumerate(texts)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rng = random.Random(3)
    folder = tmp_path / "in"
    rows(folder / "a.jsonl", [article(rng) for _ in range(30)], licence="MIT", kind="web", source="가")
    rows(
        folder / "b.jsonl",
        [
            article(rng),
            "English only, this one is not Korean at all.",
            "연락처는 010-1234-5678 이고 " + article(rng),
        ],
        source="나",
    )
    (folder / "c.txt").write_bytes(article(rng).encode("cp949"))
    (folder / "bad.jsonl").write_text('{"text": "' + sentence(rng) + '"}\n{broken\n', encoding="utf-8")
    return folder


def shards(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for d in ("docs", "dropped", "pii")
        for p in sorted((folder / d).glob("*"))
    }


def test_a_run_from_end_to_end(corpus: Path, tmp_path: Path) -> None:
    result = clean([str(corpus)], output=tmp_path / "out", workers=1)
    facts = result.summary
    assert (facts["in"], facts["kept"], facts["dropped"], facts["failed"]) == (36, 34, 1, 1)
    assert facts["in"] == facts["kept"] + facts["dropped"] + facts["failed"]
    documents = list(Corpus(tmp_path / "out"))
    assert len(documents) == 34 and len({d.id for d in documents}) == 34
    assert documents[0].meta == {"licence": "MIT", "kind": "web"} and documents[0].source == "가"
    masked = next(d for d in documents if "[전화번호]" in d.text)
    assert "010-1234-5678" not in json.dumps([d.to_dict() for d in documents], ensure_ascii=False)
    (audit,) = [r for f in (tmp_path / "out" / "pii").glob("*") for _, r in read_records(f)]
    kind, start, end = audit["found"][0]
    assert audit["id"] == masked.id and kind == "phone" and masked.text[start:end] == "[전화번호]"
    (drop,) = [r for f in (tmp_path / "out" / "dropped").glob("*") for _, r in read_records(f)]
    assert (
        drop["drop"]["reason"] == "language"
        and drop["drop"]["step"] == "language"
        and drop["text"].startswith("English")
    )
    (failed,) = [json.loads(line) for line in (tmp_path / "out" / "failed.jsonl").read_text().splitlines()]
    assert failed["file"].endswith("bad.jsonl") and failed["place"] == "2"
    assert (tmp_path / "out" / "report.html").exists() and any("bad.jsonl:2" in line for line in result.lines)
    titles = [block["title"] for block in result.report]
    assert (
        any("funnel" in t for t in titles)
        and any("licences" in t for t in titles)
        and any("sources" in t for t in titles)
    )


def test_the_same_command_again_gives_the_old_result(corpus: Path, tmp_path: Path) -> None:
    first = clean([str(corpus)], output=tmp_path / "out", workers=1)
    before = shards(tmp_path / "out")
    again = clean([str(corpus)], output=tmp_path / "out", workers=2)
    assert again.summary == first.summary and shards(tmp_path / "out") == before
    with pytest.raises(UserError):
        clean([str(corpus)], output=tmp_path / "out", config=CleanConfig(profile="law"), workers=1)


def test_workers_and_unit_order_change_nothing(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kodata.pipeline.plan.SMALLEST_UNIT", 1000)
    monkeypatch.setattr("kodata.pipeline.plan.WANTED_UNITS", 10_000)
    one = clean([str(corpus)], output=tmp_path / "one", workers=1)
    two = clean([str(corpus)], output=tmp_path / "two", workers=2)
    assert one.summary == two.summary and one.summary["units"] > 5
    assert shards(tmp_path / "one") == shards(tmp_path / "two")


def test_resume_does_only_what_is_missing(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kodata.pipeline.plan.SMALLEST_UNIT", 1000)
    monkeypatch.setattr("kodata.pipeline.plan.WANTED_UNITS", 10_000)
    whole = clean([str(corpus)], output=tmp_path / "whole", workers=1)
    import kodata.pipeline.executor as executor

    real, calls = executor.run_unit, []

    def stops(folder: Path, index: int, *args: object, **kwargs: object) -> None:
        calls.append(index)
        if len(calls) == 4:
            raise KeyboardInterrupt
        real(folder, index, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(executor, "run_unit", stops)
    with pytest.raises(KeyboardInterrupt):
        clean([str(corpus)], output=tmp_path / "cut", workers=1)
    assert json.loads((tmp_path / "cut" / "manifest.json").read_text())["status"] == "interrupted"
    with pytest.raises(UserError, match="unfinished"):
        Corpus(tmp_path / "cut")
    first = list(calls)
    result = clean([str(corpus)], output=tmp_path / "cut", workers=1)
    assert set(calls[4:]).isdisjoint(first[:3]) and result.summary == whole.summary
    assert shards(tmp_path / "cut") == shards(tmp_path / "whole")


def test_resume_from_another_folder_finds_the_same_files(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kodata.pipeline.plan.SMALLEST_UNIT", 1000)
    monkeypatch.setattr("kodata.pipeline.plan.WANTED_UNITS", 10_000)
    whole = clean([str(corpus)], output=tmp_path / "whole", workers=1)
    import kodata.pipeline.executor as executor

    real = executor.run_unit

    def stops(folder: Path, index: int, *args: object, **kwargs: object) -> None:
        if index == 2:
            raise KeyboardInterrupt
        real(folder, index, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as once:
        once.setattr(executor, "run_unit", stops)
        with pytest.raises(KeyboardInterrupt):
            clean([corpus.name], output=tmp_path / "cut", workers=1)
    monkeypatch.chdir("/")
    result = clean([str(corpus)], output=tmp_path / "cut", workers=1)
    assert result.summary == whole.summary and shards(tmp_path / "cut") == shards(tmp_path / "whole")


def test_an_output_inside_the_input_folder_is_not_read(corpus: Path) -> None:
    first = clean([str(corpus)], output=corpus / "out", workers=1)
    again = clean([str(corpus)], output=corpus / "out", workers=1)
    assert again.summary == first.summary


def _command(corpus: Path, out: Path, workers: int) -> list[str]:
    return [sys.executable, "-m", "kodata", "clean", str(corpus), "-o", str(out), "--workers", str(workers)]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_and_resumed(tmp_path: Path, how: signal.Signals) -> None:
    rng = random.Random(5)
    folder = tmp_path / "in"
    rows(folder / "big.jsonl", [article(rng) for _ in range(25_000)])
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        _command(folder, tmp_path / "cut", 2), env=env, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while (
        not list((tmp_path / "cut" / "work" / "units").glob("*.json"))
        and time.monotonic() < deadline
        and process.poll() is None
    ):
        time.sleep(0.05)
    os.kill(process.pid, how) if how == signal.SIGKILL else os.killpg(process.pid, how)
    _, error = process.communicate(timeout=30)
    if how == signal.SIGINT:
        assert process.returncode == 130 and b"Traceback" not in error, error.decode()
    time.sleep(2)  # orphans of a kill -9 leave within a second
    subprocess.run(_command(folder, tmp_path / "cut", 1), env=env, check=True, capture_output=True)
    subprocess.run(_command(folder, tmp_path / "whole", 2), env=env, check=True, capture_output=True)
    assert shards(tmp_path / "cut") == shards(tmp_path / "whole")
    assert not list((tmp_path / "cut").rglob("*.tmp"))


def test_duplicate_ids_are_made_unique_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kodata.pipeline.plan.SMALLEST_UNIT", 1000)
    monkeypatch.setattr("kodata.pipeline.plan.WANTED_UNITS", 10_000)
    monkeypatch.setattr("kodata.pipeline.ids.SLICE_HASHES", 3)
    rng = random.Random(1)
    for name in ("x", "y", "z"):
        rows(tmp_path / "in" / name / "same.jsonl", [article(rng) for _ in range(4)])
    result = clean([str(tmp_path / "in")], output=tmp_path / "out", workers=1)
    ids = [d.id for d in Corpus(tmp_path / "out")]
    assert ids == [f"same-{i}{tail}" for tail in ("", "~2", "~3") for i in range(4)]
    assert result.summary["renamed_ids"] == 8


def test_ids_are_stable_without_ids_in_the_input(tmp_path: Path) -> None:
    rng = random.Random(2)
    lines = [json.dumps({"text": article(rng)}) for _ in range(5)]
    for place in ("one", "two"):
        (tmp_path / place / "in").mkdir(parents=True)
        (tmp_path / place / "in" / "a.jsonl").write_text("\n".join(lines))
        clean([str(tmp_path / place / "in")], output=tmp_path / place / "out", workers=1)
    first, second = ([d.id for d in Corpus(tmp_path / place / "out")] for place in ("one", "two"))
    assert first == second and len(set(first)) == 5


def test_cleaning_is_idempotent(corpus: Path, tmp_path: Path) -> None:
    clean([str(corpus)], output=tmp_path / "one", workers=1)
    clean([str(tmp_path / "one" / "docs")], output=tmp_path / "two", workers=1)
    assert [(d.id, d.text) for d in Corpus(tmp_path / "one")] == [
        (d.id, d.text) for d in Corpus(tmp_path / "two")
    ]


def test_limit_and_dry_run(corpus: Path, tmp_path: Path) -> None:
    result = clean([str(corpus)], output=tmp_path / "out", limit=7, workers=2)
    assert result.summary["in"] == 7
    dry = clean([str(corpus)], output=tmp_path / "dry", dry_run=True, workers=1)
    assert not (tmp_path / "dry").exists() and dry.path is None
    assert (
        dry.summary["documents_tried"] == 36
        and dry.summary["seconds_estimated"] >= 0
        and "nothing was written" in dry.lines[-1]
    )


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.jsonl", b"", "빈 파일"), ("keys.jsonl", b'{"a": "x", "b": "y"}\n', "keys): a, b"), ("broken.jsonl", b"{\n{\n", "broken.jsonl:1"),
        ("cut.zip", b"PK\x03\x04...", "zip"), ("image.png", b"\x89PNG\r\n\x00", "unknown form"),
    ],
)  # fmt: skip
def test_an_input_nothing_can_be_read_from_is_an_error_that_names_it(
    tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=name) as error:
        clean([str(tmp_path / name)], output=tmp_path / "out", workers=1)
    assert words in str(error.value)


def test_an_unreadable_input_among_good_ones_does_not_cost_the_run(corpus: Path, tmp_path: Path) -> None:
    empty = tmp_path / "빈.txt"
    empty.write_bytes(b"")
    result = clean([str(corpus / "a.jsonl"), str(empty)], output=tmp_path / "out", workers=1)
    assert result.summary["kept"] == 30 and result.summary["failed"] == 1
    assert "no readable record" in result.lines[-1] and "빈.txt" in result.lines[-1]


def test_file_names_that_are_not_utf8(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    rng = random.Random(5)
    for name, data in (("글.txt", article(rng).encode()), ("빈.txt", b"")):
        with open(bytes(folder) + b"/" + name.encode("cp949"), "wb") as handle:
            handle.write(data)
    (folder / unicodedata.normalize("NFD", "분해.txt")).write_text(article(rng))
    command = [sys.executable, "-m", "kodata", "clean", str(folder), "-o", str(tmp_path / "out"), "-q"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert {d.meta["file"] for d in Corpus(tmp_path / "out")} == {"in/글.txt", "in/분해.txt"}
    assert "빈.txt" in (tmp_path / "out/failed.jsonl").read_text(encoding="utf-8") and "빈.txt" in done.stdout


SURVIVES = (
    "값은 10000원이고 2000년에 100000원을 냈다.", "나는하ㅋㅋㅋ 오늘ㅎㅎ 재밌다하하", "나랏〮말〯ᄊᆞ미 中國에 달아 ᄉᆞᄆᆞᆺ디 아니ᄒᆞᆯᄊᆡ",
    "주소: 시장 앞길이다. 전화: 없다. ⓒ 표시는 그대로 둔다. 그 뒤에도 글이 있다.", "㈜나무 ① ½ ㎏ ㆍ 「법」 『책』 제2조 ㄱㄴㄷ",
    "2023-10-24 회의, 1592-1598 임진왜란, 3.14159, 12:30 에 만난다", "버전 1.2.3.4 와 제11.22.33조를 본다",
    "한 논문은 카지노사이트 규제를 다룬다. 경찰은 운영자를 구속했다.", "a<b and c>d 이면 <개정 2020.1.1> <표 1>을 본다",
    "大韓民國은 民主共和國이다. 主權은 國民에게 있다.", "👨‍👩‍👧 가족 ❤️ 사랑해",
)  # fmt: skip


@pytest.mark.parametrize("profile", ["dialogue", "law", "book", "academic", "news", "none"])
def test_the_whole_verb_destroys_nothing(tmp_path: Path, profile: str) -> None:
    """What public Korean cleaners delete or change: 10000원 → 100원, 나는하ㅋㅋㅋ → 나는ㅋㅋ, all after 주소: or ⓒ, old Hangul."""
    rng = random.Random(7)
    frame = [] if profile == "dialogue" else [f"{sentence(rng)} {sentence(rng)}" for _ in SURVIVES]
    texts = (
        [f"{a}\n{b}\n{a[::-1]}" for a, b in zip(frame, SURVIVES, strict=True)] if frame else list(SURVIVES)
    )
    result = clean(
        [str(rows(tmp_path / "in.jsonl", texts))], output=tmp_path / "out",
        config=CleanConfig(profile=profile), workers=1,
    )  # fmt: skip
    assert [d.text for d in Corpus(tmp_path / "out")] == texts and not result.summary["pii"]


def test_cleaning_the_output_again_changes_nothing(corpus: Path, tmp_path: Path) -> None:
    rows(corpus / "d.jsonl", ["서울 광진구 자양로13길 19 앞에서 만나자. " + article(random.Random(9))])
    rows(corpus / "z.jsonl", ["No Korean here at all, so that a shard of documents is empty."] * 3)
    first = clean([str(corpus)], output=tmp_path / "one", workers=2)
    again = clean([str(tmp_path / "one")], output=tmp_path / "two", workers=1)
    assert (again.summary["in"], again.summary["failed"]) == (first.summary["kept"], 0)
    assert list(Corpus(tmp_path / "one")) == list(Corpus(tmp_path / "two"))


def test_missing_input_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        clean([str(tmp_path / "nothing.jsonl")], output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_source_rules(tmp_path: Path) -> None:
    rng = random.Random(1)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "tax.jsonl").write_text(
        json.dumps({"사건명": "취득세", "재결요지": article(rng)}, ensure_ascii=False)
    )
    (folder / "verse.txt").write_text("바람이 분다\n강가에 선다\n\n저녁이 온다\n물이 흐른다")
    rules = [
        SourceRule(match="*tax*", text="{사건명}\n{재결요지}", source="세금 재결", licence="MIT", kind="law"),
        SourceRule(match="*.txt", split="blank", profile="verse"),
    ]
    result = clean([str(folder)], output=tmp_path / "out", config=CleanConfig(sources=rules), workers=1)
    documents = list(Corpus(tmp_path / "out"))
    assert documents[0].text.startswith("취득세\n") and documents[0].source == "세금 재결"
    assert documents[0].meta == {"licence": "MIT", "kind": "law"}
    assert [d.text for d in documents[1:]] == ["바람이 분다\n강가에 선다", "저녁이 온다\n물이 흐른다"]
    assert set(result.summary["kinds"]) == {"law → law", "- → verse"}
    assert "MIT" in result.summary["licences"]


def test_require_licence_and_pii_off(corpus: Path, tmp_path: Path) -> None:
    config = CleanConfig(require_licence=True, pii=PiiConfig(mode="off"))
    result = clean([str(corpus)], output=tmp_path / "out", config=config, workers=1)
    assert (
        result.summary["kept"] == 30
        and result.summary["reasons"]["no_licence"] == 4
        and not result.summary["pii"]
    )


def test_stand_ins_are_the_same_in_every_unit_and_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kodata.pipeline.plan.SMALLEST_UNIT", 1000)
    monkeypatch.setattr("kodata.pipeline.plan.WANTED_UNITS", 10_000)
    rng = random.Random(8)
    for name in "abc":  # the same ids in all files: entries in pii/ follow their documents
        texts = [article(rng) + f" 전화 010-2345-{n}." for n in ("6789", "6780")]
        path = rows(tmp_path / "in" / name / "same.jsonl", texts)
        path.write_text(path.read_text().replace('"id"', '"note": "010-2345-6789", "id"'))
    config = CleanConfig(pii=PiiConfig(mode="pseudonym", seed=3), boilerplate=False)
    one = clean([str(tmp_path / "in")], output=tmp_path / "one", config=config, workers=1)
    clean([str(tmp_path / "in")], output=tmp_path / "two", config=config, workers=2)
    assert shards(tmp_path / "one") == shards(tmp_path / "two") and one.summary["units"] > 1
    texts = {d.id: d.text[-14:-1] for d in Corpus(tmp_path / "one")}
    notes = {d.meta["note"] for d in Corpus(tmp_path / "one")}
    assert len(texts) == 6 and len(set(texts.values())) == 2 and len(notes) == 1
    assert texts["same-0"] == texts["same-0~2"] == next(iter(notes)) != "010-2345-6789"
    found = {r["id"]: r["found"] for f in (tmp_path / "one" / "pii").glob("*") for _, r in read_records(f)}
    for document in Corpus(tmp_path / "one"):
        ((kind, start, end),) = found[document.id]
        assert kind == "phone" and document.text[start:end] == texts[document.id]
    other = clean([str(tmp_path / "in")], output=tmp_path / "other", config=CleanConfig(pii=PiiConfig(mode="pseudonym", seed=4)), workers=1)  # fmt: skip
    assert other.summary["pii"] == one.summary["pii"]
    assert {d.text[-14:-1] for d in Corpus(tmp_path / "other")}.isdisjoint(texts.values())
    clean([str(tmp_path / "one" / "docs")], output=tmp_path / "again", config=config, workers=1)
    assert [d.text for d in Corpus(tmp_path / "again")] == [d.text for d in Corpus(tmp_path / "one")]


def test_personal_data_in_meta_and_in_drops_is_masked(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        json.dumps(
            {"text": "Call 010-1234-5678 now for more information.", "note": {"전화": ["010-1234-5678"]}}
        )
    )
    clean([str(tmp_path / "a.jsonl")], output=tmp_path / "out", workers=1)
    (drop,) = [r for f in (tmp_path / "out" / "dropped").glob("*") for _, r in read_records(f)]
    assert drop["meta"]["note"] == {"전화": ["[전화번호]"]} and "[전화번호]" in drop["text"]


def test_long_texts_are_cut_and_nothing_is_lost(tmp_path: Path) -> None:
    rng = random.Random(4)
    text = "\n".join(sentence(rng) for _ in range(400))
    assert "".join(pieces(text, 3000)) == text and all(len(p) <= 3000 for p in pieces(text, 3000))
    assert "".join(pieces("가" * 10_001, 1000)) == "가" * 10_001
    rows(tmp_path / "a.jsonl", [text])
    result = clean(
        [str(tmp_path / "a.jsonl")], output=tmp_path / "out", config=CleanConfig(max_chars=3000), workers=1
    )
    documents = list(Corpus(tmp_path / "out"))
    assert documents[0].id == "a-0#1" and result.summary["pieces_of_long_texts"] == len(documents) - 1
    assert "\n".join(d.text for d in documents) == text


def test_bad_settings() -> None:
    for bad in (
        {"max_chars": 10},
        {"sources": [{"match": "*", "licens": "x"}]},
        {"sources": [SourceRule(match="*", split="page")]},
        {"profile": "wab"},
    ):
        with pytest.raises(UsageError):
            CleanConfig(**bad)  # type: ignore[arg-type]


def test_plan_covers_every_file_once(corpus: Path) -> None:
    plan = make_plan([str(corpus), str(corpus / "a.jsonl")], [], Settings())
    names = [part.name for unit in plan.units for part in unit]
    assert names == ["in/a.jsonl", "in/b.jsonl", "in/bad.jsonl", "in/c.txt"]
    with pytest.raises(UserError, match="no input"):
        make_plan([], [], Settings())


def test_real_data_keeps_curated_korean(real_data: Path, tmp_path: Path) -> None:
    """Statutes, judgments, verse, dialogue and headlines survive their profiles; nothing is lost on the way."""
    inputs = [str(real_data / "corpus" / d) for d in ("wiki", "books", "news", "dialogue", "law")]
    result = clean([*inputs], output=tmp_path / "out", limit=500, workers=1)
    assert result.summary["kept"] >= 0.98 * result.summary["in"]


def test_real_dirty_files_are_repaired_or_named(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "dirty" / "derived"
    result = clean([str(folder)], output=tmp_path / "out", config=CleanConfig(profile="book"), workers=1)
    assert result.summary["in"] == 85
    lost = {
        r["meta"]["file"].rsplit("_", 1)[-1]
        for f in (tmp_path / "out" / "dropped").glob("*")
        for _, r in read_records(f)
    }
    assert (
        lost == {"utf8.txt"} and result.summary["dropped"] == 12
    )  # mojibake_cp949_as_utf8: the bytes are gone
    by_name = {Path(d.meta["file"]).name: d.text for d in Corpus(tmp_path / "out")}
    for stem in ("00", "04", "08"):
        assert len({by_name[f"{stem}_{kind}.txt"] for kind in ("nfd", "utf16le_bom", "utf8bom")}) == 1
