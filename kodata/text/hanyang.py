"""Old Hangul in the private use area, as Hanyang's fonts and HWP wrote it before Unicode had the letters: to conjoining jamo.

The table is that of the `hypua2jamo` package (LGPL, an optional install); none with a licence that would let it be part
of this one was found. Without the package the characters stay as they are and are counted. Icon fonts of web pages use
the same code points, so only texts of kinds that hold old Hangul are asked about.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any
from unicodedata import normalize

PROFILES = frozenset({"book", "academic", "law", "verse"})
"""Profiles whose texts may hold old Hangul."""
_HANYANG = re.compile("[\ue0bc-\uefff\uf100-\uf66e\uf784-\uf800\uf806-\uf864\uf86a-\uf8f7]")


@cache
def _table() -> Any | None:
    try:
        import hypua2jamo
    except ImportError:
        return None
    return hypua2jamo


def to_jamo(text: str) -> tuple[str, int]:
    """(NFC text with Hanyang's private code points as conjoining jamo, how many of them are left)."""
    if not _HANYANG.search(text):
        return text, 0
    if table := _table():
        text = normalize("NFC", table.translate(text, composed=True))
    return text, len(_HANYANG.findall(text))
