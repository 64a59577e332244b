"""Bytes of an input, whatever it is packed in: plain, .gz, .zst, .bz2, .xz, a member of a zip, pieces of other files.

Everything is bounded: a member or archive that grows past the limits is a Failure, not a full memory.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import unicodedata
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from kodata.run.errors import UserError

Segments = list[list[Any]]
"""[file name in the same folder, first byte, bytes] of each piece of a file that lies in pieces or inside another."""
PACKED = (".gz", ".zst", ".bz2", ".xz")
MAX_MEMBER_BYTES = 4 << 30
MAX_RATIO = 1000
"""Data that unpacks to more than this many times its size is a bomb (text reaches about 50)."""
BLOCK = 1 << 20
ZSTD_STEP = 512
"""Packed bytes given to zstd at once: 4 bytes can mean a block of 128 KiB, so this bounds one answer to 16 MiB."""
_LOST = {errno.ENOENT, errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOTCONN, errno.ENODEV, errno.ETIMEDOUT}
"""The file or its disk is away: another try may read it, so it must not count as done."""


class BrokenInput(Exception):
    """The bytes end early or are not what they claim; the message is for the user."""


def _lost(path: str, error: OSError) -> UserError:
    return UserError(
        f"읽을 수 없음 (cannot read): {error.strerror}",
        "디스크와 권한을 확인한 뒤 같은 명령을 다시 (check disk and permissions, then run the same command again)",
        file=path,
    )


class _Counted(io.RawIOBase):
    """The packed bytes, counted as they are taken."""

    def __init__(self, raw: BinaryIO):
        self._raw = raw
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        block = self._raw.read(len(buffer))
        buffer[: len(block)] = block
        self.taken += len(block)
        return len(block)


def _bounded(given: int, taken: int) -> None:
    if given > MAX_RATIO * max(taken, 1024):
        raise BrokenInput(f"압축을 풀면 너무 큼 (unpacks too large): {taken} → {given}+ bytes")


class _ZstdStream(io.RawIOBase):
    """Zstandard frames as a stream that notices a cut last frame (the library's own reader ends silently)."""

    def __init__(self, raw: BinaryIO):
        import zstandard

        self._raw = raw
        self._make = zstandard.ZstdDecompressor().decompressobj
        self._frame = self._make()
        self._block, self._place = b"", 0
        self._taken = self._given = 0
        self._fed = False
        self._out = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._out:
            if self._place >= len(self._block):
                self._block, self._place = self._raw.read(1 << 16), 0
            step = self._block[self._place : self._place + ZSTD_STEP]
            if not step:
                if self._fed and not self._frame.eof:
                    raise BrokenInput("압축이 중간에 끊김 (compressed data ends early)")
                return 0
            if self._frame.eof:
                self._frame = self._make()
            self._fed = True
            self._out = memoryview(self._frame.decompress(step))
            used = len(step) - (len(self._frame.unused_data) if self._frame.eof else 0)
            self._place += used
            self._taken += used
            self._given += len(self._out)
            _bounded(self._given, self._taken)
        n = min(len(buffer), len(self._out))
        buffer[:n] = self._out[:n]
        self._out = self._out[n:]
        return n


class _Stepwise(io.RawIOBase):
    """A decompressing file read in small steps: when it breaks, everything before the break has been given."""

    def __init__(self, packed: gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile, source: _Counted):
        self._packed, self._source = packed, source
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        block = self._packed.read1(min(len(buffer), 1 << 16))
        self._given += len(block)
        _bounded(self._given, self._source.taken)
        buffer[: len(block)] = block
        return len(block)


def packing(name: str) -> tuple[str, str]:
    """(name without the packing suffix, the suffix or ""): ("a.jsonl", ".gz")."""
    suffix = PurePosixPath(name.lower()).suffix
    if suffix == ".tgz":
        return f"{name[:-4]}.tar", ".gz"
    return (name[: -len(suffix)], suffix) if suffix in PACKED else (name, "")


@contextmanager
def _unpacked(raw: BinaryIO, suffix: str) -> Iterator[BinaryIO]:
    source = _Counted(raw)
    if suffix == ".zst":
        yield io.BufferedReader(_ZstdStream(raw), BLOCK)
    elif suffix == ".gz":
        with gzip.GzipFile(fileobj=io.BufferedReader(source, 1 << 16), mode="rb") as handle:
            yield io.BufferedReader(_Stepwise(handle, source), BLOCK)
    elif suffix == ".bz2":
        with bz2.BZ2File(io.BufferedReader(source, 1 << 16)) as handle:
            yield io.BufferedReader(_Stepwise(handle, source), BLOCK)
    elif suffix == ".xz":
        with lzma.LZMAFile(io.BufferedReader(source, 1 << 16)) as handle:
            yield io.BufferedReader(_Stepwise(handle, source), BLOCK)
    else:
        yield raw


def member_name(info: zipfile.ZipInfo) -> str:
    """Name of a zip member as its author wrote it: without the UTF-8 flag, Korean archivers mean CP949 (or UTF-8);
    macOS takes syllables apart."""
    name = info.filename
    if not info.flag_bits & 0x800:
        try:
            data = name.encode("cp437")
        except UnicodeEncodeError:
            data = b""
        for encoding in ("utf-8", "cp949") if data else ():
            try:
                name = data.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    return unicodedata.normalize("NFC", name)


class Joined(io.RawIOBase):
    """Pieces of files in the folder of `path`, one after the other, as one file that can be read from any place."""

    def __init__(self, path: str, segments: Segments):
        folder = Path(path).parent
        self._pieces = [(folder / str(name), int(start), int(size)) for name, start, size in segments]
        self._starts = [0]
        for _, _, size in self._pieces:
            self._starts.append(self._starts[-1] + size)
        self._place = 0
        self._open: tuple[Path, BinaryIO] | None = None
        self._piece(0)

    def _piece(self, number: int) -> BinaryIO:
        path = self._pieces[number][0]
        if self._open is None or self._open[0] != path:
            if self._open is not None:
                self._open[1].close()
            self._open = (path, open(path, "rb", buffering=0))  # noqa: SIM115  (kept open from read to read)
        return self._open[1]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._starts[-1]}[whence]
        if base + offset < 0:
            raise ValueError("negative seek")
        self._place = base + offset
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        number = bisect_right(self._starts, self._place) - 1
        while number < len(self._pieces) and self._place >= self._starts[number + 1]:
            number += 1
        if number >= len(self._pieces):
            return 0
        _, start, _ = self._pieces[number]
        handle = self._piece(number)
        handle.seek(start + self._place - self._starts[number])
        block = handle.read(min(len(buffer), self._starts[number + 1] - self._place))
        buffer[: len(block)] = block
        self._place += len(block)
        return len(block)

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None
        super().close()


