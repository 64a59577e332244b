"""Staged byte-level BPE: first merges inside morphemes, then merges across the whole word.

Kiwi cuts the frequent word types once; a share of the vocabulary is learned from the pieces, the rest from whole
words. No token holds a piece of a character next to something else (measured: 0.02 % longer, and texts stay legible
token by token). Encoding knows nothing of morphemes: it applies the merges in order. The early, morpheme-shaped merges win.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kotok.bpe import Merge, Words, pack_words, token_strings, train_merges, unpack_words

MIN_PAIR_COUNT = 2
"""A pair seen once in a corpus is no reason for a token."""
COUNT_UNIT = 100
"""What a count of one becomes when counts are raised to a power, so that they stay whole numbers."""


@dataclass(slots=True)
class Staged:
    """What training made."""

    merges: list[Merge]
    tokens: int
    """Ids made: 256 bytes and the joined tokens."""
    inside: int = 0
    """Of these, learned inside morphemes."""
    cut_types: int = 0
    """Word types that Kiwi was asked about."""
    pieces: Words | None = field(default=None, repr=False)


def train_staged(
    words: Words,
    tokens: int,
    *,
    share: float,
    min_type_count: int,
    kiwi: Future[Any] | None,
    tick: Callable[[str, int], None] = lambda stage, n: None,
    cut: Staged | None = None,
    base: Sequence[Merge] = (),
    power: float = 1.0,
) -> Staged:
    """Merges until `tokens` ids exist (fewer when the corpus has no more pairs).

    share: of the merges, learned inside morphemes (0: plain BPE, Kiwi is not asked). min_type_count: rarer types are
    left out of the first stage. cut: an earlier result on the same words, whose pieces are used again.
    base: merges that come first; `share` is of those learned on top of them. power: see `softened`.
    """
    frequent = words[2] >= min_type_count
    words = words[0], words[1], softened(words[2], power)
    least = int(softened(np.array([MIN_PAIR_COUNT]), power)[0])
    if share <= 0:
        merges = train_merges(
            words,
            tokens,
            min_count=least,
            whole_chars=True,
            base=base,
            tick=lambda n: tick("all", n),
        )
        return Staged(merges, len(token_strings(merges)))
    if cut is not None and cut.pieces is not None:
        pieces, asked = cut.pieces, cut.cut_types
    else:
        assert kiwi is not None
        pieces, asked = cut_pieces(words, frequent, kiwi, lambda n: tick("kiwi", n))
    known = len(token_strings(base))
    first = train_merges(
        pieces,
        known + round((tokens - known) * share),
        min_count=least,
        whole_chars=True,
        base=base,
        tick=lambda n: tick("inside", n),
    )
    inside = len(token_strings(first)) - known
    merges = train_merges(
        words,
        tokens,
        min_count=least,
        whole_chars=True,
        base=first,
        tick=lambda n: tick("across", n),
    )
    return Staged(merges, len(token_strings(merges)), inside, asked, pieces)


def softened(counts: np.ndarray, power: float) -> np.ndarray:
    """Counts, (n,) i64, raised to a power, in hundredths; as they are when it is 1.

    A corpus is a few sources that say the same things many times. Below 1, what many different words have in common
    weighs more than what one word repeats, and tokens fit unseen sources better (tests/bench/tokenizer_share.py).
    """
    if power == 1:
        return counts
    return np.rint(counts.astype(np.float64) ** power * COUNT_UNIT).astype(np.int64)


def cut_pieces(
    words: Words, frequent: np.ndarray, kiwi: Future[Any], tick: Callable[[int], None]
) -> tuple[Words, int]:
    """What the first stage learns from: words without Hangul as they are, `frequent` Hangul types cut at their morphemes.

    Rare Hangul types wait for the second stage: uncut they would teach merges across morphemes (measured at 32k on
    75 MB: boundary precision .764 without, .736 with them). Also returns how many types were asked about.
    """
    from kotok.kiwi import cut_words, has_morphemes

    ends = words[1].astype(np.int64)
    starts = np.concatenate([[0], ends[:-1]])
    data = words[0].tobytes()
    counts = words[2]
    asked: list[int] = []
    whole = np.ones(len(ends), dtype=bool)
    for i, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        if has_morphemes(data[start:end]):
            whole[i] = False
            if frequent[i]:
                asked.append(i)
    pieces: Counter[bytes] = Counter()
    cut = cut_words(kiwi.result(), [data[starts[i] : ends[i]] for i in asked], tick)
    for i, parts in zip(asked, cut, strict=True):
        for part in parts:
            pieces[part] += int(counts[i])
    keep = np.repeat(whole, ends - starts)
    packed = pack_words(list(pieces), list(pieces.values()))
    rest_ends = np.cumsum((ends - starts)[whole]).astype(np.uint64) + np.uint64(len(packed[0]))
    return (
        np.concatenate([packed[0], words[0][keep]]),
        np.concatenate([packed[1], rest_ends]),
        np.concatenate([packed[2], counts[whole]]),
    ), len(asked)


def token_count(words: Words, merges: list[Merge], pattern: str) -> int:
    """Tokens a corpus of these words has (each type encoded once, times its count)."""
    from kotok.tokenizer import build

    tokenizer = build(merges, pattern)
    total = 0
    for first in range(0, len(words[1]), 50_000):
        some = words[0], words[1][first : first + 50_000], words[2][first : first + 50_000]
        start = int(words[1][first - 1]) if first else 0
        part = (some[0][start : int(some[1][-1])], some[1] - np.uint64(start), some[2])
        _, ends = tokenizer.encode_flat([w.decode() for w, _ in unpack_words(part)])
        total += int((np.diff(ends.astype(np.int64), prepend=0) * some[2]).sum())
    return total
