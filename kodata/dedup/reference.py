"""What shingles, signatures, buckets and clusters are, in plain numpy: the oracle of the native core and its stand-in.

A text is taken in NFC without white space; its shingles are its character n-grams (a shorter text is its own
only shingle). A shingle's hash is sum over j of (c[j] + 1) * BASE^(n-1-j) modulo 2^64, mixed by splitmix64's
finaliser. MinHash (Broder 1997): permutation i of the hash's upper half x is a[i] * x + b[i] modulo 2^32.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

SHINGLE_BASE = 0xD6E8FEB86659FD93
DIGEST_BASES = (0xA0761D6478BD642F, 0xE7037ED1A0B428DB)
GOLDEN = 0x9E3779B97F4A7C15
MAX_SPLITS = 16
_M64 = (1 << 64) - 1

U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

_SPACES = np.array([c for c in range(0x3001) if chr(c).isspace()], dtype=np.uint32)


def compact(text: str) -> U32:
    """Code points of the text in NFC without white space."""
    data = unicodedata.normalize("NFC", text).encode("utf-32-le", "surrogatepass")
    chars = np.frombuffer(data, dtype="<u4").astype(np.uint32)
    return chars[~np.isin(chars, _SPACES)]


def mix_int(x: int) -> int:
    """splitmix64's finaliser on one value."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & _M64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & _M64
    return x ^ (x >> 31)


def mix(x: U64) -> U64:
    """splitmix64's finaliser, element by element."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def ngrams(chars: U32, n: int) -> U64:
    """Unmixed polynomial hashes of all n-grams, in order."""
    if not len(chars):
        return np.zeros(0, np.uint64)
    n = min(n, len(chars))
    values = chars.astype(np.uint64) + np.uint64(1)
    grams = np.zeros(len(chars) - n + 1, np.uint64)
    for j in range(n):
        grams = grams * np.uint64(SHINGLE_BASE) + values[j : len(values) - n + 1 + j]
    return grams


def permutations(count: int, seed: int) -> tuple[U32, U32]:
    """a (odd) and b of `count` permutations of 32-bit values."""
    values = [mix_int((seed + (i + 1) * GOLDEN) & _M64) for i in range(count)]
    a = np.array([v >> 32 | 1 for v in values], dtype=np.uint32)
    return a, np.array([v & 0xFFFFFFFF for v in values], dtype=np.uint32)


def digest(chars: U32) -> tuple[int, int]:
    """Two polynomial hashes of the whole compact text: equal for equal texts, else different but for chance."""
    halves = []
    for base in DIGEST_BASES:
        powers = np.full(len(chars), base, np.uint64)
        powers[:1] = 1
        powers = np.cumprod(powers, dtype=np.uint64)[::-1]
        total = (
            int(((chars.astype(np.uint64) + np.uint64(1)) * powers).sum(dtype=np.uint64)) if len(chars) else 0
        )
        halves.append(mix_int(total ^ len(chars)))
    return halves[0], halves[1]


def signatures(
    texts: Sequence[str], n: int, count: int, seed: int
) -> tuple[U32, U64, I64, npt.NDArray[np.uint8]]:
    """(minima [docs, count] u32, digests [docs, 2] u64, compact lengths [docs] i64, zeros [docs] u8)."""
    a, b = permutations(count, seed)
    minima = np.full((len(texts), count), 0xFFFFFFFF, np.uint32)
    digests = np.zeros((len(texts), 2), np.uint64)
    lengths = np.zeros(len(texts), np.int64)
    for i, text in enumerate(texts):
        chars = compact(text)
        lengths[i] = len(chars)
        digests[i] = digest(chars)
        values = np.unique((mix(ngrams(chars, n)) >> np.uint64(32)).astype(np.uint32))
        for start in range(0, len(values), 1024):
            part = values[start : start + 1024]
            np.minimum(minima[i], (a[:, None] * part[None, :] + b[:, None]).min(axis=1), out=minima[i])
    return minima, digests, lengths, np.zeros(len(texts), np.uint8)


def shingle_sets(texts: Sequence[str], n: int) -> tuple[U64, I64]:
    """(hashes, offsets [docs + 1]): sorted distinct mixed shingle hashes of each text, one after another."""
    sets = [np.unique(mix(ngrams(compact(text), n))) for text in texts]
    offsets = np.zeros(len(sets) + 1, np.int64)
    np.cumsum([len(s) for s in sets], out=offsets[1:])
    return np.concatenate([*sets, np.zeros(0, np.uint64)]), offsets


def buckets(sig: U32, bands: int, rows: int, large: int) -> Iterator[list[int]]:
    """Rows that agree in all places of a band, for every band; only groups of two or more.

    A group of more than `large` rows is split by the values in the places that follow the band, one place at
    a time, at most MAX_SPLITS of them.
    """
    for band in range(bands):
        groups: dict[bytes, list[int]] = {}
        part = np.ascontiguousarray(sig[:, band * rows : (band + 1) * rows])
        for i in range(len(part)):
            groups.setdefault(part[i].tobytes(), []).append(i)
        for group in groups.values():
            if len(group) > 1:
                yield from _split(sig, group, (band + 1) * rows, large, 0)


def _split(sig: U32, group: list[int], place: int, large: int, depth: int) -> Iterator[list[int]]:
    if len(group) <= large or depth == MAX_SPLITS:
        yield group
        return
    parts: dict[int, list[int]] = {}
    for i in group:
        parts.setdefault(int(sig[i, place % sig.shape[1]]), []).append(i)
    for part in parts.values():
        if len(part) > 1:
            yield from _split(sig, part, place + 1, large, depth + 1)


def _agree(sig: U32, i: int, j: int) -> int:
    return int((sig[i] == sig[j]).sum())


def candidates(sig: U32, bands: int, rows: int, large: int, min_match: int) -> npt.NDArray[np.uint8]:
    """1 for every row that shares a bucket with another whose signature agrees in at least `min_match` places."""
    flags = np.zeros(len(sig), np.uint8)
    for group in buckets(sig, bands, rows, large):
        for k, i in enumerate(group):
            for j in group[k + 1 :]:
                if not (flags[i] and flags[j]) and _agree(sig, i, j) >= min_match:
                    flags[i] = flags[j] = 1
    return flags


def jaccard(values: U64, offsets: I64, i: int, j: int) -> float:
    """Exact Jaccard of two shingle sets; 1 for two empty ones."""
    a, b = values[offsets[i] : offsets[i + 1]], values[offsets[j] : offsets[j + 1]]
    if len(a) + len(b) == 0:
        return 1.0
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / (len(a) + len(b) - shared)


def jaccards(values: U64, offsets: I64, pairs: I64) -> npt.NDArray[np.float64]:
    """Exact Jaccard of each pair of rows, [pairs, 2] -> [pairs]."""
    return np.array([jaccard(values, offsets, int(i), int(j)) for i, j in pairs], dtype=np.float64)


def clusters(
    sig: U32, bands: int, rows: int, large: int, min_match: int, values: U64, offsets: I64, threshold: float
) -> tuple[U32, dict[str, int]]:
    """(smallest row of each row's component [docs], counts).

    An edge: the same bucket of some band, `min_match` agreeing places, exact Jaccard >= threshold.
    """
    parent = list(range(len(sig)))
    counts = dict.fromkeys(("buckets", "largest_bucket", "estimated", "verified", "edges"), 0)

    def find(x: int) -> int:
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    for group in buckets(sig, bands, rows, large):
        counts["buckets"] += 1
        counts["largest_bucket"] = max(counts["largest_bucket"], len(group))
        for k, i in enumerate(group):
            for j in group[k + 1 :]:
                if offsets[i] == offsets[i + 1] or offsets[j] == offsets[j + 1]:
                    continue
                if find(i) == find(j):
                    continue
                counts["estimated"] += 1
                if _agree(sig, i, j) < min_match:
                    continue
                counts["verified"] += 1
                if jaccard(values, offsets, i, j) >= threshold:
                    counts["edges"] += 1
                    low, high = sorted((find(i), find(j)))
                    parent[high] = low
    return np.array([find(i) for i in range(len(sig))], dtype=np.uint32), counts


class OverlapIndex:
    """The n-grams of many short reference texts, and how much of each a document contains."""

    def __init__(self, fields: Sequence[str], n: int) -> None:
        self.n = n
        self.totals: list[int] = []
        self.postings: dict[int, list[int]] = {}
        for number, text in enumerate(fields):
            chars = compact(text)
            grams = set(ngrams(chars, n).tolist()) if len(chars) >= n else set()
            self.totals.append(len(grams))
            for gram in grams:
                self.postings.setdefault(gram, []).append(number)

    def search(self, texts: Sequence[str]) -> U32:
        """Rows of (document, field, distinct n-grams of the field found, n-grams of the field), by document."""
        rows: list[tuple[int, int, int, int]] = []
        for document, text in enumerate(texts):
            chars = compact(text)
            if len(chars) < self.n:
                continue
            found: dict[int, int] = {}
            for gram in set(ngrams(chars, self.n).tolist()):
                for number in self.postings.get(gram, ()):
                    found[number] = found.get(number, 0) + 1
            rows += [(document, number, found[number], self.totals[number]) for number in sorted(found)]
        return np.array(rows, dtype=np.uint32).reshape(-1, 4)


def overlap_index(fields: Sequence[str], n: int) -> Any:
    """The same as the native core's: an index with `.search(texts)`."""
    return OverlapIndex(fields, n)
