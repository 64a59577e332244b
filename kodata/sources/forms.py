"""Which form a file has, how it is cut into parts, and which reader reads it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from kodata.run.inputs import is_run
from kodata.sources.aihub.conll import is_conll, read_conll
from kodata.sources.archives import explain, pieces_of, read_nested, tar_parts, zip_parts
from kodata.sources.epub import read_epub
from kodata.sources.gettext import read_po
from kodata.sources.html import read_html
from kodata.sources.hub import PREFIX, dataset_parts, read_dataset
from kodata.sources.hwp import OLE_MAGIC, read_hwp
from kodata.sources.hwpx import read_hwpx
from kodata.sources.plain import read_text
from kodata.sources.record import Failure, Part, Record, Settings
from kodata.sources.rows import read_arrow, read_csv, read_json, read_jsonl, read_parquet, read_xlsx
from kodata.sources.streams import BLOCK, BrokenInput, open_bytes, packing
from kodata.sources.tars import read_tar
from kodata.sources.warc import read_warc
from kodata.sources.xml import read_xml

_READERS = {
    "text": read_text, "jsonl": read_jsonl, "json": read_json, "csv": read_csv, "tsv": read_csv, "xlsx": read_xlsx,
    "parquet": read_parquet, "arrow": read_arrow, "html": read_html, "warc": read_warc, "epub": read_epub, "hwpx": read_hwpx, "hwp": read_hwp,
    "xml": read_xml, "po": read_po,
}  # fmt: skip
FORMS = (*_READERS, "zip", "tar", "hf")
_SUFFIXES = {
    ".txt": "text", ".text": "text", ".md": "text", ".markdown": "text", ".rst": "text", ".rmd": "text", ".log": "text",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".ipynb": "json", ".csv": "csv", ".tsv": "tsv", ".xlsx": "xlsx",
    ".parquet": "parquet", ".arrow": "arrow", ".html": "html", ".htm": "html", ".xhtml": "html", ".zip": "zip", ".tar": "tar",
    ".warc": "warc", ".arc": "warc", ".epub": "epub", ".hwpx": "hwpx", ".hwp": "hwp", ".xml": "xml", ".nxml": "xml", ".po": "po",
}  # fmt: skip
_DATASET_FILES = {"dataset_info.json", "state.json", "dataset_dict.json"}
_TEXT_EXPANDS = 4
"""About how much longer packed text is when unpacked; only to balance work units."""


_ZIPPED_FORMATS = frozenset(
    ".docx .docm .dotx .pptx .pptm .odt .ods .odp .pages .key .numbers .jar .war .apk .aar .whl .egg .xpi .ipa .kmz".split()
)
"""Formats in a zip that are not archives of texts, and that no reader here knows."""


def recognise(name: str, head: bytes) -> str:
    """Form of a file by its name, else by its first bytes; "unknown" when neither says."""
    bare = packing(name)[0]
    suffix = PurePosixPath(bare.lower()).suffix
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:512].lower()
    if start.startswith(b"pk\x03\x04") and start[30:38] == b"mimetype":
        return "epub" if b"epub+zip" in start else "hwpx" if b"hwp+zip" in start else "unknown"
    if start.startswith(b"pk\x03\x04") and (
        suffix in _ZIPPED_FORMATS or b"[content_types].xml" in start[:80]
    ):
        return "unknown"  # a document or a program whose members are not texts of their own
    if start.startswith(b"<?xml"):
        return "html" if b"<html" in start else "xml"
    for magic, form in (
        (OLE_MAGIC, "hwp"),
        (b"hwp document file v", "hwp"),
        (b"warc/", "warc"),
        (b"pk\x03\x04", "zip"),
        (b"par1", "parquet"),
        (b"arrow1", "arrow"),
        (b"<!doctype html", "html"),
        (b"<html", "html"),
    ):
        if start.startswith(magic):
            return form
    if start.startswith(b"{"):
        return "jsonl"
    if suffix in ("", ".dat", ".data", ".ko", ".kor") and b"\0" not in head and head:
        return "text"
    return "unknown"


def _head(path: str, name: str) -> bytes:
    try:
        with open_bytes(path, name) as handle:
            return handle.read(4096)
    except BrokenInput:
        return b""


def parts(path: Path, name: str, form: str, unit_bytes: int, argument: int) -> list[Part]:
    """Parts of one input file, in order: plain JSONL by byte ranges of about `unit_bytes`, Parquet by row groups, a zip
    by members, anything else whole. form "auto" recognises it."""
    text = str(path)
    if text.startswith(PREFIX):
        return dataset_parts(text, argument)
    if path.name in _DATASET_FILES and any(path.parent.glob("*.arrow")):
        return []  # the library's own notes beside its data files
    if path.name == "dataset_dict.json":
        return []
    pieces = pieces_of(path)
    if pieces and (not pieces.first or pieces.joined):
        return []  # read with the first part, or from the whole that lies beside them
    bare = pieces.name if pieces else path.name
    if form == "auto":
        form = recognise(bare, b"" if pieces else _head(text, path.name))
    size = pieces.size if pieces else os.path.getsize(path)
    packed = packing(bare)[1] or form in ("parquet", "xlsx", "epub", "hwpx")
    whole = Part(
        path=text, name=name, form=form, size=size * (_TEXT_EXPANDS if packed else 1), argument=argument
    )
    if pieces:
        if pieces.lack:
            return [_with(whole, form="lack")]
        whole = _with(whole, name=str(PurePosixPath(name).with_name(bare)), segments=pieces.segments)
        if form not in ("zip", "tar"):
            return [whole]
    if form == "jsonl" and not packed and size > 2 * unit_bytes:
        return _ranges(whole, unit_bytes)
    if form == "parquet":
        return _row_groups(whole, unit_bytes)
    if form == "zip":
        return zip_parts(whole, recognise)
    if form == "tar" and not packed:
        return tar_parts(whole, recognise)
    return [whole]


def _with(part: Part, **changes: object) -> Part:
    from dataclasses import replace

    return replace(part, **changes)  # type: ignore[arg-type]


def _ranges(whole: Part, unit_bytes: int) -> list[Part]:
    """Byte ranges that begin after a newline, each with the number of lines before it: one sequential pass."""
    found: list[Part] = []
    start = line = lines = position = 0
    with open(whole.path, "rb") as handle:
        if handle.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            return [whole]
        handle.seek(0)
        while block := handle.read(BLOCK):
            begun = 0
            while position + len(block) - start >= unit_bytes:
                cut = block.find(b"\n", max(begun, start + unit_bytes - position))
                if cut < 0:
                    break
                lines += block.count(b"\n", begun, cut + 1)
                begun = cut + 1
                end = position + begun
                found.append(_with(whole, start=start, end=end, line=line, size=end - start))
                start, line = end, lines
            lines += block.count(b"\n", begun)
            position += len(block)
    if position > start:
        found.append(_with(whole, start=start, end=position, line=line, size=position - start))
    return found


def _row_groups(whole: Part, unit_bytes: int) -> list[Part]:
    import pyarrow
    import pyarrow.parquet

    try:
        facts = pyarrow.parquet.read_metadata(whole.path)
    except (pyarrow.ArrowException, OSError):
        return [whole]  # the reader names what is wrong
    found: list[Part] = []
    first = rows = before = size = 0
    for i in range(facts.num_row_groups):
        group = facts.row_group(i)
        rows += group.num_rows
        size += group.total_byte_size
        if size >= unit_bytes or i == facts.num_row_groups - 1:
            found.append(_with(whole, start=first, end=i + 1, line=before, size=size))
            first, before, size = i + 1, rows, 0
    return found or [whole]


def read(part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """Records of one part. What cannot be read is a Failure; only a bug raises."""
    if part.form == "hf":
        yield from read_dataset(part, settings)
        return
    last, nothing = "", True
    try:
        if part.form == "nested":
            found = read_nested(part, recognise, lambda handle, inner: _read(handle, inner, settings))
        elif part.form == "tar":
            found = _read_tar(part, settings)
        elif part.form not in _READERS:
            yield Failure(part.label, "", no_reader(part))
            return
        else:
            found = _open(part, settings)
        for item in found:
            last, nothing = item.place, False
            yield item
    except BrokenInput as error:
        yield Failure(part.label, f"{last}+" if last else "", str(error))
        return
    ours = is_run(Path(part.path).parent.parent)  # a shard of ours may be empty
    if nothing and not part.start and not ours:
        yield Failure(part.label, "", "빈 파일: 기록이 없음 (empty: no record)")


def _read_tar(part: Part, settings: Settings) -> Iterator[Record | Failure]:
    with open_bytes(part.path, part.name, part.member, part.segments) as handle:
        yield from read_tar(handle, part, recognise, lambda inside, inner: _read(inside, inner, settings))


def _open(part: Part, settings: Settings) -> Iterator[Record | Failure]:
    with open_bytes(part.path, part.name, part.member, part.segments) as handle:
        yield from _reader(handle, part)(handle, part, settings)


def _reader(handle: BinaryIO, part: Part) -> Callable[..., Iterator[Record | Failure]]:
    if part.form == "text" and hasattr(handle, "peek") and is_conll(handle.peek(4096)[:4096]):
        return read_conll
    return _READERS[part.form]


def _read(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """Records of an open file inside a nested archive."""
    if part.form == "tar":
        yield from read_tar(handle, part, recognise, lambda inside, inner: _read(inside, inner, settings))
        return
    if part.form not in _READERS:
        yield Failure(part.label, "", no_reader(part))
        return
    yield from _reader(handle, part)(handle, part, settings)


def no_reader(part: Part) -> str:
    """Why a part of a form without a reader gives nothing, for the user."""
    if reason := explain(part):
        return reason
    suffix = PurePosixPath(packing(part.name)[0]).suffix or part.name
    return f"읽을 줄 모르는 꼴 (unknown form): {suffix}; 글이면 --source text (if it is text)"
