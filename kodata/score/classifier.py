"""A small text classifier: hashed character and word n-grams, one linear layer, quantised to int8.

The model is fastText's (Joulin and others 2017) with the two layers multiplied out, which for one output is the same thing:
a text is the L2-normalised bag of the square roots of its n-gram counts (characters 1 to 4 over collapsed white space,
digits as 0; words 1 and 2), hashed to 2^18 places, and its score w·x + b. Two classes are learnt with the logistic loss, a label
in [0, 1] (educational value) with the same loss, which is then the cross-entropy to a probability. Training is AdaGrad on small batches in numpy, seeded. On documents that
were held out the score is calibrated by p = sigmoid(A s + B) (Platt 1999), which also makes the mean of a document's pieces a
probability. The file is about 0.2 MB.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kodata.dedup.rolling import BASE, U64, between, mix, points_of, sums_of, windows
from kodata.score.modelfile import broken, load_model, save_model

KIND = "linear-text-classifier"
PLACES_BITS = 18
PLACES = 1 << PLACES_BITS
PIECE = 1000
"""Characters: long documents are classified piece by piece, so that their length tells nothing."""
EPOCHS, BATCH = 4, 64
RATE = 0.5
_BLANKS = re.compile(r"[^\S\n]+|\n\s*\n")
_DIGITS = re.compile(r"\d")

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Bag = tuple[npt.NDArray[np.int32], F32]


def pieces(text: str) -> list[str]:
    """The text in parts of PIECE characters; the last may be shorter by half or longer by half."""
    count = max(1, round(len(text) / PIECE))
    cuts = [round(i * len(text) / count) for i in range(count + 1)]
    return [text[a:b] for a, b in itertools.pairwise(cuts)]


def bag(text: str) -> Bag:
    """(places, ascending; weights, of length 1) of one piece; empty for a text of white space."""
    text = _DIGITS.sub("0", _BLANKS.sub(lambda m: "\n" if "\n" in m.group() else " ", text.strip()))
    if not text:
        return np.zeros(0, np.int32), np.zeros(0, np.float32)
    points = points_of(f" {text} ")
    sums = sums_of(points)
    parts = [mix(windows(sums, n) + np.uint64(n)) for n in range(1, 5)]
    parts += _words(points, sums)
    values, counts = np.unique(
        (np.concatenate(parts) >> np.uint64(64 - PLACES_BITS)).astype(np.int32), return_counts=True
    )
    weights = np.sqrt(counts).astype(np.float32)
    return values, weights / np.float32(np.sqrt(counts.sum()))


def _words(points: U64, sums: U64) -> list[U64]:
    """Hashes of words and of pairs of words."""
    blank = (points == 32) | (points == 10)
    starts = np.flatnonzero(~blank & np.concatenate([[True], blank[:-1]]))
    ends = np.flatnonzero(~blank & np.concatenate([blank[1:], [True]])) + 1
    word = mix(between(sums, starts, ends))
    pair = word[:-1] * np.uint64(BASE) + word[1:]
    return [mix(word + np.uint64(11)), mix(pair + np.uint64(12))]


@dataclass(slots=True)
class Classifier:
    """One linear layer over PLACES places."""

    weights: npt.NDArray[np.int8]
    scale: float
    bias: float
    slope: float
    """A of the calibration."""
    shift: float
    """B of the calibration."""
    facts: dict[str, Any]
    """What it was trained on and how it did on the documents held out."""

    def raw(self, texts: Sequence[str]) -> F64:
        """Uncalibrated score of each text, the mean of its pieces by length; NaN for an empty one."""
        out = np.full(len(texts), np.nan)
        for i, text in enumerate(texts):
            total = size = 0.0
            for piece in pieces(text):
                places, values = bag(piece)
                if len(places):
                    total += len(piece) * float(self.weights[places].astype(np.float64) @ values)
                    size += len(piece)
            if size:
                out[i] = total / size * self.scale + self.bias
        return out

    def probability(self, texts: Sequence[str]) -> F64:
        """Calibrated probability of being good (or the expected label); NaN for an empty text."""
        return sigmoid(np.asarray(self.slope * self.raw(texts) + self.shift, np.float64))

    def save(self, path: str | Path) -> None:
        """Write the model file."""
        numbers = {name: getattr(self, name) for name in ("scale", "bias", "slope", "shift")}
        save_model(path, KIND, {**self.facts, "numbers": numbers}, {"weights": self.weights})

    @classmethod
    def load(cls, path: str | Path) -> Classifier:
        """Open a model file. Raises UserError when it is missing, damaged or of another kind."""
        facts, arrays = load_model(path, KIND)
        weights = arrays.get("weights")
        numbers = facts.pop("numbers", None)
        if weights is None or weights.dtype != np.int8 or weights.shape != (PLACES,):
            raise broken(Path(path), "weights")
        names = ("scale", "bias", "slope", "shift")
        if not isinstance(numbers, dict) or not all(isinstance(numbers.get(n), int | float) for n in names):
            raise broken(Path(path), "numbers")
        scale, bias, slope, shift = (float(numbers[n]) for n in names)
        if not np.isfinite([scale, bias, slope, shift]).all():
            raise broken(Path(path), "numbers")
        return cls(weights, scale, bias, slope, shift, facts)


def sigmoid(x: F64) -> F64:
    """1 / (1 + exp(-x)) without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def fit(bags: Sequence[Bag], labels: F64, weights: F64, seed: int) -> tuple[F32, float]:
    """(w [PLACES], b) of the logistic loss to labels in [0, 1], each piece counting `weights` times."""
    w, b = np.zeros(PLACES, np.float32), 0.0
    squares, square = np.full(PLACES, 1e-8, np.float32), 1e-8
    rng = np.random.default_rng(seed)
    for _ in range(EPOCHS):
        order = rng.permutation(len(bags))
        for at in range(0, len(order), BATCH):
            chosen = order[at : at + BATCH]
            sizes = [len(bags[i][0]) for i in chosen]
            row = np.repeat(np.arange(len(chosen)), sizes)
            places = np.concatenate([bags[i][0] for i in chosen])
            values = np.concatenate([bags[i][1] for i in chosen])
            score: F64 = np.asarray(
                np.bincount(row, w[places] * values, minlength=len(chosen)) + b, np.float64
            )
            error = (sigmoid(score) - labels[chosen]) * weights[chosen] / len(chosen)
            gradient = np.bincount(places, values * error[row], minlength=PLACES).astype(np.float32)
            squares += gradient * gradient
            w -= np.float32(RATE) * gradient / np.sqrt(squares)
            slope = float(error.sum())
            square += slope * slope
            b -= RATE * slope / square**0.5
    return w, b


