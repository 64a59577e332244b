"""Stages 3 to 6: near duplicates, found in parts of the key space of buckets that never need to know one another.

An edge joins two texts that share a bucket, agree in enough places of their signatures and whose exact Jaccard reaches the
threshold. A part holds all members of its buckets, so it finds its edges alone; what the parts find is joined afterwards
(`components`), and any number of parts gives the same components.

* entries (a shard; not with one part): for every text and band the bucket's key, the row, and a sketch of the signature, sorted by
  key, so that a part is one slice of each file;
* buckets (a part): the entries that may have a partner in their bucket, by their sketches, and the keys of large buckets;
* sets (a shard): the shingle sets of the texts that any part asks for;
* verify (a part): signatures and sets of those, and the edges.

With one part the signatures of all texts are in memory instead: no entries, the same definition.

Why not datatrove's own stages between ours: its buckets take a shared bucket for an edge and nothing is verified (false positives 33 to
63 % on Korean forms, tests/bench/results.md), and its clusters are one Python dict of two tuples a document. Its executors run these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from kodata.dedup import shingles
from kodata.dedup.arrays import I64, by_shard, open_arrays, save_arrays
from kodata.dedup.plan import Layout, Plan, load_layout, load_plan
from kodata.dedup.reference import U64
from kodata.dedup.shingles import LARGE_BUCKET, PERMUTATIONS, Part
from kodata.dedup.sign import batches, minima_of, open_minima
from kodata.dedup.texts import distinct_numbers, distinct_rows
from kodata.doc import read_rows
from kodata.run.files import atomic_json, read_json_object

BLOCK = 1 << 16
"""Texts whose entries are sorted at once: 110 MB at the default threshold."""


# --- entries ---------------------------------------------------------------------------------------------------


def write_entries(out: str, shard: int) -> None:
    """Entries of one shard, in sorted blocks: key, row, sketch. The JSON file beside them says how many blocks, last."""
    plan = load_plan(out)
    rows = distinct_rows(out, shard)
    minima = open_minima(plan, shard)
    shape = shingles.lsh_shape(plan.config.threshold)
    blocks = range(0, len(rows), BLOCK)
    for number, at in enumerate(blocks):
        some = rows[at : at + BLOCK]
        keys, sketches = shingles.backend().entries(np.ascontiguousarray(minima[some]), *shape)
        flat = keys.ravel()
        order = np.argsort(flat)
        of = order // shape[0]
        save_arrays(
            _block(plan, shard, number),
            keys=flat[order],
            rows=some[of].astype(np.uint32),
            sketches=sketches[of],
        )
    atomic_json(plan.file("entries", shard, "json"), {"blocks": len(blocks)})


def _block(plan: Plan, shard: int, block: int) -> Path:
    return plan.out / "work" / "entries" / f"{shard:05d}-{block:04d}.npz"


def _bounds(part: int, parts: int) -> tuple[int, int]:
    """(first, last) key of a part."""
    return (part << 64) // parts, ((part + 1) << 64) // parts - 1


def _between(keys: U64, low: int, high: int) -> slice:
    """Where sorted keys are in [low, high]."""
    return slice(
        int(np.searchsorted(keys, np.uint64(low))), int(np.searchsorted(keys, np.uint64(high), side="right"))
    )


# --- buckets ---------------------------------------------------------------------------------------------------


def find_buckets(out: str, part: int) -> None:
    """What may have an edge in one part. The file: wanted (numbers whose sets are needed, ascending), and with several parts keys
    and numbers of the entries that stay, sorted by key, large (keys of buckets that will be split) and pairs (that met in others)."""
    plan, layout = load_plan(out), load_layout(out)
    none = np.zeros(0, np.uint64)
    if layout.parts == 1:
        texts = distinct_numbers(out)
        flags = shingles.candidates(minima_of(out, texts, layout.starts), plan.config.threshold)
        save_arrays(plan.file("buckets", part), wanted=texts[flags != 0], keys=none, numbers=none, large=none)
        return
    low, high = _bounds(part, layout.parts)
    keys, numbers, sketches = [none], [np.zeros(0, np.int64)], []
    for shard in range(len(plan.shards)):
        for block in range(read_json_object(plan.file("entries", shard, "json"))["blocks"]):
            entries = open_arrays(_block(plan, shard, block))
            some = _between(entries["keys"], low, high)
            keys.append(entries["keys"][some])
            numbers.append(entries["rows"][some].astype(np.int64) + layout.starts[shard])
            sketches.append(entries["sketches"][some])
    every, of = np.concatenate(keys), np.concatenate(numbers)
    order = np.argsort(
        every, kind="stable"
    )  # a merge of sorted runs; numbers ascend in a bucket of one shard
    every, of = every[order], of[order]
    sketch = np.concatenate(sketches)[order] if sketches else np.zeros((0, 5), np.uint64)
    least = shingles.min_match(plan.config.threshold)
    flags = shingles.backend().meetings(every, sketch, PERMUTATIONS, LARGE_BUCKET, least)
    first = np.flatnonzero(np.diff(every, prepend=~every[:1]))
    sizes = np.diff(first, append=len(every))
    stay = flags != 0
    save_arrays(
        plan.file("buckets", part),
        wanted=np.unique(of[stay]),
        keys=every[stay],
        numbers=of[stay],
        large=every[first[sizes > LARGE_BUCKET]],
        pairs=np.array([int((sizes * (sizes - 1) // 2)[sizes <= LARGE_BUCKET].sum())]),
    )


# --- sets ------------------------------------------------------------------------------------------------------


def write_sets(out: str, shard: int) -> None:
    """Shingle sets of the texts of one shard that any part wants: rows (ascending), values, ends [rows + 1]."""
    plan, layout = load_plan(out), load_layout(out)
    first, last = layout.starts[shard], layout.starts[shard + 1]
    parts = [np.zeros(0, np.int64)]
    for part in range(layout.parts):
        wanted = open_arrays(plan.file("buckets", part), "wanted")["wanted"]
        parts.append(wanted[slice(*np.searchsorted(wanted, [first, last]))] - first)
    rows = np.unique(np.concatenate(parts))
    texts = (record["text"] for record in read_rows(plan.shards[shard], rows.tolist()))
    values: list[U64] = [np.zeros(0, np.uint64)]
    sizes: list[I64] = [np.zeros(1, np.int64)]
    for batch in batches(texts, str):
        part_values, offsets = shingles.shingle_sets(batch, plan.config.ngram)
        values.append(part_values)
        sizes.append(np.diff(offsets))
    save_arrays(
        plan.file("sets", shard),
        rows=rows,
        values=np.concatenate(values),
        ends=np.cumsum(np.concatenate(sizes)),
    )


class Sets:
    """The shingle sets that `write_sets` left, by document number."""

    def __init__(self, out: str):
        self._plan, self._starts = load_plan(out), load_layout(out).starts

    def sizes(self, numbers: I64) -> I64:
        """Shingles of each of some documents (ascending), 0 where no set was asked for."""
        found = np.zeros(len(numbers), np.int64)
        for part, arrays, at, there in self._shards(numbers):
            found[part][there] = arrays["ends"][at + 1] - arrays["ends"][at]
        return found

    def take(self, numbers: I64) -> tuple[U64, I64]:
        """(values, offsets [n + 1]) of some documents (ascending); empty where no set was asked for."""
        offsets = np.zeros(len(numbers) + 1, np.int64)
        np.cumsum(self.sizes(numbers), out=offsets[1:])
        values = np.empty(offsets[-1], np.uint64)
        for part, arrays, at, _ in self._shards(numbers):
            piece = shingles.backend().spans(arrays["values"], arrays["ends"], at)
            begin = int(offsets[part.start])
            values[begin : begin + len(piece)] = piece
        return values, offsets

    def _shards(self, numbers: I64) -> Iterator[tuple[slice, dict[str, np.ndarray], I64, np.ndarray]]:
        """(which of the numbers, the shard's arrays, places in them of those that are there, which are there)."""
        for shard, part, rows in by_shard(numbers, self._starts):
            arrays = open_arrays(self._plan.file("sets", shard))
            at = np.searchsorted(arrays["rows"], rows)
            there = np.zeros(len(rows), bool)
            inside = at < len(arrays["rows"])
            there[inside] = arrays["rows"][at[inside]] == rows[inside]
            yield part, arrays, at[there], there


# --- verify ----------------------------------------------------------------------------------------------------


def find_edges(out: str, part: int) -> None:
    """The components of one part as pairs (document, smallest document of its component in the part)."""
    plan, layout = load_plan(out), load_layout(out)
    sets, threshold = Sets(out), plan.config.threshold
    counts: Counter[str] = Counter()
    edges = [np.zeros((0, 2), np.int64)]
    for numbers, where in _chunks(plan, layout, sets, part):
        minima = minima_of(out, numbers, layout.starts)
        if layout.parts == 1:
            wanted = np.asarray(open_arrays(plan.file("buckets", part), "wanted")["wanted"])
        else:
            wanted = numbers[shingles.candidates(minima, threshold, where) != 0]
        values, short = sets.take(wanted)
        sizes = np.zeros(len(numbers), np.int64)
        sizes[np.searchsorted(numbers, wanted)] = np.diff(short)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        parent, found = shingles.clusters(minima, values, offsets, threshold, where)
        child = np.flatnonzero(parent != np.arange(len(parent)))
        edges.append(np.stack([numbers[child], numbers[parent[child]]], axis=1))
        counts["candidates"] += len(wanted)
        counts["largest_bucket"] = max(counts["largest_bucket"], found.pop("largest_bucket"))
        counts.update(found)
    save_arrays(plan.file("edges", part), edges=np.concatenate(edges))
    atomic_json(plan.file("edges", part, "json"), dict(counts))


def _chunks(plan: Plan, layout: Layout, sets: Sets, part: int) -> Iterator[tuple[I64, Part]]:
    """(texts, buckets) of a part in pieces that fit in a task's memory; one bucket is never cut."""
    if layout.parts == 1:
        yield distinct_numbers(str(plan.out)), shingles.WHOLE
        return
    found = open_arrays(plan.file("buckets", part))
    if not len(found["keys"]):
        return
    wanted = np.asarray(found["wanted"])
    size = 4 * PERMUTATIONS * len(wanted) + 8 * int(sets.sizes(wanted).sum())
    large = np.concatenate(
        [open_arrays(plan.file("buckets", p), "large")["large"] for p in range(layout.parts)]
    )
    large.sort()
    low, high = _bounds(part, layout.parts)
    pieces = -(-size // layout.unit_bytes)
    bounds = [low + (high + 1 - low) * i // pieces for i in range(pieces + 1)]
    for a, b in pairwise(bounds):
        some = _between(found["keys"], a, b - 1)
        if some.stop > some.start:
            yield np.unique(found["numbers"][some]), Part(a, b - 1, large)
