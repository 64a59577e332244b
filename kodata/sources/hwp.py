"""HWP 5 (the binary Hancom format): records of the BodyText streams in an OLE file, read by the published specification.

The public packages that read HWP render it, need another program, or are under the AGPL; text needs five record types.
Source: 한글 문서 파일 형식 5.0 (Hancom, revision 1.3), sections 3.2 (streams), 4.2.3 (DocInfo), 4.3 (body records).
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from kodata.sources.container import MAX_FILE_BYTES, MAX_PIECE_BYTES, MAX_TEXT_BYTES
from kodata.sources.hwpx import file_meta, put_table
from kodata.sources.layout import Layout
from kodata.sources.record import Failure, Part, Record, Settings
from kodata.sources.streams import MAX_RATIO, BrokenInput, read_all
from kodata.text.markup import escape_tags

OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PARA_SHAPE, _STYLE, _PARA_HEADER, _PARA_TEXT, _CTRL_HEADER, _LIST_HEADER, _TABLE, _EQUATION = (
    25,
    26,
    66,
    67,
    71,
    72,
    77,
    88,
)
_COMPRESSED, _ENCRYPTED, _DISTRIBUTION, _DRM = 1, 2, 4, 16
_EIGHT_WIDE = frozenset((*range(1, 10), *range(11, 13), *range(14, 24)))
"""Control characters that take eight places: the character, six of data, the character again."""
_SINGLE = {10: "\n", 24: "-", 30: " ", 31: " "}
_LEFT_OUT = {
    b"head",
    b"foot",
    b"tcmt",
    b"secd",
    b"cold",
    b"pgnp",
    b"pghd",
    b"nwno",
    b"atno",
    b"bokm",
    b"idxm",
}
_NOTES = {b"fn  ", b"en  "}
_OUTLINE_STYLE = re.compile(r"^(?:개요|Outline) ?(\d)$")
_SECTION = re.compile(r"^Section(\d+)$")


def _inflate(data: bytes) -> bytes:
    machine = zlib.decompressobj(-15)
    try:
        out = machine.decompress(data, MAX_PIECE_BYTES + 1)
    except zlib.error as error:
        raise BrokenInput(f"HWP 압축이 깨짐 (damaged HWP stream: {error})") from None
    if len(out) > MAX_PIECE_BYTES or len(out) > MAX_RATIO * max(len(data), 1024):
        raise BrokenInput("HWP 압축을 풀면 너무 큼 (HWP stream unpacks too large)")
    if not machine.eof and not out:
        raise BrokenInput("HWP 본문이 중간에 끊김 (HWP stream is cut)")
    return out


def records(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(tag, level, payload) of a stream. Raises BrokenInput when the last record is cut."""
    at = 0
    while at + 4 <= len(data):
        (head,) = struct.unpack_from("<I", data, at)
        at += 4
        tag, level, size = head & 0x3FF, head >> 10 & 0x3FF, head >> 20
        if size == 0xFFF:
            if at + 4 > len(data):
                raise BrokenInput("HWP 기록이 끊김 (HWP record is cut)")
            (size,) = struct.unpack_from("<I", data, at)
            at += 4
        if at + size > len(data):
            raise BrokenInput("HWP 기록이 끊김 (HWP record is cut)")
        yield tag, level, data[at : at + size]
        at += size


