"""The text core as the pipeline uses it: native where it was built, the Python reference elsewhere, with equal results.

Each function here has the name and the meaning of its reference. What the native core cannot say alone (mojibake, spam,
abuse, personal data) it rules out for nearly all texts, and the reference judges the rest. Tables and word lists go from
the references to the native core.
"""

from __future__ import annotations

import re
from functools import cache
from types import ModuleType
from typing import Any
from unicodedata import normalize

import kodata.signals
import kodata.spam
import kodata.toxicity
from kodata.native import core
from kodata.signals import LONE, MIN_EOJEOL, MIN_KINDS, PRONOUNS, ROUGH, TRANSLATED, Signals
from kodata.spam import ALONE, Spam
from kodata.text.markup import _known
from kodata.text.normalise import _NOT_IN_CODE, _TABLE
from kodata.text.normalise import normalise as _normalise
from kodata.text.syllables import COMMON, KS_X_1001

MIN_HITS = 3
"""With fewer hits `kodata.spam.spam` says nothing."""
CUES = list(
    dict.fromkeys([*LONE, *PRONOUNS, *(phrase for phrases in TRANSLATED.values() for phrase in phrases)])
)


@cache
def text_core() -> ModuleType | None:
    """`kodata._native` with its tables set, or None."""
    native = core()
    if native is not None:
        ideographs = "".join(normalize("NFC", chr(code)) for code in range(0xF900, 0xFB00))
        native.set_tables(
            _TABLE,
            _NOT_IN_CODE,
            ideographs,
            "".join(sorted(COMMON)),
            "".join(sorted(KS_X_1001)),
            _known,
            normalize,
        )
    return native


def normalise(text: str) -> str:
    """`kodata.text.normalise.normalise`: the native core leaves what may be mojibake to Python."""
    native = text_core()
    if native is not None and (done := native.normal_form(text)) is not None:
        return done
    return _normalise(text)


def shapes(text: str) -> int:
    """`kodata.pii.shapes`, seen more closely: a bit less often set, never missing where a detector fires."""
    native = text_core()
    if native is None:
        from kodata.pii import shapes as reference

        return reference(text)
    return native.shapes(text)


@cache
def word_list(name: str) -> Any:
    """The word list of a reference as an automaton, or None."""
    native = text_core()
    if native is None:
        return None
    if name == "spam":
        return native.Words(
            [word for word, _, _ in kodata.spam._WORDS], "".join(map(chr, kodata.spam._SEPARATORS))
        )
    if name == "signals":
        return native.Words(CUES, "")
    # whatever may stand between the syllables of a stem is passed over, so that no disguise is missed
    gap = "".join(c for c in map(chr, range(0x3200)) if re.fullmatch(kodata.toxicity._GAP, c))
    return native.Words(list(kodata.toxicity._WEIGHT), gap)


def spam(text: str, eojeol: int) -> Spam:
    """`kodata.spam.spam`."""
    words = word_list("spam")
    if words is None or (hits := words.total(text)) >= MIN_HITS:
        return kodata.spam.spam(text, eojeol)
    if not hits:
        return Spam(0.0, ALONE, ())
    found = {family for (_, _, family), n in zip(kodata.spam._WORDS, words.counts(text), strict=True) if n}
    return Spam(0.0, ALONE, tuple(sorted(found)))


def toxicity(text: str, eojeol: int) -> float:
    """`kodata.toxicity.toxicity`."""
    words = word_list("toxicity")
    if words is not None and not words.total(text) and not text_core().has_jamo_run(text):  # type: ignore[union-attr]
        return 0.0
    return kodata.toxicity.toxicity(text, eojeol)


def signals(text: str, eojeol: int) -> Signals:
    """`kodata.signals.signals`."""
    words = word_list("signals")
    if words is None or eojeol < MIN_EOJEOL:
        return kodata.signals.signals(text, eojeol)
    if not words.total(text):
        return Signals(0.0, 0.0)
    counts = dict(zip(CUES, words.counts(text), strict=True))
    lone = sum(counts[word] for word in LONE) / eojeol
    if lone > ROUGH:
        return kodata.signals.signals(text, eojeol)
    if not any(counts[word] for word in PRONOUNS):
        return Signals(0.0, lone)
    kinds = [sum(counts[phrase] for phrase in phrases) for phrases in TRANSLATED.values()]
    return Signals(sum(kinds) / eojeol if sum(map(bool, kinds)) >= MIN_KINDS else 0.0, lone)


def utf8_size(text: str) -> int:
    """Bytes of a text in UTF-8, a lone surrogate counting as one."""
    native = text_core()
    return len(text.encode("utf-8", "replace")) if native is None else native.utf8_size(text)
