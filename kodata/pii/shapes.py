"""What a text must hold for any detector to fire: five bits that are cheap to compute for every text.

The bits may be set without need, never left out: a native core may give them faster.
"""

from __future__ import annotations

import re

RESIDENT, BUSINESS, CARD, DRIVER, PHONE, ACCOUNT, IP = 32, 64, 128, 256, 512, 1024, 2048
"""Kinds of NUMBER, which the native core tells apart; here they are set together."""
AT, PASSPORT, PLATE, ADDRESS = 1, 4, 8, 16
NUMBER = 2 | RESIDENT | BUSINESS | CARD | DRIVER | PHONE | ACCOUNT | IP
ALL = AT | NUMBER | PASSPORT | PLATE | ADDRESS

PLATE_LETTERS = "가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주바사아자배하허호"
STEMS = (
    "서울", "부산", "대구", "인천", "광주", "대전", "울산", "세종", "경기", "강원", "충북", "충남", "충청", "전북", "전남", "전라",
    "경북", "경남", "경상", "제주",
)  # fmt: skip
_AT = ("@", "골뱅이", "앳", "(at)", "[at]", " at ")
_DIGIT = re.compile("[0-9]")
_NUMBER = re.compile(r"[0-9][0-9 ()\-*.·‐‑‒–−]{5,}[0-9*]")
_PASSPORT = re.compile("[MSRGD][0-9]{3}")
_PLATE = re.compile(rf"[0-9]{{2}}[{PLATE_LETTERS}]\s?[0-9]{{4}}")
_STEM = re.compile("|".join(STEMS))


def shapes(text: str) -> int:
    """The bits of a text."""
    bits = AT if any(mark in text for mark in _AT) else 0
    if not _DIGIT.search(text):
        return bits
    if any(sum(c.isdigit() for c in m.group()) >= 4 for m in _NUMBER.finditer(text)):
        bits |= NUMBER
    if _PASSPORT.search(text):
        bits |= PASSPORT
    if _PLATE.search(text):
        bits |= PLATE
    if (stem := _STEM.search(text)) and _DIGIT.search(text, stem.end()):
        bits |= ADDRESS
    return bits
