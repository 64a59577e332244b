"""WARC files, as crawlers leave them: every HTML or text response is a page; other responses are counted and named.

Read by warcio from bytes this package unpacks itself, so that a cut .warc.gz is noticed (warcio ends silently).
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO

from kodata.run.errors import UserError
from kodata.sources.html import MAX_PAGE_BYTES, page
from kodata.sources.record import Failure, Part, Record, Settings
from kodata.sources.streams import BrokenInput
from kodata.text.encoding import charset_name, decode

_HTML = {"text/html", "application/xhtml+xml"}
_TEXT = {"text/plain", "text/markdown"}


class _Watched(io.RawIOBase):
    """Bytes for warcio; remembers that they broke, which warcio would take for the end of the file."""

    def __init__(self, raw: BinaryIO):
        self._raw = raw
        self.broken: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            block = self._raw.read1(len(buffer))  # type: ignore[attr-defined]
        except Exception as error:  # given on by read_warc, as open_bytes knows it
            self.broken = error
            return 0
        buffer[: len(block)] = block
        return len(block)


def _payload(record: Any) -> bytes:
    data = record.content_stream().read(MAX_PAGE_BYTES + 1)
    if len(data) > MAX_PAGE_BYTES:
        raise BrokenInput(f"쪽이 {MAX_PAGE_BYTES >> 20} MiB를 넘음 (page over {MAX_PAGE_BYTES >> 20} MiB)")
    return data


def _content(record: Any) -> tuple[str, str | None]:
    """(media type, charset) a response says it has. Crawls cut headers; bytes decide when they say nothing."""
    headers = record.http_headers or record.rec_headers
    kind, _, rest = (headers.get_header("Content-Type") or "").partition(";")
    name = rest.lower().partition("charset=")[2].split(";")[0].strip(" \"'")
    return kind.strip().lower(), charset_name(name) if name else None


def _read(record: Any, part: Part, settings: Settings, kind: str, charset: str | None) -> Record | Failure:
    address = record.rec_headers.get_header("WARC-Target-URI") or ""
    address = address.strip("<>")
    date = (record.rec_headers.get_header("WARC-Date") or "")[:10]
    identity = record.rec_headers.get_header("WARC-Record-ID") or ""
    name = identity.strip("<>").removeprefix("urn:uuid:")
    try:
        data = _payload(record)
    except BrokenInput as error:
        return Failure(part.label, name or address, str(error))
    except Exception as error:  # broken gzip, brotli or chunking of the response
        return Failure(
            part.label,
            name or address,
            f"응답의 압축이 깨짐 (broken response encoding: {type(error).__name__})",
        )
    if data.startswith(b"\x1f\x8b"):  # what warcio gives when it cannot unpack
        return Failure(part.label, name or address, "응답의 압축이 깨짐 (broken response encoding: gzip)")
    if kind in _TEXT:
        text: str = decode(data, charset).text
        meta: dict[str, Any] = {}
    else:
        try:
            text, meta = page(data, charset)
        except UserError:
            raise
        except Exception as error:
            return Failure(
                part.label,
                name or address,
                f"HTML을 읽을 수 없음 (cannot extract HTML: {type(error).__name__})",
            )
    meta = {"url": address, "crawled": date, **meta, "kind": settings.kind or meta.get("kind", "web")}
    if address:
        meta["url"] = address
    if settings.licence is not None:
        meta["licence"] = settings.licence
    return Record(
        text, name, name or None, settings.source, {k: v for k, v in meta.items() if v} | {"file": part.name}
    )


def read_warc(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """One HTML or text response with status 200, one Record; what else there is, one Failure that counts it."""
    from warcio.archiveiterator import ArchiveIterator
    from warcio.exceptions import ArchiveLoadFailed

    watched = _Watched(handle)
    buffered = io.BufferedReader(watched, 1 << 16)
    others: Counter[str] = Counter()
    count = 0
    try:
        for record in ArchiveIterator(buffered, arc2warc=True):
            count += 1
            if record.rec_type not in ("response", "resource", "conversion"):
                continue
            status = record.http_headers.get_statuscode() if record.http_headers else "200"
            kind, charset = _content(record)
            if not kind and record.rec_type == "conversion":
                kind = "text/plain"
            if (record.rec_headers.get_header("WARC-Target-URI") or "").strip("<>").startswith("metadata:"):
                others["metadata"] += 1  # wget's own log and arguments
                continue
            if status != "200":
                others[f"HTTP {status}"] += 1
                continue
            if kind not in _HTML | _TEXT:
                others[kind or "?"] += 1
                continue
            item = _read(record, part, settings, kind, charset)
            while record.raw_stream.read(1 << 16):
                pass
            if getattr(record.raw_stream, "limit", 0) > 0:  # half a page is no page
                raise watched.broken or BrokenInput("WARC이 중간에 끊김 (WARC ends early)")
            yield item
    except ArchiveLoadFailed as error:
        if watched.broken is None:
            raise BrokenInput(
                f"WARC이 아니거나 깨짐 (not a WARC, or damaged: {str(error)[:80].strip()})"
            ) from None
    except (ValueError, AttributeError, EOFError) as error:  # lengths and headers that make no sense
        if isinstance(error, EOFError):
            raise
        raise BrokenInput(f"WARC이 깨짐 (damaged WARC: {type(error).__name__})") from None
    if watched.broken is not None:
        raise watched.broken
    if not count:
        raise BrokenInput("WARC 기록이 없음 (no WARC record)")
    if others:
        told = " · ".join(f"{name} {n:,}" for name, n in others.most_common(12))
        yield Failure(
            part.label,
            "others",
            f"HTML도 글도 아니라 읽지 않은 응답 {sum(others.values()):,} (responses not read): {told}",
        )
