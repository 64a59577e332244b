"""Task items for chats and pairs of whole files: tables, JSON and archives of AI Hub and NIKL as they are delivered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from kodata.sources.aihub.item import TaskItem, Text, UnknownLayout
from kodata.sources.aihub.reader import Out, Source, file_outputs, table_outputs
from kodata.sources.aihub.tasks import join_halves
from kodata.sources.aihub.tolerant import is_table
from kodata.sources.archives import pieces_of, read_nested
from kodata.sources.forms import FORMS, no_reader, parts, recognise
from kodata.sources.record import Failure, Part, Record, Settings
from kodata.sources.rows import csv_rows, xlsx_rows
from kodata.sources.streams import BrokenInput, open_bytes


def is_aihub(path: str | Path) -> bool:
    """Whether a file is an archive, whose members are then looked at one by one, or its content is of a known layout."""
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


_WITH_TASKS = ("json", "jsonl", "csv", "tsv", "xlsx")


def _parts(path: Path) -> list[Part]:
    return parts(path, path.name, "auto", 1 << 62, 0)


def _outs(part: Part, settings: Settings) -> Iterator[Out]:
    """What a part gives, texts and tasks alike."""
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
