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
