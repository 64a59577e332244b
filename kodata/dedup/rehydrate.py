"""Rehydration: how often a deduplicated document is worth repeating, from how many copies it had.

Texts that many pages copied are kept by quality filters more often, up to a point; FineWeb-2 gives them a number of
repeats from the removal rate of their cluster size (its misc/rehydration). The tables are its published ones for Korean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# smallest cluster size -> repeats, for at most 3, 5 and 10 (FineWeb-2, kor_Hang)
FINEWEB2: dict[int, dict[int, int]] = {
    3: {1: 1, 2: 2, 5: 3, 20: 2, 63: 1},
    5: {1: 1, 2: 3, 4: 4, 6: 5, 16: 4, 26: 3, 48: 2, 87: 1},
    10: {1: 1, 2: 5, 3: 6, 4: 8, 6: 9, 9: 10, 13: 9, 17: 8, 21: 7, 26: 6, 34: 5, 35: 6, 36: 5, 41: 6, 45: 5}
    | {48: 4, 56: 3, 77: 2, 90: 1},
}


def repeats(copies: int, table: Mapping[int, int]) -> int:
    """Repeats of a document that stood `copies` times in the corpus: the entry of the largest size not above it."""
    return table[max(size for size in table if size <= max(copies, 1))]


def table_from_rates(
    sizes: Sequence[int], removed: Sequence[float], total: float, most: int
) -> dict[int, int]:
    """A table for another corpus: `removed[i]` is the share that quality filters removed of clusters of `sizes[i]`
    (ascending, from 1) and `total` that of all documents.

    repeats = 1 where the rate is not below the total, else 1 + (most - 1) * (rate - total) / (lowest - total), with a moving
    average over five sizes (the ends kept), rounded: FineWeb-2's rule. Clusters of one document are never repeated.

    Raises:
        ValueError: sizes that do not ascend from 1, or as many rates as sizes are not given.
    """
    if not sizes or list(sizes) != sorted(set(sizes)) or sizes[0] != 1 or len(sizes) != len(removed):
        raise ValueError("sizes must ascend from 1, with one removal rate each")
    lowest = min(removed)
    raw = [1.0 if r >= total else 1 + (most - 1) * (r - total) / (lowest - total) for r in removed]
    smooth = [sum(raw[i - 2 : i + 3]) / 5 if 2 <= i < len(raw) - 2 else value for i, value in enumerate(raw)]
    table: dict[int, int] = {}
    for size, value in zip(sizes, [1.0, *smooth[1:]], strict=True):
        count = int(value + 0.5)
        if not table or count != table[max(table)]:
            table[size] = count
    return table
