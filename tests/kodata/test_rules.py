"""Rules and spam: what each profile keeps and drops. All texts are written for these tests."""

import pytest

from kodata.rules import KINDS, LABELS, PROFILES, RULES, Drop, check_profile, judge, profile_of
from kodata.run.errors import UsageError
from kodata.spam import FAMILIES, spam
from kodata.text import measure, normalise

PROSE = (
    "할머니 댁 마당에는 오래된 감나무가 한 그루 서 있었다. 가을이면 아이들이 장대를 들고 나와 잘 익은 감을 땄고, 어른들은 평상에 앉아 그 모습을 지켜보았다. "
    "떨어진 감은 까치의 몫이었다. 해가 기울면 부엌에서 밥 짓는 냄새가 났고, 우리는 손을 씻고 둘러앉아 저녁을 먹었다. "
    "그때는 몰랐지만 그런 저녁이 다시 오지 않는다는 것을 이제는 안다."
)
STATUTE = (
    "# 마을 도서관 운영 조례\n\n제1조(목적) 이 조례는 마을 도서관의 설치와 운영에 필요한 사항을 규정함을 목적으로 한다.\n"
    "제2조(정의) ① 이 조례에서 “도서관”이란 군수가 설치한 작은 도서관을 말한다.\n② 이 조례에서 “이용자”란 도서관을 이용하는 사람을 말한다.\n"
    "제3조(개관 시간) 도서관의 개관 시간은 오전 9시부터 오후 6시까지로 한다.\n제4조(휴관일) 도서관의 휴관일은 매주 월요일로 한다."
)
VERSE = "바람이 분다\n강가에 서면\n물소리가 먼저 와\n나를 부른다\n\n바람이 분다\n강가에 서면\n저녁이 먼저 와\n나를 부른다"
MENU = "홈\n로그인\n회원가입\n장바구니\n고객센터\n이벤트\n공지사항\n자주 묻는 질문\n베스트\n신상품\n남성 의류\n여성 의류\n신발\n가방\n더보기"


def verdict(text: str, profile: str = "web") -> str | None:
    text = normalise(text)
    drop = judge(measure(text), text, PROFILES[profile])
    return drop.reason if drop else None


@pytest.mark.parametrize(
    ("text", "profile"),
    [
        (PROSE, "web"), (PROSE, "news"), (PROSE, "book"), (PROSE, "academic"), (STATUTE, "law"), (STATUTE, "web"), (VERSE, "verse"), (VERSE, "book"),
        ("오늘 점심 뭐 먹지?\n김치찌개 어때?", "dialogue"), ("ㅋㅋㅋ 진짜 웃겨", "dialogue"), ("띄어쓰기를안하고쓴댓글이지만뜻은다통한다", "dialogue"),
        ("군, 마을 도서관 세 곳 새로 열어…주민 반색", "news"), ("大韓民國은 民主共和國이다. 主權은 國民에게 있고 모든 權力은 國民으로부터 나온다.", "law"),
        ("# 설치\n\n다음 명령으로 설치합니다.\n\n```sh\nnpm install left-pad\nnpm run build\nnpm run build\nnpm run build\n```\n\n설치가 끝나면 서버를 다시 시작해 주세요.", "web"),
        ("긴 문장을 좁은 폭에 맞추어 줄을 바꾸어 적은 글에서는 줄의 끝이\n문장의 끝이 아니기 때문에 줄마다 마침표가 없다고 해서 메뉴로 보아서는\n안 되며, 조사와 어미가 얼마나 있는지를 함께 보아야 한다는 것을\n잊지 말아야 한다", "web"),
    ],
)  # fmt: skip
def test_kept(text: str, profile: str) -> None:
    assert verdict(text, profile) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n\u200b", "empty"),
        ("This page is only available in English, we are sorry about that.", "language"),
        ("這是一篇用中文寫的文章，沒有任何韓文。請使用翻譯軟件閱讀本文。", "language"),
        (f"{PROSE[:60]} ������", "lost_text"),
        (MENU, "menu"),
        ("오늘도 좋은 하루 되세요 여러분 " * 30, "top_2gram"),
        ("안 녕 하 세 요 저 는 오 늘 이 글 을 썼 습 니 다 읽 어 주 셔 서 고 맙 습 니 다", "spaced_letters"),
        (
            "★☆★☆★☆★☆ 대박 ★☆★☆★☆★☆ 세일 ★☆★☆★☆ 지금 ★☆★☆ 바로 사세요 정말 정말 정말 정말 쌉니다 여기 오세요",
            "symbols",
        ),
        (
            "ㅁㄴㅇㄹ ㅋㅌㅊㅍ ㅂㅈㄷㄱ ㅛㅕㅑㅐ ㅁㄴㅇㄹ 오늘 여기 저기 거기 어디 누가 언제 무엇을 어떻게 왜",
            "stray_jamo",
        ),
    ],
)
def test_dropped_from_the_web(text: str, reason: str) -> None:
    assert verdict(text) == reason