def quantised(w: F32) -> tuple[npt.NDArray[np.int8], float]:
    """(int8 weights, scale): the largest weight is 127. Rounding is to the nearest, so w is off by half a scale at most."""
    scale = float(np.abs(w).max()) / 127 or 1.0
    return np.round(w / scale).astype(np.int8), scale


def calibration(raw: F64, labels: F64, weights: F64) -> tuple[float, float]:
    """(A, B) of p = sigmoid(A s + B) by Newton's method on the logistic loss with a little shrinkage; (1, 0) with nothing to learn from."""
    if len(raw) < 4 or labels.min() == labels.max():
        return 1.0, 0.0
    design = np.stack([raw, np.ones(len(raw))], 1)
    theta = np.array([1.0, 0.0])
    prior = np.array([1.0, 0.0])
    for _ in range(50):
        p = sigmoid(design @ theta)
        gradient = design.T @ ((p - labels) * weights) + 0.1 * (theta - prior)
        hessian = (design * (np.maximum(p * (1 - p), 1e-6) * weights)[:, None]).T @ design + 0.1 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        step *= min(1.0, 4.0 / max(np.abs(step).max(), 1e-12))
        theta -= step
        if np.abs(step).max() < 1e-9:
            break
    return float(theta[0]), float(theta[1])


def auc(score: F64, good: npt.NDArray[np.bool_]) -> float:
    """Probability that a good one has a higher score than a bad one, ties counting half (Mann and Whitney 1947)."""
    _values, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[place]
    n_good, n_bad = int(good.sum()), int((~good).sum())
    if not n_good or not n_bad:
        return float("nan")
    return float((rank[good].sum() - n_good * (n_good + 1) / 2) / (n_good * n_bad))


def calibration_error(p: F64, labels: F64, weights: F64, bins: int = 10) -> float:
    """Expected calibration error: mean over bins of |mean p - mean label|, by weight."""
    place = np.minimum((p * bins).astype(int), bins - 1)
    mass = np.bincount(place, weights, minlength=bins)
    gap = np.abs(np.bincount(place, weights * (p - labels), minlength=bins))
    return float(gap.sum() / mass.sum()) if mass.sum() else float("nan")
