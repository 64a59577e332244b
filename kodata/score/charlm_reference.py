"""`charlm` in plain Python, from its formula and nothing else: what the fast model is tested against."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from kodata.score.charlm import FALLBACK, MAX_CHARACTERS, ORDER, UNKNOWN_BITS

START, UNKNOWN = "<start>", "<unknown>"
Gram = tuple[str, ...]


class ReferenceLM:
    """A model of the texts with exact fractions of counts as floats."""

    def __init__(self, texts: Sequence[str], prune: int = 1, most_characters: int = MAX_CHARACTERS):
        seen = Counter(c for text in texts for c in text)
        often = {c: n for c, n in seen.items() if n > 1} or dict(seen)
        self.vocabulary = set(sorted(often, key=lambda c: (-often[c], c))[:most_characters])
        counts: Counter[Gram] = Counter()
        for text in texts:
            if text:
                word = self.word(text)
                counts.update(tuple(word[i : i + ORDER]) for i in range(len(word) - ORDER + 1))
        self.alpha: dict[int, dict[Gram, float]] = {}
        self.gamma: dict[int, dict[Gram, float]] = {}
        for k in range(ORDER, 0, -1):
            self._estimate(k, counts, prune if k > 2 else 0)
            counts = Counter(gram[1:] for gram in counts)  # distinct longer grams that end in the shorter

    def word(self, text: str) -> list[str]:
        """A text with its start symbols."""
        return [START] * (ORDER - 1) + [c if c in self.vocabulary else UNKNOWN for c in text]

    def _estimate(self, k: int, counts: Counter[Gram], prune: int) -> None:
        d = dict(enumerate(_discounts(counts), 1))
        total: defaultdict[Gram, int] = defaultdict(int)
        for gram, count in counts.items():
            total[gram[:-1]] += count
        self.alpha[k] = {g: (c - d[min(c, 3)]) / total[g[:-1]] for g, c in counts.items() if c > prune}
        gamma = dict.fromkeys(total, 1.0)
        for gram, a in self.alpha[k].items():
            gamma[gram[:-1]] -= a
        self.gamma[k] = gamma

    def p(self, gram: Gram) -> float:
        """Probability of the gram's last character after the others."""
        if not gram:
            return 1.0 / (len(self.vocabulary) + 1)
        k = len(gram)
        return self.alpha[k].get(gram, 0.0) + self.gamma[k].get(gram[:-1], 1.0) * self.p(gram[1:])

    def bits(self, text: str) -> float:
        """Bits a character."""
        word = self.word(text)
        total = 0.0
        for i in range(len(text)):
            total -= math.log2(self.p(tuple(word[i : i + ORDER])))
            total += UNKNOWN_BITS * (word[i + ORDER - 1] == UNKNOWN)
        return total / len(text)


def _discounts(counts: Counter[Gram]) -> tuple[float, float, float]:
    of = Counter(counts.values())
    n1, n2, n3, n4 = (of[j] for j in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):
        return FALLBACK
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return found if all(0 < d < j for j, d in enumerate(found, 1)) else FALLBACK
