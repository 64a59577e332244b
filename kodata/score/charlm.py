"""A character n-gram language model: modified Kneser-Ney, interpolated, of order 5, in exact 64-bit keys.

Chen and Goodman (1998), with every order written out, w a character, h the k - 1 before it, h' the k - 2 before it:

    p_k(w|h) = a_k(hw) + g_k(h) p_{k-1}(w|h')        p_0 = 1 / V
    a_k(hw)  = (c_k(hw) - D_k(c)) / c_k(h·)          for the n-grams that are kept, 0 for others
    g_k(h)   = 1 - sum over w of a_k(hw)             so that p_k sums to 1 however much was pruned

c_5 counts, c_k below is the number of distinct (k+1)-grams that end in the k-gram. D_k(1), D_k(2), D_k(3+) come from the
counts of counts: Y = n1 / (n1 + 2 n2), D(j) = j - (j + 1) Y n_{j+1} / n_j; where these are not all there 0.5, 1, 1.5.
A text starts after four start symbols. Characters outside the vocabulary are one symbol and cost UNKNOWN_BITS more.

A score is bits a character. a and g are kept as float16, g at least 2^-14: p sums to 1 within 0.1 %. `charlm_reference` is the same in plain Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kodata.run.errors import UserError
from kodata.score.modelfile import broken, load_model, save_model

KIND = "char-ngram-lm"
ORDER = 5
BITS = 12
"""Of one character in a key: five fit into 64 bits without hashing."""
START, UNKNOWN = 0, 1
MAX_CHARACTERS = (1 << BITS) - 2
UNKNOWN_BITS = 16.0
"""A character outside the vocabulary is one of about 65,536."""
BATCH = 2_000_000
"""Characters looked up at once."""
LEAST = 2.0**-14
"""Of g, so that rounding never makes a character impossible."""
FALLBACK = (0.5, 1.0, 1.5)

U64 = npt.NDArray[np.uint64]
F64 = npt.NDArray[np.float64]


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """The characters of a text as numbers."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


