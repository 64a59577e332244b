"""Stage 1, a shard at a time: signature, digest and length of every document, and evaluation data found in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from kodata.dedup import shingles
from kodata.dedup.reference import I64, U32, U64
from kodata.doc import Document, read_shard
from kodata.run.files import atomic_open

BATCH_CHARS = 8_000_000
"""Texts held at once while a shard is read; a single longer document is a batch of its own."""


@dataclass(frozen=True, slots=True)
class SignTask:
    """One shard to sign: where it is, where its signatures go, and the settings that matter."""

    shard: Path
    out: Path
    limit: int | None
    ngram: int
    against: Path | None
    against_ngram: int
    against_overlap: float


@dataclass(slots=True)
class Signed:
    """What stage 1 knows of one shard's documents, in order, but for the signatures themselves (`minima`)."""

    digests: U64
    lengths: I64
    """Characters without white space."""
    raw_lengths: I64
    """Characters."""
    ids: list[str]
    sources: list[str]
    dates: list[str]
    copies: list[int]
    """How many documents each stands for (more than 1 after an earlier dedup)."""
    hits: list[dict[str, Any]]
    """Contaminated documents: {"row", "field", "overlap"}."""


def sign_shard(task: SignTask) -> tuple[int, int]:
    """Sign one shard into `task.out`; returns (documents, characters)."""
    search = _searcher(task)
    minima: list[U32] = [np.zeros((0, shingles.PERMUTATIONS), np.uint32)]
    digests: list[U64] = [np.zeros((0, 2), np.uint64)]
    lengths: list[I64] = [np.zeros(0, np.int64)]
    raw_lengths: list[int] = []
    names: list[tuple[str, str, str, int]] = []
    hits: list[dict[str, Any]] = []
    for batch in batches(read_shard(task.shard), task.limit):
        texts = [document.text for document in batch]
        part = shingles.signatures(texts, task.ngram)
        minima.append(part[0])
        digests.append(part[1])
        lengths.append(part[2])
        raw_lengths += map(len, texts)
        hits += search(texts, len(names))
        names += [
            (d.id, d.source or task.shard.name, str(d.meta.get("date") or ""), copies_of(d)) for d in batch
        ]
    words = orjson.dumps({"names": names, "hits": hits})
    with atomic_open(task.out, "wb") as out:
        np.savez(
            out,
            minima=np.concatenate(minima),
            digests=np.concatenate(digests),
            lengths=np.concatenate(lengths),
            raw_lengths=np.array(raw_lengths, np.int64),
            words=np.frombuffer(words, np.uint8),
        )
    return len(names), int(sum(part.sum() for part in lengths))


def load_signed(path: Path) -> Signed:
    """Read back what `sign_shard` wrote, without the signatures, which are large."""
    with np.load(path, allow_pickle=False) as data:
        words = orjson.loads(data["words"].tobytes())
        names = words["names"]
        return Signed(
            data["digests"],
            data["lengths"],
            data["raw_lengths"],
            [n[0] for n in names],
            [n[1] for n in names],
            [n[2] for n in names],
            [n[3] for n in names],
            words["hits"],
        )


def copies_of(document: Document) -> int:
    """`meta.copies`: how many documents this one stood for in an earlier dedup, else 1."""
    copies = document.meta.get("copies")
    return copies if isinstance(copies, int) and 0 < copies < 1 << 62 else 1


def batches(documents: Iterator[Document], limit: int | None) -> Iterator[list[Document]]:
    """Documents in lists of about BATCH_CHARS characters."""
    batch: list[Document] = []
    chars = 0
    for document in islice(documents, limit):
        batch.append(document)
        chars += len(document.text)
        if chars >= BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


@lru_cache(maxsize=1)
def _index(fields: Path, n: int) -> Any:
    return shingles.backend().overlap_index(shingles.nfc(orjson.loads(fields.read_bytes())["texts"]), n)


def _searcher(task: SignTask) -> Any:
    """(texts, first row) -> the worst hit of each document that holds enough of an evaluation text."""
    if task.against is None:
        return lambda texts, first: []
    index = _index(task.against, task.against_ngram)

    def search(texts: list[str], first: int) -> list[dict[str, Any]]:
        worst: dict[int, tuple[float, int, int]] = {}
        for document, field, found, total in index.search(shingles.nfc(texts)).tolist():
            hit = (found / total, total, -field)
            if hit[0] >= task.against_overlap and hit > worst.get(document, (0.0, 0, 0)):
                worst[document] = hit
        return [
            {"row": first + document, "field": -field, "overlap": overlap}
            for document, (overlap, _, field) in sorted(worst.items())
        ]

    return search
