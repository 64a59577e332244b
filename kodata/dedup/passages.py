"""Passages that stood in an earlier document: paragraphs, lines, and any run of characters, found by their hashes.

Earlier is by the order of the inputs; repeats within one document stay. Each kind is one or two passes over the shards with the same
shape: every document gives keys, a merge finds the keys of two or more documents with the first of them, and a
later document loses what carries such a key. Kinds follow one another, each on the text the one before left:

* paragraphs (between blank lines) and lines: the key is the hash of their characters without white space;
* substrings: every run of L characters that an earlier document has. The keys are those of all such runs whose least k-gram
  hash (k = L / 2) occurs in two documents: winnowing (Schleimer and others 2003) leaves about 2 / L anchors a character in
  the first pass, and in the second only runs around repeated anchors are recorded. No run of L characters is missed, and a longer
  one is covered by its runs of L. The definition in plain Python: `covered_reference`.

Keys have 64 bits: among n keys a false repeat is expected n^2 / 2^65 times. Memory: the merge holds MERGE_KEYS keys at
a time; the table of repeated keys is mapped from disk, 16 bytes a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from kodata.dedup.config import DedupConfig
from kodata.dedup.rolling import U64, points_of, sliding_minimum, sums_of, windows
from kodata.dedup.shingles import nfc
from kodata.run.files import atomic_open

Kind = Literal["paragraphs", "lines", "anchors", "substrings"]
KEYS = np.dtype([("key", "<u8"), ("row", "<u4"), ("more", "?")])
"""Of one shard: the key, the first row that has it, whether another row has it too."""
TABLE = np.dtype([("key", "<u8"), ("first", "<i8")])
"""Of all: a key of two or more documents, the number of the first."""
MERGE_KEYS = 16_000_000
SIEVE_BITS = 28
"""Most bits of a table's sieve: 256 MB."""
STRETCH = 2_000_000
"""Characters hashed at once; a giant document is a row of such stretches."""
_PARAGRAPHS = re.compile(r"(\n[^\S\n]*\n\s*)")
_LINES = re.compile(r"(\n)")
Spans = list[tuple[int, int]]
Cut = tuple[Kind, str, int]
"""What cut it, the piece, the number of the first document that has it."""


def passes(config: DedupConfig) -> list[tuple[Kind, int]]:
    """(kind, least characters) of the passes to make, in order."""
    found: list[tuple[Kind, int]] = []
    if config.paragraphs:
        found.append(("paragraphs", config.paragraphs))
    if config.lines:
        found.append(("lines", config.lines))
    if config.substrings:
        found += [("anchors", config.substrings), ("substrings", config.substrings)]
    return found


def units(text: str, kind: Kind, least: int) -> list[tuple[int, int, int]]:
    """(start, end, key) of each paragraph or line with at least `least` characters that are no white space."""
    found = []
    at = 0
    for n, part in enumerate((_PARAGRAPHS if kind == "paragraphs" else _LINES).split(text)):
        if not n % 2 and len(part) >= least:
            solid = "".join(part.split())
            if len(solid) >= least:
                key = xxh3_64_intdigest(nfc([solid])[0].encode("utf-8", "surrogatepass"))
                found.append((at, at + len(part), key))
        at += len(part)
    return found


def run_keys(text: str, length: int) -> Iterable[tuple[int, U64, U64]]:
    """(first place, anchor of each run, key of each run) for all runs of `length` characters, stretch by stretch."""
    k = anchor_size(length)
    for at in range(0, max(len(text) - length + 1, 0), STRETCH):
        sums = sums_of(points_of(text[at : at + STRETCH + length - 1]))
        yield at, sliding_minimum(windows(sums, k), length - k + 1), windows(sums, length)


