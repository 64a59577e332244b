"""The native text core against the Python references: equal on everything, or left to them."""

import gzip
import json
import random
import re
from dataclasses import astuple
from pathlib import Path
from unicodedata import combining, decomposition, normalize

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import kodata.signals
import kodata.spam
import kodata.toxicity
from kodata.pii import find
from kodata.pii import shapes as python_shapes
from kodata.pii.shapes import ALL, NUMBER
from kodata.text import fast
from kodata.text.fast import MIN_HITS
from kodata.text.many import MEASURES, look, measure, normalise_all
from kodata.text.measure import _character_class
from kodata.text.measure import measure as python_measure
from kodata.text.normalise import normalise as python_normalise

native = fast.text_core()
pytestmark = pytest.mark.skipif(native is None, reason="no compiler was there")

# What the rules look for, so that random texts are full of it.
PIECES = [
    "가", "나", "다.", "했다", "에서 ", "으로", " 은 ", "사람", "당신", "그녀는", "ㅋ", "ㅋㅋㅋㅋㅋ", "ㅠㅜㅠㅜㅠㅜㅠㅜ", "하하하하하", "!!!!", "~~~", "~~~\n", "\n~~~~\n",
    "```", "```\n", "\n```py\n", "`", "`x`", " ", "  ", "\t", "\n", "\n\n\n\n", "\r\n", "\r", "\u3000", "\xa0", "\u200b", "\u200d", "\ufeff", "\u115f", "\u1160",
    "\u1112\u1161\u11ab", "e\u0301", "豈", "\uf9d0", "Å", "\ud800", "\udfff", "\U0001f600", "\U0001f468\u200d\U0001f469", "\u2764\ufe0f", "\U0001f44d\U0001f3fb",
    "ａｂ", "ﾡ", "ㄱ\u3164", "\uf0b7", "\uf000", "�", "占쏙옙", "뷁", "똠", "쀍", "ì•ˆ", "¾È³ç", "Ã©", "İ", "ı", "ſ", "K", "<", ">", "<b>", "</b>", "<br/>", "<BR >",
    "<p class=x>", "<div", "<o:p></o:p>", "<h1>", "<script>", "</script>", "<style >", "<!--", "-->", "-->은 ", " 태그", "요소", "TAG", "<strıke>", "=", "/>", "</p >",
    "&amp;", "&lt;", "&gt;", "&#38;", "&#x26;", "&#0;", "&#1234567;", "&nbsp;", "&quot;", "&nosuch;", "amp;", "&", ";", "%EA%B0%80", "%ED%A0%80", "%E", "&percnt;EA%B0%80",
    "http://a.b/c", "www.x.y", "{/*", "*/}", "- ", "• ", "...", "…", "1", "12", "2023. 10. 13. ", "900101-1234567", "900101-1******", "010-1234-5678", "+82 (0)10 123 4567",
    "1588-1234", "02)123-4567", "123-45-67890", "4111 1111 1111 1111", "110-123-456789", "11-12-345678-90", "8.8.4.4", "203.0.113.9", "211.45.3.77", "계좌 ", "법인 ",
    "M12345678", "여권 M123A4567", "12가 3456", "서울 123가4567", "서울특별시 중구 세종대로 110", "경기도 수원시 장안구 정조로 12-3", "산 3", "kim@naver.com", "kim at naver.com",
    "골뱅이", "앳", "(at)", "[at]", "@", "naver.com", "카지노", "토토 사.이.트", "대출", "씨1발", "ㅅㅂ", "시발점", "mm", "ABC", "é", "ß", "漢", "かな", "カ", "я", "ω", "ย", "۳", "½", "_",
]  # fmt: skip
texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=24).map("".join),
    st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=16).map("".join),
    st.text(st.characters(), max_size=60),
)  # fmt: skip
many = settings(max_examples=400, deadline=None)


@many
@given(texts)
@example("")
@example("\n" * 5)
@example("~~~\n~~~\n```\n```")
@example("<p><p" + " " * 1001 + "=>")
@example("<p " + "x" * 1000 + "/></p>")
@example("<!--" * 50 + "-->")
@example("&amp;amp;quot;&lt;책 이름&gt; 1 &lt; 2 &gt; 1 &#38;&#62;")
def test_the_normal_form_is_that_of_the_reference(text: str) -> None:
    found = native.normal_form(text)
    assert found is None or found == python_normalise(text)
    assert fast.normalise(text) == python_normalise(text)


@pytest.mark.parametrize(
    "text", ["안녕하세요. 반갑습니다!", "표 <b>굵게</b> &amp; 끝", "```\nif a < b:\n```\n설명이다."]
)
def test_ordinary_texts_need_no_python(text: str) -> None:
    assert native.normal_form(text) == python_normalise(text)


@many
@given(texts)
@example("")
@example("같은 말 다른 말 " * 40)
@example("가나다라마바사아자차" * 30)
@example("줄 하나 있다\n" * 9)
def test_measures_are_those_of_the_reference(text: str) -> None:
    found, expected = astuple(measure(text)), astuple(python_measure(text))
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))


@settings(max_examples=100, deadline=None)
@given(st.lists(texts, max_size=6), st.integers(0, 50))
def test_many_texts_at_once_are_as_each_alone(some: list[str], repeated: int) -> None:
    some = [text * (repeated if n % 2 else 1) for n, text in enumerate(some)]
    done = normalise_all(some)
    assert done == [python_normalise(text) for text in some]
    looked = look(done)
    for n, text in enumerate(done):
        found = looked.measures(n)
        assert astuple(found) == astuple(python_measure(text))
        assert looked.sizes[n] == len(text.encode("utf-8", "replace"))
        assert find(text, looked.shapes[n]) == find(text, ALL)
        assert looked.abuse[n] or not kodata.toxicity.toxicity(text, found.eojeol)
        translated, lone, hits = looked.table[n, MEASURES:]
        cues = kodata.signals.signals(text, found.eojeol)
        assert translated == cues.translated and lone >= cues.lone
        assert hits >= MIN_HITS or not kodata.spam.spam(text, found.eojeol).score


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from("가 나 다 하늘 바다 \n 끝.".split(" ")), max_size=120))
def test_repetition_is_counted_alike(words: list[str]) -> None:
    text = " ".join(words)
    assert astuple(measure(text)) == astuple(python_measure(text))


