"""Stage 1, a shard at a time: signature, digest and length of every document, and evaluation data found in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson

from kodata.dedup import shingles
from kodata.dedup.arrays import I64, by_shard, pack, save_arrays
from kodata.dedup.config import DedupConfig
from kodata.dedup.plan import Plan, load_plan
from kodata.dedup.reference import U32, U64
from kodata.doc import Document, read_records
from kodata.run.files import atomic_open

FIELDS = ("id", "text", "source", "meta")
Item = TypeVar("Item")
BATCH_ITEMS = 1 << 14
BATCH_CHARS = 8_000_000
"""Texts held at once while a shard is read; a single longer document is a batch of its own."""


def sign_shard(out: str, shard: int) -> None:
    """Sign one shard. Signatures go to minima/, as they come; then signed/ is written: digests [docs, 2], lengths (characters without white space),
    raw_lengths, copies (documents each stands for), sources (index in words), ids and dates packed; the digests once more, sorted,
    with their rows, without contaminated documents; words: {"sources", "hits": [{"row", "field", "overlap"}], "plain" (every line
    has the fields of the contract in its order, so that it can be written again as it stands)}."""
    plan = load_plan(out)
    search = _searcher(plan.against, plan.config)
    digests: list[U64] = [np.zeros((0, 2), np.uint64)]
    lengths: list[I64] = [np.zeros(0, np.int64)]
    raw_lengths: list[int] = []
    ids: list[str] = []
    dates: list[str] = []
    copies: list[int] = []
    source_of: list[int] = []
    sources: dict[str, int] = {}
    hits: list[dict[str, Any]] = []
    path = plan.shards[shard]
    plain = path.suffix != ".parquet"

    def documents() -> Iterator[Document]:
        nonlocal plain
        for line, record in islice(read_records(path), plan.limits[shard]):
            plain = plain and tuple(record) == FIELDS
            yield Document.from_dict(record, file=path, line=line)

    with atomic_open(_minima_file(plan, shard), "wb") as signatures:
        for batch in batches(documents(), lambda document: document.text):
            texts = [document.text for document in batch]
            minima, part, solid = shingles.signatures(texts, plan.config.ngram)
            if plan.config.near:
                signatures.write(minima.data)
            digests.append(part)
            lengths.append(solid)
            hits += search(texts, len(ids))
            raw_lengths += map(len, texts)
            for document in batch:
                ids.append(document.id)
                dates.append(str(document.meta.get("date") or ""))
                copies.append(copies_of(document))
                source_of.append(sources.setdefault(document.source or path.name, len(sources)))
    whole = np.concatenate(digests)
    kept = np.ones(len(ids), bool)
    kept[[hit["row"] for hit in hits]] = False
    rows = np.flatnonzero(kept)
    rows = rows[np.lexsort((whole[rows, 1], whole[rows, 0]))]
    id_bytes, id_ends = pack(ids)
    date_bytes, date_ends = pack(dates)
    save_arrays(
        plan.file("signed", shard),
        digests=whole,
        lengths=np.concatenate(lengths),
        raw_lengths=np.array(raw_lengths, np.int64),
        copies=np.array(copies, np.int64),
        sources=np.array(source_of, np.uint32),
        ids=id_bytes,
        id_ends=id_ends,
        dates=date_bytes,
        date_ends=date_ends,
        sorted_high=whole[rows, 0],
        sorted_low=whole[rows, 1],
        sorted_rows=rows.astype(np.uint32),
        words=np.frombuffer(orjson.dumps({"sources": list(sources), "hits": hits, "plain": plain}), np.uint8),
    )


def words_of(signed: dict[str, Any]) -> dict[str, Any]:
    """{"sources", "hits", "plain"} of an opened file of `sign_shard`."""
    return orjson.loads(signed["words"].tobytes())


def _minima_file(plan: Plan, shard: int) -> Path:
    return plan.file("minima", shard, "u32")


def open_minima(plan: Plan, shard: int) -> U32:
    """Signatures [docs, PERMUTATIONS] of one shard, mapped from disk."""
    path = _minima_file(plan, shard)
    if not path.stat().st_size:  # nothing can be mapped
        return np.zeros((0, shingles.PERMUTATIONS), np.uint32)
    return np.memmap(path, np.uint32, "r").reshape(-1, shingles.PERMUTATIONS)


def minima_of(out: str, numbers: I64, starts: I64) -> U32:
    """Signatures [n, PERMUTATIONS] of some documents, ascending numbers."""
    plan = load_plan(out)
    found = np.empty((len(numbers), shingles.PERMUTATIONS), np.uint32)
    for shard, part, rows in by_shard(numbers, starts):
        found[part] = open_minima(plan, shard)[rows]
    return found


def copies_of(document: Document) -> int:
    """`meta.copies`: how many documents this one stood for in an earlier dedup, else 1."""
    copies = document.meta.get("copies")
    return copies if isinstance(copies, int) and 0 < copies < 1 << 62 else 1


def batches(items: Iterator[Item], text: Callable[[Item], str]) -> Iterator[list[Item]]:
    """Items in lists of about BATCH_CHARS characters, at most BATCH_ITEMS."""
    batch: list[Item] = []
    chars = 0
    for item in items:
        batch.append(item)
        chars += len(text(item))
        if chars >= BATCH_CHARS or len(batch) == BATCH_ITEMS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


@lru_cache(maxsize=1)
def _index(fields: Path, n: int) -> Any:
    return shingles.backend().overlap_index(shingles.nfc(orjson.loads(fields.read_bytes())["texts"]), n)


def _searcher(fields: Path | None, config: DedupConfig) -> Callable[[list[str], int], list[dict[str, Any]]]:
    """(texts, first row) -> the worst hit of each document that holds enough of an evaluation text."""
    if fields is None:
        return lambda texts, first: []
    index = _index(fields, config.against_ngram)

    def search(texts: list[str], first: int) -> list[dict[str, Any]]:
        worst: dict[int, tuple[float, int, int]] = {}
        for document, field, found, total in index.search(shingles.nfc(texts)).tolist():
            hit = (found / total, total, -field)
            if hit[0] >= config.against_overlap and hit > worst.get(document, (0.0, 0, 0)):
                worst[document] = hit
        return [
            {"row": first + document, "field": -field, "overlap": overlap}
            for document, (overlap, _, field) in sorted(worst.items())
        ]

    return search
