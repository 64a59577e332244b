"""Blocks: strict JSON whatever goes in, programmer mistakes refused, long content bounded."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodata.report import blocks as b
from kodata.report import format as fmt
from kodata.report.values import thin

ONE_OF_EACH = [
    b.text("글", "**굵게**"),
    b.facts("사실", {"문서": 1234, "크기": "3.2 MB", "없음": None}),
    b.table("표", ["이름", "수"], [["가", 1], ["나", None]], "덧붙임"),
    b.funnel("깔때기", [("들어옴", 100), ("길이", 90)]),
    b.histogram("분포", [0, 1, 2], [3, 4], 1.5, "자"),
    b.lines("선", {"학습": [(0, 3.0), (1, 2.5)]}, "걸음", "손실", True, False),
    b.bars("막대", [("가", 1.5), ("나", -2)], "건"),
    b.intervals(
        "구간", [("가", 0.5, 0.4, 0.6, 0.25), ("나", None, None, None, None)], mark="우연", unit="점"
    ),
    b.samples("보기", [{"label": "버림", "text": "봄비", "note": "길이"}]),
    b.tokens("토큰", [[("봄", 0), ("비", "learned")], {"label": "둘째", "tokens": [("눈", "masked")]}]),
    b.chapter("장", {"문서": 3}, tool="kodata"),
    b.flow(
        "길", [{"tool": "kodata", "name": "clean", "status": "done", "main": "3 문서", "facts": {"문서": 3}}]
    ),
]


@pytest.mark.parametrize("block", ONE_OF_EACH, ids=lambda block: block["type"])
def test_a_block_survives_json_and_checking(block: b.Block) -> None:
    read_back = json.loads(json.dumps(block, allow_nan=False))
    assert read_back == block
    assert b.checked(read_back) == block


def test_numpy_scalars_and_arrays_become_plain_numbers() -> None:
    block = b.histogram("분포", np.linspace(0, 1, 4), np.array([1, 2, 3]), np.float32(0.5))
    assert block["counts"] == [1, 2, 3] and block["threshold"] == [0.5]
    assert b.facts("수", {"가": np.int64(3), "나": np.float32(0.5)})["facts"] == [["가", 3], ["나", 0.5]]


def test_what_is_not_a_number_is_said_and_stays_json() -> None:
    assert [v for _, v in b.facts("수", {"가": math.nan, "나": math.inf, "다": -math.inf})["facts"]] == [
        "NaN",
        "∞",
        "-∞",
    ]
    assert b.lines("선", {"가": [(0, math.nan), (1, 1.0)]})["series"][0]["points"] == [[0, None], [1, 1.0]]
    assert b.bars("막대", [("가", math.inf)])["bars"] == [["가", None]]
    assert b.table("표", ["수"], [[10**400]])["rows"] == [["∞"]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: b.text("", "제목 없음"),
        lambda: b.text(None, "제목 없음"),
        lambda: b.table("표", [], []),
        lambda: b.table("표", ["가"], [[1, 2]]),
        lambda: b.table("표", "가나", [[1, 2]]),
        lambda: b.table("표", ["가"], ["나"]),
        lambda: b.funnel("깔때기", [("가", -1)]),
        lambda: b.funnel("깔때기", ["가"]),
        lambda: b.histogram("분포", [0, 1], [1, 2]),
        lambda: b.histogram("분포", [0, 0, 1], [1, 2]),
        lambda: b.histogram("분포", [0, math.nan, 1], [1, 2]),
        lambda: b.lines("선", {"가": [(0, "많음")]}),
        lambda: b.lines("선", {"가": [(0, 1, 2)]}),
        lambda: b.bars("막대", [("가", True)]),
        lambda: b.samples("보기", [{"label": "글 없음"}]),
        lambda: b.samples("보기", ["글"]),
        lambda: b.tokens("토큰", [[("가", "unknown")]]),
        lambda: b.flow("길", ["clean"]),
    ],
)
def test_programmer_mistakes_are_value_errors(make) -> None:
    with pytest.raises(ValueError):
        make()


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        "text",
        {},
        {"type": "text"},
        {"type": ["text"], "title": "가"},
        {"type": "no such", "title": "가"},
        {"type": "text", "title": "가", "markdown": {"a": 1}},
        {"type": "table", "title": "가", "columns": 3, "rows": []},
        {"type": "table", "title": "가", "columns": ["a"], "rows": [3]},
        {"type": "table", "title": "가", "columns": ["a"], "rows": [], "total": "many"},
        {"type": "lines", "title": "가", "series": 3},
        {"type": "lines", "title": "가", "series": [{"name": "a"}]},
        {"type": "lines", "title": "가", "series": [[1, 2]]},
        {"type": "histogram", "title": "가", "edges": [0, 1], "counts": None},
        {"type": "histogram", "title": "가", "edges": [0, 1], "counts": [1], "threshold": "x"},
        {"type": "samples", "title": "가", "samples": [{"text": "a", "length": "long"}]},
        {"type": "tokens", "title": "가", "rows": [[["a", []]]]},
        {"type": "flow", "title": "가", "stages": [{"facts": [1]}]},
        {"type": "facts", "title": {"a": 1}, "facts": []},
    ],
)
def test_a_hostile_block_is_a_value_error(broken) -> None:
    with pytest.raises(ValueError):
        b.checked(broken)


def test_long_content_is_cut_and_its_size_kept() -> None:
    sample = b.samples("보기", [{"text": "가" * 9_999}])["samples"][0]
    assert len(sample["text"]) == b.MAX_SAMPLE and sample["length"] == 9_999
    table = b.table("표", ["수"], ([i] for i in range(b.MAX_ROWS + 7)))
    assert len(table["rows"]) == b.MAX_ROWS and table["total"] == b.MAX_ROWS + 7
    series = b.lines("선", {"가": [(i, i % 7) for i in range(50_000)]})["series"][0]
    assert len(series["points"]) <= b.MAX_POINTS and series["total"] == 50_000
    assert "(9,999자)" in b.facts("수", {"가": "나" * 9_999})["facts"][0][1]


@given(st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9)), min_size=5, max_size=400), st.integers(4, 50))
def test_thinning_keeps_ends_order_and_extremes(values: list[float | None], limit: int) -> None:
    points = [[i, v] for i, v in enumerate(values)]
    kept = thin(points, limit)
    assert len(kept) <= max(limit, 0) and kept[0] == points[0] and kept[-1] == points[-1]
    assert [p[0] for p in kept] == sorted({p[0] for p in kept})
    real = [v for v in values if v is not None]
    if real and len(points) <= limit * 100:
        shown = [p[1] for p in kept if p[1] is not None]
        assert shown and max(shown) == max(real) and min(shown) == min(real)


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters()), st.just("\ud800")
)


@given(st.lists(st.tuples(SCALARS, SCALARS), max_size=5))
def test_any_scalar_becomes_strict_json(rows: list[tuple]) -> None:
    block = b.table("표", ["가", "나"], rows)
    json.dumps(block, allow_nan=False, ensure_ascii=False).encode()
    assert b.checked(json.loads(json.dumps(block))) == block


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0"),
        (1234567, "1,234,567"),
        (-1234, "−1,234"),
        (0.0, "0"),
        (1.5, "1.5"),
        (1.73456, "1.735"),
        (12345.678, "12,345.7"),
        (100.0, "100"),
        (0.00012, "0.00012"),
        (3.2e-7, "3.2e−7"),
        (1e20, "1e20"),
        (-0.25, "−0.25"),
        (999.96, "1000"),
    ],
)
def test_numbers_as_people_write_them(number: float, shown: str) -> None:
    assert fmt.number(number) == shown


@pytest.mark.parametrize(
    ("cells", "keys"),
    [
        ([1, 2.5, None], [1.0, 2.5, None]),
        (["12.5%", "3%"], [12.5, 3.0]),
        (["900 KB", "1.5 MB", "2 GiB"], [900e3, 1.5e6, 2 * 1024.0**3]),
        (["1,234 건", "5 건"], [1234.0, 5.0]),
        (["0.81 ± 0.02", "0.79 ± 0.01"], [0.81, 0.79]),
        (["3 km", "2 kg"], None),
        (["가", "나"], None),
        ([True, False], None),
        (["2026-11-22", "2026-11-23"], None),
        ([None, "–"], None),
    ],
)
def test_columns_sort_by_number_when_all_cells_are_quantities(cells: list, keys: list | None) -> None:
    assert fmt.sort_keys(cells) == keys


def test_blocks_import_nothing_heavy() -> None:
    code = "import sys; import kodata.report.blocks; print([m for m in ('numpy', 'html', 'cyclopts', 'rich') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_keys_of_a_summary_are_shown_in_words() -> None:
    named = b.facts("사실", {"val_loss": 1.5, "largest_cut": 3, "문서 (documents)": 2, "train.loss": 1})
    assert [name for name, _ in named["facts"]] == [
        "검증 손실 (val loss)",
        "largest cut",
        "문서 (documents)",
        "train.손실 (loss)",
    ]
    assert b.checked(named) == named  # once only
