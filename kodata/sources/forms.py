"""Which form a file has, how it is cut into parts, and which reader reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from kodata.sources.html import read_html
from kodata.sources.hub import PREFIX, dataset_parts, read_dataset
from kodata.sources.plain import read_text
from kodata.sources.record import Failure, Part, Record, Settings
from kodata.sources.rows import read_arrow, read_csv, read_json, read_jsonl, read_parquet, read_xlsx
from kodata.sources.streams import BLOCK, BrokenInput, member_name, open_bytes, open_zip, packing

_READERS = {
    "text": read_text, "jsonl": read_jsonl, "json": read_json, "csv": read_csv, "tsv": read_csv, "xlsx": read_xlsx,
    "parquet": read_parquet, "arrow": read_arrow, "html": read_html,
}  # fmt: skip
FORMS = (*_READERS, "zip", "hf")
_SUFFIXES = {
    ".txt": "text", ".text": "text", ".md": "text", ".markdown": "text", ".rst": "text", ".rmd": "text", ".log": "text",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".ipynb": "json", ".csv": "csv", ".tsv": "tsv", ".xlsx": "xlsx",
    ".parquet": "parquet", ".arrow": "arrow", ".html": "html", ".htm": "html", ".xhtml": "html", ".zip": "zip",
}  # fmt: skip
_DATASET_FILES = {"dataset_info.json", "state.json", "dataset_dict.json"}
_TEXT_EXPANDS = 4
"""About how much longer packed text is when unpacked; only to balance work units."""
MAX_MEMBERS = 1_000_000


def recognise(name: str, head: bytes) -> str:
    """Form of a file by its name, else by its first bytes; "unknown" when neither says."""
    bare = packing(name)[0]
    suffix = PurePosixPath(bare.lower()).suffix
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:512].lower()
    for magic, form in (
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
    if form == "auto":
        form = recognise(path.name, _head(text, path.name))
    size = os.path.getsize(path)
    packed = packing(path.name)[1] or form in ("parquet", "xlsx")
    whole = Part(
        path=text, name=name, form=form, size=size * (_TEXT_EXPANDS if packed else 1), argument=argument
    )
    if form == "jsonl" and not packed and size > 2 * unit_bytes:
        return _ranges(whole, unit_bytes)
    if form == "parquet":
        return _row_groups(whole, unit_bytes)
    if form == "zip":
        return _members(whole)
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


def _members(whole: Part) -> list[Part]:
    try:
        archive = open_zip(whole.path)
    except BrokenInput:
        return [whole]
    found: list[Part] = []
    with archive:
        for number, info in enumerate(archive.infolist()[:MAX_MEMBERS]):
            name = member_name(info)
            bare = PurePosixPath(name.lstrip("/")).name
            if info.is_dir() or bare.startswith(".") or "__MACOSX" in name:
                continue
            head = b""
            if PurePosixPath(packing(bare)[0].lower()).suffix not in _SUFFIXES:
                try:
                    with open_bytes(whole.path, bare, number) as handle:
                        head = handle.read(4096)
                except BrokenInput:
                    pass
            form = recognise(bare, head)
            found.append(
                _with(
                    whole,
                    name=f"{whole.name}!{name}",
                    form="nested" if form == "zip" else form,
                    member=number,
                    size=info.file_size,
                )
            )
    return found or [whole]


def read(part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """Records of one part. What cannot be read is a Failure; only a bug raises."""
    if part.form == "hf":
        yield from read_dataset(part, settings)
        return
    reader = _READERS.get(part.form)
    if reader is None:
        yield Failure(part.label, "", _no_reader(part))
        return
    last, nothing = "", True
    try:
        with open_bytes(part.path, part.name, part.member) as handle:
            for item in reader(handle, part, settings):
                last, nothing = item.place, False
                yield item
    except BrokenInput as error:
        yield Failure(part.label, f"{last}+" if last else "", str(error))
        return
    if nothing and not part.start:
        yield Failure(part.label, "", "빈 파일: 기록이 없음 (empty: no record)")


def _no_reader(part: Part) -> str:
    if part.form == "zip":
        try:
            open_zip(part.path).close()
        except BrokenInput as error:
            return str(error)
        return "빈 zip (empty zip)"
    if part.form == "nested":
        return "zip 안의 zip: 먼저 푸십시오 (zip inside a zip: unpack it first)"
    suffix = PurePosixPath(packing(part.name)[0]).suffix or part.name
    return f"읽을 줄 모르는 꼴 (unknown form): {suffix}; 글이면 --source text (if it is text)"
