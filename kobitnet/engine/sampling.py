"""The next token from logits: one definition for every backend."""

import math
from collections.abc import Sequence

import numpy as np

from kodata.run.errors import UsageError, UserError

COLDEST = 1e-6
"""Below this temperature logits divided by it would overflow."""


def pick(
    logits: np.ndarray, *, temperature: float, top_k: int, top_p: float, generator: np.random.Generator
) -> int:
    """The next id from logits (vocab,): the largest at temperature 0 (lowest id on a tie) and what cannot be told
    from it, else drawn.

    top_k keeps the k likeliest (0 = all), then top_p the fewest whose probabilities reach p. Raises UserError when the
    model computed NaN or infinity.
    """
    best = int(logits.argmax())  # the place of a NaN, when there is one
    finite(float(logits[best]))
    if temperature < COLDEST:
        return best
    scaled = logits.astype(np.float64) / temperature
    order = np.argsort(-scaled, kind="stable")
    if top_k:
        order = order[:top_k]
    weights = np.exp(scaled[order] - scaled[order[0]])
    weights /= weights.sum()
    if top_p < 1:
        keep = int(np.searchsorted(np.cumsum(weights), top_p)) + 1
        order, weights = order[:keep], weights[:keep] / weights[:keep].sum()
    return int(order[min(int(np.searchsorted(np.cumsum(weights), generator.random())), len(order) - 1)])


def finite(value: float) -> float:
    """The value itself. Raises UserError for NaN and infinity, which broken or diverged weights lead to."""
    if not math.isfinite(value):
        raise UserError(
            f"모델이 수가 아닌 값을 냈습니다 (the model computes NaN or infinity): {value}",
            help="가중치가 깨졌거나 학습이 발산했습니다. 앞선 체크포인트를 쓰세요 (broken or diverged weights: use an earlier checkpoint)",
        )
    return value


def penalise(logits: np.ndarray, seen: Sequence[int], penalty: float) -> np.ndarray:
    """Logits of seen ids divided (positive) or multiplied (negative) by the penalty (CTRL, arXiv 1909.05858).

    1 changes nothing and returns the array itself. Raises UsageError for a penalty that is not above 0.
    """
    if not penalty > 0:
        raise UsageError(f"repetition_penalty 는 0보다 큽니다 (must be above 0): {penalty}")
    if penalty == 1.0:
        return logits
    row = logits.copy()
    ids = np.unique(np.asarray(seen))
    row[ids] = np.where(row[ids] > 0, row[ids] / penalty, row[ids] * penalty)
    return row
