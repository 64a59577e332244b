"""Chat and pair files as checked records, in any form that `kodata.chat.forms` understands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kodata.chat.forms import chat_of, pair_of
from kodata.chat.records import CHAT_EXAMPLE, Chat, Pair, RecordError, check_chat, check_pair, user_error
from kodata.chat.rows import BadRow, read_rows
from kodata.run.errors import UserError


def read_chats(path: str | Path, *, answers: bool = True) -> Iterator[Chat]:
    """Chats of one file, in order, each checked; any form of `kodata.chat.forms` is understood.

    With `answers=False` a chat may end with a question (prompts for generation).
    The first wrong record raises `UserError` naming file, line and key and showing a right one.
    """
    seen: dict[str, int] = {}
    for line, record in _strict_rows(path):
        try:
            chat = chat_of(record, answers=answers)
            check_chat(chat, answers=answers)
            if "id" in record:  # ids made from the text repeat where the text does
                _check_id(chat.id, line, seen)
        except RecordError as error:
            raise user_error(error, path, line) from None
        yield chat


def read_pairs(path: str | Path) -> Iterator[Pair]:
    """Pairs of one file, in order, each checked; any preference form of `kodata.chat.forms` is understood.

    The first wrong record raises `UserError` naming file, line and key and showing a right one.
    """
    seen: dict[str, int] = {}
    for line, record in _strict_rows(path):
        try:
            pair = pair_of(record)
            check_pair(pair)
            if "id" in record:
                _check_id(pair.id, line, seen)
        except RecordError as error:
            raise user_error(error, path, line) from None
        yield pair


def _check_id(value: str, line: int, seen: dict[str, int]) -> None:
    first = seen.setdefault(value, line)
    if first != line:
        raise RecordError(
            "id", f"{value!r}가 {first}번째 줄에도 있습니다 (same id as line {first})", reason="duplicate_id"
        )


def _strict_rows(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, row in read_rows(path):
        if isinstance(row, BadRow):
            raise UserError(
                row.message, help=f"올바른 예 (a right example): {CHAT_EXAMPLE}", file=str(path), line=line
            )
        yield line, row
