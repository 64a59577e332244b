"""Pages: well-formed and harmless whatever the data, small, readable without script; Markdown with the same content."""

import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodata.report import blocks as b
from kodata.report import charts, html, markdown, prose
from kodata.report import format as fmt

VOID = {"meta", "link", "br", "input", "img", "hr"}
EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\x00\x1b[31m\u202eRTL\u2066\ud800\ufeff `x` ${y} --> ]]>"


class Page(HTMLParser):
    """Checks nesting while reading; gathers tags, ids, references and text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.handlers: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"
        assert len(self.ids) == len(set(self.ids)), "ids repeat"
        missing = [r for r in self.references if r not in self.ids]
        assert not missing, f"references to nothing: {missing}"

    def handle_starttag(self, tag, attrs) -> None:
        self.note(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.note(tag, attrs)

    def note(self, tag, attrs) -> None:
        self.tags.append(tag)
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"attribute twice in <{tag}>"
        self.handlers += [name for name in names if name.startswith("on")]
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("aria-labelledby", "aria-describedby"):
                self.references += value.split()
            if name == "href" and value.startswith("#"):
                self.references.append(value[1:])

    def handle_endtag(self, tag) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data) -> None:
        self.text.append(data)


def every_kind(word: str, number: float = 3.5) -> list[b.Block]:
    """One block of every kind, with ``word`` and ``number`` wherever they may stand."""
    title = "제목 " + word
    return [
        b.flow(
            title,
            [
                {
                    "tool": word,
                    "name": word,
                    "status": word,
                    "main": word,
                    "facts": {word: word},
                    "anchor": "장",
                }
            ],
        ),
        b.chapter("장", {word: word, "수": number}, tool=word, note=word),
        b.text(
            title,
            word
            + f"\n\n- {word}\n1. {word}\n# {word}\n\n[{word}](javascript:alert(1)) `{word}` **{word}**\n```\n{word}",
            note=word,
        ),
        b.facts(title, {word: word, "수": number}),
        b.table(title, [word, "수"], [[word, number], [None, True]], note=word),
        b.funnel(title, [(word, abs(number)), (word, 1)]),
        b.histogram(title, [0, 1, 2], [abs(number), 1], number, word),
        b.lines(title, {word: [(0, number), (1, 2)], "빈 것": []}, word, word),
        b.lines(title, {word: [(number, number)], "둘": [(1e-9, 1e9), (1, 0)]}, word, word, True, True),
        b.bars(title, [(word, number)], word),
        b.samples(title, [{"label": word, "text": word, "note": word}]),
        b.tokens(title, [[(word, 0), (word, "learned")], {"label": word, "tokens": [(word, "masked")]}]),
    ]


def test_small_fragments_are_as_designed() -> None:
    inner = html.fragment([b.facts("수", {"문서 <b>": 1234567})]).split("</style>\n")[1]
    assert inner == (
        '<section class="ko-block ko-is-facts" id="{k}" aria-labelledby="{k}-h"><h2 id="{k}-h"><a href="#{k}">수</a></h2>'
        '<dl class="ko-tiles"><div><dt>문서 &lt;b&gt;</dt><dd>1,234,567</dd></div></dl></section>\n</div>\n'
    ).format(k=inner.split('id="')[1].split('"')[0])
    table = html.fragment([b.table("표", ["이름", "크기"], [["가", "2 MB"], ["나", None]])])
    assert '<th scope="col" class=ko-n>크기</th>' in table
    assert '<th scope="row">가</th><td class="ko-n" data-v="2000000.0">2 MB</td>' in table
    assert '<th scope="row">나</th><td class="ko-n">–</td>' in table
    assert charts.bar(0.5).count('width="50.00%"') == 1


def test_a_page_stands_alone_and_reads_without_script() -> None:
    text = html.render("보고서", every_kind("가"), "부제", {"씨앗": 0})
    page = Page(text)
    assert text.startswith("<!doctype html>") and '<html lang="ko">' in text
    assert "http://" not in text and "https://" not in text and "@import" not in text and "url(" not in text
    assert page.tags.count("h1") == 1 and page.tags.count("script") == 1
    assert "eval(" not in text and "Function(" not in text
    charts_drawn = text.count('role="img"')
    assert charts_drawn == 3 == text.count("<desc ")
    assert text.count("표로 보기 (as a table)") == charts_drawn
    for word in ("prefers-color-scheme: dark", "@media print", "word-break: keep-all", "aria-sort"):
        assert word in text
    assert len(text.encode()) < 120_000


def test_hostile_text_stays_text() -> None:
    text = html.render(EVIL, every_kind(EVIL), EVIL, {EVIL: EVIL})
    page = Page(text)
    assert page.tags.count("script") == 1 and "img" not in page.tags and not page.handlers
    assert "javascript:alert" not in "".join(part for part in text.split('href="')[1:])[:0] + "".join(
        part.split('"')[0] for part in text.split('href="')[1:]
    )
    for hidden in "\x00\x1b\u202e\u2066\ufeff\ud800":
        assert hidden not in text
    assert "⟨U+202E⟩RTL" in "".join(page.text)
    text.encode()


@given(st.text(st.characters(), max_size=30), st.floats())
def test_any_text_and_number_give_well_formed_pages(word: str, number: float) -> None:
    blocks = every_kind(word, number)
    Page(html.render("가" + word, blocks, word, {"가" + word: number}))
    Page(html.fragment(blocks))
    markdown.render("가" + word, blocks, word, {word: number}).encode()


@given(
    st.lists(st.tuples(st.floats(allow_nan=True), st.floats(allow_nan=True)), max_size=30),
    st.booleans(),
    st.booleans(),
)
def test_any_curve_can_be_drawn(points: list[tuple[float, float]], log_x: bool, log_y: bool) -> None:
    drawing = charts.lines(b.lines("선", {"가": points}, log_x=log_x, log_y=log_y), "k")
    assert "nan" not in drawing and "inf" not in drawing
    Page(drawing)


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=20, unique=True),
    st.floats(),
)
def test_any_histogram_can_be_drawn(edges: list[float], limit: float) -> None:
    block = b.histogram("분포", sorted(edges), range(len(edges) - 1), limit)
    drawing = charts.histogram(block, "k")
    assert "nan" not in drawing and "inf" not in drawing
    Page(drawing)


def test_gaps_are_not_drawn_over_and_single_points_are_seen() -> None:
    gap = charts.lines(b.lines("선", {"가": [(0, 1), (1, 2), (2, math.nan), (3, 1), (4, 2)]}), "k")
    assert gap.split(' d="')[1].split('"')[0].count("M") == 2
    assert "<circle" in charts.lines(b.lines("선", {"가": [(0, 1)]}), "k")
    assert charts.lines(b.lines("선", {"가": [(0, math.nan)]}), "k") == ""
    assert "nothing to show" in html.fragment([b.lines("선", {})])


def test_series_differ_by_dashes_too() -> None:
    drawing = charts.lines(b.lines("선", {str(i): [(0, i), (1, i)] for i in range(24)}), "k")
    pens = {part.split("/>")[0] for part in drawing.split("<path ")[1:]}
    looks = {(p.split('class="')[1].split('"')[0], p.partition("stroke-dasharray=")[2]) for p in pens}
    assert len(looks) == 24


def test_log_axes_have_log_marks() -> None:
    axis = charts.Axis(1, 1e6, True)
    assert [axis.label(m) for m in axis.marks] == ["1", "10", "100", "1,000", "10k", "100k", "1M"]
    assert axis.at(1e3) == pytest.approx(50)
    assert charts.logarithmic([10 * 2**i for i in range(12)]) and not charts.logarithmic(list(range(1, 500)))


def test_a_page_stays_under_a_megabyte() -> None:
    word = "아주 긴 글 <&> " * 400
    big: list[b.Block] = []
    for i in range(30):
        big += [
            b.samples(f"보기 {i}", [{"label": "가", "text": word} for _ in range(70)]),
            b.table(f"표 {i}", ["가", "나"], [[word, j] for j in range(100)]),
            b.lines(f"선 {i}", {str(k): [(x, x % (k + 2)) for x in range(300)] for k in range(8)}),
            b.tokens(f"토큰 {i}", [[("가나다", j) for j in range(500)]] * 4),
        ]
    text = html.render("큰 보고서", [*big, b.facts("끝", {"맨 끝": "보임"})])
    assert len(text.encode()) < 1_000_000
    Page(text)
    assert "전체" in text and "맨 끝" in text and text.count("<section") == 121
    few = html.render("보기", [b.samples("보기", [{"text": "가" * 9_999}])])
    assert "전체 9,999자" in few


def test_even_an_absurd_report_fits() -> None:
    text = html.render(
        EVIL * 50, [b.facts(f"{i} {EVIL}" * 20, {EVIL * 20: 1}) for i in range(3_000)], EVIL * 50
    )
    assert len(text.encode()) < 1_000_000 and "more in stats.json" in text
    Page(text)


def test_two_fragments_in_one_notebook_do_not_share_ids() -> None:
    one = html.fragment([b.histogram("분포", [0, 1], [1])])
    two = html.fragment([b.histogram("분포", [0, 2], [1])])
    Page(one + two)
    assert one == html.fragment([b.histogram("분포", [0, 1], [1])])  # and are the same for the same blocks
    for rule in one.split("<style>")[1].split("</style>")[0].split("}"):
        selector = rule.split("{")[0].strip()
        assert not selector or selector.startswith((".ko", ":root", "@media")), selector  # nothing leaks out


def test_flow_cards_lead_to_their_chapters() -> None:
    text = html.render(
        "길",
        [b.flow("길", [{"name": "clean", "anchor": "1. clean"}]), b.chapter("1. clean"), b.text("글", "가")],
    )
    assert '<a href="#b1">clean</a>' in text and '<h3 id="b2-h">' in text


def test_a_manifest_may_be_the_meta_of_a_page() -> None:
    manifest = {
        "tool": "kodata", "verb": "clean", "status": "interrupted", "id": "abc", "format": 1, "seed": 7, "seconds": 200.4,
        "command": ["kodata", "clean", "a b.txt"], "config": {"x": {"y": [1]}}, "inputs": [{"path": "a"}], "started": "2026-11-22T20:01:02+00:00",
    }  # fmt: skip
    text = html.render("가", [], meta=manifest)
    Page(text)
    for word in ("중단됨", "3분 20초", "2026-11-22 20:01", "kodata clean &#x27;a b.txt&#x27;", "만든 방법"):
        assert word in text
    assert "abc" not in text


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("가\n나\n\n다", "<p>가 나</p><p>다</p>"),
        ("- **가**\n- `<b>`", "<ul><li><strong>가</strong></li><li><code>&lt;b&gt;</code></li></ul>"),
        ("1. 하나\n2. 둘", "<ol><li>하나</li><li>둘</li></ol>"),
        (
            "[말](https://a.example/?q=1&r=2)",
            '<p><a href="https://a.example/?q=1&amp;r=2" rel="noreferrer noopener">말</a></p>',
        ),
        ("[말](javascript:x)", "<p>[말](javascript:x)</p>"),
        ("[말](//evil.example)", "<p>[말](//evil.example)</p>"),
        ("[말](data:text/html,x)", "<p>[말](data:text/html,x)</p>"),
        ("## 제목", '<p class="ko-h">제목</p>'),
        ("```\n<가>\n```", "<pre><code>&lt;가&gt;</code></pre>"),
        ("<b>가</b>", "<p>&lt;b&gt;가&lt;/b&gt;</p>"),
    ],
)
def test_prose(source: str, shown: str) -> None:
    assert prose.html(source) == shown


def test_markdown_golden() -> None:
    text = markdown.render(
        "보고서",
        [
            b.chapter("1. clean", {"문서": 1234}),
            b.funnel("깔때기", [("들어옴", 100), ("길이|폭", 90)]),
            b.lines("손실", {"학습": [(0, 4), (1, 2), (2, 1)]}, "걸음", "손실"),
            b.samples("보기", [{"label": "버림", "text": "봄비\n```", "note": "짧음"}]),
        ],
        "부제",
        {"씨앗": 0},
    )
    assert text == (
        "# 보고서\n\n부제\n\n씨앗: 0\n\n## 1. clean\n\n- 문서: **1,234**\n\n### 깔때기\n\n"
        "| 단계 (step) | 남음 (left) | 처음의 (of first) | 바뀜 (change) |\n| --- | ---: | ---: | ---: |\n"
        "| 들어옴 | 100 | 100.0% | – |\n| 길이\\|폭 | 90 | 90.0% | −10 |\n\n### 손실\n\n걸음 → 손실\n\n- 학습: `█▃▁`\n\n"
        "| 계열 (series) | 점 (points) | 처음 (first) | 끝 (last) | 최소 (min) | 최대 (max) |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |\n| 학습 | 3 | 4 | 1 | 1 | 4 |\n\n"
        "| 계열 (series) | 걸음 | 손실 |\n| --- | ---: | ---: |\n| 학습 | 0 | 4 |\n| 학습 | 1 | 2 |\n| 학습 | 2 | 1 |\n\n"
        "### 보기\n\n**버림**\n\n````text\n봄비\n```\n````\n\n*짧음*\n"
    )


def test_markdown_lets_no_html_through() -> None:
    text = markdown.render(
        EVIL, [blk for blk in every_kind(EVIL) if blk["type"] not in ("samples", "tokens")]
    )
    for line in text.replace("\\<", "").split("\n"):
        assert "<script" not in line and "<img" not in line


def test_a_histogram_of_doubling_lengths_has_a_logarithmic_axis() -> None:
    edges = [0, 8, 16, 32, 64, 128, 256]
    assert charts.logarithmic(edges) and not charts.logarithmic(list(range(0, 400, 20)))
    page = html.render("길이", [b.histogram("길이", edges, [1] * 6, unit="글자")])
    widths = [float(w) for w in re.findall(r'class="ko-fill" x="[\d.]+%" width="([\d.]+)%"', page)]
    assert len(widths) == 6 and max(widths) - min(widths) < 0.1


def test_curves_of_one_point_are_a_table() -> None:
    one = html.render("점", [b.lines("손실", {"학습": [(3, 1.5)], "검증": [(3, 2.5)]}, "스텝", "nats")])
    two = html.render("선", [b.lines("손실", {"학습": [(3, 1.5), (4, 1.25)]}, "스텝", "nats")])
    assert "ko-chart" not in one.split("<main")[1] and "2.5" in one
    assert "ko-chart" in two.split("<main")[1] and "ko-legend" not in two.split("<main")[1]


def test_fractions_of_a_column_line_up() -> None:
    assert fmt.column([0.5, 0.092, None, 1]) == ["0.500", "0.092", "–", "1"]
    assert fmt.column([-0.25, 0.5667]) == ["−0.2500", "0.5667"]
    assert fmt.column([12.5, 0.25]) == ["12.5", "0.25"]  # large ones are left alone
    assert fmt.column([1e-9, 0.5]) == ["1e-9".replace("-", "−"), "0.5"]
    assert fmt.column(["가", True, 3]) == ["가", "예 (yes)", "3"]
    page = html.render("표", [b.table("표", ["과제", "정확도"], [["가", 0.5], ["나", 0.125]])])
    assert '<td class="ko-n" data-v="0.5">0.500</td>' in page
