"""Shingles and signatures of batches of texts, by the native core where it is there, else by the reference."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np
import numpy.typing as npt

from kodata.dedup import reference
from kodata.dedup.reference import I64, U32, U64
from kodata.native import core

PERMUTATIONS = 160
SEED = 1
"""Fixed: signatures of different runs and machines can be compared."""
LARGE_BUCKET = 4096
"""Larger buckets are split by further places of the signature (families of documents made from one form)."""
CANDIDATE_RECALL = 0.999
"""A pair exactly at the threshold meets in a bucket with at least this probability."""
ESTIMATE_MARGIN = 4.5
"""Pairs whose estimate lies this many standard deviations under the threshold are not verified."""


@dataclass(frozen=True, slots=True)
class Part:
    """The buckets to look at: those with a key in [low, high]."""

    low: int = 0
    high: int = (1 << 64) - 1
    large: U64 = field(default_factory=lambda: np.zeros(0, np.uint64))
    """Keys of split buckets, of all parts: two rows that met in an unsplit bucket elsewhere are left to that part."""


WHOLE = Part()


def backend() -> ModuleType:
    """The native core or the reference: the same functions, the same results."""
    return core() or reference


def nfc(texts: Sequence[str]) -> list[str]:
    """The texts in NFC (the native core compares code points and leaves this to Python)."""
    return [t if unicodedata.is_normalized("NFC", t) else unicodedata.normalize("NFC", t) for t in texts]


def signatures(texts: list[str], n: int) -> tuple[U32, U64, I64]:
    """(minima [docs, PERMUTATIONS] u32, digests [docs, 2] u64, characters without white space [docs] i64)."""
    minima, digests, lengths, suspects = backend().signatures(texts, n, PERMUTATIONS, SEED)
    odd = [i for i in np.flatnonzero(suspects).tolist() if not unicodedata.is_normalized("NFC", texts[i])]
    if odd:
        fixed = backend().signatures(nfc([texts[i] for i in odd]), n, PERMUTATIONS, SEED)
        minima[odd], digests[odd], lengths[odd] = fixed[0], fixed[1], fixed[2]
    return minima, digests, lengths


def shingle_sets(texts: list[str], n: int) -> tuple[U64, I64]:
    """(hashes, offsets [docs + 1]): sorted distinct shingle hashes of each text."""
    return backend().shingle_sets(nfc(texts), n)


def candidates(minima: U32, threshold: float, part: Part = WHOLE) -> npt.NDArray[np.uint8]:
    """1 for every row that may have an edge in a bucket of the part."""
    shape = (*lsh_shape(threshold, minima.shape[1]), LARGE_BUCKET, min_match(threshold, minima.shape[1]))
    return backend().candidates(minima, *shape, part.low, part.high, part.large)


def clusters(
    minima: U32, values: U64, offsets: I64, threshold: float, part: Part = WHOLE
) -> tuple[U32, dict[str, int]]:
    """(smallest row of each row's component, counts) over the edges in buckets of the part.

    An edge: the same bucket, enough agreeing places, exact Jaccard >= threshold. Over parts that cover all keys
    the components join to those of the whole.
    """
    shape = (*lsh_shape(threshold, minima.shape[1]), LARGE_BUCKET, min_match(threshold, minima.shape[1]))
    return backend().clusters(minima, *shape, values, offsets, threshold, part.low, part.high, part.large)


def jaccard(a: str, b: str, n: int = 5) -> float:
    """Exact Jaccard of two texts' character n-grams, NFC and white space left out."""
    values, offsets = shingle_sets([a, b], n)
    return float(backend().jaccards(values, offsets, np.array([[0, 1]]))[0])


def lsh_shape(threshold: float, permutations: int = PERMUTATIONS) -> tuple[int, int]:
    """(bands, rows): the most rows a band for which a pair at `threshold` still meets with CANDIDATE_RECALL.

    P(meet) = 1 - (1 - J^rows)^bands (Indyk and Motwani 1998).
    """
    for rows in range(16, 1, -1):
        bands = permutations // rows
        if 1 - (1 - threshold**rows) ** bands >= CANDIDATE_RECALL:
            return bands, rows
    return permutations, 1


def min_match(threshold: float, permutations: int = PERMUTATIONS) -> int:
    """Agreeing places below which a pair is not verified: ESTIMATE_MARGIN deviations under the threshold."""
    deviation = (permutations * threshold * (1 - threshold)) ** 0.5
    return max(1, int(permutations * threshold - ESTIMATE_MARGIN * deviation))
