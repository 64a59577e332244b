"""Bytes of an input, whatever it is packed in: plain, .gz, .zst, .bz2, .xz, or a member of a zip.

Everything is bounded: a member or archive that grows past the limits is a Failure, not a full memory.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import BinaryIO

from kodata.run.errors import UserError

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
    """Name of a zip member as its author wrote it: without the UTF-8 flag, Korean archivers mean CP949 (or UTF-8)."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        data = info.filename.encode("cp437")
    except UnicodeEncodeError:
        return info.filename
    for encoding in ("utf-8", "cp949"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return info.filename


def open_zip(path: str) -> zipfile.ZipFile:
    """Open an archive. Raises BrokenInput when it is not one, or cut; UserError when it cannot be reached."""
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _LOST:
            raise _lost(path, error) from None
        raise BrokenInput(f"zip을 읽을 수 없음: 잘렸거나 zip이 아님 (cannot read zip: {error})") from None


@contextmanager
def open_bytes(path: str, name: str, member: int = -1) -> Iterator[BinaryIO]:
    """Readable bytes of a file, or of member number `member` of a zip; unpacked by the end of `name`.

    Raises BrokenInput for cut or damaged data, also while the caller reads; UserError when the file cannot be
    reached (a lost mount, no permission), so that nobody takes it for read.
    """
    suffix = packing(name)[1]
    try:
        if member >= 0:
            with open_zip(path) as archive:
                info = archive.infolist()[member]
                if info.file_size > MAX_MEMBER_BYTES or info.file_size > MAX_RATIO * max(
                    info.compress_size, 1024
                ):
                    raise BrokenInput(f"압축을 풀면 너무 큼 (unpacks too large): {info.file_size} bytes")
                if info.flag_bits & 0x1:
                    raise BrokenInput("암호가 걸린 zip (encrypted zip member)")
                with archive.open(info) as raw, _unpacked(raw, suffix) as handle:  # type: ignore[arg-type]
                    yield handle
        else:
            with open(path, "rb", buffering=BLOCK) as raw, _unpacked(raw, suffix) as handle:
                yield handle
    except (EOFError, zlib.error, zipfile.BadZipFile, lzma.LZMAError, NotImplementedError) as error:
        raise BrokenInput(f"압축이 깨졌거나 중간에 끊김 (damaged or cut archive: {error})") from None
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


def read_all(handle: BinaryIO, limit: int) -> bytes:
    """All bytes. Raises BrokenInput past `limit`."""
    data = handle.read(limit + 1)
    if len(data) > limit:
        raise BrokenInput(f"파일이 {limit >> 20} MiB를 넘음 (file over {limit >> 20} MiB)")
    return data
