"""The rules over a table of many texts: `kodata.rules.judge` for all of them at once, and which stand close to a limit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from kodata.rules import LEAST_SYLLABLES, PROFILES, RULES, Drop, applied, judge
from kodata.text.fast import MIN_HITS
from kodata.text.many import COLUMNS, MEASURES, WHOLE, Looked

Floats = NDArray[np.float64]
BORDER = 0.2
"""A kept document stood at the border when a measure was within this share of its limit."""
_NO_BORDER = ("empty", "lost_text", "wrong_charset")


@cache
def _limits(profile: str) -> tuple[list[tuple[str, float]], list[int], Floats, Floats]:
    """The rules of a profile in their order: (reason, limit) of each, its column, and the least and the most it allows."""
    rules = applied(PROFILES[profile])
    return (
        [(reason, limit) for reason, _, _, limit in rules],
        [COLUMNS[measure] for _, measure, _, _ in rules],
        np.array([limit if least else -np.inf for _, _, least, limit in rules]),
        np.array([np.inf if least else limit for _, _, least, limit in rules]),
    )


@cache
def _words(profile: str) -> Floats:
    """The most of MT cues, lone particles and spam words with which a text surely stays."""
    limits = PROFILES[profile]
    spam = MIN_HITS - 1 if len(limits) > 1 else np.inf
    return np.array([limits.get("translated", np.inf), limits.get("lone_particles", np.inf), spam])


def judge_all(looked: Looked, texts: Sequence[str], rows: Sequence[int], profile: str) -> dict[int, Drop]:
    """`judge` of those texts that `rows` names: row -> Drop of those that may not stay."""
    limits, columns, low, high = _limits(profile)
    table = looked.table[rows]
    values = table[:, columns]
    broken = (values < low) | (values > high)
    if (common := COLUMNS["common"]) in columns:
        broken[:, columns.index(common)] &= table[:, COLUMNS["hangul_chars"]] >= LEAST_SYLLABLES
    drops: dict[int, Drop] = {}
    wrong = broken.any(axis=1)
    at, first = np.flatnonzero(wrong), broken[wrong].argmax(axis=1)
    for n, rule, value in zip(at.tolist(), first.tolist(), values[at, first].tolist(), strict=True):
        reason, limit = limits[rule]
        drops[rows[n]] = Drop(reason, value, float(limit))
    wordy = (table[:, MEASURES:] > _words(profile)).any(axis=1)
    for n in np.flatnonzero(wordy & ~wrong).tolist():
        if drop := judge(looked.measures(rows[n]), texts[rows[n]], PROFILES[profile]):
            drops[rows[n]] = drop
    return drops


@cache
def _borders(profile: str) -> tuple[list[tuple[str, float]], list[int], Floats, Floats, Floats]:
    """The rules whose border cases are shown: (reason, limit) of each, its column, the limits, and ranges a
    little wider than the borders."""
    rules = [
        (r, limit) for r in RULES if r.reason not in _NO_BORDER and (limit := PROFILES[profile].get(r.reason))
    ]
    limits = np.array([limit for _, limit in rules])
    return (
        [(r.reason, limit) for r, limit in rules],
        [COLUMNS[r.measure] for r, _ in rules],
        limits,
        limits * (1 - 1.01 * BORDER),
        limits * (1 + 1.01 * BORDER),
    )


def at_borders(
    looked: Looked, rows: Sequence[int], profile: str
) -> dict[int, list[tuple[str, float, float]]]:
    """Of the texts that `rows` names: row -> (reason, value, limit) of the rules to whose limits it stands close."""
    rules, columns, limits, low, high = _borders(profile)
    values = looked.table[rows][:, columns]
    n, rule = ((values > low) & (values < high)).nonzero()
    near = np.abs(values[n, rule] - limits[rule]) / limits[rule] < BORDER
    n, rule = n[near], rule[near]
    found: dict[int, list[tuple[str, float, float]]] = {}
    for place, which, value in zip(n.tolist(), rule.tolist(), values[n, rule].tolist(), strict=True):
        reason, limit = rules[which]
        some = found.setdefault(rows[place], [])
        some.append((reason, int(value) if columns[which] in WHOLE else value, limit))
    return found
