"""Which documents a model learns from: those with the smallest hash of (seed, id), up to a number of characters."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from hashlib import blake2b

from kodata.doc import Document

HELD_OUT = 5
"""Every fifth document, by hash, is for measuring and not for learning."""


def place(seed: int, name: str) -> int:
    """A 64-bit number from a seed and an id."""
    return int.from_bytes(
        blake2b(f"{seed}\0{name}".encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
    )


def fold(name: str) -> int:
    """0 or 1 for an id: the half of the corpus a document lies in."""
    return place(9, name) & 1


def sampled(documents: Iterable[Document], chars: int, seed: int, longest: int) -> list[Document]:
    """The documents with the smallest places until `chars` characters are there, in the order of their ids; a text counts
    and is taken up to `longest` characters. Independent of the order of the documents but for equal ids."""
    heap: list[tuple[int, int, Document]] = []
    total = 0
    for number, document in enumerate(documents):
        text = document.text[:longest]
        if not text.strip():
            continue
        entry = (-place(seed, document.id), -number, Document(document.id, text, document.source))
        if total >= chars and entry[0] <= heap[0][0]:
            continue
        heapq.heappush(heap, entry)
        total += len(text)
        while total - len(heap[0][2].text) >= chars:
            total -= len(heapq.heappop(heap)[2].text)
    return [entry[2] for entry in sorted(heap, key=lambda e: (e[2].id, -e[1]))]


def held_out(name: str) -> bool:
    """Whether a document is for measuring."""
    return place(5, name) % HELD_OUT == 0