def open_zip(path: str, segments: Segments | None = None, handle: BinaryIO | None = None) -> zipfile.ZipFile:
    """Open an archive: a file, pieces of files, or an open file. Raises BrokenInput when it is not one, cut, or holds
    members that overlap; UserError when it cannot be reached."""
    try:
        size = sum(s[2] for s in segments) if segments else None
        if handle is None and segments:
            handle = io.BufferedReader(Joined(path, segments), 1 << 16)
        archive = zipfile.ZipFile(handle or path)
        if size is None:
            archive.fp.seek(0, io.SEEK_END)  # type: ignore[union-attr]
            size = archive.fp.tell()  # type: ignore[union-attr]
        if sum(info.compress_size for info in archive.infolist()) > size:
            archive.close()
            raise BrokenInput("멤버들이 겹친 zip: 압축 폭탄일 수 있음 (zip whose members overlap)")
        return archive
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        if isinstance(error, OSError) and error.errno in _LOST:
            raise _lost(path, error) from None
        raise BrokenInput(f"zip을 읽을 수 없음: 잘렸거나 zip이 아님 (cannot read zip: {error})") from None


_zips: dict[tuple[object, ...], zipfile.ZipFile] = {}
_KEPT_ZIPS = 4


def _kept_zip(path: str, segments: Segments | None) -> zipfile.ZipFile:
    """An archive that stays open in this process: its directory (of 100,000 members and more) is read once, not once a
    member. A file that changed is opened anew."""
    try:
        facts = os.stat(path)
    except OSError as error:
        raise _lost(path, error) from None
    key = (os.getpid(), path, facts.st_mtime_ns, facts.st_size, str(segments or ""))
    archive = _zips.pop(key, None) or open_zip(path, segments)
    while len(_zips) >= _KEPT_ZIPS:
        old = next(iter(_zips))
        closing = _zips.pop(old)
        if old[0] == os.getpid():
            closing.close()
    _zips[key] = archive
    return archive


