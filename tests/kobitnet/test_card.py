"""The cards of a run: what the runs on the way recorded, nothing guessed; the sheet for human judges and its count."""

import csv
import json
from pathlib import Path

import pytest

from kobitnet.card import card
from kobitnet.evaluate.sheet import sheet
from kodata.run.errors import UsageError, UserError
from kodata.run.folder import open_run

from .random_toy import random_run

CLEAN = {
    "in": 10, "kept": 8, "dropped": 2, "chars_out": 1234, "reasons": {"short": 2}, "pii": {"phone": 3}, "pii_documents": 2,
    "sources": {"동시집 | 둘째 <b>": {"in": 10, "kept": 8, "chars_out": 1234}},
    "licences": {"CC0": {"in": 10, "kept": 8, "chars_out": 1234}},
}  # fmt: skip


def make(path: Path, tool: str, verb: str, summary: dict, inputs=(), config=None) -> Path:
    with open_run(path, tool=tool, verb=verb, config=config or {}, inputs=inputs, seed=0) as run:
        if verb == "clean":
            (path / "docs").mkdir()
            (path / "docs" / "00000.jsonl").write_text("{}\n")
        run.finish(summary=summary)
    return path


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    work = tmp_path_factory.mktemp("W")
    raw = work / "raw.txt"
    raw.write_text("봄비가 온다.\n")
    clean = make(work / "clean", "kodata", "clean", CLEAN, [raw])
    tok = make(
        work / "tok",
        "kotok",
        "train",
        {"algorithm": "staged-bbpe", "vocab_size": 320},
        [clean / "docs" / "00000.jsonl"],
    )
    shards = make(
        work / "shards",
        "kotok",
        "encode",
        {"train_tokens": 99, "kind": "text"},
        [clean / "docs" / "00000.jsonl"],
        {"x": 1},
    )
    with open_run(
        work / "run", tool="kobitnet", verb="train", config={"optim": {"lr": 0.004}}, inputs=[shards], seed=7
    ) as run:
        random_run(work / "run")
        run.finish(summary={"steps": 5, "tokens": 1000, "loss": 3.5, "val_loss": 3.75})
    about = json.loads((work / "run" / "model" / "config.json").read_text())["kobitnet"]
    stats = json.loads((tok / "stats.json").read_text())
    stats["summary"]["fingerprint"] = about["tokenizer_fingerprint"]
    (tok / "stats.json").write_text(json.dumps(stats))
    chance = {"value": 0.5, "stderr": 0.05, "low": 0.4, "high": 0.6, "n": 100, "chance": 0.5}
    tasks = {
        "kobest_copa": {
            "metrics": {"acc": chance},
            "verdict": "우연과 다르지 않음 (not different from chance)",
        }
    }
    make(
        work / "eval",
        "kobitnet",
        "eval",
        {"bits_per_byte": 1.5, "stderr": 0.1, "perplexity": 44.0, "documents": 3, "tasks": tasks},
        [work / "run"],
    )
    make(work / "unrelated", "kobitnet", "eval", {"bits_per_byte": 9.87}, [raw])
    return work


def test_the_cards_tell_the_whole_way(work):
    result = card(work / "run")
    assert result.path == work / "run" / "model" / "README.md"
    assert sorted(r.split()[1] for r in result.summary["runs"]) == ["clean", "encode", "train", "train"]
    assert result.summary["evaluations"] == ["eval"]
    text = result.path.read_text()
    assert text.startswith("---\nlanguage:\n- ko\nlicense: other\n")
    for word in (
        "staged-bbpe",
        "0.004",
        "kobest\\_copa",
        "44",
        "not different from chance",
        "tokens a parameter",
        "| 7 |",
    ):
        assert word in text, word
    assert "9.87" not in text and str(work) not in text
    data = (work / "run" / "model" / "DATA_CARD.md").read_text()
    for word in ("CC0", "동시집 \\| 둘째", "전화번호", "short 2", "not decontaminated", "kotok encode"):
        assert word in data, word
    assert "<b>" not in data
    assert card(work / "run").path.read_text() == text  # its own card may be replaced


def test_what_no_run_recorded_is_said_to_be_unknown(work, tmp_path):
    import shutil

    shutil.copytree(work / "run", tmp_path / "alone" / "run")
    result = card(tmp_path / "alone" / "run", output=tmp_path / "cards")
    assert "no record" in (tmp_path / "cards" / "DATA_CARD.md").read_text()
    assert "kobitnet eval RUN" in result.path.read_text()


def test_cards_refuse_what_is_not_theirs(work, tmp_path):
    (tmp_path / "README.md").write_text("내 글")
    with pytest.raises(UserError, match="left alone"):
        card(work / "run", output=tmp_path)
    assert (tmp_path / "README.md").read_text() == "내 글" and not (tmp_path / "DATA_CARD.md").exists()
    with pytest.raises(UserError, match="not a run folder"):
        card(tmp_path)
    with pytest.raises(UserError, match="not a finished train"):
        card(work / "clean")


# ---- the sheet ----------------------------------------------------------------------------------


def answers(path: Path, texts: list[str], start: int = 0) -> str:
    rows = [
        {"id": str(i), "prompt": [{"role": "user", "content": f"물음 {i}"}], "response": text}
        for i, text in enumerate(texts, start)
    ]
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
    return str(path)


