"""Records in rows: JSON lines, JSON, CSV, TSV, XLSX, Parquet and Arrow files. Each row becomes a Record or a Failure."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from kodata.sources.fields import TEXT_KEYS, NoText, record
from kodata.sources.record import Failure, Part, Record, Settings
from kodata.sources.streams import BrokenInput, read_all
from kodata.text.encoding import sniff

MAX_LINE_BYTES = 256 << 20
MAX_JSON_BYTES = 512 << 20
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
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data.decode("utf-8", "strict").lstrip("\ufeff"))


def _lines(handle: BinaryIO, part: Part) -> Iterator[tuple[int, bytes | None]]:
    """(line number, line); None for a line over the limit, which is skipped without being held."""
    position, number = part.start, part.line
    while not part.end or position < part.end:
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


def read_jsonl(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """JSON lines in UTF-8 (a CP949 line is understood); UTF-16 files are decoded first."""
    if part.start == 0:
        head = handle.peek(4)[:4]  # type: ignore[attr-defined]
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = io.TextIOWrapper(handle, "utf-16", "replace", newline="\n")
            for number, decoded in enumerate(text, 1):
                yield from _line(number, decoded.encode("utf-8", "surrogatepass"), part, settings)
            return
    else:
        handle.seek(part.start)
    for number, line in _lines(handle, part):
        if line is None:
            yield Failure(
                part.label,
                str(number),
                f"한 줄이 {MAX_LINE_BYTES >> 20} MiB를 넘음 (line over {MAX_LINE_BYTES >> 20} MiB)",
            )
        else:
            yield from _line(number, line, part, settings)


def _line(number: int, line: bytes, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    if number == 1 and line.startswith(codecs.BOM_UTF8):
        line = line[3:]
    line = line.strip(b" \t\r\n\0")
    if not line:
        return
    try:
        row = _loads(line)
    except UnicodeDecodeError as error:
        try:
            row = json.loads(line.decode("cp949"))
        except ValueError:
            yield Failure(part.label, str(number), f"UTF-8이 아닌 글자 (bad UTF-8 at byte {error.start + 1})")
            return
    except (ValueError, RecursionError) as error:
        yield Failure(part.label, str(number), f"JSON이 깨짐 (broken JSON: {_short(error)})")
        return
    yield _made(row, part, str(number), settings)


def _short(error: Exception) -> str:
    return str(error).split(": line 1 ")[0][:120]


def read_json(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """A JSON list of objects, one object with a text, an object with one list of objects, a notebook, or JSON lines
    that are called .json."""
    data = read_all(handle, MAX_JSON_BYTES)
    encoding = sniff(data[: 1 << 16])
    try:
        root = _loads(
            data.removeprefix(codecs.BOM_UTF8)
            if encoding.startswith("utf-8")
            else data.decode(encoding, "replace").encode()
        )
    except (ValueError, RecursionError) as error:
        if data.count(b"\n") and b"}\n{" in data.replace(b"\r", b""):
            yield from read_jsonl(io.BufferedReader(io.BytesIO(data)), part, settings)  # type: ignore[arg-type]
            return
        yield Failure(part.label, "", f"JSON이 깨짐 (broken JSON: {_short(error)})")
        return
    if isinstance(root, Mapping) and isinstance(root.get("cells"), list) and "nbformat" in root:
        yield _notebook(root, part, settings)
        return
    if isinstance(root, Mapping):
        try:
            yield record(root, "", settings)
            return
        except NoText as error:
            lists = [
                k
                for k, v in root.items()
                if isinstance(v, list) and v and all(isinstance(x, Mapping) for x in v)
            ]
            named = [k for k in _LIST_KEYS if k in lists] or (lists if len(lists) == 1 else [])
            if not named:
                yield Failure(part.label, "", f"모르는 JSON 짜임 (unknown JSON layout). {error}")
                return
            root = root[named[0]]
    if not isinstance(root, list):
        yield Failure(part.label, "", f"모르는 JSON 짜임 (unknown JSON layout): {type(root).__name__}")
        return
    for number, row in enumerate(root, 1):
        yield _made(row, part, str(number), settings)


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
    for number, row in rows:
        if header is None:
            header = [str(name).strip().lstrip("\ufeff") if name is not None else "" for name in row]
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


def read_csv(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """CSV with quotes, or TSV without (a quotation mark in a TSV is text). The first row is the header."""
    csv.field_size_limit(MAX_LINE_BYTES)
    encoding = sniff(handle.peek(1 << 16))  # type: ignore[attr-defined]
    text = io.TextIOWrapper(handle, encoding, "replace", newline="")
    if part.form == "tsv":
        reader = csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(text)
    try:
        yield from _table(((reader.line_num, row) for row in reader), part, settings)
    except csv.Error as error:
        yield Failure(part.label, str(reader.line_num), f"CSV가 깨짐 (broken CSV: {error})")
    finally:
        text.detach()


def read_xlsx(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """Every sheet of a workbook; the first row of each is its header."""
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
        rows = ((number, list(row)) for number, row in enumerate(sheet.iter_rows(values_only=True), 1))
        for item in _table(rows, part, settings):
            item.place = f"{sheet.title}!{item.place}"
            yield item


def read_parquet(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """Rows of the row groups `start` to `end` of a Parquet file."""
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(handle)
        groups = list(range(part.start, part.end)) if part.end else None
        number = part.line
        for batch in file.iter_batches(batch_size=512, row_groups=groups):
            for row in batch.to_pylist():
                number += 1
                yield _made(row, part, str(number), settings)
    except (pyarrow.ArrowException, OSError) as error:
        raise BrokenInput(f"Parquet을 읽을 수 없음 (cannot read Parquet: {_short(error)})") from None


def read_arrow(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """An Arrow stream or file, as `datasets.save_to_disk` leaves them."""
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
                yield _made(row, part, str(number), settings)
    except (pyarrow.ArrowException, OSError) as error:
        raise BrokenInput(f"Arrow를 읽을 수 없음 (cannot read Arrow: {_short(error)})") from None
