"""Where a judged document goes: Korean to docs/, another asked language to docs-xx/ under its own rules, the rest is dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kodata.lang import CODE, KOREAN, LEAST_KOREAN, UNSPACED, is_code, language
from kodata.rules import LANGUAGE_RULES, PROFILES, Drop, judge
from kodata.text import Measures


class Routed(NamedTuple):
    """language: ko, an asked one, or "" when it is dropped for its language; profile: the rules that judged it."""

    language: str
    profile: str
    drop: Drop | None


def output_of(language: str) -> str:
    """The folder of a language's documents in the run folder."""
    return "docs" if language in (KOREAN, "") else f"docs-{language}"


def route(
    found: Measures, text: str, profile: str, drop: Drop | None, asked: Sequence[str], kind: object = None
) -> Routed:
    """Look again at a document that the Korean rules judged. `asked`: the languages wanted, ko first."""
    limits = PROFILES[profile]
    if drop is not None and drop.step == "sources":  # the reader says that it is no document
        return Routed(KOREAN, profile, drop)
    if CODE in asked and "language" in limits and (kind == CODE or is_code(text)):
        return Routed(CODE, "code", judge(found, text, PROFILES["code"]))
    if drop is None or drop.reason not in LANGUAGE_RULES:
        return Routed(KOREAN, profile, drop)
    refused = Drop("language", found.korean, limits["language"], "language")
    if len(asked) == 1 and (found.korean < LEAST_KOREAN or drop.reason == "kana"):
        return Routed("", profile, refused)
    label = language(found, text)
    if label == KOREAN:
        rest = {reason: limit for reason, limit in limits.items() if reason not in LANGUAGE_RULES}
        return Routed(KOREAN, profile, judge(found, text, rest))
    if label not in asked:
        return Routed("", profile, refused)
    other = "unspaced" if label in UNSPACED else "foreign"
    return Routed(label, other, judge(found, text, PROFILES[other]))