@pytest.fixture
def written(tmp_path) -> tuple[Path, Path]:
    first = answers(tmp_path / "first.jsonl", [f'=첫 답 {i}, "따옴표"\n둘째 줄' for i in range(40)])
    second = answers(tmp_path / "second.jsonl", [f"둘째 답 {i}" for i in range(42)])
    result = sheet([first, second], output=tmp_path / "sheet.csv")
    assert result.summary == {"questions": 40, "only_in_one": 2}
    return tmp_path / "sheet.csv", tmp_path / "sheet.csv.run" / "key.json"


def judged(sheet_file: Path, target: Path, judge) -> str:
    """Fill a sheet in; `judge` sees the row."""
    with open(sheet_file, encoding="utf-8-sig", newline="") as handle:
        rows = list(csv.reader(handle))
    for row in rows[1:]:
        row[4] = judge(row)
    with open(target, "w", encoding="utf-8-sig", newline="") as handle:
        csv.writer(handle).writerows(rows)
    return str(target)


def test_the_sheet_is_blind_and_the_count_sees_through(written, tmp_path):
    file, key = written
    with open(file, encoding="utf-8-sig", newline="") as handle:
        rows = list(csv.reader(handle))
    assert len(rows) == 41 and "first" not in file.read_text(encoding="utf-8-sig")
    left = sum("첫 답" in row[2] for row in rows[1:])
    assert 8 <= left <= 32 and [row[1] for row in rows[1:]] != sorted(row[1] for row in rows[1:])
    assert all("첫 답" not in cell or cell.startswith("'=") for row in rows for cell in row)  # no formulas
    fan = judged(file, tmp_path / "a.csv", lambda row: "왼쪽" if "첫 답" in row[2] else "오른쪽")
    count = sheet([fan], key=key)
    assert count.summary["first_wins"] == 40 and count.summary["first_preferred"] == 1.0
    assert "better than chance" in count.summary["verdict"] and count.summary["agreement"] is None
    contrary = judged(file, tmp_path / "b.csv", lambda row: "right" if "첫 답" in row[2] else "L")
    both = sheet([fan, contrary], key=key).summary
    assert (
        both["first_preferred"] == 0.5
        and both["agreement"] == 0.0
        and both["first_wins"] == both["second_wins"] == 40
    )
    tie = judged(file, tmp_path / "c.csv", lambda row: "비김" if int(row[0]) % 2 else "")
    half = sheet([tie], key=key).summary
    assert half["questions"] == 20 and half["ties"] == 20 and "not different" in half["verdict"]
    alike = sheet(
        [fan, judged(file, tmp_path / "d.csv", lambda row: "왼" if "첫 답" in row[2] else "비김")], key=key
    ).summary
    assert 0 < alike["agreement"] < 1 and alike["kappa"] is not None


def test_two_questions_won_prove_nothing(tmp_path):
    inputs = [answers(tmp_path / f"{name}.jsonl", [name, name]) for name in ("first", "second")]
    sheet(inputs, output=tmp_path / "sheet.csv")
    fan = judged(
        tmp_path / "sheet.csv", tmp_path / "a.csv", lambda r: "왼쪽" if r[2] == "first" else "오른쪽"
    )
    found = sheet([fan], key=tmp_path / "sheet.csv.run" / "key.json").summary
    assert found["first_preferred"] == 1.0 and "not different" in found["verdict"]
    assert found["low"] == pytest.approx(2 / (2 + 1.959963984540054**2)) and found["high"] == pytest.approx(1)


def test_questions_of_one_id_are_all_asked(tmp_path):
    inputs = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.jsonl"
        rows = [{"label": "글쓰기", "turns": [f"물음 {i}"], "responses": [name]} for i in range(3)]
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        inputs.append(str(path))
    assert sheet(inputs, output=tmp_path / "sheet.csv").summary["questions"] == 3


def test_sheets_of_the_same_seed_are_the_same(written, tmp_path):
    inputs = [str(tmp_path / "first.jsonl"), str(tmp_path / "second.jsonl")]
    sheet(inputs, output=tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == written[0].read_bytes()
    sheet(inputs, output=tmp_path / "other.csv", seed=1)
    assert (tmp_path / "other.csv").read_bytes() != written[0].read_bytes()


def test_sheets_refuse_what_they_cannot_read(written, tmp_path):
    file, key = written
    with pytest.raises(UserError, match=r"x\.csv:2: .*unknown verdict"):
        sheet([judged(file, tmp_path / "x.csv", lambda row: "글쎄")], key=key)
    with pytest.raises(UserError, match="no verdict"):
        sheet([str(file)], key=key)
    with pytest.raises(UserError, match="not a sheet"):
        sheet([str(tmp_path / "first.jsonl")], key=key)
    with pytest.raises(UserError, match="not the key"):
        bad = tmp_path / "bad.json"
        bad.write_text('{"models": []}')
        sheet([str(file)], key=bad)
    with pytest.raises(UsageError, match="two answer files"):
        sheet([str(file)], output=tmp_path / "y.csv")
    with pytest.raises(UserError, match="no question is in both"):
        sheet(
            [str(tmp_path / "first.jsonl"), answers(tmp_path / "far.jsonl", ["가"], 99)],
            output=tmp_path / "z.csv",
        )
    (tmp_path / "odd.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(UserError, match=r"odd\.jsonl:1"):
        sheet([str(tmp_path / "odd.jsonl"), str(tmp_path / "first.jsonl")], output=tmp_path / "z.csv")
