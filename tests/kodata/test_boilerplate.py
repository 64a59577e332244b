"""Heads and tails of articles go, middles never."""

from kodata.boilerplate import trim

BODY = "군은 마을 도서관 세 곳을 새로 열었다고 밝혔다.\n\n주민들은 아이들과 함께 책을 읽을 곳이 생겨 반갑다고 말했다."


def test_news_head_and_tail() -> None:
    article = f"(진천=새소식) 홍길동 기자 = {BODY}\n\n홍길동 기자 hong@news.example.kr\n저작권자 ⓒ 새소식, 무단전재 및 재배포 금지\n▶ 관련기사 더 보기"
    found = trim(article)
    assert found.text == BODY and len(found.cut) == 4


def test_middle_stays() -> None:
    text = f"{BODY}\n\n주소: 시장 앞. ⓒ 표시와 무단전재라는 말이 본문에 나온다.\n\n{BODY}\n{BODY}"
    assert trim(text) == (text, ())


def test_a_text_that_is_all_frame_keeps_its_first_line() -> None:
    assert trim("▶ 오늘의 소식").text == "▶ 오늘의 소식"


def test_long_lines_are_prose() -> None:
    text = f"첫 줄이다.\n저작권자는 {'아주 긴 이야기를 남겼다 ' * 20}"
    assert trim(text).cut == ()


def test_text_at_the_end_is_not_frame() -> None:
    for tail in (
        "▶ 첫째, 책을 읽는다\n▶ 둘째, 글을 쓴다",
        "그는 저작권자에게 물어야 한다고 말했다.",
        "화면의 공유하기 단추를 누르면 됩니다.",
        "글자크기는 설정에서 바꿀 수 있어요.",
        "제보는 누구나 할 수 있다.",
        "출처: 통계청, CC BY 4.0",
    ):
        assert trim(f"{BODY}\n{tail}") == (f"{BODY}\n{tail}", ())
    assert trim("(2=3) 식을 풀어 보자.\n둘째 줄이다.").cut == ()


def test_links_go_only_below_a_byline_or_a_copyright_line() -> None:
    frame = ["홍길동 기자", "▶ 오늘의 날씨", "무단전재 및 재배포를 금합니다.", "▷ 바로 가기"]
    found = trim("\n".join([BODY, "▶ 첫째, 책을 읽는다", *frame]))
    assert found.text == f"{BODY}\n▶ 첫째, 책을 읽는다" and list(found.cut) == frame


def test_datelines_are_named_places_or_reporters() -> None:
    for head in ("(서울=새소식) ", "[뉴욕=AP] 홍길동 기자 = ", "【진천=새소식】"):
        assert trim(head + BODY).text == BODY
