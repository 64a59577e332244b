"""Numbers from predictions, with their uncertainty: numpy only.

Every estimate carries a standard error and a 95 % interval; for tasks with choices also the chance level, and in words
whether the result differs from it. Accuracy, its standard error and macro F1 are those of lm-evaluation-harness.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Z95 = 1.959963984540054
BOOTSTRAPS = 1000


@dataclass(kw_only=True, slots=True)
class Estimate:
    """A number and how sure it is."""

    value: float
    stderr: float
    """Standard error; NaN with fewer than two items."""
    low: float
    high: float
    """95 % interval."""
    n: int
    chance: float | None = None
    """What guessing gives, where that is known."""

    @property
    def verdict(self) -> str:
        """In words: against chance."""
        if self.chance is None or math.isnan(self.low):
            return ""
        if self.low > self.chance:
            return "우연보다 나음 (better than chance)"
        if self.high < self.chance:
            return "우연보다 못함 (worse than chance)"
        return "우연과 다르지 않음 (not different from chance)"


# ---- estimates ----------------------------------------------------------------------------------


def share(hits: Sequence[bool | float], chance: float | None = None) -> Estimate:
    """The mean of hits (0 or 1 each): stderr s / sqrt(n) with n - 1 in s; Wilson's interval, which holds near 0 and 1."""
    n = len(hits)
    if not n:
        return Estimate(value=math.nan, stderr=math.nan, low=math.nan, high=math.nan, n=0, chance=chance)
    p = sum(hits) / n
    stderr = math.sqrt(p * (1 - p) / (n - 1)) if n > 1 else math.nan
    z2 = Z95 * Z95
    middle, half = (
        (p + z2 / (2 * n)) / (1 + z2 / n),
        Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)),
    )
    return Estimate(value=p, stderr=stderr, low=middle - half, high=middle + half, n=n, chance=chance)


def mean(values: Sequence[float]) -> Estimate:
    """The mean of any numbers, normal interval."""
    n = len(values)
    array = np.asarray(values, np.float64)
    value = float(array.mean()) if n else math.nan
    stderr = float(array.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return Estimate(value=value, stderr=stderr, low=value - Z95 * stderr, high=value + Z95 * stderr, n=n)


def resampled(
    statistic: Callable[[np.ndarray], float], n: int, *, seed: int = 0, rounds: int = BOOTSTRAPS
) -> Estimate:
    """A statistic of n items given their indices; stderr and interval from resampling the items with replacement."""
    value = statistic(np.arange(n))
    if n < 2:
        return Estimate(value=value, stderr=math.nan, low=math.nan, high=math.nan, n=n)
    rng = np.random.default_rng(seed)
    draws = np.array([statistic(rng.integers(0, n, n)) for _ in range(rounds)])
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value=value, stderr=float(draws.std(ddof=1)), low=float(low), high=float(high), n=n)


def pooled(parts: Sequence[Estimate]) -> Estimate:
    """Several tasks as one, weighted by size: the value and the pooled stderr of lm-evaluation-harness."""
    sizes = np.array([p.n for p in parts], np.float64)
    value = float(sum(p.value * p.n for p in parts) / sizes.sum())
    stderrs = np.array([p.stderr for p in parts], np.float64)
    variance = float(((sizes - 1) * stderrs**2 * sizes).sum() / max(sizes.sum() - len(parts), 1))
    stderr = math.sqrt(variance / sizes.sum())
    known = [p.chance for p in parts if p.chance is not None]
    chance = (
        sum(p.chance * p.n for p in parts if p.chance is not None) / float(sizes.sum())
        if len(known) == len(parts)
        else None
    )
    return Estimate(
        value=value,
        stderr=stderr,
        low=value - Z95 * stderr,
        high=value + Z95 * stderr,
        n=int(sizes.sum()),
        chance=chance,
    )


# ---- classes ------------------------------------------------------------------------------------


def class_scores(gold: np.ndarray, predicted: np.ndarray) -> dict[int, tuple[float, float, float, int]]:
    """For every class that is right or was answered: precision, recall, F1 (0 where undefined) and how often it is right."""
    out = {}
    for label in np.union1d(gold, predicted).tolist():
        hit = float(((gold == label) & (predicted == label)).sum())
        said, true = int((predicted == label).sum()), int((gold == label).sum())
        precision, recall = hit / said if said else 0.0, hit / true if true else 0.0
        out[int(label)] = precision, recall, 2 * hit / (said + true), true
    return out


def macro(gold: Sequence[int], predicted: Sequence[int], what: int) -> Estimate:
    """The mean over classes of precision (0), recall (1) or F1 (2), as scikit-learn's average="macro"."""
    g, p = np.asarray(gold), np.asarray(predicted)
    labels = np.union1d(g, p)
    size = len(labels)
    g, p = np.searchsorted(labels, g), np.searchsorted(labels, p)

    def statistic(rows: np.ndarray) -> float:
        a, b = g[rows], p[rows]
        hit = np.bincount(a[a == b], minlength=size).astype(np.float64)
        true, said = np.bincount(a, minlength=size), np.bincount(b, minlength=size)
        below = (said, true, (said + true) / 2)[what]
        scores = np.divide(hit, below, out=np.zeros(size), where=below > 0)
        return float(scores[(true + said) > 0].mean())

    return resampled(statistic, len(g))


# ---- correlation --------------------------------------------------------------------------------


def pearson(x: Sequence[float], y: Sequence[float]) -> Estimate:
    """Pearson's r with Fisher's interval; 0 is chance."""
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float((a * a).sum() * (b * b).sum()))
    r = float((a * b).sum()) / scale if scale > 0 else math.nan
    n = len(a)
    if math.isnan(r) or n < 4:
        return Estimate(value=r, stderr=math.nan, low=math.nan, high=math.nan, n=n, chance=0.0)
    z, half = math.atanh(max(-1 + 1e-15, min(1 - 1e-15, r))), Z95 / math.sqrt(n - 3)
    stderr = (1 - r * r) / math.sqrt(n - 2)
    return Estimate(
        value=r, stderr=stderr, low=math.tanh(z - half), high=math.tanh(z + half), n=n, chance=0.0
    )


def ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks from 1, equal values share their mean rank."""
    array = np.asarray(values, np.float64)
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def spearman(x: Sequence[float], y: Sequence[float]) -> Estimate:
    """Spearman's rho: Pearson's r of the ranks."""
    return pearson(ranks(x).tolist(), ranks(y).tolist())


# ---- answers ------------------------------------------------------------------------------------

_MARKS = str.maketrans(dict.fromkeys("'\"《》<>〈〉()‘’", " "))
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def korquad_normalise(text: str) -> str:
    """As KorQuAD 1.0's official evaluate script: quotes and brackets to spaces, lower case, ASCII punctuation away."""
    return " ".join(text.translate(_MARKS).lower().translate(_PUNCTUATION).split())


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """1 when the prediction equals one of the answers after normalisation."""
    said = korquad_normalise(prediction)
    return float(any(said == korquad_normalise(answer) for answer in answers))


def character_f1(prediction: str, answers: Sequence[str]) -> float:
    """KorQuAD's F1 over characters (spaces not counted), the best over the answers."""
    return max((_character_f1(prediction, answer) for answer in answers), default=0.0)


def _character_f1(prediction: str, answer: str) -> float:
    said, right = (re.sub(r"\s", "", korquad_normalise(t)) for t in (prediction, answer))
    same = sum((Counter(said) & Counter(right)).values())
    return 2 * same / (len(said) + len(right)) if same else 0.0
