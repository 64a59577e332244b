"""What is measured of a tokenizer on texts: lengths, cuts inside eojeols, agreement with analysers, use of the vocabulary."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kotok.judged import Judged

RENYI_ALPHA = 2.5


FIELDS = ("texts", "chars", "bytes", "tokens", "eojeols", "whole", "lost", "hits", "ours", "gold")
"""What is summed over texts. whole: eojeols without a token boundary inside; lost: texts that decode(encode(text)) does
not give back; on the texts with gold, between two Hangul syllables: hits where both cut, ours token boundaries, gold
morpheme beginnings."""
RATES = (
    "chars_per_token",
    "bytes_per_token",
    "tokens_per_eojeol",
    "whole_eojeols",
    "boundary_precision",
    "boundary_recall",
    "boundary_f1",
)
Gold = tuple[np.ndarray, np.ndarray]
"""(places where a morpheme begins, all places that were judged), character positions between two Hangul syllables."""


@dataclass(slots=True)
class Counts:
    """Sums over texts, one of each of `FIELDS`."""

    texts: int = 0
    chars: int = 0
    bytes: int = 0
    tokens: int = 0
    eojeols: int = 0
    whole: int = 0
    lost: int = 0
    hits: int = 0
    ours: int = 0
    gold: int = 0

    def rates(self) -> dict[str, float]:
        """The shares and means people compare."""
        sums = np.array([[getattr(self, name) for name in FIELDS]], dtype=np.float64)
        return {name: float(value) for name, value in zip(RATES, rates(sums)[0], strict=True)}


def rates(sums: np.ndarray) -> np.ndarray:
    """(n, len(RATES)) of (n, len(FIELDS)) sums; NaN where nothing was counted."""
    _, chars, size, tokens, eojeols, whole, _, hits, ours, gold = sums.T.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = hits / ours, hits / gold
        parts = [
            chars / np.maximum(tokens, 1),
            size / np.maximum(tokens, 1),
            tokens / np.maximum(eojeols, 1),
            whole / np.maximum(eojeols, 1),
            precision,
            recall,
            2 * precision * recall / (precision + recall),
        ]
    return np.stack(parts, axis=1)


@dataclass(slots=True)
class Measured:
    """One tokenizer on all texts."""

    names: list[str] = field(default_factory=list)
    """The group of each text."""
    rows: np.ndarray = field(default_factory=lambda: np.zeros((0, len(FIELDS)), dtype=np.int64))
    """(texts, len(FIELDS)): what was counted in each."""
    uses: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """How often each id was used, (vocab_size,)."""

    @property
    def groups(self) -> dict[str, Counts]:
        """Sums by group."""
        names = np.array(self.names, dtype=object)
        return {name: Counts(*self.rows[names == name].sum(0).tolist()) for name in dict.fromkeys(self.names)}

    @property
    def total(self) -> Counts:
        """Sums over all texts."""
        return Counts(*self.rows.sum(0).tolist())

    def renyi(self) -> float:
        """Rényi efficiency of the unigram distribution, alpha 2.5 (Zouhar et al. 2023), over log of the vocabulary."""
        p = self.uses[self.uses > 0] / max(self.uses.sum(), 1)
        if len(self.uses) < 2 or not p.size:
            return float("nan")
        return float(np.log((p**RENYI_ALPHA).sum()) / (1 - RENYI_ALPHA) / np.log(len(self.uses)))


def bootstrap(rows: Sequence[np.ndarray], seed: int, times: int = 1000) -> list[np.ndarray]:
    """For each tokenizer's (texts, FIELDS) rows: (times, RATES), of texts drawn anew with replacement.

    The same draws serve every tokenizer, so differences between two results are paired.
    """
    texts = len(rows[0])
    stacked = np.concatenate([r.astype(np.float64) for r in rows], axis=1)
    sums = np.empty((times, stacked.shape[1]))
    random = np.random.default_rng(seed)
    for n in range(times):
        sums[n] = np.bincount(random.integers(0, texts, texts), minlength=texts) @ stacked
    width = len(FIELDS)
    return [rates(sums[:, k * width : (k + 1) * width]) for k in range(len(rows))]


def interval(values: np.ndarray) -> tuple[float, float] | None:
    """The middle 95 % of resampled values; None where one is missing."""
    if not np.isfinite(values).all():
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def measure(
    tokenizer: Judged, texts: Iterable[tuple[str, str]], gold: Mapping[str, Gold] | None = None
) -> Measured:
    """Measure (group, text) pairs, of which some have gold morpheme boundaries."""
    gold = gold or {}
    names: list[str] = []
    rows: list[tuple[int, ...]] = []
    uses = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    for group, text in texts:
        ids, boundaries, cut_chars = encode_with_boundaries(tokenizer, text)
        uses += np.bincount(ids, minlength=tokenizer.vocab_size)
        eojeols, whole = whole_eojeols(text, boundaries, cut_chars)
        lost = int(tokenizer.decode(ids.tolist()) != text)
        hits = ours = places = 0
        if text in gold:
            begins, judged = gold[text]
            inside = np.intersect1d(boundaries, judged)
            hits, ours, places = len(np.intersect1d(inside, begins)), len(inside), len(begins)
        names.append(group)
        rows.append((1, len(text), len(text.encode()), len(ids), eojeols, whole, lost, hits, ours, places))
    return Measured(names, np.array(rows, dtype=np.int64).reshape(-1, len(FIELDS)), uses)


def encode_with_boundaries(tokenizer: Judged, text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ids, character positions where a token ends, indices of characters that are cut in pieces)."""
    if not tokenizer.byte_exact:
        ids, spans = tokenizer.spans(text)
        again = (
            np.flatnonzero(spans[1:, 0] < spans[:-1, 1]) + 1
            if len(spans) > 1
            else np.zeros(0, dtype=np.int64)
        )
        return ids, np.unique(spans), np.unique(spans[again, 0])
    ids = tokenizer.encode_flat([text])[0].astype(np.int64)
    ends = np.cumsum(tokenizer.token_bytes()[ids], dtype=np.int64)
    data = np.frombuffer(text.encode(), dtype=np.uint8)
    starts = np.append(np.flatnonzero((data & 0xC0) != 0x80), len(data))  # byte where each character begins
    place = np.searchsorted(starts, ends)
    exact = starts[place] == ends
    return ids, place[exact], np.unique(place[~exact] - 1)


