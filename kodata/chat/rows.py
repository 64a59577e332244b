"""Rows of a table-like file, one dict each, with the line they stand on. A broken row does not stop the rest.

Bytes, lines and tables are read by `kodata.sources`; here they only become dicts and BadRows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

import orjson

from kodata.run.errors import UsageError, UserError

SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet", ".csv", ".tsv", ".xlsx", ".arrow")
COMPRESSIONS = (".gz", ".zst")
ROW_SUFFIXES = tuple(s + c for s in SUFFIXES for c in ("", *COMPRESSIONS))


@dataclass(slots=True)
class BadRow:
    """A row that could not be read at all, and why."""

    message: str


Rows = Iterator[tuple[int, dict[str, Any] | BadRow]]


def read_rows(path: str | Path) -> Rows:
    """(line, row) of a JSONL, JSON list, CSV, TSV, XLSX, Parquet or Arrow file, gzip or zstd allowed.

    The line is 1-based; for a JSON list, Parquet and Arrow it is the number of the item.
    A file that cannot be opened raises `UserError`; a line that cannot be parsed is a `BadRow`.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"파일이 없습니다 (no such file): {path}", help="경로를 확인하세요 (check the path)")
    suffix = _kind(path)
    with open_binary(path) as stream:
        yield from _READERS[suffix](stream, path)


@contextmanager
def open_binary(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed by its first bytes (a wrong suffix does not matter).

    A cut or broken archive, or a file that may not be read, raises `UserError`.
    """
    from kodata.sources.streams import BrokenInput, open_bytes

    try:
        with open(path, "rb") as raw:
            head = raw.read(4)
        packed = ".gz" if head[:2] == b"\x1f\x8b" else ".zst" if head == b"\x28\xb5\x2f\xfd" else ""
        with open_bytes(str(path), f"rows{packed}") as stream:
            yield stream
    except (BrokenInput, OSError) as error:
        raise UserError(f"읽을 수 없습니다 (cannot read): {error}", file=str(path)) from None


def _kind(path: Path) -> str:
    name = path.name.lower()
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return ".jsonl" if suffix == ".ndjson" else suffix
    raise UserError(
        f"모르는 형식입니다 (unknown file type): {path.name}",
        help=f"지원 (supported): {' '.join(SUFFIXES)}, .gz .zst",
        file=str(path),
    )


def check_output(path: str | Path) -> None:
    """Refuse the name of another file type for an output that is JSON lines: readers go by the name."""
    name = Path(path).name.lower()
    if name.endswith(ROW_SUFFIXES) and not name.endswith((".jsonl", ".ndjson")):
        raise UsageError(
            f"출력은 JSONL입니다 (the output is JSON lines): {path}",
            f"-o {Path(path).name.split('.')[0]}.jsonl",
        )


def parse_json(line: bytes) -> Any:
    """One JSON value; NaN and lone surrogates, which orjson refuses, go through the standard parser."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line)


def _jsonl(stream: Any, path: Path) -> Rows:
    from kodata.sources.rows import json_lines

    if stream.peek(64)[:64].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
        yield from _json(stream, path)
        return
    for number, row, wrong in json_lines(stream):
        if wrong:
            yield number, BadRow(wrong)
        else:
            yield number, row if isinstance(row, dict) else BadRow(_not_object(row))


def _json(stream: IO[bytes], path: Path) -> Rows:
    from kodata.sources.rows import MAX_JSON_BYTES, flat_enough
    from kodata.sources.streams import read_all

    data = read_all(stream, MAX_JSON_BYTES).removeprefix(b"\xef\xbb\xbf")  # type: ignore[arg-type]
    if not data.strip():
        return
    try:
        value = flat_enough(parse_json(data), data)
    except UnicodeDecodeError:
        value = parse_json(data.decode("cp949", "replace").encode())
    except (ValueError, RecursionError) as error:
        raise UserError(f"JSON이 아닙니다 (not JSON): {error}", file=str(path)) from None
    if isinstance(value, dict):
        lists = [v for v in value.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
        value = lists[0] if len(lists) == 1 and "messages" not in value else [value]
    elif not isinstance(value, list):
        value = [value]
    for number, row in enumerate(value, 1):
        yield number, row if isinstance(row, dict) else BadRow(_not_object(row))


def _not_object(row: Any) -> str:
    return f"JSON 객체가 아닙니다: {type(row).__name__} (not a JSON object)"


def _csv(stream: Any, path: Path) -> Rows:
    from kodata.sources.rows import csv_rows

    yield from _table(csv_rows(stream, False))


def _tsv(stream: Any, path: Path) -> Rows:
    """In TSV a quote is usually just a quote, and only a cell quoted as a whole is unquoted."""
    from kodata.sources.rows import csv_rows

    yield from _table((n, [_unquote(cell) for cell in cells]) for n, cells in csv_rows(stream, True))


def _xlsx(stream: Any, path: Path) -> Rows:
    """The rows of all sheets, each with its own header, numbered through."""
    from kodata.sources.rows import xlsx_rows

    sheets = (_table(rows) for _, rows in xlsx_rows(stream))
    yield from enumerate((row for _, row in chain.from_iterable(sheets)), 2)


def _table(rows: Iterable[tuple[int, list[Any]]]) -> Rows:
    """Rows under the header; a table that breaks is broken from there on."""
    from kodata.sources.streams import BrokenInput

    header: list[str] | None = None
    number = 0
    try:
        for number, cells in rows:
            if not any(cell not in (None, "") for cell in cells):
                continue
            if header is None:
                header = [str(name).strip().lstrip("\ufeff") if name is not None else "" for name in cells]
            elif len(cells) > len(header):
                yield number, BadRow(f"칸이 {len(cells)}개, 머리글은 {len(header)}개입니다 (too many cells)")
            else:
                yield number, {key: value for key, value in zip(header, cells, strict=False) if key}
    except BrokenInput as error:
        yield number + 1, BadRow(str(error))


def _unquote(cell: str) -> str:
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', "")
    return cell[1:-1].replace('""', '"') if quoted else cell


def _parquet(stream: Any, path: Path) -> Rows:
    from kodata.sources.rows import parquet_rows

    yield from parquet_rows(stream)


def _arrow(stream: Any, path: Path) -> Rows:
    from kodata.sources.rows import arrow_rows

    yield from arrow_rows(stream)


_READERS = {
    ".jsonl": _jsonl, ".json": _json, ".csv": _csv, ".tsv": _tsv, ".xlsx": _xlsx, ".parquet": _parquet, ".arrow": _arrow,
}  # fmt: skip
