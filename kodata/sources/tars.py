"""Tars that cannot be read in place, because they are packed (.tar.gz, .tgz) or lie in another archive: as a stream.

Members are read one after the other by one worker; nothing is written to disk but a compressed zip among them.
"""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from kodata.sources.archives import (
    MAX_DEPTH,
    MAX_MEMBERS,
    MEDIA,
    PIECE,
    Recognise,
    media_line,
    read_inner,
)
from kodata.sources.record import Failure, Part, Record, shown
from kodata.sources.streams import BrokenInput, unpack_stream

_BROKEN = "tar가 중간에 깨짐: 나머지는 읽지 않음 (damaged tar, the rest is not read)"


class _Member(tarfile.TarInfo):
    """Notes on the tar that a header made no sense: the library takes that for the end."""

    @classmethod
    def fromtarfile(cls, tar: Any) -> Any:
        try:
            return super().fromtarfile(tar)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError):  # type: ignore[attr-defined]
            tar.broken = True
            raise


def read_tar(handle: BinaryIO, part: Part, recognise: Recognise, read: Callable[[BinaryIO, Part], Iterator[Record | Failure]],
             depth: int = 1) -> Iterator[Record | Failure]:  # fmt: skip
    """Everything in a tar that is read from its beginning to its end. Raises BrokenInput."""
    if depth > MAX_DEPTH:
        raise BrokenInput(f"tar가 {MAX_DEPTH}겹보다 깊음 (tars nested too deeply)")
    media: Counter[str] = Counter()
    count = 0
    try:
        with tarfile.open(fileobj=handle, mode="r|", tarinfo=_Member) as archive:
            for member in archive:
                count += 1
                if count > MAX_MEMBERS:
                    raise BrokenInput(f"멤버가 {MAX_MEMBERS}개를 넘음 (more members than the limit)")
                name = shown(member.name)
                bare = PurePosixPath(name).name
                if not member.isreg() or member.issparse() or bare.startswith("."):
                    continue
                if (suffix := PurePosixPath(bare.lower()).suffix) in MEDIA:
                    media[suffix] += 1
                    continue
                inner = replace(part, name=f"{part.name}!{name}", size=member.size)
                for item in _member(archive, member, inner, recognise, read, depth):
                    item.place = f"{name}#{item.place}" if item.place else name
                    yield item
            if getattr(archive, "broken", False):
                raise BrokenInput(_BROKEN)
    except tarfile.TarError as error:
        told = f"tar를 읽을 수 없음: 잘렸거나 tar가 아님 (cannot read tar: {error})"
        raise BrokenInput(_BROKEN if count else told) from None
    if not count:
        raise BrokenInput("빈 tar (empty tar)")
    if media:
        yield Failure(part.label, "", media_line(media))


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo, part: Part, recognise: Recognise,
            read: Callable[[BinaryIO, Part], Iterator[Record | Failure]], depth: int) -> Iterator[Record | Failure]:  # fmt: skip
    if PIECE.fullmatch(member.name):
        yield Failure(
            part.label,
            "",
            "압축된 tar 안의 조각은 이을 수 없음: tar를 먼저 푸십시오 (pieces in a packed tar: unpack the tar first)",
        )
        return
    raw = archive.extractfile(member)
    assert raw is not None  # a regular file
    bare = PurePosixPath(member.name).name
    nothing = True
    try:
        with unpack_stream(raw, bare) as handle:  # type: ignore[arg-type]
            part.form = recognise(bare, handle.peek(4096)[:4096])  # type: ignore[attr-defined]
            found = (
                read_inner(handle, part, recognise, read, depth)
                if part.form == "zip"
                else read_tar(handle, part, recognise, read, depth + 1)
                if part.form == "tar"
                else read(handle, part)
            )
            for item in found:
                nothing = False
                yield item
    except BrokenInput as error:
        yield Failure(part.label, "", str(error))
        return
    if nothing:
        yield Failure(part.label, "", "빈 파일: 기록이 없음 (empty: no record)")
