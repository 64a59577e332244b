"""The one door of kodata to kiwipiepy: what Korean requests ask for, as verb and object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

NO_OBJECT = "·"


@cache
def _kiwi() -> Any | None:
    """A Kiwi, None when the library or its model is missing (said once on stderr)."""
    try:
        from kiwipiepy import Kiwi

        return Kiwi(num_workers=1, load_multi_dict=False)
    except (ImportError, OSError, RuntimeError) as error:
        from kodata.run.progress import note

        note(f"참고: Kiwi가 없어 동사·목적어를 세지 않습니다 (no Kiwi, verbs are not counted): {error}")
        return None


def verb_objects(texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(verb in its dictionary form, object noun or `·`) of each text in which a verb is found: the last one with an object.

    요약해 주세요 gives (요약하다, ·), 시를 지어 줘 gives (짓다, 시). Auxiliaries such as 주다 are no verbs here.
    """
    kiwi = _kiwi()
    if kiwi is None:
        return
    for tokens in kiwi.tokenize(list(texts)):
        found = _pairs(tokens)
        if found:
            with_object = [pair for pair in found if pair[1] != NO_OBJECT]
            yield (with_object or found)[-1]


def _pairs(tokens: Sequence[Any]) -> list[tuple[str, str]]:
    found = []
    noun = ""
    for i, token in enumerate(tokens):
        following = tokens[i + 1] if i + 1 < len(tokens) else None
        if token.tag == "JKO" and i and tokens[i - 1].tag.startswith(("NN", "XSN", "SL")):
            noun = tokens[i - 1].form
        elif token.tag in ("NNG", "XR") and following is not None and following.tag == "XSV":
            found.append((f"{token.form}{following.form}다", noun or NO_OBJECT))
            noun = ""
        elif token.tag.startswith("VV"):
            found.append((f"{token.form}다", noun or NO_OBJECT))
            noun = ""
        elif token.tag in ("SF", "EF"):
            noun = ""
    return found


UNKNOWN_MORPHEME = 4
"""Kiwi's ids below this are for forms it does not know, by tag (nouns and the like)."""


def fluency(texts: Sequence[str]) -> list[tuple[float, float]] | None:
    """(mean log-probability a morpheme, share of unknown morphemes) of each text by Kiwi's language model; None without Kiwi.

    NaN for a text in which no morpheme is found.
    """
    kiwi = _kiwi()
    if kiwi is None:
        return None
    out = []
    for tokens in kiwi.tokenize(list(texts)):
        count = len(tokens)
        unknown = sum(bool(token.oov) or token.id < UNKNOWN_MORPHEME for token in tokens)
        out.append(
            (sum(token.score for token in tokens) / count, unknown / count)
            if count
            else (float("nan"), float("nan"))
        )
    return out