def whole_eojeols(text: str, boundaries: np.ndarray, cut_chars: np.ndarray) -> tuple[int, int]:
    """(eojeols, of these without a token boundary inside); an eojeol is a run of non-space characters."""
    if not text:
        return 0, 0
    space = np.array([c.isspace() for c in text])
    solid = np.concatenate([[False], ~space, [False]])
    edge = np.flatnonzero(solid[1:] != solid[:-1])
    first, last = edge[::2], edge[1::2]
    marks = np.zeros(len(text) + 1, dtype=np.int64)
    marks[boundaries] += 1
    inner = np.concatenate([[0], np.cumsum(marks)])
    cuts = np.zeros(len(text) + 1, dtype=np.int64)
    cuts[cut_chars] += 1
    cut = np.concatenate([[0], np.cumsum(cuts)])
    broken = (inner[last] - inner[first + 1]) + (cut[last] - cut[first])
    return len(first), int((broken == 0).sum())


def hangul_places(text: str) -> np.ndarray:
    """Positions between two Hangul syllables."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    hangul = (codes >= 0xAC00) & (codes <= 0xD7A3)
    return np.flatnonzero(hangul[1:] & hangul[:-1]) + 1


def encode_speed(tokenizer: Judged, texts: Sequence[str], least: float = 0.2) -> float:
    """MB of UTF-8 a CPU-second (all threads counted), first passes over these texts by encoders without a cache."""
    size, seconds = 0, 0.0
    while seconds < least and size < 50_000_000:
        fresh = tokenizer.anew()
        fresh.encode("가")
        begin = time.process_time()
        for start in range(0, len(texts), 256):
            fresh.encode_flat(list(texts[start : start + 256]))
        seconds += time.process_time() - begin
        size += max(sum(len(t.encode()) for t in texts), 1)
    return size / 1e6 / max(seconds, 1e-9)