def anchor_size(length: int) -> int:
    """k: characters of an anchor inside a run."""
    return max(length // 2, 1)


def keys_of(text: str, kind: Kind, least: int, anchors: U64 | None) -> U64:
    """The distinct keys of one document in one pass. `anchors`: the repeated anchors, sorted, for the pass of substrings."""
    if kind in ("paragraphs", "lines"):
        return np.unique(np.array([key for _, _, key in units(text, kind, least)], np.uint64))
    parts = [np.zeros(0, np.uint64)]
    for _, anchor, key in run_keys(text, least):
        if anchors is None:
            parts.append(np.unique(anchor))
        else:
            parts.append(key[member(anchor, anchors)])
    return np.unique(np.concatenate(parts))


def member(values: U64, table: U64) -> npt.NDArray[np.bool_]:
    """Which values are in the sorted table."""
    if not len(table):
        return np.zeros(len(values), bool)
    return np.asarray(table[np.minimum(np.searchsorted(table, values), len(table) - 1)] == values)


def write_keys(path: Path, documents: Iterable[tuple[int, U64]]) -> int:
    """Keys of one shard's documents (row, keys) into a sorted file; the number of distinct ones."""
    rows, keys = [np.zeros(0, np.uint32)], [np.zeros(0, np.uint64)]
    for row, found in documents:
        keys.append(found)
        rows.append(np.full(len(found), row, np.uint32))
    every, row_of = np.concatenate(keys), np.concatenate(rows)
    order = np.argsort(every, kind="stable")  # rows ascend, so the first of equal keys has the least row
    values, first, counts = np.unique(every[order], return_index=True, return_counts=True)
    table = np.empty(len(values), KEYS)
    table["key"], table["row"], table["more"] = values, row_of[order][first], counts > 1
    with atomic_open(path, "wb") as out:
        np.save(out, table, allow_pickle=False)
    return len(table)


def merge_keys(path: Path, files: Sequence[Path], starts: npt.NDArray[np.int64]) -> int:
    """The keys of two or more documents over all shards, with the first document's number; slice by slice of the keys."""
    tables = [np.load(file, mmap_mode="r", allow_pickle=False) for file in files]
    slices = max(1, -(-sum(map(len, tables)) // MERGE_KEYS))
    bounds = [min((i << 64) // slices, (1 << 64) - 1) for i in range(slices + 1)]
    parts = [np.empty(0, TABLE)]
    for n in range(slices):
        pieces, numbers = [], []
        for shard, table in enumerate(tables):
            low = np.searchsorted(table["key"], np.uint64(bounds[n]))
            high = len(table) if n + 1 == slices else np.searchsorted(table["key"], np.uint64(bounds[n + 1]))
            piece = np.asarray(table[low:high])
            pieces.append(piece)
            numbers.append(piece["row"].astype(np.int64) + starts[shard])
        joined, number = np.concatenate(pieces), np.concatenate(numbers)
        order = np.argsort(
            joined["key"], kind="stable"
        )  # shards ascend, so the first is the first document's
        keys, first, counts = np.unique(joined["key"][order], return_index=True, return_counts=True)
        more = np.add.reduceat(joined["more"][order].astype(np.int64), first) if len(first) else counts
        some = (counts > 1) | (more > 0)
        part = np.empty(int(some.sum()), TABLE)
        part["key"], part["first"] = keys[some], number[order][first][some]
        parts.append(part)
    whole = np.concatenate(parts)
    with atomic_open(path, "wb") as out:
        np.save(out, whole, allow_pickle=False)
    return len(whole)


@dataclass(slots=True)
class Table:
    """The repeated keys of one pass."""

    kind: Kind
    least: int
    keys: U64
    first: npt.NDArray[np.int64]
    sieve: npt.NDArray[np.bool_] = field(default_factory=lambda: np.ones(1, np.bool_))
    """Whether any key ends in these bits: most keys of a text stop here, before the search."""

    def __post_init__(self) -> None:
        size = 1 << min(max(8 * len(self.keys), 1).bit_length(), SIEVE_BITS)
        self.sieve = np.zeros(size, np.bool_)
        self.sieve[self.keys & np.uint64(size - 1)] = True

    @classmethod
    def load(cls, path: Path, kind: Kind, least: int) -> Table:
        """Open what `merge_keys` wrote. Keys are copied out so that searches run over one array."""
        table = np.load(path, mmap_mode="r", allow_pickle=False)
        return cls(kind, least, np.ascontiguousarray(table["key"]), np.ascontiguousarray(table["first"]))

    def spans(self, text: str, number: int) -> list[tuple[int, int, int]]:
        """What document `number` has from an earlier one: (start, end, number of the first that has its beginning), ascending, apart."""
        if not len(self.keys):
            return []
        if self.kind in ("paragraphs", "lines"):
            found = units(text, self.kind, self.least)
            first = self.earlier(np.array([key for _, _, key in found], np.uint64), number)
            return [(a, b, n) for (a, b, _), n in zip(found, first.tolist(), strict=True) if n >= 0]
        change = np.zeros(len(text) + 1, np.int64)
        of: dict[int, int] = {}
        for at, _, key in run_keys(text, self.least):
            first = self.earlier(key, number)
            hit = np.flatnonzero(first >= 0)
            begins = hit[np.diff(hit, prepend=-2) > 1]
            of |= zip((begins + at).tolist(), first[begins].tolist(), strict=True)
            starts = hit + at
            change[starts] += 1
            change[starts + self.least] -= 1
        inside = np.concatenate([[False], np.cumsum(change[:-1]) > 0, [False]])
        edges = np.flatnonzero(inside[1:] != inside[:-1])
        return [(int(a), int(b), of[int(a)]) for a, b in zip(edges[::2], edges[1::2], strict=True)]

    def earlier(self, keys: U64, number: int) -> npt.NDArray[np.int64]:
        """The first document of each key that stood in one before `number`, -1 for others."""
        out = np.full(len(keys), -1, np.int64)
        some = np.flatnonzero(self.sieve[keys & np.uint64(len(self.sieve) - 1)])
        place = np.minimum(np.searchsorted(self.keys, keys[some]), len(self.keys) - 1)
        first = self.first[place]
        out[some] = np.where((self.keys[place] == keys[some]) & (first < number), first, -1)
        return out


def trim(text: str, number: int, tables: Sequence[Table]) -> tuple[str, list[Cut]]:
    """(what is left of document `number`, the pieces that were cut). A cut paragraph or line takes the blank
    lines after it along; other cuts leave both sides joined."""
    cut: list[Cut] = []
    for table in tables:
        spans = table.spans(text, number)
        if not spans:
            continue
        left, at = [], 0
        for start, end, first in spans:
            left.append(text[at:start])
            cut.append((table.kind, text[start:end], first))
            at = end
            if table.kind != "substrings":
                while at < len(text) and text[at].isspace():
                    at += 1
        text = "".join([*left, text[at:]])
    return (text.strip() if cut else text), cut


def covered_reference(texts: Sequence[str], length: int) -> list[Spans]:
    """Of each text what is covered by runs of `length` characters of earlier texts, from the definition."""
    seen: set[str] = set()
    out = []
    for text in texts:
        runs = [text[i : i + length] for i in range(len(text) - length + 1)]
        covered = [False] * len(text)
        for i, run in enumerate(runs):
            if run in seen:
                covered[i : i + length] = [True] * length
        spans: Spans = []
        for i, hit in enumerate(covered):
            if hit and i and covered[i - 1]:
                spans[-1] = (spans[-1][0], i + 1)
            elif hit:
                spans.append((i, i + 1))
        out.append(spans)
        seen.update(runs)
    return out