@many
@given(texts)
@example("번호 010 1234567 끝")
@example("+8210-123-4567")
@example("계좌 12-34-56-7890123")
@example("계좌 1234-567-890")
@example("서울 중구 산 12 세종 한누리대로 2130")
def test_texts_without_a_shape_hold_no_personal_data(text: str) -> None:
    text = fast.normalise(text)
    assert find(text, fast.shapes(text)) == find(text, ALL)


@settings(max_examples=300, deadline=None)
@given(
    st.text("0123456789-–. ()*+·", max_size=40),
    st.sampled_from(["", "주민 ", "계좌 ", "카드 ", "법인 ", "서울 "]),
)
def test_no_number_is_missed(number: str, word: str) -> None:
    text = word + number
    assert find(text, fast.shapes(text)) == find(text, ALL)


def test_the_closer_look_is_no_wider_than_the_reference() -> None:
    for text in PIECES:
        wide = python_shapes(text)
        assert fast.shapes(text) | wide == wide | (NUMBER if wide & NUMBER else 0)


@many
@given(texts, st.integers(1, 200))
@example("나 는 학교 에 가 을 를 의 " * 20, 30)
def test_spam_cues_and_abuse_are_those_of_the_references(text: str, eojeol: int) -> None:
    assert fast.spam(text, eojeol) == kodata.spam.spam(text, eojeol)
    assert fast.signals(text, eojeol) == kodata.signals.signals(text, eojeol)
    assert fast.toxicity(text, eojeol) == kodata.toxicity.toxicity(text, eojeol)


@many
@given(
    st.lists(
        st.sampled_from(
            [
                "시발",
                "시발점",
                "\n",
                "자동차",
                "닥쳐",
                "닥쳐도",
                "한남",
                "동",
                "새끼",
                "손가락",
                " ",
                "가",
                "씹",
                "고",
                "병신",
                "년생",
                "의 ",
                "소",
            ]
        )
    ).map("".join)
)
def test_ordinary_words_are_found_on_the_lines_of_hits(text: str) -> None:
    hits = list(kodata.toxicity._LEXICON.finditer(text))
    everywhere = {i for m in kodata.toxicity._FRIENDS.finditer(text) for i in range(*m.span())}
    found = kodata.toxicity._friends(text, hits)
    assert {m.start() for m in hits} & found == {m.start() for m in hits} & everywhere


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.text("가나다 .", min_size=1, max_size=3).filter(lambda w: "." not in w), unique=True, max_size=12
    ),
    st.text("가나다라 .", max_size=60),
)
def test_words_are_counted_as_str_counts_them(words: list[str], text: str) -> None:
    if words:
        found = native.Words(words, ".")
        assert found.counts(text) == [text.replace(".", "").count(word) for word in words]
        assert found.total(text) == sum(found.counts(text))


def test_word_lists_are_checked() -> None:
    for words, skipped in ((["가", "가"], ""), ([""], ""), (["가."], "."), (["\U0001f600"], "")):
        with pytest.raises(ValueError):
            native.Words(words, skipped)


def test_characters_have_the_classes_of_the_reference() -> None:
    assert all(native.character_class(code) == _character_class(chr(code)) for code in range(0x30000))


def test_characters_called_nfc_are_so_beside_any_other() -> None:
    second = {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)}
    for code in range(0x110000):
        parts = decomposition(chr(code)).split()
        if len(parts) == 2 and parts[0][0] != "<":
            second.add(int(parts[1], 16))
    for code in filter(native.nfc_alone, range(0x110000)):
        assert not combining(chr(code)) and code not in second and normalize("NFC", chr(code)) == chr(code)


@many
@given(st.text(st.characters(), max_size=40))
def test_sizes_are_those_of_utf8(text: str) -> None:
    assert fast.utf8_size(text) == len(text.encode("utf-8", "replace"))


@pytest.mark.parametrize(
    "unit",
    [
        "가나 다라. ",
        "<p>",
        "`",
        "&amp;",
        "```\n",
        "0",
        "1-",
        "\n",
        "하",
        "<!--",
        "{/*",
        "가",
        "010-",
        "서울 가 ",
    ],
)
def test_one_long_line_takes_no_time(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    native.normal_form(text)
    look([text])


def test_real_texts_are_treated_alike(real_data: Path) -> None:
    rng = random.Random(5)
    for file in sorted((real_data / "corpus").glob("*/*.jsonl.gz")):
        with gzip.open(file) as lines:
            short = [line for line in lines if len(line) < 20_000]
        rows = rng.sample(short, min(4, len(short)))
        for row in rows:
            text = json.loads(row)["text"]
            done = python_normalise(text)
            assert fast.normalise(text) == done
            assert astuple(measure(done)) == astuple(python_measure(done))
            assert find(done, fast.shapes(done)) == find(done, ALL)
            eojeol = len(re.findall(r"\S+", done))
            for name, module in (
                ("spam", kodata.spam),
                ("signals", kodata.signals),
                ("toxicity", kodata.toxicity),
            ):
                assert getattr(fast, name)(done, eojeol) == getattr(module, name)(done, eojeol)
