"""Hashes of all windows of a text's characters, in numpy: one cumulative sum, whatever the length of the window.

hash(i) = mix( sum over j < k of m(c[i + j]) * B^j ),  m a bijection of 64 bits; arithmetic is modulo 2^64 and B is odd, so that the
place i is divided out by the inverse of B^i.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
BASE = 0x9E3779B97F4A7C15
_inverses: U64 = np.ones(1, np.uint64)


def points_of(text: str) -> U64:
    """The characters of a text as numbers."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)


def mix(x: U64) -> U64:
    """splitmix64's finaliser."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def sums_of(points: U64) -> U64:
    """Cumulative sums [n + 1] from which any window's hash follows."""
    powers = np.cumprod(np.full(len(points), BASE, np.uint64)) * inverse_powers(2)[1]
    return np.concatenate([np.zeros(1, np.uint64), np.cumsum(mix(points + np.uint64(1)) * powers)])


def between(sums: U64, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> U64:
    """Hashes of the characters from starts to ends, unmixed."""
    return (sums[ends] - sums[starts]) * inverse_powers(len(sums))[starts]


def windows(sums: U64, k: int) -> U64:
    """Hashes of all windows of k characters: [n - k + 1], none for a shorter text."""
    count = len(sums) - k
    if count < 1:
        return np.zeros(0, np.uint64)
    return mix((sums[k:] - sums[:-k]) * inverse_powers(count)[:count])


def inverse_powers(count: int) -> U64:
    """B^-i for i < count (at least)."""
    global _inverses
    if len(_inverses) < count:
        steps = np.full(max(count, 2048), pow(BASE, -1, 1 << 64), np.uint64)
        steps[0] = 1
        _inverses = np.cumprod(steps)
    return _inverses


def sliding_minimum(values: U64, w: int) -> U64:
    """The least of every w values in a row: [n - w + 1] (van Herk 1992: two running minima over blocks of w)."""
    count = len(values) - w + 1
    if count < 1:
        return np.zeros(0, np.uint64)
    blocks = np.full(-(-len(values) // w) * w, np.iinfo(np.uint64).max, np.uint64)
    blocks[: len(values)] = values
    square = blocks.reshape(-1, w)
    from_left = np.minimum.accumulate(square, axis=1).ravel()
    from_right = np.minimum.accumulate(square[:, ::-1], axis=1)[:, ::-1].ravel()
    return np.minimum(from_right[:count], from_left[w - 1 : w - 1 + count])
