"""Fluency by Kiwi on a sample of each document: its language model's mean log-probability a morpheme, and the share it knows.

Kiwi reads some ten thousand characters a second, so of a longer document only EXCERPTS windows of EXCERPT characters are read,
evenly spread, each from the start of a word. The windows follow from the text's length alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kodata.run.errors import UserError
from kodata.score.classifier import F64

EXCERPT, EXCERPTS = 160, 2


def excerpts(text: str) -> list[str]:
    """The windows of a text that are read; the whole text when it is short."""
    if len(text) <= EXCERPT * EXCERPTS:
        return [text] if text.strip() else []
    found = []
    for i in range(EXCERPTS):
        start = (len(text) - EXCERPT) * (2 * i + 1) // (2 * EXCERPTS)
        window = text[start : start + EXCERPT]
        cut = next((j for j, c in enumerate(window[:30]) if c.isspace()), -1)
        end = next(
            (j for j in range(len(window) - 1, len(window) - 30, -1) if window[j].isspace()), len(window)
        )
        window = window[cut + 1 : end].strip()
        if window:
            found.append(window)
    return found


def fluencies(texts: Sequence[str]) -> tuple[F64, F64]:
    """(mean log-probability a morpheme, share of known morphemes) of each text; NaN for an empty one.

    Raises UserError when Kiwi is not there.
    """
    from kodata.morphemes import fluency

    owner, windows = [], []
    for i, text in enumerate(texts):
        for window in excerpts(text):
            owner.append(i)
            windows.append(window)
    found = fluency(windows)
    if found is None:
        raise UserError(
            "Kiwi가 없어 fluency 를 잴 수 없습니다 (fluency needs Kiwi)",
            help="pip install kiwipiepy, 또는 --by lm quality",
        )
    sums = np.zeros((len(texts), 2))
    weight = np.zeros(len(texts))
    for i, window, (score, unknown) in zip(owner, windows, found, strict=True):
        if score == score:
            sums[i] += len(window) * np.array([score, 1.0 - unknown])
            weight[i] += len(window)
    with np.errstate(invalid="ignore"):
        mean = sums / np.where(weight, weight, np.nan)[:, None]
    return mean[:, 0], mean[:, 1]
