"""Prompts that are nearly the same, found with the MinHash core of `kodata dedup`.

A prompt is compared in three parts: its first paragraph, its last, and all between. Two prompts are the same when every part
has a Jaccard (character 5-grams) of at least the threshold and their numbers agree in order. So two questions about one long
passage stay two questions, and 사과 3개 is not 사과 5개.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from kodata.chat.records import Message
from kodata.dedup import shingles

NGRAM = 5
PLACES = 80
"""Places of the signature that are kept: with this many a pair at 0.7 is still found with probability 0.999."""
BATCH = 8192
_NUMBERS = re.compile(r"\d+")
_PARAGRAPHS = re.compile(r"\n\s*\n")


def parts_of(messages: Sequence[Message]) -> tuple[tuple[str, ...], str]:
    """(first paragraph, middle, last paragraph) of a prompt with empty parts left out, and its numbers in order."""
    text = "\n\n".join(m.content for m in messages if m.role != "system")
    found = [p for p in _PARAGRAPHS.split(text) if p.strip()]
    parts = (found[0], "\n".join(found[1:-1]), found[-1]) if len(found) > 1 else tuple(found)
    return tuple(p for p in parts if p), " ".join(_NUMBERS.findall(text))


def _key(text: str) -> bytes:
    return hashlib.blake2b("".join(text.split()).encode("utf-8", "surrogatepass"), digest_size=8).digest()


class Prompts:
    """Prompts in the order they came; equal parts are signed once. Texts are not held, `groups` reads them again."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._parts: dict[bytes, int] = {}
        self._records: list[tuple[tuple[int, ...], bytes]] = []
        self._waiting: list[str] = []
        self._signatures: list[np.ndarray] = []

    def add(self, messages: Sequence[Message]) -> None:
        """One prompt."""
        parts, numbers = parts_of(messages)
        places = []
        for text in parts:
            key = _key(text)
            if key not in self._parts:
                self._parts[key] = len(self._parts)
                if self.threshold:
                    self._waiting.append(text)
            places.append(self._parts[key])
        self._records.append((tuple(places), _key(numbers)))
        if len(self._waiting) >= BATCH:
            self._sign()

    def _sign(self) -> None:
        if self._waiting:
            minima = shingles.signatures(self._waiting, NGRAM)[0]
            self._signatures.append(np.ascontiguousarray(minima[:, :PLACES]))
            self._waiting = []

    def groups(self, prompts: Callable[[], Iterable[Sequence[Message]]]) -> list[int]:
        """For every prompt the number of the first one that is the same. `prompts()` gives them all again, in order."""
        labels = self._labels(prompts) if self.threshold and self._records else np.arange(len(self._parts))
        first: dict[tuple[tuple[int, ...], bytes], int] = {}
        return [
            first.setdefault((tuple(int(labels[p]) for p in places), numbers), n)
            for n, (places, numbers) in enumerate(self._records)
        ]

    def _labels(self, prompts: Callable[[], Iterable[Sequence[Message]]]) -> np.ndarray:
        """For every distinct part the smallest number of its near-duplicates."""
        self._sign()
        minima = np.concatenate(self._signatures)
        flagged = np.flatnonzero(shingles.candidates(minima, self.threshold))
        offsets = np.zeros(len(minima) + 1, np.int64)
        values: list[np.ndarray] = [np.zeros(0, np.uint64)]
        sizes = np.zeros(len(minima), np.int64)
        wanted = self._texts(prompts, flagged)
        done = 0
        while batch := list(islice(wanted, BATCH)):
            found, ends = shingles.shingle_sets(batch, NGRAM)
            values.append(found)
            sizes[flagged[done : done + len(batch)]] = np.diff(ends)
            done += len(batch)
        np.cumsum(sizes, out=offsets[1:])
        labels, _ = shingles.clusters(minima, np.concatenate(values), offsets, self.threshold)
        return np.asarray(labels)

    def _texts(
        self, prompts: Callable[[], Iterable[Sequence[Message]]], flagged: np.ndarray
    ) -> Iterator[str]:
        """Texts of the flagged parts, in the order of their numbers (the order in which they first came)."""
        left = iter(flagged.tolist())
        want = next(left, None)
        if want is None:
            return
        for messages in prompts():
            for text in parts_of(messages)[0]:
                if self._parts[_key(text)] == want:
                    yield text
                    want = next(left, None)
                    if want is None:
                        return
