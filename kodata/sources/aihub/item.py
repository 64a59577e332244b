"""What a layout gives: texts for the corpus, task items for chats and preferences. Neutral: no wording, no template."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

KINDS = (
    "summary", "qa", "instruction", "dialogue", "ranking", "rating", "prompt", "translation", "correction",
    "paraphrase", "label", "question", "answer",
)  # fmt: skip
"""Kinds of task items. `question` and `answer` are halves that `join_halves` puts together by their key."""


class UnknownLayout(ValueError):
    """No layout of the registry fits; `keys`: the keys seen. The message is for the user."""

    def __init__(self, keys: str, what: str = "JSON"):
        super().__init__(f"모르는 {what} 짜임 (unknown layout). 있는 열쇠 (keys): {keys}")
        self.keys = keys


class WrongItem(ValueError):
    """One item of a known layout is not what the layout says; the message is for the user."""


class Turn(NamedTuple):
    """One utterance. role: user, assistant, system, or "" where the data set does not say who is who."""

    speaker: str
    text: str
    role: str = ""

    def to_dict(self) -> dict[str, str]:
        """As task items carry it."""
        return {"speaker": self.speaker, "text": self.text, "role": self.role}


@dataclass(slots=True)
class Text:
    """A text that becomes a document. place: where in its item ("" for an item's only text)."""

    text: str
    id: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    place: str = ""


@dataclass(slots=True)
class TaskItem:
    """Material for a chat or a preference: what it is, and its fields by kind (see `kodata.sources.aihub`)."""

    kind: str
    id: str
    fields: dict[str, Any]
    meta: dict[str, Any] = field(default_factory=dict)
    place: str = ""
    file: str = ""
    """The file, and the member of an archive, that `place` is a place in."""

    def plain(self) -> str:
        """Its texts as one text: how an item without a document of its own is shown."""
        return "\n".join(_strings({name: v for name, v in self.fields.items() if name not in _NOTES}))


_NOTES = frozenset(
    ("task", "style", "key", "name", "marks", "ranks", "topic", "situation", "persona", "source_language", "target_language")
)  # fmt: skip


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, dict):
        if "speaker" in value and "text" in value:
            return [f"{value['speaker']}: {value['text']}" if value["speaker"] else value["text"]]
        return [s for v in value.values() for s in _strings(v)]
    if isinstance(value, list | tuple):
        return [s for v in value for s in _strings(v)]
    return []
