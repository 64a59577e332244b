"""Length bias of preference pairs: how much of the preference length alone explains, and pairs left out to even it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kodata.chat.tasks import draw

LONGER_SHARE_WARNING = 0.7
"""When chosen is longer in this share of pairs (or shorter in as many), length alone tells them apart."""


def length_bias(lengths: Sequence[tuple[int, ...]]) -> dict[str, float]:
    """Mean lengths and how often chosen is longer or shorter, of (prompt, chosen, rejected) lengths in characters."""
    n = len(lengths)
    if not n:
        return dict.fromkeys(
            ("mean_chosen_chars", "mean_rejected_chars", "chosen_longer", "chosen_shorter"), 0.0
        )
    return {
        "mean_chosen_chars": round(sum(c for _, c, _ in lengths) / n, 2),
        "mean_rejected_chars": round(sum(r for _, _, r in lengths) / n, 2),
        "chosen_longer": round(sum(c > r for _, c, r in lengths) / n, 4),
        "chosen_shorter": round(sum(c < r for _, c, r in lengths) / n, 4),
    }


def balanced(lengths: Sequence[tuple[int, ...]], seed: int) -> dict[int, str]:
    """{number: "length_balance"} of pairs to leave out: as many with a longer as with a shorter chosen answer stay.

    Evened out within bins of the ratio of lengths (half powers of two, symmetric), so not only the sign but the size of the
    difference tells nothing afterwards. Pairs of equal length stay. Which of a bin go is drawn by (seed, number).
    """
    bins: dict[int, tuple[list[int], list[int]]] = {}
    for number, (_, chosen, rejected) in enumerate(lengths):
        if chosen != rejected:
            ratio = abs(math.log2((chosen + 1) / (rejected + 1)))
            bins.setdefault(int(ratio * 2), ([], []))[chosen < rejected].append(number)
    out: dict[int, str] = {}
    for longer, shorter in bins.values():
        more = max(longer, shorter, key=len)
        more = sorted(more, key=lambda n: draw(seed, "balance", str(n), 1 << 62))
        for number in more[min(len(longer), len(shorter)) :]:
            out[number] = "length_balance"
    return out
