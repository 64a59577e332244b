"""Byte-level BPE: training on counted words and encoding, as plain loops.

These loops define the result. The native code (csrc/bpe_train.h, bpe_encode.h) computes the same faster; where no
compiler was there at install time they serve, and `native()` says so once.

Ids: 0..255 are the bytes, every further token gets the next id. A merge is (left, right, joined).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np

Merge = tuple[int, int, int]
Words = tuple[np.ndarray, np.ndarray, np.ndarray]
"""(bytes u8 end to end, ends u64, counts i64): counted words in the form native code reads."""

_said: list[bool] = []


def native() -> Any:
    """The native module, or None (then stderr says once that the slow reference is used)."""
    try:
        return import_module("kotok._native")
    except ImportError:
        if not _said:
            _said.append(True)
            print(
                "알림: kotok 네이티브 코드가 없어 느린 파이썬 구현을 씁니다 "
                "(kotok._native is not built; using the slow Python reference)",
                file=sys.stderr,
            )
        return None


def token_strings(merges: Sequence[Merge]) -> list[bytes]:
    """Bytes of every id: 256 bytes, then the joined tokens."""
    strings = [bytes([b]) for b in range(256)]
    for left, right, joined in merges:
        if joined == len(strings):
            strings.append(strings[left] + strings[right])
    return strings


# ---------------------------------------------------------------------------------------------------------------------
# Reference


def reference_train(
    words: Mapping[bytes, int],
    tokens: int,
    min_count: int = 2,
    base: Sequence[Merge] = (),
    whole_chars: bool = False,
) -> list[Merge]:
    """Merges, `base` first, until `tokens` ids exist or no pair stands side by side `min_count` times.

    The most frequent pair is merged everywhere, left to right; of equally frequent pairs the one with the smaller left
    id, then the smaller right id. A pair whose bytes are already a token gets a merge to that token and no new id;
    where that puts a pair with a merge side by side it is joined at once, lowest rank first, as an encoder would.

    whole_chars: only merge what gives whole UTF-8 characters or the beginning of one, so that no token holds a piece
    of a character next to something else.
    """
    merges = list(base)
    strings = token_strings(merges)
    ids = {s: i for i, s in enumerate(strings)}
    ranks = {(a, b): r for r, (a, b, _) in enumerate(merges)}
    rows = [(reference_encode_word(word, merges), count) for word, count in words.items()]
    while len(strings) < tokens:
        counts = pair_counts(rows)
        if whole_chars:
            counts = Counter({p: c for p, c in counts.items() if _keeps_chars(strings[p[0]], strings[p[1]])})
        if not counts:
            break
        pair = min(counts, key=lambda p: (-counts[p], p))
        if counts[pair] < min_count:
            break
        joined = strings[pair[0]] + strings[pair[1]]
        new = ids.setdefault(joined, len(strings))
        if new == len(strings):
            strings.append(joined)
        ranks[pair] = len(merges)
        merges.append((*pair, new))
        rows = [(_join(row, pair, new), count) for row, count in rows]
        while known := [ranks[p] for p in pair_counts(rows) if p in ranks]:
            a, b, x = merges[min(known)]
            rows = [(_join(row, (a, b), x), count) for row, count in rows]
    return merges


def _keeps_chars(left: bytes, right: bytes) -> bool:
    joined = left + right
    whole = _characters(joined)
    if whole is not None:
        return _characters(left) is not None or len(whole) == 1
    lead = joined[0]
    return (
        len(joined) < (2 if lead < 0xE0 else 3 if lead < 0xF0 else 4)
        and 0xC0 <= lead < 0xF8
        and all(b & 0xC0 == 0x80 for b in joined[1:])
    )


def _characters(token: bytes) -> list[bytes] | None:
    """A token cut into characters by lead bytes; None when it does not come out even."""
    out = []
    while token:
        lead = token[0]
        n = (
            1
            if lead < 0x80
            else 0
            if lead < 0xC0
            else 2
            if lead < 0xE0
            else 3
            if lead < 0xF0
            else 4
            if lead < 0xF8
            else 0
        )
        if n == 0 or len(token) < n or any(b & 0xC0 != 0x80 for b in token[1:n]):
            return None
        out.append(token[:n])
        token = token[n:]
    return out


def pair_counts(rows: Sequence[tuple[list[int], int]]) -> Counter[tuple[int, int]]:
    """How often each pair stands side by side, every place counted, times the word's count."""
    counts: Counter[tuple[int, int]] = Counter()
    for row, count in rows:
        for pair in pairwise(row):
            counts[pair] += count
    return counts


def _join(row: list[int], pair: tuple[int, int], new: int) -> list[int]:
    out: list[int] = []
    i = 0
    while i < len(row):
        if i + 1 < len(row) and (row[i], row[i + 1]) == pair:
            out.append(new)
            i += 2
        else:
            out.append(row[i])
            i += 1
    return out


def reference_encode_word(word: bytes, merges: Sequence[Merge]) -> list[int]:
    """Ids of one pre-token: of all adjacent pairs with a merge the lowest rank is joined first, leftmost of equals."""
    ranks = {(a, b): (r, x) for r, (a, b, x) in reversed(list(enumerate(merges)))}
    row = list(word)
    while True:
        found = [(ranks[p][0], i) for i, p in enumerate(pairwise(row)) if p in ranks]
        if not found:
            return row
        i = min(found)[1]
        row[i : i + 2] = [ranks[row[i], row[i + 1]][1]]


# ---------------------------------------------------------------------------------------------------------------------
# What the package calls


def pack_words(words: Sequence[bytes], counts: Sequence[int]) -> Words:
    """Words as native code reads them."""
    return (
        np.frombuffer(b"".join(words), dtype=np.uint8),
        np.cumsum([len(w) for w in words], dtype=np.uint64) if words else np.zeros(0, dtype=np.uint64),
        np.asarray(counts, dtype=np.int64),
    )


def unpack_words(words: Words) -> list[tuple[bytes, int]]:
    """(word, count) of packed words."""
    data = words[0].tobytes()
    ends = words[1].tolist()
    return (
        [(data[a:b], c) for a, b, c in zip([0, *ends[:-1]], ends, words[2].tolist(), strict=True)]
        if ends
        else []
    )


def train_merges(
    words: Words,
    tokens: int,
    *,
    min_count: int = 2,
    base: Sequence[Merge] = (),
    whole_chars: bool = False,
    tick: Callable[[int], None] | None = None,
) -> list[Merge]:
    """`reference_train` on packed words, native where it is built. `tick(tokens made)` is called now and then."""
    code = native()
    if code is None:
        folded: Counter[bytes] = Counter()
        for word, count in unpack_words(words):
            folded[word] += count
        return reference_train(folded, tokens, min_count, base, whole_chars)
    flat = code.train_merges(*words, flat_merges(base), tokens, min_count, whole_chars, tick)
    return list(zip(*[iter(flat.tolist())] * 3, strict=True))


def flat_merges(merges: Sequence[Merge]) -> np.ndarray:
    """(3 m,) u32: left, right, joined of each merge, end to end."""
    return np.asarray(merges, dtype=np.uint32).reshape(-1)