@contextmanager
def _named_breaks(path: str) -> Iterator[None]:
    """What decompressors raise, as BrokenInput for the user."""
    try:
        yield
    except (EOFError, zlib.error, zipfile.BadZipFile, lzma.LZMAError, NotImplementedError) as error:
        hint = ""
        if "magic number" in str(error):
            hint = "; 조각을 틀린 순서로 이어 붙였을 수 있음 (parts may have been joined in the wrong order)"
        raise BrokenInput(f"압축이 깨졌거나 중간에 끊김 (damaged or cut archive: {error}){hint}") from None
    except OSError as error:
        if error.errno in _LOST:
            raise _lost(path, error) from None
        # gzip's BadGzipFile and bz2's complaints are OSErrors without an errno
        if error.errno is None:
            raise BrokenInput(f"압축이 깨짐 (damaged archive: {error})") from None
        raise BrokenInput(f"읽을 수 없음 (cannot read: {error.strerror})") from None
    except Exception as error:
        if type(error).__name__ == "ZstdError":
            raise BrokenInput(f"압축이 깨짐 (damaged archive: {error})") from None
        raise


@contextmanager
def unpack_member(archive: zipfile.ZipFile, number: int, name: str) -> Iterator[BinaryIO]:
    """Readable bytes of a member of an open archive, unpacked by the end of `name`. Raises BrokenInput."""
    with _named_breaks(name):
        info = archive.infolist()[number]
        if info.file_size > MAX_MEMBER_BYTES or info.file_size > MAX_RATIO * max(info.compress_size, 1024):
            raise BrokenInput(f"압축을 풀면 너무 큼 (unpacks too large): {info.file_size} bytes")
        if info.flag_bits & 0x1:
            raise BrokenInput("암호가 걸린 zip (encrypted zip member)")
        with archive.open(info) as raw, _unpacked(raw, packing(name)[1]) as handle:  # type: ignore[arg-type]
            yield handle


@contextmanager
def unpack_stream(raw: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """Readable bytes of an open stream, unpacked by the end of `name`; not seekable, but they can be peeked at."""
    with _named_breaks(name):
        source: Any = io.BufferedReader(_Counted(raw), BLOCK)
        with _unpacked(source, packing(name)[1]) as handle:
            yield handle


@contextmanager
def open_bytes(
    path: str, name: str, member: int = -1, segments: Segments | None = None
) -> Iterator[BinaryIO]:
    """Readable bytes of a file or of pieces of files, or of member number `member` of the zip they are; unpacked by the
    end of `name`.

    Raises BrokenInput for cut or damaged data, also while the caller reads; UserError when the file cannot be
    reached (a lost mount, no permission), so that nobody takes it for read.
    """
    if member >= 0:
        with unpack_member(_kept_zip(path, segments), member, name) as handle:
            yield handle
        return
    with _named_breaks(path):
        source = Joined(path, segments) if segments else None
        with (
            io.BufferedReader(source, BLOCK) if source else open(path, "rb", buffering=BLOCK) as raw,
            _unpacked(raw, packing(name)[1]) as handle,
        ):
            yield handle


def read_all(handle: BinaryIO, limit: int) -> bytes:
    """All bytes. Raises BrokenInput past `limit`."""
    data = handle.read(limit + 1)
    if len(data) > limit:
        raise BrokenInput(f"파일이 {limit >> 20} MiB를 넘음 (file over {limit >> 20} MiB)")
    return data
