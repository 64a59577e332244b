"""What each token of a text is: which bytes of which character, which two tokens it was joined from, what cannot be seen."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from kotok.judged import Judged
from kotok.shown import show
from kotok.tokenizer import Tokenizer


def explained(tokenizer: Judged, ids: Sequence[int]) -> list[str]:
    """A note for each id, empty where there is nothing to say.

    A piece of a character names the character and its bytes; a character that is not printable its code and name; any
    other token of a byte-level BPE of ours the two tokens that were merged into it.
    """
    tokens = [tokenizer.token(i) for i in ids]
    cut = _pieces(tokens) if tokenizer.byte_exact else [""] * len(tokens)
    parts = _parts(tokenizer, set(ids))
    return [
        note or _unseen(token) or parts.get(i, "") for note, token, i in zip(cut, tokens, ids, strict=True)
    ]


def _pieces(tokens: Sequence[bytes]) -> list[str]:
    """`뷁의 1–2/3바이트` for tokens that begin or end inside a character."""
    data = b"".join(tokens)
    edges = sorted({0, len(data), *(n for n, byte in enumerate(data) if byte & 0xC0 != 0x80)})
    ends = dict(pairwise(edges))
    owner = [start for start, end in ends.items() for _ in range(start, end)]
    notes, at = [], 0
    for token in tokens:
        begin, at = at, at + len(token)
        if not token or (owner[begin] == begin and (at == len(data) or owner[at] == at)):
            notes.append("")
            continue
        start = owner[begin]
        size = ends[start] - start
        char = data[start : ends[start]].decode("utf-8", "replace")
        first, last = begin - start + 1, min(at - start, size)
        where = f"{first}" if first == last else f"{first}–{last}"
        name = f"‘{char}’" if char.isprintable() else f"U+{ord(char):04X}"
        notes.append(f"{name}의 바이트 {where}/{size} (byte {where} of {size})")
    return notes


def _unseen(token: bytes) -> str:
    """Codes and names of a token whose characters nobody can see."""
    text = token.decode("utf-8", "replace")
    if not text or len(text) > 2 or any(c.isprintable() for c in text):
        return ""
    return ", ".join(f"U+{ord(c):04X} {unicodedata.name(c, '')}".rstrip() for c in text)


def _parts(tokenizer: Judged, ids: set[int]) -> dict[int, str]:
    """`[도서] + [관]` of the ids that a merge made of whole characters."""
    if not isinstance(tokenizer, Tokenizer) or tokenizer.merges is None:
        return {}
    out: dict[int, str] = {}
    for left, right, joined in tokenizer.merges:
        if joined in ids and joined not in out and not _stray(tokenizer.token(left)):
            out[joined] = f"[{show(tokenizer.token(left))}] + [{show(tokenizer.token(right))}]"
    return out


def _stray(token: bytes) -> bool:
    """Whether a token is a piece of a character."""
    return "\ufffd" in token.decode("utf-8", "replace")


def width(text: str) -> int:
    """Columns a text takes on a terminal: Hangul and Han two, combining marks none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )
