"""What shingles, signatures, buckets and clusters are, in plain numpy: the oracle of the native core and its stand-in.

A text is taken in NFC without white space; its shingles are its character n-grams (a shorter text is its own
only shingle). A shingle's hash is sum over j of (c[j] + 1) * BASE^(n-1-j) modulo 2^64, mixed by splitmix64's
finaliser. MinHash (Broder 1997): permutation i of the hash's upper half x is a[i] * x + b[i] modulo 2^32.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise
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


def band_keys(sig: U32, bands: int, rows: int) -> U64:
    """keys [docs, bands]: the bucket of each document in each band; the band is part of the key."""
    keys = np.empty((len(sig), bands), np.uint64)
    for band in range(bands):
        key = np.full(len(sig), mix_int(GOLDEN * (band + 1) & _M64), np.uint64)
        for place in range(band * rows, (band + 1) * rows):
            key = mix(key ^ sig[:, place].astype(np.uint64))
        keys[:, band] = key
    return keys


def buckets(
    sig: U32, bands: int, rows: int, large: int, low: int = 0, high: int = _M64
) -> Iterator[list[int]]:
    """Rows with the same key in [low, high], for every band; only groups of two or more.

    A group of more than `large` rows is split by the values in the places that follow the band, one place at
    a time, at most MAX_SPLITS of them.
    """
    keys = band_keys(sig, bands, rows)
    for band in range(bands):
        groups: dict[int, list[int]] = {}
        for i, key in enumerate(keys[:, band].tolist()):
            if low <= key <= high:
                groups.setdefault(key, []).append(i)
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


def candidates(
    sig: U32, bands: int, rows: int, large: int, min_match: int, low: int, high: int, large_keys: U64
) -> npt.NDArray[np.uint8]:
    """1 for every row that shares a bucket of the part with another whose signature agrees in at least `min_match` places.

    The native core leaves out pairs that meet in another part too (all keys but `large_keys`): fewer flags there, the same
    edges over all parts.
    """
    flags = np.zeros(len(sig), np.uint8)
    for group in buckets(sig, bands, rows, large, low, high):
        for k, i in enumerate(group):
            for j in group[k + 1 :]:
                if not (flags[i] and flags[j]) and _agree(sig, i, j) >= min_match:
                    flags[i] = flags[j] = 1
    return flags


def entries(sig: U32, bands: int, rows: int) -> tuple[U64, U64]:
    """(band keys [docs, bands], sketches [docs, words]): the lower two bits of every place, 32 places a word."""
    words = -(-sig.shape[1] // 32)
    out = np.zeros((len(sig), words), np.uint64)
    for place in range(sig.shape[1]):
        out[:, place // 32] |= (sig[:, place].astype(np.uint64) & np.uint64(3)) << np.uint64(2 * (place % 32))
    return band_keys(sig, bands, rows), out


def meetings(keys: U64, sketch: U64, width: int, large: int, min_match: int) -> npt.NDArray[np.uint8]:
    """1 for every entry (sorted by key) that may have a partner in its bucket, and for all of a bucket of more than `large`."""
    flags = np.zeros(len(keys), np.uint8)
    edges = [0, *(np.flatnonzero(keys[1:] != keys[:-1]) + 1).tolist(), len(keys)]
    for start, end in pairwise(edges):
        if end - start > large:
            flags[start:end] = 1
        for i in range(start, end if end - start <= large else start):
            for j in range(start, i):
                x = sketch[i] ^ sketch[j]
                differ = (x | x >> np.uint64(1)) & np.uint64(0x5555555555555555)
                if width - sum(bin(word).count("1") for word in differ.tolist()) >= min_match:
                    flags[i] = flags[j] = 1
    return flags


class Components:
    """Union-find over `count` numbers; the smaller root becomes the parent."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))

    def find(self, x: int) -> int:
        """The smallest number of the component of x."""
        while self.parent[x] != x:
            self.parent[x] = self.parent[self.parent[x]]
            x = self.parent[x]
        return x

    def join(self, edges: I64) -> None:
        """Unions of the pairs [m, 2]."""
        for a, b in edges.tolist():
            low, high = sorted((self.find(a), self.find(b)))
            self.parent[high] = low

    def roots(self) -> I64:
        """The smallest number of each one's component; the native core gives its memory away here."""
        return np.array([self.find(x) for x in range(len(self.parent))], np.int64)


def spans(values: npt.NDArray[Any], ends: I64, rows: I64) -> npt.NDArray[Any]:
    """values[ends[r] : ends[r + 1]] of every row r, one after another."""
    starts, sizes = ends[rows], ends[rows + 1] - ends[rows]
    at = np.cumsum(sizes)
    place = np.arange(at[-1] if len(at) else 0, dtype=np.int64)
    place += np.repeat(starts - (at - sizes), sizes)
    return np.asarray(values[place])


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
    sig: U32,
    bands: int,
    rows: int,
    large: int,
    min_match: int,
    values: U64,
    offsets: I64,
    threshold: float,
    low: int,
    high: int,
    large_keys: U64,
) -> tuple[U32, dict[str, int]]:
    """(smallest row of each row's component [docs], counts), over the buckets with keys in [low, high].

    An edge: the same bucket of some band, `min_match` agreeing places, exact Jaccard >= threshold. Rows with
    empty sets have none. `large_keys` only spares the native core comparisons.
    """
    joined = Components(len(sig))
    find = joined.find
    counts = dict.fromkeys(("buckets", "largest_bucket", "estimated", "verified", "edges"), 0)
    for group in buckets(sig, bands, rows, large, low, high):
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
                    joined.join(np.array([[i, j]]))
    return joined.roots().astype(np.uint32), counts


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
