"""``kodata report``: runs found and ordered, the road, the comparison, broken runs, foreign files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kodata.report import blocks as b
from kodata.report.verb import report
from kodata.run.errors import UsageError, UserError
from kodata.run.folder import open_run


def make(
    path: Path,
    tool: str,
    verb: str,
    started: str,
    *,
    summary=None,
    blocks=(),
    inputs=(),
    kind="folder",
    config=None,
    status="done",
):
    """One run by the house's own run folder, with a start time of ours."""
    try:
        with open_run(
            path, tool=tool, verb=verb, config=config or {"x": 1}, inputs=inputs, seed=0, kind=kind
        ) as run:
            if status != "done":
                raise RuntimeError("그래픽 카드가 없습니다")
            if kind == "file":
                path.write_text("{}\n")
            run.finish(summary=summary or {}, report=blocks, lines=["끝"])
    except RuntimeError:
        pass
    manifest = (
        path if kind == "folder" else path.with_name(path.name.split(".")[0] + ".run")
    ) / "manifest.json"
    content = json.loads(manifest.read_text())
    content["started"] = f"2026-11-22T{started}:00+00:00"
    content["command"] = [tool, verb, "IN PUT", "-o", path.name]
    manifest.write_text(json.dumps(content))


@pytest.fixture
def road(tmp_path: Path) -> Path:
    """Four stages: two folders, a file, one unfinished; named so that the alphabet is not the order."""
    raw, work = tmp_path / "raw.txt", tmp_path / "W"
    raw.write_text("봄비가 온다.\n")
    licences = b.table("원본별", ["원본", "라이선스 (licence)"], [["동시집", "CC0"]])
    make(
        work / "z",
        "kodata",
        "clean",
        "20:01",
        summary={"documents_in": 10, "documents_kept": 8},
        blocks=[licences],
        inputs=[raw],
    )
    make(work / "b", "kotok", "train", "20:02", summary={"vocab_size": 4096}, inputs=[work / "z"])
    make(work / "a.jsonl", "kodata", "sft", "20:03", summary={"chats": 5}, inputs=[raw], kind="file")
    make(work / "m", "kobitnet", "train", "20:04", inputs=[work / "b"], status="failed")
    return work


def test_the_whole_road_on_one_page(road: Path) -> None:
    result = report([str(road)], output=road / "report.html")
    assert result.path == road / "report.html" and len(result.lines) == 4
    text = result.path.read_text()
    places = [
        text.index(f">{i}. {name}<")
        for i, name in enumerate(
            (
                "정제 (cleaning) · z",
                "토크나이저 학습 (tokenizer training) · b",
                "대화 자료 (chat data) · a.jsonl",
                "사전 학습 (pretraining) · m",
            ),
            1,
        )
    ]
    assert places == sorted(places)
    for word in (
        "출처와 라이선스",
        "CC0",
        "8 남은 문서",
        "4,096 어휘",
        "실패 (failed)",
        "그래픽 카드가 없습니다",
    ):
        assert word in text
    assert "raw.txt" in result.lines[0] and "b (4,096 어휘)" in result.lines[1]
    assert result.lines[3] == "다음 (next): kobitnet train 'IN PUT' -o m"  # the unfinished one resumes first
    assert [run["verb"] for run in result.summary["runs"]] == ["clean", "train", "sft", "train"]
    came_in = next(blk for blk in result.report if blk["title"].startswith("입력 자료"))
    assert [row[:2] for row in came_in["rows"]] == [[str(road.parent / "raw.txt"), "z, a.jsonl"]]
    again = report(
        [str(road), str(road / "z")], output=road / "report.html"
    )  # its own report may be replaced
    assert again.path.read_text() == text


