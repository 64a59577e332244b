"""Stage 2: exact groups and near clusters over all shards, which copy stays, and what happens to every document."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from kodata.dedup import shingles
from kodata.dedup.config import DedupConfig
from kodata.dedup.reference import I64, U64
from kodata.dedup.sign import Signed

KEEP, EXACT, NEAR, AGAINST = 0, 1, 2, 3

SetsOf = Callable[[I64], tuple[U64, I64]]
"""Documents (ascending global numbers) -> their shingle sets (hashes, offsets)."""


@dataclass(slots=True)
class Catalogue:
    """All documents of all shards, numbered in order, without their texts."""

    starts: I64
    """First number of each shard, and the total at the end."""
    digests: U64
    lengths: I64
    raw_lengths: I64
    ids: list[str]
    sources: list[str]
    dates: list[str]
    copies: list[int]
    hits: dict[int, dict[str, Any]]
    """Contaminated documents: number -> {"field", "overlap"}."""


@dataclass(slots=True)
class Cluster:
    """Documents that are copies of one another; `kept` is one of `members` (numbers, best copy first)."""

    kept: int
    members: list[int]
    jaccards: list[float]
    """Of each member with the kept one."""
    exact: list[bool]
    """Whether a member is the kept text itself but for white space."""


@dataclass(slots=True)
class Outcome:
    """What stage 2 decided, per document and per cluster."""

    action: npt.NDArray[np.uint8]
    value: npt.NDArray[np.float64]
    cluster: I64
    """Number of the cluster from 1, 0 for none."""
    clusters: list[Cluster]
    counts: dict[str, int] = field(default_factory=dict)


def catalogue(signed: Iterator[Signed]) -> Catalogue:
    """Join the shards' signed parts, leaving the signatures out."""
    none = np.zeros(0, np.int64)
    starts, digests, lengths, raw_lengths = [0], [np.zeros((0, 2), np.uint64)], [none], [none]
    whole = Catalogue(none, digests[0], none, none, [], [], [], [], {})
    for part in signed:
        for hit in part.hits:
            whole.hits[starts[-1] + hit["row"]] = hit
        starts.append(starts[-1] + len(part.ids))
        digests.append(part.digests)
        lengths.append(part.lengths)
        raw_lengths.append(part.raw_lengths)
        whole.ids += part.ids
        whole.sources += part.sources
        whole.dates += part.dates
        whole.copies += part.copies
    whole.starts = np.array(starts, np.int64)
    whole.digests = np.concatenate(digests)
    whole.lengths, whole.raw_lengths = np.concatenate(lengths), np.concatenate(raw_lengths)
    return whole


def exact_groups(digests: U64, active: npt.NDArray[np.bool_]) -> tuple[I64, I64]:
    """(first document of each distinct text, ascending; for every document the index of its text, -1 if inactive)."""
    numbers = np.flatnonzero(active)
    order = numbers[np.lexsort((numbers, digests[numbers, 1], digests[numbers, 0]))]
    fresh = np.ones(len(order), bool)
    fresh[1:] = (digests[order[1:]] != digests[order[:-1]]).any(axis=1)
    firsts = order[fresh]  # lexsort puts the smallest number of a group first
    rank = np.empty(len(firsts), np.int64)
    by_number = np.argsort(firsts, kind="stable")
    rank[by_number] = np.arange(len(firsts))
    text_of = np.full(len(digests), -1, np.int64)
    text_of[order] = rank[np.cumsum(fresh) - 1]
    return firsts[by_number].astype(np.int64), text_of


