"""Licences as people write them: is one known, and under which name is it counted."""

from __future__ import annotations

import re

_UNKNOWN = re.compile(
    r"\s*(?:$|unknown|unverified|unspecified|undecided|none\b|n/?a\b|null|tbd|other\b|\?|-+$|모름|미상|없음|미확인|불명|확인\s?필요)",
    re.I,
)
_CC = re.compile(
    r"\s*(?:creative\s?commons\s*|cc)[\s\-_]*(by(?:[\s\-_]*(?:nc|sa|nd))*|0|zero)[\s\-_]*(?:v?([1-4]\.[05]))?\s*([\s\-_](?:kr|int(?:ernational)?|unported|universal))?\s*$",
    re.I,
)
UNKNOWN = "(모름, unknown)"


def known(licence: object) -> bool:
    """Does the value name a licence? Empty values and words like unknown, unverified, 미상 do not."""
    return isinstance(licence, str) and _UNKNOWN.match(licence) is None


def name_of(licence: object) -> str:
    """The name a licence is counted under: spellings of Creative Commons become one, others stay as written."""
    if not known(licence):
        return f"{UNKNOWN} {licence}" if isinstance(licence, str) and licence.strip() else UNKNOWN
    text = " ".join(str(licence).split())
    if not (m := _CC.match(text)):
        return text
    kind = re.sub(r"[\s\-_]+", "-", m[1]).upper()
    if kind in ("0", "ZERO"):
        return "CC0-1.0"
    version = f"-{m[2]}" if m[2] else ""
    country = "-KR" if (m[3] or "").strip(" -_").lower() == "kr" else ""
    return f"CC-{kind}{version}{country}"