def paragraph_text(payload: bytes) -> str:
    """Characters of a PARA_TEXT record: UTF-16 with control characters of one or eight places."""
    units = memoryview(payload[: len(payload) // 2 * 2]).cast("H")
    pieces: list[str] = []
    start = at = 0
    while at < len(units):
        code = units[at]
        if code >= 32:
            at += 1
            continue
        pieces.append(payload[2 * start : 2 * at].decode("utf-16-le", "replace"))
        pieces.append("\t" if code == 9 else _SINGLE.get(code, ""))
        at += 8 if code in _EIGHT_WIDE else 1
        start = at
    pieces.append(payload[2 * start : 2 * len(units)].decode("utf-16-le", "replace"))
    return "".join(pieces)


class _Body:
    """Turns records into blocks. Controls that hang in a paragraph follow it, one level deeper."""

    def __init__(self, layout: Layout, levels: list[int], styles: list[int]):
        self.out, self.levels, self.styles = layout, levels, styles
        self.open: list[tuple[int, bytes]] = []
        self.tables: list[tuple[int, dict[int, list[list[str]]]]] = []
        self.notes: list[tuple[int, list[str]]] = []
        self.heading = 0
        self.cells = False  # a list before the table's own record is its caption

    def take(self, tag: int, level: int, payload: bytes) -> None:
        """The next record."""
        if tag in (_PARA_HEADER, _CTRL_HEADER):
            self._close(level)
        if tag == _PARA_HEADER and len(payload) >= 11:
            shape, style = struct.unpack_from("<HB", payload, 8)
            self.heading = (self.levels[shape] if shape < len(self.levels) else 0) or (
                self.styles[style] if style < len(self.styles) else 0
            )
        elif tag == _CTRL_HEADER and len(payload) >= 4:
            name = payload[:4][::-1]
            self.open.append((level, name))
            if name == b"tbl ":
                self.tables.append((level, {}))
                self.cells = False
            elif name in _NOTES:
                self.notes.append((level, []))
        elif tag == _TABLE and self.tables:
            self.cells = True
        elif (
            tag == _LIST_HEADER
            and self.cells
            and self.tables
            and len(payload) >= 12
            and level == self.tables[-1][0] + 1
        ):
            _, row = struct.unpack_from("<HH", payload, 8)
            self.tables[-1][1].setdefault(row, []).append([])
        elif tag == _PARA_TEXT:
            self._put(paragraph_text(payload))
        elif tag == _EQUATION and len(payload) >= 6:
            (count,) = struct.unpack_from("<H", payload, 4)
            self._put(payload[6 : 6 + 2 * count].decode("utf-16-le", "replace"))

    def _put(self, text: str) -> None:
        if any(name in _LEFT_OUT for _, name in self.open):
            return
        if self.notes and (not self.tables or self.notes[-1][0] > self.tables[-1][0]):
            self.notes[-1][1].append(text)
        elif self.tables and (rows := self.tables[-1][1]):
            rows[max(rows)][-1].append(text)
        elif self.heading and len(text) <= 100:
            self.out.heading(text, self.heading)
        else:
            self.out.paragraph(text)

    def _close(self, level: int) -> None:
        """Controls at this level or deeper have ended."""
        while self.open and self.open[-1][0] >= level:
            ended, name = self.open.pop()
            if name == b"tbl " and self.tables and self.tables[-1][0] == ended:
                self._table(self.tables.pop()[1])
            elif name in _NOTES and self.notes and self.notes[-1][0] == ended:
                self.out.note(" ".join(line.strip() for line in self.notes.pop()[1] if line.strip()))

    def _table(self, rows: dict[int, list[list[str]]]) -> None:
        sink: list[str] | None = None
        self.cells = bool(self.tables)
        if self.tables and self.tables[-1][1]:  # a table in a cell
            outer = self.tables[-1][1]
            sink = outer[max(outer)][-1]
        put_table([rows[number] for number in sorted(rows)], self.out, sink)

    def end(self) -> None:
        """The section is over."""
        self._close(0)


def _outline(info: bytes) -> tuple[list[int], list[int]]:
    """Outline level (from 1, 0 for none) of each paragraph shape and of each style."""
    shapes: list[int] = []
    styles: list[int] = []
    try:
        for tag, _, payload in records(info):
            if tag == _PARA_SHAPE and len(payload) >= 4:
                (bits,) = struct.unpack_from("<I", payload)
                shapes.append(1 + (bits >> 25 & 7) if bits >> 23 & 3 == 1 else 0)
            elif tag == _STYLE and len(payload) >= 2:
                (count,) = struct.unpack_from("<H", payload)
                found = _OUTLINE_STYLE.match(payload[2 : 2 + 2 * count].decode("utf-16-le", "replace"))
                styles.append(int(found[1]) if found else 0)
    except BrokenInput:
        pass  # headings become plain paragraphs
    return shapes, styles


def _refuse(header: bytes) -> None:
    if not header.startswith(b"HWP Document File") or len(header) < 40:
        raise BrokenInput("HWP 5 문서가 아님 (OLE file without an HWP 5 header)")
    (flags,) = struct.unpack_from("<I", header, 36)
    for bit, reason in (
        (
            _ENCRYPTED,
            "암호가 걸린 HWP (HWP is encrypted): 한글에서 암호를 풀어 저장 (save it without password)",
        ),
        (_DRM, "DRM이 걸린 HWP (HWP is DRM protected)"),
        (
            _DISTRIBUTION,
            "배포용 HWP 문서 (HWP distribution document): 원본이 있어야 읽음 (the original is needed)",
        ),
    ):
        if flags & bit:
            raise BrokenInput(reason)


def read_hwp(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """One document, one Record. Raises BrokenInput for damaged, encrypted, distribution and HWP 3 files."""
    import olefile

    data = read_all(handle, MAX_FILE_BYTES)
    if data.startswith(b"HWP Document File V"):
        raise BrokenInput("HWP 3.x 문서 (HWP 3.x): 한글에서 HWP 5나 HWPX로 저장 (save it as HWP 5 or HWPX)")
    try:
        ole = olefile.OleFileIO(io.BytesIO(data))
        streams = {"/".join(name): name for name in ole.listdir()}
        if "FileHeader" not in streams:
            raise BrokenInput("HWP 5 문서가 아님 (OLE file without an HWP 5 header)")
        header = ole.openstream("FileHeader").read(256)
    except BrokenInput:
        raise
    except Exception as error:  # olefile raises many kinds for damaged files
        raise BrokenInput(f"HWP를 읽을 수 없음: 깨졌거나 잘림 (cannot read HWP: {str(error)[:80]})") from None
    _refuse(header)
    packed = struct.unpack_from("<I", header, 36)[0] & _COMPRESSED
    given = 0

    def stream(name: str) -> bytes:
        nonlocal given
        try:
            raw = ole.openstream(streams[name]).read()
        except Exception as error:
            raise BrokenInput(f"HWP가 깨짐 (damaged HWP: {str(error)[:80]})") from None
        out = _inflate(raw) if packed else raw
        given += len(out)
        if given > MAX_TEXT_BYTES:
            raise BrokenInput("HWP 압축을 풀면 너무 큼 (HWP unpacks too large)")
        return out

    sections = sorted(
        (int(found[1]), name)
        for name, path in streams.items()
        if path[0] == "BodyText" and (found := _SECTION.match(path[-1]))
    )
    if not sections:
        raise BrokenInput("HWP에 본문이 없음 (no section in HWP)")
    try:
        outline = _outline(stream("DocInfo"))
    except (BrokenInput, KeyError):
        outline = ([], [])
    layout = Layout()
    failures = []
    for _, name in sections:
        body = _Body(layout, *outline)
        try:
            for tag, level, payload in records(stream(name)):
                body.take(tag, level, payload)
        except BrokenInput as error:
            failures.append(Failure(part.label, name, str(error)))
        body.end()
    if layout.text or not failures:
        yield Record(
            escape_tags(layout.text), "", None, settings.source, file_meta(_summary(ole), part, settings)
        )
    yield from failures


def _summary(ole: object) -> dict[str, str]:
    """Title and date from the summary stream."""
    try:
        found = ole.getproperties("\x05HwpSummaryInformation", convert_time=True)  # type: ignore[attr-defined]
    except Exception:
        return {}
    title = found.get(2)
    if isinstance(title, bytes):
        title = title.decode("utf-16-le", "replace")
    title = title.partition("\x00")[0].strip() if isinstance(title, str) else ""
    meta = {"title": title} if title else {}
    if (made := found.get(12)) is not None and hasattr(made, "date"):
        meta["date"] = made.date().isoformat()
    return meta
