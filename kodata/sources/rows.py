"""Records in rows: JSON lines, JSON, CSV, TSV, XLSX, Parquet and Arrow files. Each row becomes a Record or a Failure."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

from kodata.sources.fields import TEXT_KEYS, NoText, record
from kodata.sources.record import Failure, Part, Record, Settings
from kodata.sources.streams import BrokenInput, read_all
from kodata.text.encoding import sniff

MAX_LINE_BYTES = 256 << 20
MAX_JSON_BYTES = 512 << 20
MAX_DEPTH = 100
"""Lists and objects in one another: what reads deeper ones would run out of stack."""
_LIST_KEYS = ("data", "documents", "document", "rows", "items", "records", "articles")


def _made(row: Any, part: Part, place: str, settings: Settings) -> Record | Failure:
    if not isinstance(row, Mapping):
        if isinstance(row, str) and not settings.text_field:
            row = {"text": row}
        else:
            return Failure(part.label, place, f"JSON 객체가 아님 (not a JSON object): {type(row).__name__}")
    try:
        return record(row, place, settings)
    except NoText as error:
        return Failure(part.label, place, str(error))


def _loads(data: bytes) -> Any:
    """One JSON value. orjson is strict; lone surrogates and NaN, which it refuses, are real data."""
    import orjson

    try:
        return flat_enough(orjson.loads(data), data)
    except orjson.JSONDecodeError:
        return flat_enough(json.loads(data.decode("utf-8", "strict").lstrip("\ufeff")), data)


def lines(handle: BinaryIO, start: int, end: int, number: int) -> Iterator[tuple[int, bytes | None]]:
    """(line number, line); None for a line over the limit, which is skipped without being held."""
    position = start
    while not end or position < end:
        line = handle.readline(MAX_LINE_BYTES + 1)
        if not line:
            return
        position += len(line)
        number += 1
        if len(line) > MAX_LINE_BYTES:
            while line and not line.endswith(b"\n"):
                line = handle.readline(1 << 24)
                position += len(line)
            yield number, None
        else:
            yield number, line


def json_lines(
    handle: BinaryIO, start: int = 0, end: int = 0, line: int = 0
) -> Iterator[tuple[int, Any, str]]:
    """(line number, value, "") of JSON lines in UTF-8, UTF-16 with its mark, or CP949; (number, None, why) for a broken one.

    `start`, `end`: bytes to read from and to (0 = the end); `line`: lines before `start`. Blank lines are passed over.
    """
    if start == 0:
        head = handle.peek(4)[:4]  # type: ignore[attr-defined]
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = io.TextIOWrapper(handle, "utf-16", "replace", newline="\n")
            for number, decoded in enumerate(text, 1):
                if decoded.strip():
                    yield number, *_value(decoded.encode("utf-8", "surrogatepass"))
            return
    else:
        handle.seek(start)
    for number, raw in lines(handle, start, end, line):
        if raw is None:
            limit = MAX_LINE_BYTES >> 20
            yield number, None, f"한 줄이 {limit} MiB를 넘음 (line over {limit} MiB)"
            continue
        if number == 1 and raw.startswith(codecs.BOM_UTF8):
            raw = raw[3:]
        if raw := raw.strip(b" \t\r\n\0"):
            yield number, *_value(raw)


def _value(line: bytes) -> tuple[Any, str]:
    """(value, "") of one line, or (None, why it is none)."""
    try:
        return _loads(line), ""
    except UnicodeDecodeError as error:
        try:
            return flat_enough(json.loads(line.decode("cp949")), line), ""
        except ValueError:
            return None, f"UTF-8이 아닌 글자 (bad UTF-8 at byte {error.start + 1})"
    except (ValueError, RecursionError) as error:
        return None, f"JSON이 깨짐 (broken JSON: {_short(error)})"


def flat_enough(value: Any, data: bytes) -> Any:
    """The value, unless lists and objects stand more than MAX_DEPTH deep in one another: ValueError."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return value
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        level = inner
    if any(isinstance(item, dict | list) for item in level):
        raise ValueError(f"{MAX_DEPTH}겹보다 깊음, nested over {MAX_DEPTH} deep")
    return value


