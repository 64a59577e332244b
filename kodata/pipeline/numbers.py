"""What a run counts: additive numbers of units, histograms, and the samples a reader wants to see.

Everything merges: numbers of units add up to numbers of the run, in any order of work, to the same result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from math import log10
from typing import Any

import numpy as np

from kodata.doc import Document
from kodata.rules import Drop
from kodata.text.many import COLUMNS, Looked

HISTOGRAMS: dict[str, tuple[float, float, int, bool]] = {
    "eojeol": (0, 6, 48, True), "korean": (0, 1, 40, False), "symbols": (0, 1, 40, False), "prose": (0, 1, 40, False),
    "mean_eojeol": (0, 20, 40, False), "dup_line_chars": (0, 1, 40, False), "dup_5": (0, 1, 40, False), "jamo": (0, 1, 40, False),
}  # fmt: skip
"""measure -> (low, high, bins, decimal logarithm?)"""
BORDER_SAMPLES, RANDOM_SAMPLES, MAX_SOURCES, SAMPLE_CHARS, FAILURES_SHOWN = 2, 4, 500, 600, 50
OTHER_SOURCES = "(그 밖, others)"
_COUNTS = (
    "in",
    "kept",
    "dropped",
    "failed",
    "split",
    "chars_in",
    "chars_out",
    "bytes_in",
    "bytes_out",
    "boilerplate",
    "rejoined",
    "hanyang_pua",
    "pii_documents",
)


TABLES = ("kinds", "sources", "licences", "languages", "pii_sources", "arguments")
"""Names of the tables of counters: a key and what it counted."""


def _order(identity: str) -> str:
    """Pseudo-random but fixed order of documents."""
    return blake2b(identity.encode("utf-8", "replace"), digest_size=6).hexdigest()


class Numbers:
    """Counts of one unit or of a whole run."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(_COUNTS, 0))
        self.reasons: Counter[str] = Counter()
        self.pii: Counter[str] = Counter()
        self.kinds: dict[str, Counter[str]] = {}
        self.sources: dict[str, Counter[str]] = {}
        self.licences: dict[str, Counter[str]] = {}
        self.languages: dict[str, Counter[str]] = {}
        self.pii_sources: dict[str, Counter[str]] = {}
        self.arguments: dict[str, Counter[str]] = {}
        self.histograms: dict[str, list[int]] = {name: [0] * spec[2] for name, spec in HISTOGRAMS.items()}
        self.failures: list[dict[str, str]] = []
        # kind of sample -> [(order, sample)]; the smallest orders stay
        self.samples: dict[str, list[list[Any]]] = {}

    def row(self, table: dict[str, Counter[str]], key: str) -> Counter[str]:
        """The counter of a key in one of the tables, new keys beyond MAX_SOURCES going together."""
        if key not in table and len(table) >= MAX_SOURCES:
            key = OTHER_SOURCES
        return table.setdefault(key, Counter())

    def measured(self, looked: Looked) -> None:
        """Count documents in the histograms."""
        for name, (low, high, bins, logarithm) in HISTOGRAMS.items():
            values = looked.table[:, COLUMNS[name]]
            if logarithm:
                values = np.array([log10(value) if value > 0 else 0.0 for value in values.tolist()])
            places = ((values - low) / (high - low) * bins).astype(np.int64)
            found = np.bincount(places.clip(0, bins - 1), minlength=bins)
            self.histograms[name] = [
                a + b for a, b in zip(self.histograms[name], found.tolist(), strict=True)
            ]

    def wants(self, name: str, order: float | str, limit: int, identity: str) -> bool:
        """Would `sample` keep it?"""
        kept = self.samples.get(name)
        return kept is None or len(kept) < limit or (order, identity) < (kept[-1][0], kept[-1][1]["id"])

    def sample(self, name: str, order: float | str, limit: int, make: dict[str, Any]) -> None:
        """Keep a sample if its order is among the smallest `limit` of its name."""
        kept = self.samples.setdefault(name, [])
        if len(kept) >= limit and not (order, make["id"]) < (kept[-1][0], kept[-1][1]["id"]):
            return
        make["text"] = make["text"][:SAMPLE_CHARS]
        kept.append([order, make])
        kept.sort(key=lambda item: (item[0], item[1]["id"]))
        del kept[limit:]

    def dropped(self, document: Document, profile: str, drop: Drop) -> None:
        """Take samples of the dropped documents: at random, and where the value stood close to the limit."""
        distance = abs(drop.value - drop.limit) / (abs(drop.limit) or 1)
        for name, place, most in (
            (f"border-drop/{drop.reason}", distance, BORDER_SAMPLES),
            (f"drop/{drop.reason}", _order(document.id), RANDOM_SAMPLES),
        ):
            if self.wants(name, place, most, document.id):
                note = {"value": round(drop.value, 4), "limit": drop.limit, "reason": drop.reason}
                self._sample(name, place, most, document, profile, note)

    def kept(self, document: Document, profile: str, borders: Sequence[tuple[str, float, float]]) -> None:
        """Take samples of the kept documents: at random, and at the borders it stands at: (reason, value, limit)."""
        order = _order(document.id)
        if self.wants("keep", order, RANDOM_SAMPLES * 3, document.id):
            self._sample("keep", order, RANDOM_SAMPLES * 3, document, profile, {})
        for reason, value, limit in borders:
            distance, name = abs(value - limit) / limit, f"border-keep/{reason}"
            if self.wants(name, distance, BORDER_SAMPLES, document.id):
                note = {"value": round(value, 4), "limit": limit, "reason": reason}
                self._sample(name, distance, BORDER_SAMPLES, document, profile, note)

    def _sample(
        self, name: str, order: float | str, most: int, document: Document, profile: str, note: dict[str, Any]
    ) -> None:
        base = {"id": document.id, "source": document.source, "profile": profile}
        self.sample(name, order, most, {**base, **note, "text": document.text})

    def to_json(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "counts": dict(self.counts), "reasons": dict(self.reasons), "pii": dict(self.pii), "histograms": self.histograms,
            "failures": self.failures, "samples": self.samples,
            **{name: {key: dict(value) for key, value in getattr(self, name).items()} for name in TABLES},
        }  # fmt: skip

    def add(self, other: dict[str, Any]) -> None:
        """Add the numbers of a unit, as read from its JSON."""
        self.counts.update(other["counts"])
        self.reasons.update(other["reasons"])
        self.pii.update(other["pii"])
        for name in TABLES:
            for key, value in other[name].items():
                self.row(getattr(self, name), key).update(value)
        for name, values in other["histograms"].items():
            self.histograms[name] = [a + b for a, b in zip(self.histograms[name], values, strict=True)]
        self.failures = (self.failures + other["failures"])[:FAILURES_SHOWN]
        for name, kept in other["samples"].items():
            limit = (
                BORDER_SAMPLES if name.startswith("border") else RANDOM_SAMPLES * (3 if name == "keep" else 1)
            )
            for order, made in kept:
                self.sample(name, order, limit, made)
