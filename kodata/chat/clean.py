"""The same cleaning for messages as for documents: normal form, and personal data replaced by typed tags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kodata.chat.records import Message
from kodata.pii import PiiConfig, mask

_MAX_DEPTH = 8
_UNTOUCHED = ("id", "source", "url", "licence", "license", "cluster")


@dataclass(slots=True)
class Cleaner:
    """Cleans messages in place and counts the personal data it replaced, by kind."""

    normalise: bool
    pii: PiiConfig
    found: Counter[str] = field(default_factory=Counter)

    def messages(self, messages: Iterable[Message]) -> None:
        """Normalise and mask the messages' texts."""
        from kodata.text import normalise

        for message in messages:
            if self.normalise:
                message.content = normalise(message.content)
            self.personal([message])

    def personal(self, messages: Iterable[Message]) -> None:
        """Mask personal data in the messages' texts and leave all else as it is (text a model wrote)."""
        for message in messages:
            masked = mask(message.content, self.pii)
            self.found.update(item.kind for item in masked.found)
            message.content = masked.text

    def values(self, value: Any, depth: int = 0) -> Any:
        """Meta, or a record about to be written to the dropped ones, without personal data in its strings."""
        if self.pii.mode == "off":
            return value
        if isinstance(value, str):
            return mask(value, self.pii).text
        if depth < _MAX_DEPTH and isinstance(value, Mapping):
            return {k: v if k in _UNTOUCHED else self.values(v, depth + 1) for k, v in value.items()}
        if depth < _MAX_DEPTH and isinstance(value, list):
            return [self.values(v, depth + 1) for v in value]
        return value
