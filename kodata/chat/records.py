"""The chat and pair contract: what one record is, how it is checked and written.

On disk these are TRL's conversational formats as they are, one JSON object a line:

    {"id": "…", "messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}
    {"id": "…", "prompt": [{"role": "user", …}], "chosen": [{"role": "assistant", …}], "rejected": [{…}]}

plus `source` and `meta`, and `"train": false` on a message that is shown but not learned.
`kodata.chat.read` accepts every form in `kodata.chat.forms`; writers only write these two.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from kodata.run.errors import UserError
from kodata.run.files import atomic_open

ROLES = ("system", "user", "assistant")

CHAT_EXAMPLE = (
    '{"id": "예1", "messages": [{"role": "user", "content": "수도는?"}, '
    '{"role": "assistant", "content": "서울입니다."}]}'
)
PAIR_EXAMPLE = (
    '{"id": "예1", "prompt": [{"role": "user", "content": "수도는?"}], '
    '"chosen": [{"role": "assistant", "content": "서울입니다."}], '
    '"rejected": [{"role": "assistant", "content": "부산입니다."}]}'
)


class RecordError(ValueError):
    """One record is wrong: which key, why, and a record of that form that is right.

    `reason` is a short stable name (`role_order`, `empty_answer`, …) used for counting.
    """

    def __init__(
        self, key: str, message: str, *, reason: str = "broken", example: str = CHAT_EXAMPLE
    ) -> None:
        super().__init__(f"{key}: {message}" if key else message)
        self.key = key
        self.reason = reason
        self.example = example


@dataclass(slots=True)
class Message:
    """One turn. `train=False`: the model reads it but does not learn it."""

    role: str
    content: str
    train: bool = True


@dataclass(slots=True)
class Chat:
    """One conversation: optional system message, then user and assistant in turn, assistant last."""

    id: str
    messages: list[Message]
    source: str = ""
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def prompt(self) -> list[Message]:
        """Everything before the last answer (all of it when the chat ends with a question)."""
        return (
            self.messages[:-1] if self.messages and self.messages[-1].role == "assistant" else self.messages
        )

    @property
    def answer(self) -> str:
        """The last answer, or an empty string when the chat ends with a question."""
        return self.messages[-1].content if self.messages and self.messages[-1].role == "assistant" else ""


@dataclass(slots=True)
class Pair:
    """One preference: a prompt that ends with a user turn and two single-message answers."""

    id: str
    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    source: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


def messages_hash(messages: Iterable[Message]) -> str:
    """16 hex digits of the roles and texts: the id of a record that brought none."""
    digest = hashlib.blake2b(digest_size=8)
    for message in messages:
        digest.update(message.role.encode())
        digest.update(b"\x00")
        digest.update(message.content.encode("utf-8", "surrogatepass"))
        digest.update(b"\x01")
    return digest.hexdigest()


def check_messages(messages: list[Message], key: str, *, last: str, example: str = CHAT_EXAMPLE) -> None:
    """Raise `RecordError` unless: optional system first, then user and assistant in turn, `last` at the end.

    `last` is "assistant" (a chat), "user" (a prompt) or "any" (either).
    """
    if not messages:
        raise RecordError(key, "메시지가 없습니다 (no messages)", reason="empty", example=example)
    turns = messages[1:] if messages[0].role == "system" else messages
    base = len(messages) - len(turns)
    for i, message in enumerate(turns):
        expected = "assistant" if i % 2 else "user"
        if message.role != expected:
            raise RecordError(
                f"{key}[{base + i}].role",
                f"{expected!r} 차례인데 {message.role!r}입니다 (roles out of order, expected {expected!r})",
                reason="role_order",
                example=example,
            )
    end = turns[-1].role if turns else "system"
    if end == "system" or (last != "any" and end != last):
        what = "답이 없습니다 (no answer: the last message is not the assistant's)"
        if last != "assistant":
            what = "질문으로 끝나지 않습니다 (the prompt does not end with a user message)"
        raise RecordError(
            key, what, reason="no_answer" if last == "assistant" else "role_order", example=example
        )


def check_chat(chat: Chat, *, answers: bool = True) -> None:
    """Raise `RecordError` when roles are out of order, the answer is missing or an answer is empty."""
    check_messages(chat.messages, "messages", last="assistant" if answers else "any")
    for i, message in enumerate(chat.messages):
        if message.role == "assistant" and not message.content.strip():
            raise RecordError(f"messages[{i}].content", "빈 답입니다 (empty answer)", reason="empty_answer")


def check_pair(pair: Pair) -> None:
    """Raise `RecordError` when the prompt does not end with the user or an answer is not one assistant turn."""
    check_messages(pair.prompt, "prompt", last="user", example=PAIR_EXAMPLE)
    for key, answer in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        if len(answer) != 1 or answer[0].role != "assistant":
            roles = [message.role for message in answer]
            raise RecordError(
                key,
                f"assistant 메시지 하나여야 합니다: {roles} (must be exactly one assistant message)",
                reason="role_order",
                example=PAIR_EXAMPLE,
            )
    if not pair.chosen[0].content.strip():
        raise RecordError(
            "chosen[0].content", "빈 답입니다 (empty answer)", reason="empty_answer", example=PAIR_EXAMPLE
        )


def message_to_json(message: Message) -> dict[str, Any]:
    """`{"role", "content"}`, and `"train": false` only where it is false."""
    record: dict[str, Any] = {"role": message.role, "content": message.content}
    if not message.train:
        record["train"] = False
    return record


def chat_to_json(chat: Chat) -> dict[str, Any]:
    """The record as it stands on disk, keys in fixed order."""
    return {
        "id": chat.id,
        "messages": [message_to_json(m) for m in chat.messages],
        "source": chat.source,
        "meta": chat.meta,
    }


def pair_to_json(pair: Pair) -> dict[str, Any]:
    """The record as it stands on disk, keys in fixed order."""
    return {
        "id": pair.id,
        "prompt": [message_to_json(m) for m in pair.prompt],
        "chosen": [message_to_json(m) for m in pair.chosen],
        "rejected": [message_to_json(m) for m in pair.rejected],
        "source": pair.source,
        "meta": pair.meta,
    }


def dump_line(record: dict[str, Any]) -> bytes:
    """One JSON line, UTF-8, with its newline."""
    try:
        return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # meta may hold what orjson refuses and JSON allows: huge integers, lone surrogates
        return json.dumps(record, default=str).encode() + b"\n"


def write_chats(path: str | Path, chats: Iterable[Chat]) -> int:
    """Write chats as JSONL, all or nothing; returns how many."""
    return _write(path, (chat_to_json(chat) for chat in chats))


def write_pairs(path: str | Path, pairs: Iterable[Pair]) -> int:
    """Write pairs as JSONL, all or nothing; returns how many."""
    return _write(path, (pair_to_json(pair) for pair in pairs))


def _write(path: str | Path, records: Iterable[dict[str, Any]]) -> int:
    count = 0
    with atomic_open(path, "wb") as out:
        for record in records:
            out.write(dump_line(record))
            count += 1
    return count


def user_error(error: RecordError, path: str | Path, line: int) -> UserError:
    """The error a user sees: file, line, key, reason; then a record that would be right."""
    return UserError(
        str(error), help=f"올바른 예 (a right example): {error.example}", file=str(path), line=line
    )