@dataclass(slots=True, eq=False)
class CharLM:
    """The model: sorted keys of n-grams and of contexts, by order."""

    characters: npt.NDArray[np.uint32]
    """The vocabulary; character i has number i + 2."""
    grams: list[U64]
    alphas: list[npt.NDArray[Any]]
    contexts: list[U64]
    """Of order k at place k - 1; the only context of order 1 is the empty one, 0."""
    gammas: list[npt.NDArray[Any]]
    trained_on: int
    """Characters."""
    _numbers: npt.NDArray[np.uint16] | None = None
    _native: Any = None

    @property
    def size(self) -> int:
        """V: the vocabulary with the unknown character."""
        return len(self.characters) + 1

    def numbers(self, text: str) -> npt.NDArray[np.uint16]:
        """The characters of a text as numbers of the vocabulary."""
        if self._numbers is None:
            self._numbers = numbering(self.characters)
        return self._numbers[code_points(text)]

    def bits(self, texts: Sequence[str]) -> F64:
        """Bits a character of each text; NaN for an empty one."""
        out = np.full(len(texts), np.nan)
        waiting: list[int] = []
        size = 0
        for i, text in enumerate(texts):
            if not text:
                continue
            if len(text) > BATCH:
                out[i] = self._long(text)
                continue
            waiting.append(i)
            size += len(text)
            if size >= BATCH:
                self._batch(texts, waiting, out)
                waiting, size = [], 0
        if waiting:
            self._batch(texts, waiting, out)
        return out

    def _batch(self, texts: Sequence[str], which: list[int], out: F64) -> None:
        parts = [np.concatenate([_PAD, self.numbers(texts[i])]) for i in which]
        starts = np.cumsum([0, *(len(p) for p in parts)])
        cost = self.costs(np.concatenate(parts))
        for n, i in enumerate(which):
            own = cost[starts[n] : starts[n + 1] - (ORDER - 1)]
            out[i] = own.sum() / len(own)

    def _long(self, text: str) -> float:
        """A giant document in pieces that overlap by a context: memory stays that of a batch."""
        total = 0.0
        for at in range(0, len(text), BATCH):
            before = _PAD if at == 0 else self.numbers(text[at - (ORDER - 1) : at])
            total += float(self.costs(np.concatenate([before, self.numbers(text[at : at + BATCH])])).sum())
        return total / len(text)

    def costs(self, numbers: npt.NDArray[np.uint16]) -> F64:
        """Bits of each character from the fifth on, given the four before it: [n] -> [n - 4].

        Where texts are laid end to end, each after its four start symbols, the four results between two texts are of no use.
        """
        if self._native is None:
            self._native = _native_scorer(self) or False
        if self._native:
            return np.asarray(self._native.costs(numbers, np.log2(self.size), UNKNOWN_BITS))
        return self.costs_numpy(numbers)

    def costs_numpy(self, numbers: npt.NDArray[np.uint16]) -> F64:
        """`costs` by sorted look-up: the definition of the native one."""
        last = numbers[ORDER - 1 :]
        keys, back = np.unique(windows(numbers, ORDER), return_inverse=True)
        p = np.full(len(keys), 1.0 / self.size)
        for k in range(1, ORDER + 1):
            own = keys & mask(k)
            p *= looked_up(own >> np.uint64(BITS), self.contexts[k - 1], self.gammas[k - 1], 1.0)
            p += looked_up(own, self.grams[k - 1], self.alphas[k - 1], 0.0)
        return -np.log2(p)[back] + UNKNOWN_BITS * (last == UNKNOWN)

    def save(self, path: str | Path) -> None:
        """Write the model file."""
        arrays: dict[str, npt.NDArray[Any]] = {"characters": self.characters}
        for k in range(ORDER):
            arrays |= {f"grams{k + 1}": self.grams[k], f"alphas{k + 1}": self.alphas[k]}
            arrays |= {f"contexts{k + 1}": self.contexts[k], f"gammas{k + 1}": self.gammas[k]}
        save_model(path, KIND, {"order": ORDER, "characters_seen": self.trained_on}, arrays)

    @classmethod
    def load(cls, path: str | Path) -> CharLM:
        """Open a model file. Raises UserError when it is missing, damaged or of another kind."""
        facts, a = load_model(path, KIND)
        orders = range(1, ORDER + 1)
        names = [
            "characters",
            *(f"{n}{k}" for k in orders for n in ("grams", "alphas", "contexts", "gammas")),
        ]
        if facts.get("order") != ORDER or sorted(a) != sorted(names):
            raise broken(Path(path), "차수나 배열이 다름 (another order or other arrays)")
        for k in orders:
            for keys, values in (("grams", "alphas"), ("contexts", "gammas")):
                own, beside = a[f"{keys}{k}"], a[f"{values}{k}"]
                sorted_keys = own.dtype == np.uint64 and own.ndim == 1 and bool((own[1:] > own[:-1]).all())
                inside = beside.dtype == np.float16 and bool(((beside >= 0) & (beside <= 1)).all())
                if values == "gammas" and inside:
                    inside = bool((beside >= LEAST).all())
                if not sorted_keys or not inside or beside.shape != own.shape:
                    raise broken(Path(path), f"{keys}{k}")
        characters = a["characters"]
        if characters.dtype != np.uint32 or characters.ndim != 1 or not 0 < len(characters) <= MAX_CHARACTERS:
            raise broken(Path(path), "characters")
        if int(characters.max()) > 0x10FFFF:
            raise broken(Path(path), "characters")
        grams, alphas, contexts, gammas = (
            [a[f"{n}{k}"] for k in orders] for n in ("grams", "alphas", "contexts", "gammas")
        )
        seen = int(facts.get("characters_seen", 0))
        return cls(characters, grams, alphas, contexts, gammas, seen)


_PAD = np.full(ORDER - 1, START, np.uint16)


def _native_scorer(model: CharLM) -> Any:
    from kodata.native import core

    native = core()
    if native is None:
        return None
    alphas, gammas = ([v.astype(np.float32) for v in values] for values in (model.alphas, model.gammas))
    return native.ngram_table(model.grams, alphas, model.contexts, gammas, BITS)


def numbering(characters: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint16]:
    """A table from code point to number."""
    table = np.full(0x110000, UNKNOWN, np.uint16)
    table[characters] = np.arange(len(characters), dtype=np.uint16) + 2
    return table


def mask(k: int) -> np.uint64:
    """The bits of the last k characters."""
    return np.uint64((1 << (BITS * k)) - 1)


def windows(numbers: npt.NDArray[np.uint16], k: int) -> U64:
    """Keys of all windows of k numbers, the oldest in the highest bits."""
    count = max(len(numbers) - k + 1, 0)
    keys = np.zeros(count, np.uint64)
    for j in range(k):
        keys = (keys << np.uint64(BITS)) | numbers[j : j + count].astype(np.uint64)
    return keys


def looked_up(asked: U64, keys: U64, values: npt.NDArray[Any], otherwise: float) -> F64:
    """values[keys == asked], `otherwise` where there is none."""
    if not len(keys):
        return np.full(len(asked), otherwise)
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[place] == asked, values[place].astype(np.float64), otherwise)


