"""Tables of two runs row by row, with the difference and whether it is more than chance; samples beside each other."""

from pathlib import Path

from kodata.report import blocks as b
from kodata.report import html, markdown
from kodata.report.verb import report

from .test_report_verb import make

COLUMNS = [
    "과제 (task)",
    "지표 (metric)",
    "값 (value)",
    "± 표준오차 (stderr)",
    "문항 (items)",
    "판정 (verdict)",
]


def two(tmp_path: Path, first: list, second: list) -> dict:
    for name, content in (("a", first), ("b", second)):
        make(tmp_path / name, "kobitnet", "eval", "20:01", summary={"perplexity": 40.0}, blocks=content)
    result = report([str(tmp_path / "a"), str(tmp_path / "b")], output=tmp_path / "c.html")
    assert result.path.stat().st_size < 1_000_000
    return {block["title"]: block for block in result.report}


def test_scores_with_standard_errors_are_compared_in_words(tmp_path):
    first = [
        ["copa", "acc", 0.50, 0.02, 600, "x"],
        ["boolq", "acc", 0.50, 0.01, 600, "x"],
        ["wic", "acc", 0.5, 0.1, 9, ""],
    ]
    second = [
        ["copa", "acc", 0.52, 0.02, 600, "y"],
        ["boolq", "acc", 0.60, 0.01, 600, "y"],
        ["nli", "acc", 0.3, None, 9, ""],
    ]
    page = two(tmp_path, [b.table("과제", COLUMNS, first)], [b.table("과제", COLUMNS, second)])
    rows = {row[0]: row[2:] for row in page["과제"]["rows"]}
    assert page["과제"]["columns"][2:4] == ["a", "b"]
    assert rows["copa"] == [0.50, 0.52, 0.02, 0.028284, "다르지 않음 (no clear difference)"]
    assert rows["boolq"] == [0.50, 0.60, 0.1, 0.014142, "둘째가 큼 (second larger)"]
    assert rows["wic"][-1] == rows["nli"][-1] == "한쪽에만 있음 (only in one)"


def test_other_tables_are_put_side_by_side(tmp_path):
    columns = ["출처", "문서", "글자", "비율", "넷", "다섯"]
    first = b.table("출처별", columns, [["시", 3, 30, 1.5, 1, 1], ["글", 1, 10, None, 1, 1]])
    second = b.table("출처별", columns, [["시", 4, 30, 2.0, 1, 1]])
    block = two(tmp_path, [first], [second])["출처별"]
    rows = {row[0]: row[1:] for row in block["rows"]}
    assert rows["시"][:6] == [3, 4, 1, 30, 30, 0] and rows["글"][:3] == [1, None, None]
    assert (
        block["columns"][:4] == ["출처", "문서 · a", "문서 · b", "차이 (difference)"]
        and "다섯" in block["note"]
    )


def test_tables_whose_rows_cannot_be_told_apart_stay_as_they_are(tmp_path):
    twice = b.table("표", ["이름", "수"], [["가", 1], ["가", 2]])
    words = b.table("말", ["이름", "뜻"], [["가", "나"]])
    page = two(tmp_path, [twice, words], [twice, words])
    assert page["표"]["columns"] == ["이름", "수"] and page["말"]["columns"] == ["이름", "뜻"]


def test_samples_stand_beside_each_other(tmp_path):
    page = two(
        tmp_path,
        [b.samples("답", [{"label": "물음", "text": "하나"}])],
        [b.samples("답", [{"label": "물음", "text": "둘"}])],
    )
    assert [(s["label"], s["text"]) for s in page["답"]["samples"]] == [
        ("a · 물음", "하나"),
        ("b · 물음", "둘"),
    ]


def test_estimates_share_one_scale(tmp_path):
    block = b.intervals(
        "정확도", [("copa", 0.5, 0.4, 0.6, 0.25), ("없음 <b>", None, None, None, None)], mark="우연"
    )
    page = html.render("쪽", [block])
    assert 'cx="50.00%"' in page and 'x1="40.00%" x2="60.00%"' in page and 'x1="25.00%"' in page
    assert (
        "0.40 – 0.60" in page and "<b>" not in page and page.count("ko-point") == 2
    )  # one drawn, one in the style
    assert "| copa | 0.5 | 0.4 – 0.6 | 0.25 |" in markdown.render("쪽", [block])
    both = two(tmp_path, [block], [block])["정확도"]
    assert [row[0] for row in both["rows"]][:2] == ["a · copa", "b · copa"] and both["mark"] == "우연"
