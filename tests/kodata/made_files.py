"""Files of the forms Korean texts come in, built byte by byte for tests: EPUB, HWPX, HWP 5 in its OLE container, WARC."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence


def zipped(members: Mapping[str, str | bytes]) -> bytes:
    """A zip with these members; `mimetype` stored, as EPUB and HWPX want it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data, zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED)
    return out.getvalue()


def epub(chapters: Mapping[str, str], order: Sequence[str] | None = None, **more: str | bytes) -> bytes:
    """A book; chapters by file name, spine in `order`."""
    items = "".join(f'<item id="{n}" href="{n}" media-type="application/xhtml+xml"/>' for n in chapters)
    spine = "".join(f'<itemref idref="{n}"/>' for n in order or chapters)
    package = (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<metadata><dc:title>산책의 책</dc:title><dc:creator>홍길동</dc:creator><dc:rights>CC0</dc:rights></metadata>"
        f'<manifest>{items}<item id="c" href="c.css" media-type="text/css"/></manifest><spine>{spine}<itemref idref="c"/></spine></package>'
    )
    container = (
        '<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
    )
    pages = {
        f"OEBPS/{n}": f'<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"><head><title>x</title></head><body>{b}</body></html>'
        for n, b in chapters.items()
    }
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": container,
            "OEBPS/book.opf": package,
            **pages,
            **more,
        }
    )


def hwpx(paragraphs: str, header: str = "", **more: str | bytes) -> bytes:
    """A HWPX of one section; `paragraphs` are hp:p elements."""
    names = 'xmlns:hs="http://www.hancom.co.kr/hwpml/2011/section" xmlns:hp="http://www.hancom.co.kr/hwpml/2011/paragraph"'
    package = (
        '<opf:package xmlns:opf="http://www.idpf.org/2007/opf/"><opf:metadata><opf:title>보고서</opf:title></opf:metadata>'
        '<opf:manifest><opf:item id="s0" href="Contents/section0.xml" media-type="application/xml"/></opf:manifest>'
        '<opf:spine><opf:itemref idref="s0"/></opf:spine></opf:package>'
    )
    return zipped(
        {
            "mimetype": "application/hwp+zip",
            "Contents/content.hpf": package,
            "Contents/header.xml": f'<hh:head xmlns:hh="http://www.hancom.co.kr/hwpml/2011/head">{header}</hh:head>',
            "Contents/section0.xml": f"<hs:sec {names}>{paragraphs}</hs:sec>",
            **more,
        }
    )


def record(tag: int, level: int, payload: bytes) -> bytes:
    """A HWP record."""
    size = min(len(payload), 0xFFF)
    head = struct.pack("<I", tag | level << 10 | size << 20)
    return head + (struct.pack("<I", len(payload)) if size == 0xFFF else b"") + payload


