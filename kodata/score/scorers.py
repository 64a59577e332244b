"""The scorers by name: from texts to columns. Of every column more is better, so that one flag cuts all.

lm           minus the bits a character under a character n-gram model of clean text
quality      calibrated probability of good text
educational  expected label, 0 to 1, of a model trained on labels
fluency      Kiwi's mean log-probability a morpheme, and `known`, the share of morphemes it knows; on two windows of a document

A text without anything to score is NaN, which is under every cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from kodata.run.files import fingerprint
from kodata.score.charlm import CharLM
from kodata.score.classifier import Classifier
from kodata.score.fluency import fluencies
from kodata.score.sample import fold

NAMES = ("lm", "quality", "fluency", "educational")
COLUMNS = {
    "lm": ("lm",),
    "quality": ("quality",),
    "fluency": ("fluency", "known"),
    "educational": ("educational",),
}
VERSIONS = {"lm": 1, "quality": 1, "fluency": 1, "educational": 1}
"""Raised when a scorer's results change for the same model."""


@dataclass(frozen=True, slots=True)
class Scorers:
    """Which scorers, with the files of their models. Two files: the documents of one half of the corpus trained the
    first and are scored by the second, and the other way round."""

    names: tuple[str, ...]
    models: dict[str, tuple[Path, ...]] = field(default_factory=dict)

    def versions(self) -> dict[str, str]:
        """What made each column, for the sidecar."""
        out: dict[str, str] = {}
        for name in self.names:
            made = "+".join(fingerprint(path) for path in self.models.get(name, ())) or _kiwi_version()
            out |= dict.fromkeys(COLUMNS[name], f"{VERSIONS[name]}:{made}")
        return out

    def columns(self, ids: Sequence[str], texts: Sequence[str]) -> dict[str, Any]:
        """{column: float32 [documents]}."""
        out: dict[str, Any] = {}
        for name in self.names:
            if name == "fluency":
                out["fluency"], out["known"] = fluencies(texts)
                continue
            files = self.models[name]
            values = np.full(len(texts), np.nan)
            for half, file in enumerate(files):
                mine = [i for i, d in enumerate(ids) if len(files) == 1 or fold(d) != half]
                values[mine] = _scored(name, file, [texts[i] for i in mine])
            out[name] = values
        return {name: np.asarray(values, np.float32) for name, values in out.items()}


def _scored(name: str, file: Path, texts: list[str]) -> Any:
    model = _model(name, file)
    return -model.bits(texts) if isinstance(model, CharLM) else model.probability(texts)


@lru_cache(maxsize=8)
def _model(name: str, file: Path) -> CharLM | Classifier:
    return CharLM.load(file) if name == "lm" else Classifier.load(file)


def _kiwi_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"kiwipiepy {version('kiwipiepy')}"
    except PackageNotFoundError:
        return "-"
