"""Stage 2, a part of the digests at a time: documents with equal text (white space aside) and the first of each."""

from __future__ import annotations

import numpy as np

from kodata.dedup.arrays import I64, open_arrays, save_arrays
from kodata.dedup.plan import load_layout, load_plan


def find_equal(out: str, part: int) -> None:
    """The documents whose text an earlier one has: (numbers, ascending; the number of the first with that text)."""
    plan, layout = load_plan(out), load_layout(out)
    low = (part << 64) // layout.text_parts
    high = ((part + 1) << 64) // layout.text_parts
    highs, lows, numbers = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for shard in range(len(plan.shards)):
        signed = open_arrays(plan.file("signed", shard), "sorted_high", "sorted_low", "sorted_rows")
        keys = signed["sorted_high"]
        a = int(np.searchsorted(keys, np.uint64(low)))
        b = len(keys) if high == 1 << 64 else int(np.searchsorted(keys, np.uint64(high)))
        highs.append(keys[a:b])
        lows.append(signed["sorted_low"][a:b])
        numbers.append(signed["sorted_rows"][a:b].astype(np.int64) + layout.starts[shard])
    copies, firsts = equal_texts(np.concatenate(highs), np.concatenate(lows), np.concatenate(numbers))
    save_arrays(plan.file("texts", part), numbers=copies, firsts=firsts)


def equal_texts(high: np.ndarray, low: np.ndarray, numbers: I64) -> tuple[I64, I64]:
    """(numbers of all but the first of each group with equal digests, ascending; the number of that first)."""
    order = np.argsort(high, kind="stable")  # a merge of sorted runs
    if (low[order[1:]] != low[order[:-1]])[
        high[order[1:]] == high[order[:-1]]
    ].any():  # half a digest is the same by chance
        order = np.lexsort((low, high))
    high, low, numbers = high[order], low[order], numbers[order]
    fresh = np.ones(len(order), bool)
    fresh[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    group = np.cumsum(fresh) - 1
    least = np.minimum.reduceat(numbers, np.flatnonzero(fresh)) if len(numbers) else numbers
    later = np.flatnonzero(numbers != least[group]) if len(numbers) else np.zeros(0, np.int64)
    later = later[np.argsort(numbers[later], kind="stable")]
    return numbers[later], least[group[later]]


def distinct_rows(out: str, shard: int) -> I64:
    """Rows of one shard that are the first with their text and not contaminated, ascending."""
    plan, layout = load_plan(out), load_layout(out)
    first, last = layout.starts[shard], layout.starts[shard + 1]
    kept = np.zeros(last - first, bool)
    kept[open_arrays(plan.file("signed", shard), "sorted_rows")["sorted_rows"]] = True
    for part in range(layout.text_parts):
        numbers = open_arrays(plan.file("texts", part), "numbers")["numbers"]
        a, b = np.searchsorted(numbers, [first, last])
        kept[numbers[a:b] - first] = False
    return np.flatnonzero(kept)


def distinct_numbers(out: str) -> I64:
    """Numbers of the first document of every text, over all shards: for what fits in one memory."""
    layout = load_layout(out)
    parts = [distinct_rows(out, s) + layout.starts[s] for s in range(len(layout.starts) - 1)]
    return np.concatenate([np.zeros(0, np.int64), *parts])
