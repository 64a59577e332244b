"""What both builders read: rows of files and Hub datasets, and the task records of AI Hub deliveries, each with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from kodata.chat.layouts import layout_of
from kodata.chat.rows import ROW_SUFFIXES, BadRow, read_rows
from kodata.chat.sieve import Place, Sieve
from kodata.run.errors import UserError
from kodata.run.inputs import expand
from kodata.sources.hub import PREFIX, open_dataset, parse

AIHUB_SUFFIXES = (".zip", ".tar")
_PARTS = re.compile(r"\.zip\.part\d+$")


def input_sources(inputs: Sequence[str | Path] | str | Path) -> list[Path | str]:
    """Files, and `hf:` addresses as they are. Raises UserError for an input that is missing or holds nothing to read."""
    inputs = [inputs] if isinstance(inputs, str | Path) else inputs
    found: dict[str, Path | str] = {}
    for item in inputs:
        if str(item).startswith(PREFIX):
            parse(str(item))
            found.setdefault(str(item), str(item))
            continue
        files = [f for f in expand([item]) if not Path(item).is_dir() or _readable(f)]
        if not files:
            raise UserError(
                f"폴더에 읽을 파일이 없습니다 (no input files in folder): {item}",
                f"읽는 것 (what is read): {' '.join((*ROW_SUFFIXES[::3], *AIHUB_SUFFIXES))}",
            )
        for file in files:
            found.setdefault(str(file.resolve()), file)
    if not found:
        raise UserError(
            "입력이 없습니다 (no input given)", "파일·폴더·글롭·hf: 이름을 적으십시오 (name the inputs)"
        )
    return list(found.values())


def _readable(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith((*ROW_SUFFIXES, *AIHUB_SUFFIXES)) or bool(_PARTS.search(name))


def rows_of(sources: Sequence[Path | str], sieve: Sieve) -> Iterator[tuple[Place, Any]]:
    """Rows (dicts) and AI Hub task records of all sources in order; what cannot be read is dropped into the sieve.

    Questions and answers that found no other half in their file are joined across files at the end.
    """
    halves: list[tuple[Path, Any]] = []
    for source in sources:
        if isinstance(source, str):
            yield from _hub(source, sieve)
        elif _is_aihub(source):
            yield from _tasks(source, sieve, halves)
        else:
            for line, row in read_rows(source):
                if isinstance(row, BadRow):
                    sieve.drop(Place(source, line, None), "broken", value=row.message)
                else:
                    yield Place(source, line, row), row
    if halves:
        from kodata.sources.aihub import join_halves

        homes = {id(item.meta): file for file, item in halves}
        for item in join_halves(item for _, item in halves):
            yield _place(homes[id(item.meta)], item), item  # type: ignore[union-attr]


def _is_aihub(path: Path) -> bool:
    """Whether AI Hub's reader takes the file. KorQuAD and KLUE-MRC, which its reading layout would also take, are read here."""
    from kodata.sources.task_files import is_aihub

    if path.name.lower().endswith(ROW_SUFFIXES):
        row = next((row for _, row in islice(read_rows(path), 1)), None)
        if isinstance(row, dict) and "title" in row and "doc_title" not in row and layout_of(row) == "squad":
            return False
    return is_aihub(path)


def _hub(address: str, sieve: Sieve) -> Iterator[tuple[Place, dict[str, Any]]]:
    name = Path(parse(address).name)
    for number, row in enumerate(open_dataset(address), 1):
        yield Place(name, number, row), row


def _tasks(file: Path, sieve: Sieve, halves: list[tuple[Path, Any]]) -> Iterator[tuple[Place, Any]]:
    """Task records of one file; halves are set aside."""
    from kodata.sources import Failure
    from kodata.sources.task_files import read_tasks

    for item in read_tasks(file):
        if isinstance(item, Failure):
            sieve.drop(Place(Path(item.file), item.place, None), "broken", value=item.reason)
        elif item.kind in ("question", "answer"):
            halves.append((file, item))
        else:
            yield _place(file, item), item


def _place(file: Path, item: Any) -> Place:
    return Place(file, item.place, {"kind": item.kind, "id": item.id, **item.fields})
