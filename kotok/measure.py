"""What is measured of a tokenizer on texts: lengths, cuts inside eojeols, agreement with Kiwi, use of the vocabulary."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kotok.tokenizer import Tokenizer

RENYI_ALPHA = 2.5


@dataclass(slots=True)
class Counts:
    """Sums over texts; `+=` adds two."""

    texts: int = 0
    chars: int = 0
    bytes: int = 0
    tokens: int = 0
    eojeols: int = 0
    whole: int = 0
    """Eojeols without a token boundary inside."""
    lost: int = 0
    """Texts that decode(encode(text)) does not give back."""
    hits: int = 0
    """Boundaries between two Hangul syllables where Kiwi begins a morpheme too."""
    ours: int = 0
    """Token boundaries between two Hangul syllables, on the Kiwi sample."""
    gold: int = 0
    """Kiwi's."""

    def __iadd__(self, other: Counts) -> Counts:
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    def rates(self) -> dict[str, float]:
        """The shares and means people compare."""
        precision = self.hits / self.ours if self.ours else float("nan")
        recall = self.hits / self.gold if self.gold else float("nan")
        both = precision + recall
        return {
            "chars_per_token": self.chars / max(self.tokens, 1),
            "bytes_per_token": self.bytes / max(self.tokens, 1),
            "tokens_per_eojeol": self.tokens / max(self.eojeols, 1),
            "whole_eojeols": self.whole / max(self.eojeols, 1),
            "boundary_precision": precision,
            "boundary_recall": recall,
            "boundary_f1": 2 * precision * recall / both if both > 0 else float("nan"),
        }


@dataclass(slots=True)
class Measured:
    """One tokenizer on all texts."""

    groups: dict[str, Counts] = field(default_factory=dict)
    uses: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """How often each id was used, (vocab_size,)."""
    seconds: float = 0.0
    """Of encoding, one thread."""

    @property
    def total(self) -> Counts:
        out = Counts()
        for counts in self.groups.values():
            out += counts
        return out

    def renyi(self) -> float:
        """Rényi efficiency of the unigram distribution, alpha 2.5 (Zouhar et al. 2023), over log of the vocabulary."""
        p = self.uses[self.uses > 0] / max(self.uses.sum(), 1)
        if len(self.uses) < 2 or not p.size:
            return float("nan")
        return float(np.log((p**RENYI_ALPHA).sum()) / (1 - RENYI_ALPHA) / np.log(len(self.uses)))


def measure(
    tokenizer: Tokenizer, texts: Iterable[tuple[str, str]], gold: Mapping[str, Sequence[int]] | None = None
) -> Measured:
    """Measure (group, text) pairs. `gold`: for some texts, where Kiwi begins a morpheme between Hangul syllables."""
    gold = gold or {}
    out = Measured(uses=np.zeros(tokenizer.vocab_size, dtype=np.int64))
    for group, text in texts:
        counts = out.groups.setdefault(group, Counts())
        begin = time.perf_counter()
        ids, boundaries, cut_chars = encode_with_boundaries(tokenizer, text)
        out.seconds += time.perf_counter() - begin
        out.uses += np.bincount(ids, minlength=tokenizer.vocab_size)
        eojeols, whole = whole_eojeols(text, boundaries, cut_chars)
        counts.texts += 1
        counts.chars += len(text)
        counts.bytes += len(text.encode())
        counts.tokens += len(ids)
        counts.eojeols += eojeols
        counts.whole += whole
        counts.lost += tokenizer.decode(ids.tolist()) != text
        if text in gold:
            inside = np.intersect1d(boundaries, hangul_places(text))
            counts.ours += len(inside)
            counts.gold += len(gold[text])
            counts.hits += len(np.intersect1d(inside, np.asarray(gold[text], dtype=np.int64)))
    return out


def encode_with_boundaries(tokenizer: Tokenizer, text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ids, character positions where a token ends, indices of characters that are cut in pieces)."""
    if tokenizer.merges is None:
        encoding = tokenizer._hf.encode(text, add_special_tokens=False)
        spans = np.asarray(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        again = (
            np.flatnonzero(spans[1:, 0] < spans[:-1, 1]) + 1
            if len(spans) > 1
            else np.zeros(0, dtype=np.int64)
        )
        edges = np.unique(spans)
        return np.asarray(encoding.ids, dtype=np.int64), edges, np.unique(spans[again, 0])
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


def encode_speed(tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    """MB of UTF-8 a second, one thread, the first pass over these texts by a fresh encoder."""
    fresh: Any = Tokenizer(tokenizer.spec, tokenizer.config)
    fresh.encode("가")
    size = sum(len(t.encode()) for t in texts)
    begin = time.perf_counter()
    for start in range(0, len(texts), 256):
        fresh.encode_flat(list(texts[start : start + 256]))
    return size / 1e6 / max(time.perf_counter() - begin, 1e-9)