# ---- training -----------------------------------------------------------------------------------


def train(texts: Iterable[str], prune: int = 1, most_characters: int = MAX_CHARACTERS) -> CharLM:
    """A model of the texts (read twice when not a list: once for the vocabulary). `prune`: 3- to 5-grams seen this often
    or less are left out of the file (their mass goes to the lower order). Raises UserError for no text at all."""
    texts = [text for text in texts if text]
    if not texts:
        raise UserError(
            "배울 글이 없습니다 (no text to learn from)",
            help="kodata inspect 로 입력을 보십시오 (look at the input)",
        )
    characters = vocabulary(texts, most_characters)
    table = numbering(characters)
    counted = merged(
        _counted([np.concatenate([_PAD, table[code_points(text)]]) for text in batch])
        for batch in _batches(texts)
    )
    seen = sum(map(len, texts))
    orders: list[list[Any]] = [[], [], [], []]
    keys, counts = counted
    for k in range(ORDER, 0, -1):
        kept = estimate(keys, counts, prune if k > 2 else 0)
        for target, values in zip(orders, kept, strict=True):
            target.insert(0, values)
        if k > 1:
            keys, counts = np.unique(keys & mask(k - 1), return_counts=True)
    grams, alphas, contexts, gammas = orders
    return CharLM(characters, grams, alphas, contexts, gammas, seen)


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def vocabulary(texts: Sequence[str], most: int) -> npt.NDArray[np.uint32]:
    """The commonest characters seen at least twice, in the order of their code points."""
    counts = np.zeros(0x110000, np.int64)
    for text in texts:
        values, number = np.unique(code_points(text), return_counts=True)
        counts[values] += number
    common = np.flatnonzero(counts > 1) if (counts > 1).any() else np.flatnonzero(counts)
    order = np.lexsort((common, -counts[common]))[:most]
    return np.sort(common[order]).astype(np.uint32)


def _counted(parts: list[npt.NDArray[np.uint16]]) -> tuple[U64, npt.NDArray[np.int64]]:
    """Windows that end in a start symbol are those between two texts; no other reaches over the four."""
    keys = windows(np.concatenate(parts), ORDER)
    return np.unique(keys[(keys & mask(1)) != START], return_counts=True)


def merged(parts: Iterable[tuple[U64, npt.NDArray[np.int64]]]) -> tuple[U64, npt.NDArray[np.int64]]:
    """Counts of several parts as one; parts are put together when they have grown to some millions."""
    waiting: list[tuple[U64, npt.NDArray[np.int64]]] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part[0])
        if size > max(4_000_000, 2 * len(waiting[0][0])):
            waiting = [_joined(waiting)]
            size = len(waiting[0][0])
    return _joined(waiting)


def _joined(parts: list[tuple[U64, npt.NDArray[np.int64]]]) -> tuple[U64, npt.NDArray[np.int64]]:
    if len(parts) == 1:
        return parts[0]
    keys = np.concatenate([p[0] for p in parts])
    counts = np.concatenate([p[1] for p in parts])
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[first], np.add.reduceat(counts, first)


def discounts(counts: npt.NDArray[np.int64]) -> tuple[float, float, float]:
    """D(1), D(2), D(3+) of one order."""
    n1, n2, n3, n4 = (int((counts == j).sum()) for j in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):
        return FALLBACK
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return found if all(0 < d < j for j, d in enumerate(found, 1)) else FALLBACK


def estimate(
    keys: U64, counts: npt.NDArray[np.int64], prune: int
) -> tuple[U64, npt.NDArray[Any], U64, npt.NDArray[Any]]:
    """(n-grams kept, a, contexts, g) of one order from its sorted keys and counts."""
    discount = np.array([0.0, *discounts(counts)])[np.minimum(counts, 3)]
    context = keys >> np.uint64(BITS)
    first = np.flatnonzero(np.concatenate([[True], context[1:] != context[:-1]]))
    number = np.cumsum(np.concatenate([[True], context[1:] != context[:-1]])) - 1
    total = np.add.reduceat(counts, first)
    alpha = (counts - discount) / total[number]
    alpha[counts <= prune] = 0
    stored = alpha.astype(np.float16)
    gamma = 1.0 - np.add.reduceat(stored.astype(np.float64), first)
    kept = stored > 0
    some = gamma < 1.0
    return keys[kept], stored[kept], context[first][some], np.clip(gamma[some], LEAST, 1).astype(np.float16)
