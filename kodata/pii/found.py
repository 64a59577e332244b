"""Kinds of personal data, the tags that replace them, and a place in a text."""

from __future__ import annotations

from typing import NamedTuple

TAGS: dict[str, str] = {
    "email": "[이메일]",
    "rrn": "[주민등록번호]",
    "foreigner": "[외국인등록번호]",
    "business": "[사업자등록번호]",
    "corporate": "[법인등록번호]",
    "card": "[카드번호]",
    "driver": "[운전면허번호]",
    "passport": "[여권번호]",
    "phone": "[전화번호]",
    "institution_phone": "[기관전화]",
    "public_phone": "[대표전화]",
    "account": "[계좌번호]",
    "plate": "[차량번호]",
    "address": "[상세주소]",
    "ip": "[IP주소]",
}
"""Kind -> the tag that replaces it. Of an address only the house number goes; the district stays."""

STAND_IN = ""
"""Kind of a place that holds a stand-in of an earlier pass: nobody's data, and no other detector may take it."""


class Found(NamedTuple):
    """One place in a text: half-open character range and kind."""

    start: int
    end: int
    kind: str
