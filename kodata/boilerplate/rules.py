"""What stands around an article and is not the article: news bylines and copyright lines, blog footers.

Only the first and the last few lines are looked at, and only short lines are cut: everything after the first 주소: or ⓒ
in the middle of a text is text.
"""

from __future__ import annotations

import re
from typing import NamedTuple

HEAD_LINES, TAIL_LINES = 3, 12
MAX_LINE = 160
"""A longer line is prose, whatever it holds (characters)."""

# (서울=연합뉴스) 홍길동 기자 =  [서울=뉴시스]홍길동 기자 =  [스포츠조선 홍길동 기자]  【서울=뉴시스】
_DATELINE = re.compile(
    r"^\s*(?:[(\[【](?:(?=[^=\n]{0,15}[가-힣][^=\n]{0,15}=[^)\]】\n]{0,12}[가-힣])|(?=[^\n]{0,55}기자))"
    r"[^()\[\]【】=\n]{0,15}=[^()\[\]【】\n]{1,12}[)\]】]\s*(?:[가-힣·, ]{2,20}(?:기자|특파원|통신원)\s*)?(?:=\s*)?"
    r"|[\[【][가-힣A-Za-z0-9 ]{2,14}\s[가-힣]{2,4}\s?(?:기자|특파원|인턴기자|객원기자)[\]】]\s*)"
)  # fmt: skip
_TAIL = re.compile(
    r"저작권자|무단\s?(?:전재|복제|배포|사용)|재배포\s?금지|AI\s?학습\s?(?:및|이용)|(?i:copyrights?\s*[ⓒ©(])|(?i:all rights reserved)"
    r"|^\s*[ⓒ©]|\[ⓒ|기사\s?제보|제보는\s|제보하기|네이버에서.{0,20}구독|구독(?:하기|신청)|좋아요.{0,10}(?:눌러|부탁)|관련\s?기사|핫\s?이슈|많이 본 (?:뉴스|기사)"
    r"|^\s*\(끝\)\s*$|카카오톡\s?:|공유하기|인쇄하기|글자\s?크기|^\s*공감\s*\d*\s*(?:댓글|공유)|^\s*이전\s?글|^\s*다음\s?글|^\s*목록(?:으로)?\s*$"
    r"|^\s*태그\s*:|^\s*(?:사진|그래픽|영상)\s*[=/:].{0,60}$"
)  # fmt: skip
_BYLINE = re.compile(
    r"^\s*/?(?:[가-힣A-Za-z]{1,12}(?:=|\s))?[가-힣]{2,4}\s?(?:기자|특파원|인턴기자|객원기자|논설위원|통신원)"
    r"\s*(?:\[이메일\]|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+)?\s*$|^\s*(?:\[이메일\]|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[a-z]{2,})\s*$"
)  # fmt: skip


_LINK = re.compile(r"^\s*[▶☞▷►]\s?.{0,60}$")
_COPYRIGHT = re.compile(r"저작권자|무단\s?(?:전재|복제|배포)|재배포\s?금지|[ⓒ©]|(?i:all rights reserved)")
# A sentence is text, unless it is the usual 무단 전재 및 재배포를 금합니다.
SENTENCE = re.compile(r"(?:다|요|음|죠|까)[.!?][\"'”’)\]]*\s*$")
_FORBIDS = re.compile(r"[ⓒ©]|(?:무단|재배포).*(?:금지|금하|금합|금함|불허|저작권)")
ATTRIBUTION = re.compile(r"\bCC[ -]?BY|공공누리|크리에이티브\s?커먼즈|^\s*출처\s*[=/:]")


class Trimmed(NamedTuple):
    """The text without its frame, and the pieces that were cut."""

    text: str
    cut: tuple[str, ...]


def _is_frame(line: str) -> bool:
    if (
        len(line) > MAX_LINE
        or ATTRIBUTION.search(line)
        or (SENTENCE.search(line) and not _FORBIDS.search(line))
    ):
        return False
    return bool(_TAIL.search(line) or _BYLINE.match(line))


def may_end_in_frame(last: str) -> bool:
    """False when a text with this last line has no frame at its end."""
    return not last.strip() or _LINK.match(last) is not None or _is_frame(last)


def _tail_start(lines: list[str]) -> int:
    """Index of the first line of the frame at the end. ▶ lines are links only below a byline or a copyright line: in a
    text they are bullets."""
    lowest = max(1, len(lines) - TAIL_LINES)  # the first line is never frame: a one-line text stays
    top = len(lines)
    start = len(lines)
    while top > lowest:
        line = lines[top - 1]
        if line.strip():
            frame = _is_frame(line)
            if not frame and not _LINK.match(line):
                break
            # links wait for the line above them that says the article is over
            if frame and (start == top or _COPYRIGHT.search(line) or _BYLINE.match(line)):
                start = top - 1
        elif start == top:
            start = top - 1
        top -= 1
    return start


def trim_by_rules(text: str) -> Trimmed:
    """Cut the dateline at the head and byline, copyright and related links at the tail of an article.

    Used for news and web. The tail is cut line by line from the end as long as the lines are frame or blank, so a
    byline in the middle stays. The pieces cut are given in the order of the text.
    """
    cut: list[str] = []
    found = _DATELINE.match(text)
    if found and found.end() < len(text):
        cut.append(found.group().strip())
        text = text[found.end() :]
    lines = text.split("\n")
    start = _tail_start(lines)
    cut += [line.strip() for line in lines[start:] if line.strip()]
    if cut:
        text = "\n".join(lines[:start]).rstrip().lstrip("\n")
    return Trimmed(text, tuple(cut))
