"""README's tables of results: newest record, peers, machines, markers, the check."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("bench_table", ROOT / "tests" / "bench" / "table.py")
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)

ROW = {"tool": "kotok", "what": "인코딩 (encoding)", "value": 10.0, "unit": "MB/s", "date": "2026-01-02", "commit": "abc1234",
       "machine": "기계 하나", "load": 0.5, "command": "kotok encode"}  # fmt: skip


def test_the_newest_record_counts_and_machines_are_named():
    rows = [ROW, {**ROW, "value": 12.5, "date": "2026-02-01"}, {**ROW, "value": 1.0, "date": "2025-01-01"}]
    shown = bench.table(rows, "kotok")
    assert "12.5 MB/s" in shown and "10 MB/s" not in shown and "기계 하나." in shown and "[1]" not in shown
    other = {
        **ROW,
        "what": "a | b",
        "value": 1234567,
        "machine": "기계 둘",
        "against": [{"name": "남", "value": 3.25}],
    }
    shown = bench.table([*rows, other], "kotok")
    assert "a \\| b" in shown and "1,234,567 MB/s | 남 3.25 |" in shown and "[2] 기계 둘" in shown
    assert "no records" in bench.table(rows, "kodata")


def test_only_the_text_between_the_markers_changes(tmp_path, capsys, monkeypatch):
    records = tmp_path / "records.jsonl"
    records.write_text(json.dumps(ROW) + "\n\n")
    monkeypatch.setattr(bench, "read", lambda path=records, read=bench.read: read(path))
    readme = tmp_path / "README.md"
    readme.write_text("앞\n<!-- results:kotok -->\n낡은 표\n<!-- /results:kotok -->\n뒤\n")
    assert bench.main([str(readme), "--check"]) == 1 and "낡은 표" in readme.read_text()
    assert bench.main([str(readme)]) == 0
    text = readme.read_text()
    assert text.startswith("앞\n") and text.endswith("\n뒤\n") and "낡은" not in text and "10 MB/s" in text
    assert bench.main([str(readme), "--check"]) == 0
    with pytest.raises(ValueError, match="once each"):
        bench.filled("<!-- results:kotok -->", [ROW])


def test_broken_records_are_named(tmp_path):
    for text, words in (
        ("{", ":1:"),
        ('{"tool": "kotok"}', "'what'"),
        (json.dumps({**ROW, "tool": "x"}), "unknown tool"),
        (json.dumps({**ROW, "value": True}), "'value'"),
    ):
        (tmp_path / "r.jsonl").write_text(text)
        with pytest.raises(ValueError, match=words):
            bench.read(tmp_path / "r.jsonl")


def test_records_are_appended_with_their_circumstances(tmp_path):
    row = bench.record(
        "kotok",
        "재기 (measure)",
        3.0,
        "s",
        "cmd",
        against=[("남", 4.0)],
        note="비고",
        path=tmp_path / "r.jsonl",
    )
    assert (
        bench.read(tmp_path / "r.jsonl") == [row] and row["commit"] and row["machine"] and row["load"] is None
    )


def test_the_recorded_results_can_be_read_and_readme_is_up_to_date():
    records = bench.read()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert records and bench.filled(readme, records) == readme
