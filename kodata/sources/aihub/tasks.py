"""Task items for chats and pairs: of one parsed value, and questions joined with their answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kodata.sources.aihub.item import TaskItem, UnknownLayout
from kodata.sources.aihub.layout import Detector, Layout
from kodata.sources.aihub.paths import shape
from kodata.sources.aihub.reader import Source, outputs
from kodata.sources.aihub.registry import LAYOUTS
from kodata.sources.record import Failure, Settings


def layout_of(root: Any) -> Layout | None:
    """The layout of one parsed JSON value (a whole file or one record), or None."""
    found = Detector(LAYOUTS).find(root)
    return found.layout if found else None


def tasks_of(root: Any) -> Iterator[TaskItem]:
    """Task items of one parsed JSON value. Raises UnknownLayout; an item that is not as its layout says raises it too."""
    found = Detector(LAYOUTS).find(root)
    if found is None:
        raise UnknownLayout(shape(root))
    for out in outputs(found, found.items(root), root, Source("", Settings())):
        if isinstance(out, TaskItem):
            yield out
        elif isinstance(out, Failure):
            raise UnknownLayout(f"{out.place} {out.reason}")


def join_halves(items: Iterable[TaskItem | Failure]) -> Iterator[TaskItem | Failure]:
    """Questions and answers of one key become instructions: the n-th question with the n-th answer, the answers again
    from the first where there are more questions. Others pass through; halves without a counterpart come at the end."""
    questions: dict[tuple[str, ...], list[TaskItem]] = {}
    answers: dict[tuple[str, ...], list[TaskItem]] = {}
    for item in items:
        if isinstance(item, TaskItem) and item.kind in ("question", "answer"):
            (questions if item.kind == "question" else answers).setdefault(
                tuple(item.fields["key"]), []
            ).append(item)
        else:
            yield item
    for key, asked in questions.items():
        replies = answers.pop(key, [])
        for n, question in enumerate(asked):
            if not replies:
                yield question
                continue
            answer = replies[n % len(replies)]
            fields = {"prompt": question.fields["text"], "answer": answer.fields["text"], "system": ""}
            yield TaskItem(
                "instruction", question.id or answer.id, fields, question.meta, question.place, question.file
            )
        yield from replies[len(asked) :]
    for left in answers.values():
        yield from left