def paragraph(text: str | bytes, level: int = 0, shape: int = 0) -> bytes:
    """Records of a paragraph; text in bytes is UTF-16 with control characters."""
    data = text if isinstance(text, bytes) else (text + "\r").encode("utf-16-le")
    return record(66, level, struct.pack("<IIHBBHHHI", len(data) // 2, 0, shape, 0, 0, 1, 0, 1, 0)) + record(
        67, level + 1, data
    )


def control(name: str, level: int) -> bytes:
    """The record of a control of four letters."""
    return record(71, level, name.encode()[::-1] + bytes(8))


def cell(column: int, row: int, level: int) -> bytes:
    """The record that begins a table cell."""
    return record(72, level, struct.pack("<HHIHHHH", 1, 0, 0, column, row, 1, 1) + bytes(20))


def extended(code: int) -> bytes:
    """A control character of eight places."""
    return struct.pack("<H", code) + bytes(12) + struct.pack("<H", code)


def hwp(section: bytes, info: bytes = b"", flags: int = 1) -> bytes:
    """A HWP 5 file of one section."""

    def pack(data: bytes) -> bytes:
        if not flags & 1:
            return data
        machine = zlib.compressobj(wbits=-15)
        return machine.compress(data) + machine.flush()

    header = b"HWP Document File".ljust(32, b"\0") + struct.pack("<II", 0x05010000, flags) + bytes(216)
    return ole({"FileHeader": header, "DocInfo": pack(info), "BodyText/Section0": pack(section)})


def ole(streams: Mapping[str, bytes]) -> bytes:
    """An OLE2 container: one FAT, streams padded past the mini-stream limit, one folder deep."""
    sector, free, end = 512, 0xFFFFFFFF, 0xFFFFFFFE
    folders = sorted({name.split("/")[0] for name in streams if "/" in name})
    tops = sorted([n for n in streams if "/" not in n] + folders, key=lambda n: (len(n), n.upper()))
    entries: list[tuple[str, int, int, int, int, int]] = []  # name, type, right, child, start, size
    body, fat = b"", []

    def put(data: bytes) -> tuple[int, int]:
        nonlocal body
        data = data.ljust(4096, b"\0")
        start, count = len(fat), -(-len(data) // sector)
        fat.extend([*range(start + 1, start + count), end])
        body += data.ljust(count * sector, b"\0")
        return start, len(data)

    numbers = {name: 1 + i for i, name in enumerate(tops)}
    inner = {f: [n for n in streams if n.startswith(f + "/")] for f in folders}
    following = 1 + len(tops)
    for i, name in enumerate(tops):
        right = numbers[tops[i + 1]] if i + 1 < len(tops) else free
        if name in folders:
            entries.append((name, 1, right, following, 0, 0))
            following += len(inner[name])
        else:
            entries.append((name, 2, right, free, *put(streams[name])))
    for folder in folders:
        for i, name in enumerate(inner[folder]):
            right = len(entries) + 2 if i + 1 < len(inner[folder]) else free
            entries.append((name.partition("/")[2], 2, right, free, *put(streams[name])))
    entries.insert(0, ("Root Entry", 5, free, 1, end, 0))
    directory = b""
    for name, kind, right, child, start, size in entries:
        label = (name + "\0").encode("utf-16-le")
        directory += (
            label.ljust(64, b"\0")
            + struct.pack("<HBBIII", len(label), kind, 1, free, right, child)
            + bytes(36)
            + struct.pack("<IQ", start, size)
        )
    directory = directory.ljust(-(-len(directory) // sector) * sector, b"\0")
    first = len(fat)
    count = len(directory) // sector
    fat.extend([*range(first + 1, first + count), end])
    fat_sectors = -(-(len(fat) + 4) // 128)
    places = list(range(len(fat), len(fat) + fat_sectors))
    fat.extend([0xFFFFFFFD] * fat_sectors)
    table = struct.pack(f"<{len(fat)}I", *fat).ljust(fat_sectors * sector, b"\xff")
    header = (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
        + bytes(16)
        + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6)
        + bytes(6)
    )
    header += struct.pack("<IIIIIIIII", 0, fat_sectors, first, 0, 4096, end, 0, end, 0)
    header += struct.pack("<109I", *(places + [free] * (109 - len(places))))
    return header + body + directory + table


def warc_record(kind: str, uri: str, payload: bytes, number: int, **headers: str) -> bytes:
    """A WARC record."""
    lines = [
        "WARC/1.0", f"WARC-Type: {kind}", f"WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-{number:012d}>", f"WARC-Target-URI: {uri}",
        "WARC-Date: 2024-05-06T07:08:09Z", f"Content-Length: {len(payload)}", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items()),
    ]  # fmt: skip
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload + b"\r\n\r\n"


def response(
    body: bytes, content: str = "text/html; charset=utf-8", status: str = "200 OK", *more: str
) -> bytes:
    """An HTTP response."""
    head = [f"HTTP/1.1 {status}", f"Content-Type: {content}", f"Content-Length: {len(body)}", *more]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def warc(responses: Sequence[bytes], packed: bool = True) -> bytes:
    """A WARC file: a warcinfo record and responses; packed: a gzip member each, as crawlers write it."""
    records = [warc_record("warcinfo", "", b"software: test\r\n", 0)]
    records += [
        warc_record(
            "response", f"https://site.example/{i}", r, i, Content_Type="application/http; msgtype=response"
        )
        for i, r in enumerate(responses, 1)
    ]
    return b"".join(gzip.compress(r, mtime=0) if packed else r for r in records)