def decide(
    whole: Catalogue, minima_of: Callable[[I64], Any], sets_of: SetsOf, config: DedupConfig
) -> Outcome:
    """Find the clusters and say for every document whether it stays.

    Contaminated documents leave first. Documents with equal text (white space aside) are one text; texts
    that share a bucket and whose exact Jaccard reaches the threshold are joined; a cluster is a connected
    component. `minima_of(documents)` gives signatures, `sets_of(documents)` shingle sets.
    """
    total = len(whole.ids)
    active = np.ones(total, bool)
    active[list(whole.hits)] = False
    firsts, text_of = exact_groups(whole.digests, active)
    component = np.arange(len(firsts), dtype=np.int64)
    counts: dict[str, int] = {"texts": len(firsts)}
    values, offsets = np.zeros(0, np.uint64), np.zeros(len(firsts) + 1, np.int64)
    if config.near and len(firsts):
        native = shingles.backend()
        shape = (*shingles.lsh_shape(config.threshold), shingles.LARGE_BUCKET)
        least = shingles.min_match(config.threshold)
        minima = minima_of(firsts)
        flagged = np.flatnonzero(native.candidates(minima, *shape, least))
        values, part_offsets = sets_of(firsts[flagged])
        sizes = np.zeros(len(firsts), np.int64)
        sizes[flagged] = np.diff(part_offsets)
        np.cumsum(sizes, out=offsets[1:])
        parent, found = native.clusters(minima, *shape, least, values, offsets, config.threshold)
        component = parent.astype(np.int64)
        counts |= {"candidates": len(flagged), **{k: int(v) for k, v in found.items()}}
    groups = _groups(np.where(text_of >= 0, component[text_of] if len(firsts) else -1, -1))
    clusters = [_ranked(members, whole, config) for members in groups]
    _measure(clusters, text_of, values, offsets)
    clusters.sort(key=lambda c: (-len(c.members), whole.ids[c.kept], c.kept))

    outcome = Outcome(
        np.zeros(total, np.uint8), np.zeros(total, np.float64), np.zeros(total, np.int64), clusters, counts
    )
    for number, found_hit in whole.hits.items():
        outcome.action[number], outcome.value[number] = AGAINST, found_hit["overlap"]
    for index, cluster in enumerate(clusters, 1):
        outcome.cluster[cluster.members] = index
        for member, value, exact in zip(
            cluster.members[1:], cluster.jaccards[1:], cluster.exact[1:], strict=True
        ):
            outcome.action[member], outcome.value[member] = (EXACT if exact else NEAR), value
    return outcome


def _groups(component: I64) -> list[list[int]]:
    """Documents of every component with two or more, each list ascending."""
    order = np.argsort(component, kind="stable")
    order = order[np.searchsorted(component[order], 0) :]
    edges = np.flatnonzero(np.diff(component[order])) + 1
    return [part.tolist() for part in np.split(order, edges) if len(part) > 1]


def _ranked(members: list[int], whole: Catalogue, config: DedupConfig) -> Cluster:
    """Members in the order of who may stay.

    Ties go to the longer text, then to the one with more white space (a copy that lost its spacing is the
    worse one), the smaller id, the digest: the order of the inputs only matters for `first` and for copies
    with equal ids.
    """
    rank = {name: i for i, name in enumerate(config.priority)}

    def first_choice(n: int) -> tuple[Any, ...]:
        policy: tuple[Any, ...] = ()
        if config.keep == "first":
            policy = (n,)
        elif config.keep == "newest":
            policy = (not whole.dates[n], tuple(-ord(c) for c in whole.dates[n]))
        elif config.keep == "oldest":
            policy = (not whole.dates[n], whole.dates[n])
        digest = tuple(whole.digests[n].tolist())
        place = rank.get(whole.sources[n], len(rank))
        longer = (-int(whole.lengths[n]), -int(whole.raw_lengths[n]))
        return (place, policy, longer, whole.ids[n], digest, n)

    ordered = sorted(members, key=first_choice)
    return Cluster(ordered[0], ordered, [1.0] * len(ordered), [True] * len(ordered))


def _measure(clusters: list[Cluster], text_of: I64, values: U64, offsets: I64) -> None:
    """Fill in the exact Jaccard of each member with the kept copy."""
    pairs: list[tuple[int, int]] = []
    places: list[tuple[int, int]] = []
    for index, cluster in enumerate(clusters):
        kept = int(text_of[cluster.kept])
        for k, member in enumerate(cluster.members):
            if text_of[member] != kept:
                pairs.append((kept, int(text_of[member])))
                places.append((index, k))
    if not pairs:
        return
    found = shingles.backend().jaccards(values, offsets, np.array(pairs, np.int64))
    for (index, k), value in zip(places, found.tolist(), strict=True):
        clusters[index].jaccards[k] = value
        clusters[index].exact[k] = False


def sources_table(whole: Catalogue, outcome: Outcome) -> dict[str, dict[str, int]]:
    """Per source: documents in, kept, exact, near, against, and characters (white space left out) in and kept."""
    names = ("kept", "exact", "near", "against")
    table: dict[str, dict[str, int]] = {}
    for source, action, chars in zip(
        whole.sources, outcome.action.tolist(), whole.lengths.tolist(), strict=True
    ):
        row = table.setdefault(source, dict.fromkeys(("in", *names, "chars_in", "chars_kept"), 0))
        row["in"] += 1
        row[names[action]] += 1
        row["chars_in"] += chars
        row["chars_kept"] += chars if action == KEEP else 0
    return dict(sorted(table.items()))
