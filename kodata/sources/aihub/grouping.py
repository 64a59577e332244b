"""Table rows that belong together become one item: the utterances of a dialogue, the sentences of a book."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from kodata.sources.aihub.layout import Placed
from kodata.sources.aihub.paths import string

MAX_ROWS = 100_000
"""A group that grows past this is cut, so that memory stays bounded."""


def grouped(starts: Callable[[Any, Any], bool]) -> Callable[[Iterable[Placed]], Iterator[Placed]]:
    """Rows that follow each other become one item {"rows": [...]} until `starts(row, row before)` says a new one."""

    def group(rows: Iterable[Placed]) -> Iterator[Placed]:
        held: list[Any] = []
        place = ""
        for number, row in rows:
            if held and (len(held) >= MAX_ROWS or starts(row, held[-1])):
                yield place, {"rows": held}
                held = []
            place = place if held else number
            held.append(row)
        if held:
            yield place, {"rows": held}

    return group


def _number(row: Any, key: str) -> float:
    try:
        return float(string(row.get(key), key))
    except (ValueError, AttributeError):
        return float("inf")


def turned(key: str, same: str = "") -> Callable[[Any, Any], bool]:
    """A new dialogue begins where the number at `key` does not grow, or the value at `same` changes."""

    def starts(row: Any, before: Any) -> bool:
        if not isinstance(row, Mapping) or not isinstance(before, Mapping):
            return True
        now = _number(row, key)
        restarted = now != float("inf") and now <= _number(before, key)
        return restarted or bool(same and row.get(same) != before.get(same))

    return starts
