"""What a vocabulary alone tells: syllables it has whole, tokens that no text can bring up, tokens that look like accidents."""

from __future__ import annotations

import re
import unicodedata

import numpy as np

from kotok.judged import Judged

SYLLABLES = 11_172
_RUN = re.compile(r"([^\s])\1{7,}", re.S)
_ODD = {"Cc", "Co", "Cn"}
KINDS = {
    "unreachable": "도달 불가 (its own text encodes otherwise)",
    "part": "글자 조각 (piece of a character)",
    "control": "제어·사용자 정의 글자 (control or private characters)",
    "run": "같은 글자 8번 이상 (one character 8 times or more)",
    "long": "40자 초과 (over 40 characters)",
    "double": "같은 바이트 (same bytes as another id)",
}
"""Kinds of suspicious tokens. Byte-level vocabularies need pieces of characters: those are listed, not blamed."""


def syllables_whole(tokenizer: Judged) -> int:
    """How many of the 11,172 modern Hangul syllables are one token of their own."""
    control = set(tokenizer.control.values())
    found = set()
    for i in range(tokenizer.vocab_size):
        token = tokenizer.token(i)
        if len(token) == 3 and 0xEA <= token[0] <= 0xED and i not in control:
            found.add(token.decode("utf-8", "ignore"))
    return sum(len(c) == 1 and "가" <= c <= "힣" for c in found)


def suspicious(tokenizer: Judged) -> dict[str, list[int]]:
    """Ids by kind of suspicion (Land and Bartolo 2024 look for the unreachable ones: they are never trained).

    `unreachable` is asked of byte-exact kinds only: others add a space in front or change the text.
    """
    out: dict[str, list[int]] = {kind: [] for kind in KINDS}
    control = set(tokenizer.control.values())
    first: dict[bytes, int] = {}
    ids, texts = [], []
    for i in range(tokenizer.vocab_size):
        token = tokenizer.token(i)
        if not token or i in control:
            continue
        if first.setdefault(token, i) != i:
            out["double"].append(i)
        try:
            text = token.decode()
        except UnicodeDecodeError:
            out["part"].append(i)
            continue
        ids.append(i)
        texts.append(text)
        if any(unicodedata.category(c) in _ODD and c not in "\n\t\r" for c in text) and len(token) > 1:
            out["control"].append(i)
        if _RUN.search(text):
            out["run"].append(i)
        if len(text) > 40:
            out["long"].append(i)
    if tokenizer.byte_exact:
        made, ends = tokenizer.encode_flat(texts)
        starts = (
            np.concatenate([[0], ends[:-1].astype(np.int64)]) if len(ends) else np.zeros(0, dtype=np.int64)
        )
        sizes = ends.astype(np.int64) - starts
        for i, start, size in zip(ids, starts.tolist(), sizes.tolist(), strict=True):
            if size != 1 or made[start] != i:
                out["unreachable"].append(i)
    return out
