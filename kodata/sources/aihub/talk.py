"""Turns of a dialogue: as a document (who speaks is kept, one line an utterance) and as a task item."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from kodata.sources.aihub.item import TaskItem, Text, Turn
from kodata.sources.aihub.marks import unmasked
from kodata.sources.aihub.paths import string, walk

ROLES = {
    "고객": "user", "손님": "user", "질문자": "user", "사용자": "user", "내담자": "user", "환자": "user", "민원인": "user",
    "human": "user", "user": "user", "c": "user", "상담사": "assistant", "상담원": "assistant", "점원": "assistant", "직원": "assistant",
    "전문가": "assistant", "시스템": "assistant", "의사": "assistant", "의료진": "assistant", "bot": "assistant", "system": "assistant",
    "assistant": "assistant", "s": "assistant",
}  # fmt: skip
"""Speakers whose name says who asks and who answers."""
_ENDS = (".", "?", "!", "…", "~")
_WORD = re.compile(r"[가-힣]{1,8}")


def role_of(speaker: str) -> str:
    """user, assistant or "" by a speaker's name."""
    return ROLES.get(speaker.strip().lower(), "")


def turns_at(item: Any, path: str, speaker: Callable[[Mapping[str, Any]], str], text: tuple[str, ...],
             clean: Callable[[str], str] = unmasked, roles: bool = False) -> list[Turn]:  # fmt: skip
    """Turns of the objects at a path; the text is the first of the keys that is not empty. Turns without words go."""
    turns = []
    for utterance in walk(item, path):
        said = ""
        if isinstance(utterance, Mapping):
            said = next((s for key in text if (s := string(utterance.get(key), f"{path}.{key}"))), "")
        if words := clean(said):
            who = speaker(utterance)
            turns.append(Turn(who, words, role_of(who) if roles else ""))
    return turns


def by_key(*keys: str) -> Callable[[Mapping[str, Any]], str]:
    """The speaker is the first of these keys; an object there names its `id`."""

    def speaker(utterance: Mapping[str, Any]) -> str:
        for key in keys:
            value = utterance.get(key)
            if isinstance(value, Mapping):
                value = value.get("id")
            if value is not None and string(value, key):
                return string(value, key)
        return ""

    return speaker


def labels(speakers: Iterable[str]) -> dict[str, str]:
    """How speakers are called in a document: words stay (상담사), codes become A, B, C … in order of appearance."""
    names: dict[str, str] = {}
    letters = 0
    for speaker in speakers:
        if speaker not in names:
            if _WORD.fullmatch(speaker):
                names[speaker] = speaker
            else:
                names[speaker] = chr(ord("A") + letters) if letters < 26 else f"화자{letters + 1}"
                letters += 1
    return names


def script(turns: list[Turn], joined: bool = False) -> str:
    """A dialogue as text. One speaker alone needs no name. joined: what one speaker says on end is one line (speech
    is cut at breaths; one speaker alone keeps a line for each sentence); otherwise each message keeps its line."""
    alone = len({turn.speaker for turn in turns}) < 2
    if joined:
        merged: list[Turn] = []
        for turn in turns:
            if merged and merged[-1].speaker == turn.speaker:
                gap = "\n" if alone and merged[-1].text.endswith(_ENDS) else " "
                merged[-1] = merged[-1]._replace(text=f"{merged[-1].text}{gap}{turn.text}")
            else:
                merged.append(turn)
        turns = merged
    names = labels(turn.speaker for turn in turns)
    if len(names) < 2:
        return "\n".join(turn.text for turn in turns)
    return "\n".join(f"{names[turn.speaker]}: {turn.text}" for turn in turns)


def dialogue(turns: list[Turn], id: str, meta: dict[str, Any], *, topic: str = "", situation: str = "",
             persona: Mapping[str, list[str]] | None = None, joined: bool = False) -> Iterator[Text | TaskItem]:  # fmt: skip
    """The document and, where two speak, the task item of a dialogue."""
    if not turns:
        return
    yield Text(script(turns, joined), id or None, meta)
    if len({turn.speaker for turn in turns}) > 1:
        yield TaskItem(
            "dialogue", id,
            {"turns": [t.to_dict() for t in turns], "topic": topic, "situation": situation, "persona": dict(persona or {})},
            meta,
        )  # fmt: skip
