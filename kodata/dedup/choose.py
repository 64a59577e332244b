"""Stage 8, a slice of the clusters at a time: which copy stays, how near the others are to it, and what the report shows.

Ties of the policy go to the longer text, then to the one with more white space (a copy that lost its spacing is the worse one),
the smaller id, the digest: the order of the inputs only matters for `first` and for copies with equal ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import orjson

from kodata.dedup import shingles
from kodata.dedup.arrays import I64, by_shard, open_arrays, pack, save_arrays, strings_at
from kodata.dedup.components import slices_of
from kodata.dedup.config import DedupConfig
from kodata.dedup.near import Sets
from kodata.dedup.plan import Layout, Plan, load_layout, load_plan
from kodata.dedup.sign import words_of
from kodata.run.files import atomic_json, atomic_open, read_json_object

KEEP, EXACT, NEAR, AGAINST = 0, 1, 2, 3
BINS = 50
"""Of the histogram of Jaccards, from 0 to 1."""
LARGEST, EACH_PAIR, SHOWN_MEMBERS = 30, 8, 6
"""Clusters in the report: this many of the largest, this many of each set of sources, with this many members."""


@dataclass(slots=True)
class Members:
    """What is known of the documents of some clusters, in their order there."""

    numbers: I64
    shards: I64
    lengths: list[int]
    raw_lengths: list[int]
    copies: list[int]
    digests: list[tuple[int, int]]
    ids: list[str]
    sources: list[str]
    dates: list[str]


def choose_copies(out: str, part: int) -> None:
    """Decide one slice of clusters. Files: what happens to each document (npz, by number), lines of clusters.jsonl, and what the
    report needs (json, last)."""
    plan, layout = load_plan(out), load_layout(out)
    found = open_arrays(plan.members)
    first, last = slices_of(found["ends"])[part : part + 2].tolist()
    ends = found["ends"][first : last + 1] - found["ends"][first]
    members = _members(plan, layout, np.asarray(found["numbers"][found["ends"][first] : found["ends"][last]]))
    ranked = rank(members, ends, plan.config)
    values, same = _measure(Sets(out), layout, members, ends, ranked)
    count = len(members.numbers)
    kept = np.repeat(ranked[ends[:-1]], np.diff(ends))  # place of the kept copy, for each place in `ranked`
    action = np.where(same, EXACT, NEAR).astype(np.uint8)
    action[ends[:-1]] = KEEP
    copies = np.ones(count, np.int64)
    copies[ends[:-1]] = np.add.reduceat(np.array(members.copies, np.int64)[ranked], ends[:-1])
    cluster = np.repeat(np.arange(first, last) + 1, np.diff(ends))
    by_number = np.argsort(members.numbers[ranked])
    kept_ids, kept_ends = pack([members.ids[place] for place in ranked[ends[:-1]].tolist()])
    save_arrays(
        plan.file("chosen", part),
        numbers=members.numbers[ranked][by_number],
        action=action[by_number],
        value=np.where(action == KEEP, 0.0, values)[by_number],
        cluster=cluster[by_number],
        copies=copies[by_number],
        kept_ids=kept_ids,
        kept_ends=kept_ends,
    )
    naming = namer(plan)
    names = list(map(naming, members.sources, members.shards.tolist()))
    with atomic_open(plan.file("chosen", part, "jsonl"), "wb") as lines:
        for line in _lines(plan, layout, members, ends, ranked, values, same, first):
            lines.write(line)
    near = ~same
    pairs = np.stack([values[near], members.numbers[kept[near]], members.numbers[ranked[near]]], axis=1)
    atomic_json(
        plan.file("chosen", part, "json"),
        {
            "crossings": _crossings(names, ends, ranked, kept),
            "near": np.bincount(bins(values[near]), minlength=BINS).tolist(),
            "chained": int((values[near] < plan.config.threshold).sum()),
            "pairs": _least_of_each_bin(pairs),
            "shown": _shown(names, members, ends, ranked, values, first),
        },
    )


def _members(plan: Plan, layout: Layout, numbers: I64) -> Members:
    order = np.argsort(numbers)
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    shard_of: list[I64] = []
    columns: list[list[Any]] = [[] for _ in range(7)]
    for shard, _, rows in by_shard(numbers[order], layout.starts):
        signed = open_arrays(plan.file("signed", shard))
        sources = words_of(signed)["sources"]
        shard_of.append(np.full(len(rows), shard, np.int64))
        some = (
            signed["lengths"][rows].tolist(),
            signed["raw_lengths"][rows].tolist(),
            signed["copies"][rows].tolist(),
            list(map(tuple, signed["digests"][rows].tolist())),
            strings_at(signed["ids"], signed["id_ends"], rows),
            [sources[k] for k in signed["sources"][rows].tolist()],
            strings_at(signed["dates"], signed["date_ends"], rows),
        )
        for column, piece in zip(columns, some, strict=True):
            column += piece
    places = back.tolist()
    return Members(
        numbers, np.concatenate(shard_of)[back], *([column[k] for k in places] for column in columns)
    )


def rank(members: Members, ends: I64, config: DedupConfig) -> I64:
    """Places of the members, cluster after cluster, the copy that stays first in each."""
    place_of = {name: i for i, name in enumerate(config.priority)}
    numbers = members.numbers.tolist()

    def choice(k: int) -> tuple[Any, ...]:
        policy: tuple[Any, ...] = ()
        if config.keep == "first":
            policy = (numbers[k],)
        elif config.keep == "newest":
            policy = (not members.dates[k], tuple(-ord(c) for c in members.dates[k]))
        elif config.keep == "oldest":
            policy = (not members.dates[k], members.dates[k])
        place = place_of.get(members.sources[k], len(place_of))
        longer = (-members.lengths[k], -members.raw_lengths[k])
        return (place, policy, longer, members.ids[k], members.digests[k], numbers[k])

    ranked: list[int] = []
    for a, b in pairwise(ends.tolist()):
        ranked += sorted(range(a, b), key=choice)
    return np.array(ranked, np.int64)


def _measure(
    sets: Sets, layout: Layout, members: Members, ends: I64, ranked: I64
) -> tuple[np.ndarray, np.ndarray]:
    """(Jaccard of each place of `ranked` with its kept copy, whether it is the same text but for white space)."""
    same = np.ones(len(ranked), bool)
    pairs: list[tuple[int, int]] = []
    numbers, digests, order = members.numbers.tolist(), members.digests, ranked.tolist()
    for a, b in pairwise(ends.tolist()):
        kept = digests[order[a]]
        if all(digests[k] == kept for k in order[a:b]):
            continue
        first = {
            digests[k]: numbers[k] for k in range(b - 1, a - 1, -1)
        }  # sets are kept of the first of equal texts
        for place in range(a, b):
            digest = digests[order[place]]
            if digest != kept:
                same[place] = False
                pairs.append((first[kept], first[digest]))
    values = np.ones(len(ranked))
    values[~same] = _jaccards(sets, np.array(pairs, np.int64).reshape(-1, 2), layout.unit_bytes // 4)
    return values, same


def _jaccards(sets: Sets, pairs: I64, most: int) -> np.ndarray:
    """Exact Jaccard of pairs of documents, sets of about `most` bytes at a time."""
    out = np.zeros(len(pairs))
    texts, place = np.unique(pairs, return_inverse=True)
    cost = np.cumsum(8 * sets.sizes(texts)[place.reshape(-1, 2)].sum(axis=1))
    cuts = np.flatnonzero(np.diff(cost // max(most, 1))) + 1
    for some in np.split(np.arange(len(pairs)), cuts) if len(pairs) else []:
        mine, at = np.unique(pairs[some], return_inverse=True)
        values, offsets = sets.take(mine)
        out[some] = shingles.backend().jaccards(values, offsets, at.reshape(-1, 2).astype(np.int64))
    return out


def bins(values: np.ndarray) -> I64:
    """Bin of each Jaccard in the histogram."""
    return np.minimum((values * BINS).astype(np.int64), BINS - 1)


def _least_of_each_bin(pairs: np.ndarray) -> list[list[float]]:
    """[Jaccard, kept, removed] of one pair of every bin, the least: the same in any number of slices."""
    least: dict[int, list[float]] = {}
    for pair in pairs[np.lexsort((pairs[:, 2], pairs[:, 1], pairs[:, 0]))].tolist():
        least.setdefault(int(bins(np.array(pair[0]))), pair)
    return list(least.values())


# --- for people ------------------------------------------------------------------------------------------------


def _lines(
    plan: Plan, layout: Layout, members: Members, ends: I64, ranked: I64, values: np.ndarray, same: np.ndarray, first: int
) -> Iterator[bytes]:  # fmt: skip
    """Lines of clusters.jsonl."""
    names = [shard.name for shard in plan.shards]
    rows = (members.numbers - layout.starts[members.shards]).tolist()
    shards, order = members.shards.tolist(), ranked.tolist()
    rounded, exact = [round(value, 6) for value in values.tolist()], same.tolist()
    for index, (a, b) in enumerate(pairwise(ends.tolist()), first + 1):
        listed = [
            {
                "id": members.ids[order[k]],
                "source": members.sources[order[k]],
                "shard": names[shards[order[k]]],
                "row": rows[order[k]],
                "chars": members.lengths[order[k]],
                "jaccard": rounded[k],
                "exact": exact[k],
            }
            for k in range(a, b)
        ]
        record = {"cluster": index, "size": b - a, "kept": members.ids[order[a]], "members": listed}
        yield orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def namer(plan: Plan) -> Callable[[str, int], str]:
    """(source, shard) -> what a document's origin is called: its source, with the file's name where a source fills several
    named files (editions)."""
    stems = [shard.name.split(".jsonl")[0].removesuffix(".parquet") for shard in plan.shards]
    spread = set(read_json_object(plan.out / "work" / "sources.json")["spread"])

    def name(source: str, shard: int) -> str:
        stem = stems[shard]
        return source if source not in spread or stem.isdigit() or stem == source else f"{source} · {stem}"

    return name


def _crossings(names: list[str], ends: I64, ranked: I64, kept: I64) -> list[list[Any]]:
    """[name of the kept, name of the removed, documents]."""
    removed = np.ones(len(ranked), bool)
    removed[ends[:-1]] = False
    pairs = zip(kept[removed].tolist(), ranked[removed].tolist(), strict=True)
    crossings = Counter((names[a], names[b]) for a, b in pairs)
    return [[*pair, n] for pair, n in sorted(crossings.items())]


def _shown(
    names: list[str], members: Members, ends: I64, ranked: I64, values: np.ndarray, first: int
) -> list[dict[str, Any]]:
    """Clusters a reader can check: the largest of all, and the largest of each set of sources here."""
    shown: list[dict[str, Any]] = []
    of_pair: Counter[tuple[str, ...]] = Counter()
    order = ranked.tolist()
    for index, (a, b) in enumerate(pairwise(ends.tolist()), first + 1):
        sources = tuple(sorted({names[k] for k in order[a:b]}))
        mixed = len(sources) > 1 and of_pair[sources] < EACH_PAIR
        if index > LARGEST and not mixed:
            continue
        of_pair[sources] += mixed
        listed = [
            f"{names[order[k]]}/{members.ids[order[k]]} ({values[k]:.2f})"
            for k in range(a + 1, min(b, a + 1 + SHOWN_MEMBERS))
        ]
        more = b - a - 1 - len(listed)
        told = "; ".join(listed) + (f"; … +{more}" if more else "")
        row = [index, b - a, f"{names[order[a]]}/{members.ids[order[a]]}", told]
        shown.append({"row": row, "sources": list(sources) if mixed else []})
    return shown
