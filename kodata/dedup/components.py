"""Stage 7, in the command: edges of all parts joined to clusters, in 8 bytes a document and 40 more a document in a cluster.

On paper 100 TB of short texts are 5e10 documents and 400 GB here: one large node; everything before and after it is cut into parts.
"""

from __future__ import annotations

import numpy as np

from kodata.dedup import shingles
from kodata.dedup.arrays import I64, open_arrays, save_arrays
from kodata.dedup.plan import Layout, Plan

SLICE = 250_000
"""Members of clusters that one task of the next stage ranks, but for a larger cluster: a million members take 1.8 GB there."""


def join_parts(plan: Plan, layout: Layout) -> None:
    """Write members.npz: numbers (cluster after cluster, ascending within), ends [clusters + 1]; the largest clusters first,
    equal ones by their smallest document."""
    joined = shingles.backend().Components(layout.total)
    for part in range(layout.text_parts):
        equal = open_arrays(plan.file("texts", part))
        joined.join(np.stack([equal["numbers"], equal["firsts"]], axis=1))
    for part in range(layout.parts if plan.config.near else 0):
        joined.join(np.array(open_arrays(plan.file("edges", part))["edges"]))
    numbers, ends = members_of(joined.roots())
    save_arrays(plan.members, numbers=numbers, ends=ends)


def members_of(roots: I64) -> tuple[I64, I64]:
    """(documents of all clusters, ends) from the smallest document of each one's component."""
    children = np.concatenate(
        [np.zeros(0, np.int64)]
        + [
            np.flatnonzero(roots[a : a + SLICE] != np.arange(a, min(a + SLICE, len(roots)))) + a
            for a in range(0, len(roots), SLICE)
        ]
    )
    heads, cluster, sizes = np.unique(roots[children], return_inverse=True, return_counts=True)
    by_size = np.argsort(-sizes, kind="stable")
    rank = np.empty(len(heads), np.int64)
    rank[by_size] = np.arange(len(heads))
    numbers = np.concatenate([heads, children])
    numbers = numbers[np.lexsort((numbers, np.concatenate([rank, rank[cluster]])))]
    ends = np.zeros(len(heads) + 1, np.int64)
    np.cumsum(sizes[by_size] + 1, out=ends[1:])
    return numbers, ends


def slices_of(ends: I64) -> I64:
    """First cluster of each slice, and the number of clusters at the end."""
    count = max(1, -(-int(ends[-1]) // SLICE))
    return np.unique(np.concatenate([np.searchsorted(ends, np.arange(count) * SLICE), [len(ends) - 1]]))