def read_jsonl(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """JSON lines, each one a record."""
    for number, row, wrong in json_lines(handle, part.start, part.end, part.line):
        if wrong:
            yield Failure(part.label, str(number), wrong)
        else:
            yield _made(row, part, str(number), settings)


def one_line(line: bytes, part: Part, number: int, settings: Settings) -> Iterator[Record | Failure]:
    """The record of one line of a JSONL file, or its failure; nothing of a blank one."""
    if number == 1 and line.startswith(codecs.BOM_UTF8):
        line = line[3:]
    if line := line.strip(b" \t\r\n\0"):
        row, wrong = _value(line)
        yield Failure(part.label, str(number), wrong) if wrong else _made(row, part, str(number), settings)


def _short(error: Exception) -> str:
    return str(error).split(": line 1 ")[0][:120]


def read_json(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """A delivered AI Hub or NIKL file by its layout; else a JSON list of objects, one object with a text, an object with
    one list of objects, a notebook, or JSON lines that are called .json. With --text-field only the latter."""
    from kodata.sources.aihub import read_json as read_known
    from kodata.sources.aihub.tolerant import is_table

    if is_table(handle.peek(4096)):  # type: ignore[attr-defined]
        yield from read_csv(handle, replace(part, form="tsv"), settings)
    else:
        yield from read_known(handle, part, settings, _root)


def _root(root: Any, part: Part, settings: Settings, place: str) -> Iterator[Record | Failure]:
    """A value of no known layout. place: its line or number where the file has several values."""
    if isinstance(root, Mapping) and isinstance(root.get("cells"), list) and "nbformat" in root:
        yield _notebook(root, part, settings)
        return
    if isinstance(root, Mapping):
        try:
            yield record(root, place, settings)
            return
        except NoText as error:
            lists = [
                k
                for k, v in root.items()
                if isinstance(v, list) and v and all(isinstance(x, Mapping) for x in v)
            ]
            named = [k for k in _LIST_KEYS if k in lists] or (lists if len(lists) == 1 else [])
            if not named:
                yield Failure(part.label, place, f"모르는 JSON 짜임 (unknown JSON layout). {error}")
                return
            root = root[named[0]]
    if not isinstance(root, list):
        yield Failure(part.label, place, f"모르는 JSON 짜임 (unknown JSON layout): {type(root).__name__}")
        return
    for number, row in enumerate(root, 1):
        yield _made(row, part, f"{place}/{number}" if place else str(number), settings)


def _notebook(root: Mapping[str, Any], part: Part, settings: Settings) -> Record:
    pieces = []
    for cell in root["cells"]:
        source = cell.get("source", "") if isinstance(cell, Mapping) else ""
        source = "".join(s for s in source if isinstance(s, str)) if isinstance(source, list) else str(source)
        if source.strip():
            pieces.append(f"```\n{source.rstrip()}\n```" if cell.get("cell_type") == "code" else source)
    meta = {
        name: value
        for name, value in (("licence", settings.licence), ("kind", settings.kind))
        if value is not None
    }
    return Record("\n\n".join(pieces), "", None, settings.source, {**meta, "file": part.name})


def _table(
    rows: Iterable[tuple[int, list[Any]]], part: Part, settings: Settings
) -> Iterator[Record | Failure]:
    header: list[str] | None = None
    rows = iter(rows)
    for number, row in rows:
        if header is None:
            header = [str(name).strip().lstrip("\ufeff") if name is not None else "" for name in row]
            if known := _known_table(header, number, row, rows, part, settings):
                yield from known
                return
            continue
        if not any(cell not in (None, "") for cell in row):
            continue
        if len(row) > len(header):
            yield Failure(
                part.label,
                str(number),
                f"칸이 머리줄보다 많음 (more cells than the header: {len(row)} > {len(header)})",
            )
            continue
        yield _made(
            {k: v for k, v in zip(header, row, strict=False) if k and v not in (None, "")}
            | _empty_text(header, row, settings),
            part,
            str(number),
            settings,
        )


def _known_table(
    header: list[str],
    number: int,
    first: list[Any],
    rows: Iterator[tuple[int, list[Any]]],
    part: Part,
    settings: Settings,
) -> Iterator[Record | Failure] | None:
    """A table as AI Hub or NIKL deliver it."""
    if settings.text_field:
        return None
    from kodata.sources.aihub import read_table

    return read_table(header, number, first, rows, part, settings)


def _empty_text(header: list[str], row: list[Any], settings: Settings) -> dict[str, str]:
    """Text columns that are empty in this row stay visible as empty strings: the row is an empty document, not a
    failure."""
    if settings.text_field:
        wanted = [name for name in header if name and name in settings.text_field]
        return {
            name: ""
            for name in wanted
            if header.index(name) >= len(row) or row[header.index(name)] in (None, "")
        }
    for name in header:
        if name.lower() in TEXT_KEYS:
            at = header.index(name)
            return {name: ""} if at >= len(row) or row[at] in (None, "") else {}
    return {}


def csv_rows(handle: BinaryIO, tabs: bool) -> Iterator[tuple[int, list[Any]]]:
    """(line, cells) of a CSV with quotes, or of a TSV without (a quotation mark in a TSV is text)."""
    csv.field_size_limit(MAX_LINE_BYTES)
    encoding = sniff(handle.peek(1 << 16))  # type: ignore[attr-defined]
    text = io.TextIOWrapper(handle, encoding, "replace", newline="")
    reader = csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE) if tabs else csv.reader(text)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise BrokenInput(f"CSV가 깨짐 (broken CSV: {error}, {reader.line_num})") from None
    finally:
        text.detach()


def read_csv(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """CSV or TSV. The first row is the header."""
    yield from _table(csv_rows(handle, part.form == "tsv"), part, settings)


def xlsx_rows(handle: BinaryIO) -> Iterator[tuple[str, Iterator[tuple[int, list[Any]]]]]:
    """(title, rows) of every sheet of a workbook. Raises BrokenInput."""
    import zipfile

    from openpyxl import load_workbook

    data = io.BytesIO(read_all(handle, MAX_JSON_BYTES))
    try:
        with zipfile.ZipFile(data) as archive:
            if sum(info.file_size for info in archive.infolist()) > 4 << 30:
                raise BrokenInput("압축을 풀면 너무 큰 XLSX (workbook unpacks too large)")
        book = load_workbook(data, read_only=True, data_only=True)
    except BrokenInput:
        raise
    except Exception as error:  # openpyxl raises many kinds for damaged files
        raise BrokenInput(f"XLSX를 읽을 수 없음 (cannot read XLSX: {type(error).__name__})") from None
    for sheet in book.worksheets:
        yield sheet.title, ((n, list(row)) for n, row in enumerate(sheet.iter_rows(values_only=True), 1))


def read_xlsx(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """Every sheet of a workbook; the first row of each is its header."""
    for title, rows in xlsx_rows(handle):
        for item in _table(rows, part, settings):
            item.place = f"{title}!{item.place}"
            yield item


def read_parquet(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """Rows of the row groups `start` to `end` of a Parquet file."""
    for number, row in parquet_rows(handle, part.start, part.end, part.line):
        yield _made(row, part, str(number), settings)


def parquet_rows(
    handle: BinaryIO, start: int = 0, end: int = 0, number: int = 0
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number, row) of the row groups `start` to `end` (0 = all) of a Parquet file. Raises BrokenInput."""
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(handle)
        groups = list(range(start, end)) if end else None
        for batch in file.iter_batches(batch_size=512, row_groups=groups):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pyarrow.ArrowException, OSError) as error:
        raise BrokenInput(f"Parquet을 읽을 수 없음 (cannot read Parquet: {_short(error)})") from None


def read_arrow(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """An Arrow stream or file, as `datasets.save_to_disk` leaves them."""
    for number, row in arrow_rows(handle):
        yield _made(row, part, str(number), settings)


def arrow_rows(handle: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number, row) of an Arrow stream or file. Raises BrokenInput."""
    import pyarrow
    import pyarrow.ipc

    try:
        try:
            stream = pyarrow.ipc.open_stream(handle)
        except pyarrow.ArrowInvalid:
            handle.seek(0)
            opened = pyarrow.ipc.open_file(handle)
            stream = (opened.get_batch(i) for i in range(opened.num_record_batches))
        number = 0
        for batch in stream:
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pyarrow.ArrowException, OSError) as error:
        raise BrokenInput(f"Arrow를 읽을 수 없음 (cannot read Arrow: {_short(error)})") from None