def test_spam_is_cooccurrence() -> None:
    advert = (
        "카지노사이트 추천 안전놀이터 먹튀검증 꽁머니 지급! 출장안마 콜걸 문의 카톡: lucky777 " * 2
        + "가입코드 abc 토토사이트 바카라사이트 지금 가입하세요"
    )
    assert verdict(advert, "news") == "spam"
    news = (
        "경찰은 불법 카지노사이트를 운영한 혐의로 일당 세 명을 구속했다고 밝혔다. 이들은 지난해부터 카지노사이트와 토토사이트를 만들어 회원을 모집한 혐의를 받는다. "
        "경찰은 수사를 확대하고 있으며 법원은 도주 우려가 있다며 영장을 발부했다. 전문가들은 청소년 예방 교육이 필요하다고 말한다."
    )
    assert verdict(news, "news") is None
    paper = PROSE + " 이 논문은 카지노 산업의 규제를 다룬다. " + STATUTE
    assert verdict(paper, "academic") is None
    assert spam("카지노 " * 2, 2).found is False


@pytest.mark.parametrize("family", list(FAMILIES))
def test_one_hit_in_long_prose_never_drops(family: str) -> None:
    prose = (PROSE + " " + STATUTE.replace("#", "")) * 1
    for word in FAMILIES[family]:
        for profile in ("web", "news", "book", "academic", "dialogue", "law"):
            assert verdict(f"{prose} 그는 {word} 이야기를 꺼냈다. 문의 010-2345-6789", profile) != "spam", (
                word
            )


def test_spam_hidden_by_dots_is_seen() -> None:
    text = (
        "카.지.노.사.이.트 추천! 먹-튀-검-증 완료, 꽁 머 니 드려요. 문의 주세요 010-1234-5678 토 토 사 이 트"
    )
    assert spam(text, len(text.split())).found


def test_rare_syllables_of_people_are_no_charset_error() -> None:
    assert verdict("읭??? 이거 됌?", "dialogue") is None
    assert verdict("븞뀞븯꽭뵒섏뒿 믪쓽 濡쒓렇 뙆씪뱾 " * 4, "dialogue") == "wrong_charset"


def test_profiles_by_kind() -> None:
    assert (
        profile_of("law") == "law"
        and profile_of("books") == "book"
        and profile_of(None) == "web"
        and profile_of("몰라") == "web"
    )
    assert profile_of("law", "none") == "none"
    assert set(KINDS.values()) <= set(PROFILES)
    assert check_profile("auto") == "auto"
    with pytest.raises(UsageError, match="wab"):
        check_profile("wab")


def test_every_limit_belongs_to_a_rule_and_every_reason_has_a_label() -> None:
    reasons = {rule.reason for rule in RULES}
    for limits in PROFILES.values():
        assert set(limits) <= reasons | {"translated", "lone_particles"}
    assert reasons <= set(LABELS)


def test_fineweb2_is_stricter() -> None:
    assert (
        verdict(VERSE, "fineweb2") == "too_short"
        and verdict("", "none") == "empty"
        and verdict(MENU, "none") is None
    )


def test_drop_as_written() -> None:
    assert Drop("menu", 0.1234567, 0.15).to_dict() == {
        "step": "rules",
        "reason": "menu",
        "value": 0.123457,
        "limit": 0.15,
    }