def test_the_flow_says_what_fed_each_stage_from_any_folder(
    road: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = json.loads((road / "b" / "manifest.json").read_text())
    manifest["inputs"] = [{"path": "W/z/docs/00000.jsonl.zst"}]  # as typed above W, read back from elsewhere
    (road / "b" / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.chdir(road / "z")
    cards = report([str(road)], output=road / "report.html").report[0]["stages"]
    assert [dict(card["facts"])["입력 (from)"] for card in cards] == ["원본 (raw)", "z", "원본 (raw)", "b"]


def test_many_inputs_are_told_by_folder(tmp_path: Path) -> None:
    files = [tmp_path / f"raw{i % 2}" / f"{i}.txt" for i in range(12)]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text("가")
    make(tmp_path / "a", "kodata", "clean", "20:01", inputs=files, summary={"in": 12})
    result = report([str(tmp_path / "a")], output=tmp_path / "r.html")
    assert [row[1] for row in result.report[1]["rows"]] == [6, 6]
    assert result.lines[0] == f"들어온 것 (in): {tmp_path} … 12개 (inputs), 12 문서 (documents)"


def test_a_run_may_be_named_by_its_file_and_the_output_left_out(road: Path) -> None:
    assert report([str(road / "a.jsonl")]).path == road / "a.run" / "report.html"
    assert len(report([str(road / "[bz]")], output=road / "two.html").summary["runs"]) == 2
    assert report([str(road)], markdown=True).path == road / "report.md"
    text = report([str(road)], output=road / "road.md").path.read_text()
    assert text.startswith("<!-- kodata report -->\n# ") and "| 1 | kodata clean · 정제 |" in text


def test_two_runs_side_by_side(tmp_path: Path) -> None:
    for name, loss, rate in (("a", 3.0, 0.1), ("b", 2.4, 0.2)):
        blocks = [
            b.lines("손실", {"학습": [(0, 5), (1, loss)]}, "걸음", "손실"),
            b.bars("이유", [("짧음", loss)]),
            b.histogram("길이", [0, 1, 2], [1, 2]),
            b.samples("보기", [{"text": name * 3}]),
        ]
        make(
            tmp_path / name,
            "kobitnet",
            "train",
            "20:01",
            summary={"val_loss": loss, "note": name},
            blocks=blocks,
            config={"optim": {"lr": rate}},
        )
    given = [str(tmp_path / "b"), str(tmp_path / "a")]
    page = {blk["title"]: blk for blk in report(given, output=tmp_path / "c.html").report}
    rows = {row[0]: row[1:] for row in page["결과 (summary)"]["rows"]}
    assert rows["검증 손실 (val loss)"] == [2.4, 3.0, pytest.approx(0.6), "+25.0%"]
    assert page["다른 설정 (settings that differ)"]["rows"] == [["optim.lr", 0.2, 0.1]]
    assert [s["name"] for s in page["손실"]["series"]] == ["b · 학습", "a · 학습"]
    assert page["이유"]["type"] == "table" and page["길이"]["type"] == "lines"
    assert "보기" in page
    assert report(given, output=tmp_path / "c.html", compare=False).summary["compared"] is False
    make(tmp_path / "other", "kotok", "train", "20:02")
    with pytest.raises(UsageError, match="compare"):
        report([given[0], str(tmp_path / "other")], output=tmp_path / "d.html", compare=True)


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "{",
        "[]",
        "null",
        '{"report": {}}',
        '{"summary": []}',
        '{"report": [3]}',
        '{"report": [{"type": "no such", "title": "a"}]}',
        '{"report": [{"type": "table", "title": "a", "columns": ["x"], "rows": [[1, 2]]}]}',
        '{"report": [{"type": "lines", "title": "a", "series": [{"name": "s", "points": [[1]]}]}]}',
        '{"lines": 3}',
        '{"summary": {"x": ' + "9" * 5000 + "}}",
        '{"report": ' + "[" * 100_000,
        "\udcff",
    ],
)
def test_a_broken_stats_file_is_named(road: Path, broken: str) -> None:
    (road / "b" / "stats.json").write_bytes(broken.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=r"stats\.json"):
        report([str(road)], output=road / "report.html")
    assert not (road / "report.html").exists()


@pytest.mark.parametrize("broken", ["", "[1]", '{"tool": 3, "verb": []}', "9" * 5000])
def test_a_broken_manifest_is_named(road: Path, broken: str) -> None:
    (road / "b" / "manifest.json").write_text(broken)
    with pytest.raises(UserError, match=r"manifest\.json"):
        report([str(road)], output=road / "report.html")


def test_a_missing_stats_file_of_a_finished_run_is_named(road: Path) -> None:
    (road / "b" / "stats.json").unlink()
    with pytest.raises(UserError, match=r"stats\.json"):
        report([str(road)], output=road / "report.html")


def test_hostile_but_readable_records_are_shown_as_text(road: Path) -> None:
    manifest = json.loads((road / "b" / "manifest.json").read_text())
    manifest |= {
        "status": ["<script>"], "started": {"a": 1}, "command": "<img src=x>", "config": "x", "inputs": [{"path": "\x00"}, 3, {"path": 3}],
        "versions": [1], "seconds": 1e999, "seed": "\ud800", "error": ["e"],
    }  # fmt: skip
    (road / "b" / "manifest.json").write_text(json.dumps(manifest))
    (road / "b" / "stats.json").write_text(
        '{"summary": {"<script>": "<script>", "n": NaN, "deep": {"a": {"b": {"c": {"d": 1}}}}}, "lines": [3]}'
    )
    text = report([str(road)], output=road / "report.html").path.read_text()
    assert text.count("<script") == 1 and "<img" not in text


def test_other_programs_manifests_are_passed_over(road: Path) -> None:
    (road / "web").mkdir()
    (road / "web" / "manifest.json").write_text('{"name": "a web page"}')
    assert len(report([str(road)], output=road / "report.html").summary["runs"]) == 4


@pytest.mark.parametrize("case", ["missing", "empty", "text", "folder", "foreign", "none"])
def test_mistakes_of_the_user(road: Path, tmp_path: Path, case: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine.html").write_text("<html>내 글</html>")
    given, output = {
        "missing": ([str(tmp_path / "nowhere")], tmp_path / "r.html"),
        "empty": ([str(tmp_path / "empty")], tmp_path / "r.html"),
        "text": ([str(tmp_path / "raw.txt")], tmp_path / "r.html"),
        "folder": ([str(road)], tmp_path / "empty"),
        "foreign": ([str(road)], tmp_path / "mine.html"),
        "none": ([], tmp_path / "r.html"),
    }[case]
    with pytest.raises(UserError) as told:
        report(given, output=output)
    assert told.value.help and len(told.value.lines()) == 2
    assert (tmp_path / "mine.html").read_text() == "<html>내 글</html>" and not (tmp_path / "r.html").exists()


def test_the_command_line(road: Path) -> None:
    command = [sys.executable, "-m", "kodata", "report", "W", "-o", "out.html"]
    done = subprocess.run(command, cwd=road.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5 and done.stdout.splitlines()[-1] == "out.html"
    wrong = subprocess.run([*command[:4], "nowhere"], cwd=road.parent, capture_output=True, text=True)
    assert wrong.returncode == 1 and wrong.stdout == "" and len(wrong.stderr.splitlines()) == 2
