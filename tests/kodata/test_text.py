"""Decoding, repair, normalisation and measures of Korean text."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodata.text import declared_charset, decode, measure, normalise, sniff
from kodata.text.markup import escape_tags
from kodata.text.syllables import COMMON, KS_X_1001, rare_share

SENTENCE = "오늘은 날씨가 맑아서 동네 도서관까지 걸어가 책을 빌려 왔다. 돌아오는 길에 시장에서 사과를 샀다."


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "cp949", "euc-kr", "utf-16", "utf-16-le", "utf-16-be"]
)
def test_charsets_are_recognised(encoding: str) -> None:
    found = decode(SENTENCE.encode(encoding))
    assert (found.text, found.bad) == (SENTENCE, 0)


@pytest.mark.parametrize("encoding", ["utf-8", "cp949"])
def test_a_file_cut_inside_a_character_keeps_the_rest(encoding: str) -> None:
    found = decode((SENTENCE + "끝").encode(encoding)[:-1])
    assert found == (SENTENCE, encoding, 0)


def test_bytes_that_fit_nothing_are_counted() -> None:
    found = decode(SENTENCE.encode() + b"\xff\xff\xff" + SENTENCE.encode())
    assert found.encoding == "utf-8" and found.bad == 3 and found.text.startswith(SENTENCE)


def test_meta_charset_is_a_hint_that_valid_utf8_overrules() -> None:
    page = '<html><meta charset="euc-kr"><p>안녕하세요</p>'
    assert declared_charset(page.encode()) == "cp949"
    assert sniff(page.encode(), "cp949") == "utf-8"
    assert sniff(page.encode("cp949"), "cp949") == "cp949"
    assert declared_charset(b'<meta charset="no-such">') is None


# What a public Korean pipeline destroys, and what NFKC and ftfy would change: each must stay as it is.
@pytest.mark.parametrize(
    "text",
    [
        "값은 10000원이고 2000년에 샀다.",
        "나는하ㅋㅋㅋ",
        "오늘ㅎㅎ",
        "그는 ㄱ, ㄴ 순서로 적었다. ㅋㅋ",
        "㈜나무 ① ½ ㎏ ㆍ 「법」 제2조",
        "나랏〮말〯ᄊᆞ미 듀ᇰ귁에 달아",
        "국어의 ᄫᆞ람과 ᅀᅡ",
        "大韓民國 憲法은 民主共和國의 基本이다.",
        "주소: 어디든 좋다. 전화: 없음. ⓒ 표시는 남는다.",
        "“따옴표” ‘작은따옴표’ 『책』 〈글〉 ―줄―",
        "가족 👨‍👩‍👧 과 ❤️",
        "문서에서 <b> 태그는 굵게, `<br>` 은 줄바꿈이다.",
        "제목 (예: <div>)",
        "AT&T 와 R&D, a < b > c",
        "코드:\n```\n<p>&lt;b&gt;</p>\n```\n끝.",
        "1 2\n  들여쓰기는 남는다\n\t탭도",
        "100% 였다. 50%EA 아님",
        "굵게 쓰려면 &lt;b&gt;굵은 글&lt;/b&gt; … &lt;script&gt;alert(1)&lt;/script&gt; 로",
        "&lt;!-- 주석 --&gt;는 HTML 주석이다. <!-- 주석 -->는 HTML 주석이다. ‹!-- 주석 -->는",
        "웃음 ^^^^ 과 for(;;;;)",
        "코드:\n```c\n    for(;;;;) ^^^^ ㅋㅋㅋㅋㅋ  가  나\n\n\n\n¾È³çÇÏ¼¼¿ä ＡＢ\n```\n끝.",
        "~~~\n  가    나\n~~~",
        "  첫 줄의 들여쓰기",
    ],
)
def test_what_must_survive(text: str) -> None:
    assert normalise(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (unicodedata.normalize("NFD", "한글 맞춤법"), "한글 맞춤법"),
        ("ＡＢＣ　１２３！", "ABC 123!"),
        ("￦1,000", "₩1,000"),
        ("ﾡﾤ ﾻﾻ", "ㄱㄴ ㅋㅋ"),
        ("가ㅤ나", "가 나"),
        ("가\u200b나\ufeff다\u00ad라", "가나다라"),
        ("가\u1160나\u115f다", "가나다"),
        ("가\u200d나", "가나"),
        ("가\r\n나\r다\u2028라", "가\n나\n다\n라"),
        ("가   \n\n\n\n나\t \n", "가\n\n나"),
        ("가\x00나\x1f다\x85라", "가나다\n라"),
        ("ㅋㅋㅋㅋㅋㅋㅋ", "ㅋㅋㅋ"),
        ("나는하ㅋㅋㅋㅋㅋ", "나는하ㅋㅋㅋ"),
        ("하하하하하하", "하하하"),
        ("ㅠㅠㅠㅠㅠ!!!!!!", "ㅠㅠㅠ!!!"),
        ("ㅠㅜㅠㅜㅠㅜㅠㅜ", "ㅠㅜㅠㅜㅠㅜ"),
        ("좋다😀😀😀😀😀", "좋다😀😀😀"),
        ("그래서........", "그래서..."),
        ("<p>첫째</p><p>둘째<br/>셋째</p>", "첫째\n\n둘째\n셋째"),
        ("<b>굵은</b> &quot;글&quot; &amp;amp; &#50504;녕", '굵은 "글" & 안녕'),
        ("앞<!-- 주석 -->뒤<script>var a = 1;</script>끝<b></b>", "앞뒤끝"),
        ("%EC%95%88%EB%85%95", "안녕"),
        ("&lt;한겨레&gt; 3 &lt; 5, 가 -&gt; 나", "<한겨레> 3 < 5, 가 -> 나"),
        ("&amp;lt;b&amp;gt;", "&lt;b&gt;"),
        ("가\n\n\n\n```\nx\n\n\n```\n\n\n\n나ㅋㅋㅋㅋㅋ", "가\n\n```\nx\n\n\n```\n\n나ㅋㅋㅋ"),
        ("```\n닫히지 않은    글\n\n\n\nㅋㅋㅋㅋㅋ", "```\n닫히지 않은 글\n\nㅋㅋㅋ"),
        ("\uf0b7 항목 \uf011하나", "• 항목 하나"),
        ("이름    나이", "이름 나이"),
        ("lone \ud83d surrogate", "lone � surrogate"),
    ],
)
def test_what_is_normalised(before: str, after: str) -> None:
    assert normalise(before) == after


@pytest.mark.parametrize("wrong", ["latin-1", "windows-1252"])
@pytest.mark.parametrize("right", ["utf-8", "cp949"])
def test_mojibake_is_repaired(right: str, wrong: str) -> None:
    data = SENTENCE.encode(right)
    broken = data.decode("latin-1") if wrong == "latin-1" else data.decode("cp1252", "ignore")
    if wrong == "windows-1252" and broken.encode("cp1252") != data:
        broken = "".join(
            chr(b) if b in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else bytes([b]).decode("cp1252") for b in data
        )
    assert normalise(broken) == SENTENCE


def test_mojibake_inside_good_text_is_repaired_line_by_line() -> None:
    text = f"{SENTENCE}\n{SENTENCE.encode('cp949').decode('latin-1')}\ncafé déjà vu, 40°C ±2"
    assert normalise(text) == f"{SENTENCE}\n{SENTENCE}\ncafé déjà vu, 40°C ±2"


def test_lost_bytes_are_measured_and_a_line_of_nothing_else_goes() -> None:
    assert normalise(f"{SENTENCE}\n占쏙옙占쏙옙占쏙옙占쏙옙") == SENTENCE
    talk = "깨진 글자를 흔히 '占쏙옙'이라고 부르는데, 이는 U+FFFD 를 잘못 읽은 것이다."
    assert normalise(talk) == talk
    assert measure(f"{SENTENCE} ����").lost > 0.05


@given(st.text(max_size=200))
def test_idempotent_on_any_text(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert unicodedata.is_normalized("NFC", once) and "\r" not in once and once == once.rstrip().lstrip("\n")


PIECES = st.sampled_from(
    ["ㅋ", "ㅋㅋㅋㅋ", "ㅠㅜ", "하", "가", "힣", "안녕하세요", " ", "   ", "\t", "\n", "\n\n\n", "\r\n", "\u1100", "\u1161", "\u11a8", "\u115f", "\u1160",
     "\u3164", "ﾡ", "ＡＢ", "\u200d", "\u200b", "😀", "❤️", "<b>", "</b>", "<br>", "<p>", "<!--", "-->", "<script>", "</script>", "&amp;", "&lt;",
     "lt;", "&", "#38;", "&#38;", "&gt;", "＆lt；", "`", "```", "%EC%95%88", "%EC", "…", "....", "!!!!", "¾È³ç", "ì•ˆ", "ë…•", "占쏙옙", "\ufffd", "븞뀞", "~~~", "\n```\n", "\n```py\n", "\n~~~\n", "｀｀｀\n", "&#60;", "&LT;", "&lt;b&gt;", "/b", "^^^^", ";;;;",
     "10000원", "\ue000", "\uf0b7", "\x00", "태그", "a"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=25).map("".join))
def test_idempotent_on_nasty_text(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once


@given(st.lists(st.sampled_from("가나다라마바사아 ,.10000년원"), max_size=60).map("".join))
def test_plain_korean_loses_nothing_but_spaces_and_long_runs(text: str) -> None:
    runs = re.sub(r"([.])\1{3,}", r"\1\1\1", text)
    assert normalise(text).split() == runs.split()


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "opener", ["<!-- ", "<script>", "<style>", "<script ", "<b ", "{/* ", "```py\n", "~~~a\n", "`", "&lt;가 "]
)
def test_openers_that_nothing_closes_take_linear_time(opener: str) -> None:
    text = "</b>가 " + opener * ((1 << 20) // len(opener))
    normalise(text)
    measure(text)


def test_text_of_a_page_whose_markup_is_gone_keeps_what_looks_like_a_tag() -> None:
    escaped = escape_tags("굵게: <b>글</b> <!-- 주석 --> a < b `<p>` <브라우저>")
    assert escaped == "굵게: &lt;b&gt;글&lt;/b&gt; &lt;!-- 주석 --&gt; a < b `<p>` <브라우저>"
    assert normalise(escaped) == escaped == escape_tags(escaped)


def test_syllable_tables() -> None:
    assert len(COMMON) == 399 and len(KS_X_1001) == 2350 and COMMON <= KS_X_1001
    assert rare_share(SENTENCE) == 0.0 and rare_share("뷁") == 0.0
    assert rare_share("븞뀞븯꽭뵒섏뒿") > 0.7


def test_measures_by_hand() -> None:
    found = measure("가나다 abc 漢字 ㅋㅋ 12!\n둘째 줄이다.")
    assert (found.eojeol, found.lines, found.chars) == (7, 2, 25)
    letters = 3 + 3 + 2 + 2 + 5  # Hangul, Latin, hanja, jamo, Hangul
    assert found.korean == pytest.approx((3 + 5 + 2 + 2) / letters)
    assert found.hanja == pytest.approx(2 / letters)
    visible = letters + 2 + 2  # two digits, two marks
    assert found.jamo == pytest.approx(2 / visible) and found.symbols == pytest.approx(2 / visible)
    assert found.line_punct == 1.0 and found.newlines == pytest.approx(1 / 7)


def test_no_letters_no_division() -> None:
    for text in ("", " ", "\n", "1", "!", "�", "```\n```"):
        measure(text)


def test_chinese_and_japanese_are_not_korean() -> None:
    assert measure("這是一篇用中文寫的文章，沒有任何韓文。").korean == 0.0
    assert measure("これは日本語の文章です。").kana > 0.5
    assert measure("大韓民國은 民主共和國이다.").korean == 1.0


def test_code_does_not_count_as_prose() -> None:
    found = measure(
        "이 함수는 값을 돌려준다.\n```python\ndef f(x):\n    return x\n```\n자세한 것은 https://example.com/a/b 를 보라."
    )
    assert found.korean == 1.0


def test_repetition() -> None:
    once = "아침에 일어나 물을 마시고 창문을 열었다. 바람이 시원했다."
    assert measure(once).dup_5 == 0.0 and measure(once).top_2 == 0.0
    many = measure(" ".join([once] * 10))
    assert many.dup_5 > 0.8 and many.dup_10 > 0.8 and many.top_2 > 0.2
    assert measure("같은 줄이다.\n" * 9 + "다른 줄이다.").dup_lines == pytest.approx(0.8)
    assert measure("최고야최고야최고야최고야최고야최고야최고야").char_repeat > 0.6


def test_korean_closers_end_sentences() -> None:
    text = '그가 말했다. "그렇습니다."\n정말 그럴까요?\n아니라고 합니다\n「그렇다」\n제목 없음'
    assert measure(text).line_punct == pytest.approx(4 / 5)
