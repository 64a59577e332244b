"""Task items for chats and pairs: of one parsed value, of a file, of a delivered tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from kodata.sources.aihub.item import TaskItem, Text, UnknownLayout
from kodata.sources.aihub.layout import Detector, Layout
from kodata.sources.aihub.paths import shape
from kodata.sources.aihub.reader import Out, Source, file_outputs, outputs
from kodata.sources.aihub.registry import LAYOUTS
from kodata.sources.record import Failure, Part, Record, Settings


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


def is_aihub(path: str | Path) -> bool:
    """Whether a file is an archive, whose members are then looked at one by one, or its content is of a known layout."""
    from kodata.sources.archives import pieces_of

    path = Path(path)
    if pieces_of(path) or path.suffix.lower() in (".zip", ".tar"):
        return True
    for part in _parts(path):
        for item in _outs(part, Settings()):
            if isinstance(item, Text | TaskItem):
                return True
            break
    return False


def read_tasks(path: str | Path, settings: Settings | None = None) -> Iterator[TaskItem | Failure]:
    """Task items of a file or archive, streaming; halves that have no counterpart in it come at the end."""
    return read_tasks_many([path], settings)


def read_tasks_many(
    paths: Iterable[str | Path], settings: Settings | None = None
) -> Iterator[TaskItem | Failure]:
    """Task items of several files, questions joined with answers that another file or archive holds."""
    settings = settings or Settings()
    outs = (out for path in paths for part in _parts(Path(path)) for out in _outs(part, settings))
    return join_halves(out for out in outs if isinstance(out, TaskItem | Failure))


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


_WITH_TASKS = ("json", "jsonl", "csv", "tsv", "xlsx")


def _parts(path: Path) -> list[Part]:
    from kodata.sources.forms import parts

    return parts(path, path.name, "auto", 1 << 62, 0)


def _outs(part: Part, settings: Settings) -> Iterator[Out]:
    """What a part gives, texts and tasks alike."""
    from kodata.sources.archives import read_nested
    from kodata.sources.forms import FORMS, no_reader, recognise
    from kodata.sources.streams import BrokenInput, open_bytes

    try:
        if part.form == "nested":
            yield from read_nested(part, recognise, lambda handle, inner: _read(handle, inner, settings))  # type: ignore[arg-type, misc, return-value]
            return
        if part.form not in _WITH_TASKS:
            if part.form not in FORMS or part.form in ("zip", "tar"):
                yield Failure(part.label, "", no_reader(part))
            return  # documents without tasks
        with open_bytes(part.path, part.name, part.member, part.segments) as handle:
            yield from _read(handle, part, settings)
    except BrokenInput as error:
        yield Failure(part.label, "", str(error))


def _read(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Out]:
    from kodata.sources.aihub.reader import table_outputs
    from kodata.sources.aihub.tolerant import is_table
    from kodata.sources.rows import csv_rows, xlsx_rows

    source = Source.of(part, settings)
    table = part.form == "json" and is_table(handle.peek(4096))  # type: ignore[attr-defined]
    if part.form in ("json", "jsonl") and not table:
        for out in file_outputs(handle, source):
            assert not isinstance(out, Record)
            yield out
        return
    sheets = (
        xlsx_rows(handle) if part.form == "xlsx" else [("", csv_rows(handle, table or part.form == "tsv"))]
    )
    for sheet, rows in sheets:
        number, first = next(iter(rows), (0, []))
        header = [str(name).strip().lstrip("\ufeff") if name is not None else "" for name in first]
        outs = table_outputs(header, _put_back(number, first, rows), source)
        if outs is None:
            yield Failure(source.label, sheet, str(UnknownLayout(", ".join(header[:30]), "표 (table)")))
            continue
        for out in outs:
            out.place = f"{sheet}!{out.place}" if sheet else out.place
            yield out


def _put_back(
    number: int, first: list[Any], rows: Iterable[tuple[int, list[Any]]]
) -> Iterator[tuple[int, list[Any]]]:
    yield number, first
    yield from rows
