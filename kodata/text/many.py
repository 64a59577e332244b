"""Many texts at once, as the pipeline works: their normal forms, and one table of all that the rules ask of them.

One call to the native core a batch; without it the references are asked text by text, with equal results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kodata.signals import LONE, MIN_EOJEOL, MIN_KINDS, PRONOUNS, TRANSLATED
from kodata.text import fast
from kodata.text.measure import Measures
from kodata.text.measure import measure as _measure
from kodata.text.normalise import normalise

_FIELDS = fields(Measures)
WHOLE = frozenset(n for n, f in enumerate(_FIELDS) if f.type == "int")
"""Columns of whole numbers."""
MEASURES = len(_FIELDS)
COLUMNS = {
    name: n for n, name in enumerate([*(f.name for f in _FIELDS), "translated", "lone_particles", "spam"])
}
"""Columns of the table: the measures, then the most that `signals` and `spam` may find (hits of spam words)."""
_FACTS = 9


class Looked(NamedTuple):
    """What a look at n texts sees. table: float64 [n, len(COLUMNS)]; sizes: int64 [n], bytes in UTF-8; shapes: bits for
    `kodata.pii.find`; abuse: False where `toxicity` is surely 0."""

    table: NDArray[np.float64]
    sizes: NDArray[np.int64]
    shapes: list[int]
    abuse: list[bool]

    def measures(self, n: int) -> Measures:
        """The measures of text n."""
        row: list[Any] = self.table[n, :MEASURES].tolist()
        for place in WHOLE:
            row[place] = int(row[place])
        return Measures(**dict(zip(COLUMNS, row, strict=False)))


def normalise_all(texts: list[str]) -> list[str]:
    """`normalise` of each text."""
    native = fast.text_core()
    if native is None:
        return [normalise(text) for text in texts]
    return [
        normalise(text) if done is None else done
        for text, done in zip(texts, native.normal_forms(texts), strict=True)
    ]


@cache
def _kinds() -> NDArray[np.uint32]:
    """Bits of each cue: a lone particle, a pronoun, then the kinds of translation."""
    groups = [LONE, PRONOUNS, *TRANSLATED.values()]
    return np.array(
        [sum((cue in group) << n for n, group in enumerate(groups)) for cue in fast.CUES], dtype=np.uint32
    )


def look(texts: list[str]) -> Looked:
    """Look at normalised texts."""
    table = np.zeros((len(texts), len(COLUMNS)))
    native = fast.text_core()
    if native is None:
        return _by_reference(texts, table)
    measures, facts = np.empty((len(texts), MEASURES)), np.empty((len(texts), _FACTS), dtype=np.int64)
    native.look(
        texts,
        fast.word_list("spam"),
        fast.word_list("toxicity"),
        fast.word_list("signals"),
        _kinds(),
        measures,
        facts,
    )
    table[:, :MEASURES] = measures
    sizes, shapes, spam, abuse, jamo, lone, pronouns, hits, kinds = facts.T
    eojeol = table[:, COLUMNS["eojeol"]]
    long = eojeol >= MIN_EOJEOL
    table[:, COLUMNS["lone_particles"]] = np.divide(lone, eojeol, out=np.zeros(len(texts)), where=long)
    foreign = long & (pronouns > 0) & (kinds >= MIN_KINDS)
    table[:, COLUMNS["translated"]] = np.divide(hits, eojeol, out=np.zeros(len(texts)), where=foreign)
    table[:, COLUMNS["spam"]] = spam
    return Looked(table, sizes, shapes.tolist(), ((abuse > 0) | (jamo > 0)).tolist())


def _by_reference(texts: Sequence[str], table: NDArray[np.float64]) -> Looked:
    """The same without the native core: what words would rule out, the references must judge."""
    for n, text in enumerate(texts):
        found = _measure(text)
        table[n, :MEASURES] = [getattr(found, f.name) for f in _FIELDS]
    table[:, MEASURES:] = np.inf
    sizes = np.array([fast.utf8_size(text) for text in texts], dtype=np.int64)
    return Looked(table, sizes, [fast.shapes(text) for text in texts], [True] * len(texts))


def measure(text: str) -> Measures:
    """`kodata.text.measure.measure`: one text's row of the same look."""
    return _measure(text) if fast.text_core() is None else look([text]).measures(0)
