"""Rows of a table-like file, one dict each, with the line they stand on. A broken row does not stop the rest."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from kodata.run.errors import UserError

SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet", ".csv", ".tsv")
COMPRESSIONS = (".gz", ".zst")
ROW_SUFFIXES = tuple(s + c for s in SUFFIXES for c in ("", *COMPRESSIONS))


MAX_LINE_BYTES = 256 << 20


@dataclass(slots=True)
class BadRow:
    """A row that could not be read at all, and why."""

    message: str


def read_rows(path: str | Path) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    """(line, row) of a JSONL, JSON list, CSV, TSV or Parquet file, gzip or zstd allowed.

    The line is 1-based; for a JSON list and Parquet it is the number of the item.
    A file that cannot be opened raises `UserError`; a line that cannot be parsed is a `BadRow`.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"파일이 없습니다 (no such file): {path}", help="경로를 확인하세요 (check the path)")
    suffix = _kind(path)
    if suffix == ".parquet":
        yield from _parquet(path)
        return
    with open_binary(path) as stream:
        if suffix == ".csv":
            yield from _csv(stream)
        elif suffix == ".tsv":
            yield from _tsv(stream)
        elif suffix == ".json":
            yield from _json_list(stream.read(), path)
        else:
            yield from _jsonl(stream, path)


@contextmanager
def open_binary(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed by its first bytes (a wrong suffix does not matter).

    A cut or broken archive, or a file that may not be read, raises `UserError`.
    """
    import zstandard

    try:
        with open(path, "rb") as raw:
            head = raw.read(4)
            raw.seek(0)
            if head[:2] == b"\x1f\x8b":
                with gzip.open(raw) as unpacked:
                    yield unpacked  # type: ignore[misc]
            elif head == b"\x28\xb5\x2f\xfd":
                reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
                yield io.BufferedReader(reader, 1 << 20)  # type: ignore[arg-type]
            else:
                yield raw
    except (EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
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


def parse_json(line: bytes) -> Any:
    """One JSON value; NaN and lone surrogates, which orjson refuses, go through the standard parser."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line)


def _jsonl(stream: IO[bytes], path: Path) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE_BYTES + 1), b""), 1):
        if len(line) > MAX_LINE_BYTES:
            while line and not line.endswith(b"\n"):  # the rest of it is passed by, not held
                line = stream.readline(1 << 24)
            yield number, BadRow(f"줄이 {MAX_LINE_BYTES >> 20} MB보다 깁니다 (line too long)")
            continue
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
            if line.lstrip().startswith(b"["):
                yield from _json_list(line + stream.read(), path)
                return
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except (ValueError, RecursionError) as error:
            yield number, BadRow(f"JSON이 아닙니다 (not JSON): {error}")
            continue
        yield number, row if isinstance(row, dict) else BadRow(_not_object(row))


def _json_list(data: bytes, path: Path) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        return
    try:
        value = parse_json(data)
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


def _text(stream: IO[bytes]) -> str:
    """The whole table as text: UTF-8, or CP949 as spreadsheets on Korean Windows write it."""
    data = stream.read()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp949", errors="replace")


def _csv(stream: IO[bytes]) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    csv.field_size_limit(1 << 30)
    reader = csv.reader(io.StringIO(_text(stream), newline=""))
    header: list[str] | None = None
    start = 1
    try:
        for cells in reader:
            line, start = start, reader.line_num + 1
            if header is None:
                header = cells
            elif cells:
                yield line, _row(header, cells)
    except csv.Error as error:
        yield start, BadRow(f"CSV가 아닙니다 (not CSV): {error}")


def _tsv(stream: IO[bytes]) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    """A line is a row: in TSV a quote is usually just a quote, and only a cell quoted as a whole is unquoted."""
    header: list[str] | None = None
    for number, line in enumerate(_text(stream).split("\n"), 1):
        line = line.removesuffix("\r")
        if not line.strip():
            continue
        cells = [_unquote(cell) for cell in line.split("\t")]
        if header is None:
            header = cells
        else:
            yield number, _row(header, cells)


def _unquote(cell: str) -> str:
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', "")
    return cell[1:-1].replace('""', '"') if quoted else cell


def _row(header: list[str], cells: list[str]) -> dict[str, Any] | BadRow:
    if len(cells) > len(header):
        return BadRow(f"칸이 {len(cells)}개, 머리글은 {len(header)}개입니다 (too many cells)")
    return {key: value for key, value in zip(header, cells, strict=False) if key}


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"Parquet이 아닙니다 (not Parquet): {error}", file=str(path)) from None
