"""A zip that is one document (EPUB, HWPX): its members read safely, each and all together bounded."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import BinaryIO

from kodata.sources.record import Part
from kodata.sources.streams import MAX_RATIO, BrokenInput, read_all

MAX_FILE_BYTES = 512 << 20
MAX_PIECE_BYTES = 64 << 20
"""One chapter of a book; the XML parsers hold about ten times as much."""
MAX_TEXT_BYTES = 512 << 20
"""All chapters of a book together."""
MAX_NAMES = 100_000


class Container:
    """Members of a document that is a zip. Raises BrokenInput for damage, encryption, bombs and missing members."""

    def __init__(self, handle: BinaryIO, part: Part, what: str):
        plain = part.member < 0 and handle.seekable()
        try:
            self._zip = zipfile.ZipFile(handle if plain else io.BytesIO(read_all(handle, MAX_FILE_BYTES)))
        except (zipfile.BadZipFile, ValueError, EOFError) as error:
            raise BrokenInput(f"{what}를 읽을 수 없음: 잘렸거나 깨짐 (cannot read {what}: {error})") from None
        infos = self._zip.infolist()
        if len(infos) > MAX_NAMES:
            raise BrokenInput(f"{what} 안에 파일이 너무 많음 (too many members: {len(infos)})")
        self._infos = {info.filename.lstrip("/"): info for info in infos}
        self.names = list(self._infos)
        self._given = 0

    def __contains__(self, name: str) -> bool:
        return name in self._infos

    def read(self, name: str) -> bytes:
        """Bytes of a member."""
        info = self._infos.get(name)
        if info is None:
            raise BrokenInput(f"안에 있어야 할 파일이 없음 (missing member): {name[:100]}")
        if info.flag_bits & 0x1:
            raise BrokenInput(f"암호가 걸림 (encrypted member): {name[:100]}")
        try:
            with self._zip.open(info) as member:
                data = member.read(MAX_PIECE_BYTES + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise BrokenInput(f"{name[:100]}: 깨짐 (damaged member: {error})") from None
        self._given += len(data)
        bomb = len(data) > MAX_RATIO * max(info.compress_size, 1024)
        if len(data) > MAX_PIECE_BYTES or self._given > MAX_TEXT_BYTES or bomb:
            raise BrokenInput(f"압축을 풀면 너무 큼 (unpacks too large): {name[:100]}")
        return data
