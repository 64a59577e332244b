"""Archives as they land on disk: zips, zips in zips, archives cut into .part files, tars around them.

An archive becomes Parts that workers read alone. Where bytes lie inside another file uncompressed they are read in place
(`Part.segments`); only a compressed zip in a zip is unpacked, to a temporary file of bounded size. Names of members are
only names: nothing is ever written where they say.
"""

from __future__ import annotations

import re
import shutil
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from kodata.sources.record import Failure, Part, Record, shown
from kodata.sources.streams import (
    BrokenInput,
    Segments,
    member_name,
    open_bytes,
    open_zip,
    unpack_member,
)

MAX_MEMBERS = 1_000_000
MAX_NESTED_BYTES = 16 << 30
MAX_DEPTH = 3
MEDIA = frozenset(
    ".wav .mp3 .mp4 .m4a .flac .ogg .pcm .aac .wma .avi .mov .mkv .webm .jpg .jpeg .png .gif .bmp .tif .tiff .webp .svg "
    ".psd .ttf .otf .npy .npz .pt .bin .exe .dll .obj .fbx".split()
)
"""Sound, pictures, models: where an archive has many, they are counted in one line, not named one by one."""
MEDIA_NAMED = 20
PIECE = re.compile(r"(?P<name>.+)\.part(?P<number>\d{1,15})", re.I)
_OFFSETS = 10_000
"""A part number over this is the place of its first byte in the whole, not a count."""
Recognise = Callable[[str, bytes], str]


class Pieces(NamedTuple):
    """The parts of a cut file. name: of the whole; first: whether the path asked for is the first of them; segments:
    in order; size: of the whole; lack: name of the first part that is missing, or ""; joined: the whole lies beside them."""

    name: str
    first: bool
    segments: Segments
    size: int
    lack: str
    joined: bool


def pieces_of(path: Path) -> Pieces | None:
    """The parts `x.zip.part0`, `x.zip.part1073741824` … (or 1, 2, 3 …) that a path belongs to, by their numbers."""
    found = PIECE.fullmatch(path.name)
    if found is None:
        return None
    parts: list[tuple[int, Path]] = []
    for other in path.parent.iterdir():
        match = PIECE.fullmatch(other.name)
        if match and match["name"] == found["name"] and other.is_file():
            parts.append((int(match["number"]), other))
    parts.sort()
    sizes = [p.stat().st_size for _, p in parts]
    segments = [[p.name, 0, size] for (_, p), size in zip(parts, sizes, strict=True)]
    whole = path.with_name(found["name"])
    joined = whole.is_file() and whole.stat().st_size == sum(sizes)
    return Pieces(
        found["name"],
        parts[0][1] == path,
        segments,
        sum(sizes),
        _lack(found["name"], [n for n, _ in parts], sizes),
        joined,
    )


def _lack(name: str, numbers: list[int], sizes: list[int]) -> str:
    """Name of the first part that should be there and is not."""
    if numbers[-1] > _OFFSETS:
        place = 0
        for number, size in zip(numbers, sizes, strict=True):
            if number != place:
                return f"{name}.part{place}"
            place += size
        return ""
    for wanted, number in enumerate(numbers, min(numbers[0], 1)):
        if number != wanted:
            return f"{name}.part{wanted}"
    return ""


def zip_parts(whole: Part, recognise: Recognise, depth: int = 1) -> list[Part]:
    """A Part for every member with something to read, in the archive's order; the archive itself when it is broken."""
    try:
        archive = open_zip(whole.path, whole.segments)
    except BrokenInput:
        return [whole]
    found: list[Part] = []
    with archive:
        many = sum(_suffix(info.filename) in MEDIA for info in archive.infolist()) > MEDIA_NAMED
        for number, info in enumerate(archive.infolist()[:MAX_MEMBERS]):
            name = member_name(info)
            bare = PurePosixPath(name.lstrip("/")).name
            if (
                info.is_dir()
                or bare.startswith(".")
                or "__MACOSX" in name
                or (many and _suffix(bare) in MEDIA)
            ):
                continue
            form = recognise(bare, b"")
            if form == "unknown":
                form = recognise(bare, _head(whole, number, bare))
            part = replace(whole, name=f"{whole.name}!{name}", form=form, member=number, size=info.file_size)
            if form == "zip":
                found += _nested(part, info, archive, recognise, depth)
            else:
                found.append(part)
        if len(archive.infolist()) > MAX_MEMBERS:
            found.append(replace(whole, form="too_many", size=0))
    if many:
        found.append(replace(whole, form="media", size=0))
    return found or [whole]


def _suffix(name: str) -> str:
    return PurePosixPath(name.lower()).suffix


def _head(whole: Part, number: int, bare: str) -> bytes:
    try:
        with open_bytes(whole.path, bare, number, whole.segments) as handle:
            return handle.read(4096)
    except BrokenInput:
        return b""


def _nested(
    part: Part, info: zipfile.ZipInfo, archive: zipfile.ZipFile, recognise: Recognise, depth: int
) -> list[Part]:
    """A zip in a zip: stored, it is read in place; compressed, one worker unpacks it."""
    outer = replace(part, form="nested")
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 0x1 or depth >= MAX_DEPTH:
        return [outer]
    try:
        with archive.open(info) as raw:  # checks the local header against the directory
            raw.read(1)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError):
        return [outer]
    start = _data_start(archive, info)
    window = replace(part, member=-1, form="zip", segments=_window(part, start, info.file_size))
    return zip_parts(window, recognise, depth + 1)


def _data_start(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    """First byte of a member's data in its archive: after its local header, whose name and extra field may differ from
    the directory's."""
    handle = archive.fp
    assert handle is not None
    handle.seek(info.header_offset + 26)
    name, extra = (int.from_bytes(handle.read(2), "little") for _ in range(2))
    return info.header_offset + 30 + name + extra


def _window(part: Part, start: int, size: int) -> Segments:
    """The bytes [start, start+size) of a part's file or segments, as segments."""
    base = part.segments or [[Path(part.path).name, 0, Path(part.path).stat().st_size]]
    found: Segments = []
    for name, offset, length in base:
        if start < length and size > 0:
            taken = min(length - start, size)
            found.append([name, offset + start, taken])
            size, start = size - taken, 0
        else:
            start -= min(start, length)
    return found


def tar_parts(whole: Part, recognise: Recognise) -> list[Part]:
    """Members of a plain tar, read in place; the parts of a cut archive inside it are joined."""
    members: list[tuple[str, int, int]] = []
    lost = ""
    try:
        with tarfile.open(whole.path, "r:") as archive:
            for member in archive:
                if member.isreg() and not member.issparse():
                    members.append((shown(member.name), member.offset_data, member.size))
                if len(members) > MAX_MEMBERS:
                    lost = "too_many"
                    break
            lost = lost or _after(archive)
    except (tarfile.TarError, OSError, EOFError):
        if not members:
            return [whole]
        lost = "cut_tar"
    size = Path(whole.path).stat().st_size
    if members and members[-1][1] + members[-1][2] > size:  # half a file is no file
        members.pop()
        lost = "cut_tar"
    found: list[Part] = []
    cut: dict[str, list[tuple[int, int, int]]] = {}
    media = False
    for name, start, size in members:
        bare = PurePosixPath(name).name
        if match := PIECE.fullmatch(name):
            cut.setdefault(match["name"], []).append((int(match["number"]), start, size))
        elif _suffix(bare) in MEDIA:
            media = True
        elif not bare.startswith("."):
            found += _windowed(whole, name, _window(whole, start, size), recognise)
    for name, parts in cut.items():
        parts.sort()
        lack = _lack(name, [n for n, *_ in parts], [s for *_, s in parts])
        segments = [piece for _, start, size in parts for piece in _window(whole, start, size)]
        if lack:
            found.append(replace(whole, name=f"{whole.name}!{lack}", form="lack", segments=segments, size=0))
        else:
            found += _windowed(whole, name, segments, recognise)
    if media:
        found.append(replace(whole, form="media", size=0))
    if lost:
        found.append(replace(whole, form=lost, size=0))
    return found or [whole]


def _after(archive: tarfile.TarFile) -> str:
    """ "cut_tar" when the members end at something that is neither the tar's end nor the file's (the library is silent)."""
    handle = archive.fileobj
    assert handle is not None
    handle.seek(archive.offset)
    return "cut_tar" if handle.read(512).strip(b"\0") else ""


def _windowed(whole: Part, name: str, segments: Segments, recognise: Recognise) -> list[Part]:
    bare = PurePosixPath(name).name
    part = replace(whole, name=f"{whole.name}!{name}", segments=segments, size=sum(s[2] for s in segments))
    form = recognise(bare, b"")
    if form == "unknown":
        try:
            with open_bytes(whole.path, bare, -1, segments) as handle:
                form = recognise(bare, handle.read(4096))
        except BrokenInput:
            pass
    part.form = form
    return zip_parts(part, recognise) if form == "zip" else [part]


def read_nested(
    part: Part, recognise: Recognise, read: Callable[[BinaryIO, Part], Iterator[Record | Failure]], depth: int = 1,
) -> Iterator[Record | Failure]:  # fmt: skip
    """Everything in a compressed zip in a zip: unpacked to a temporary file, its members read one after the other.
    Raises BrokenInput."""
    with open_bytes(part.path, "inner.zip", part.member, part.segments) as packed:
        yield from read_inner(packed, part, recognise, read, depth)


def read_inner(packed: BinaryIO, part: Part, recognise: Recognise, read: Callable[[BinaryIO, Part], Iterator[Record | Failure]],
                depth: int) -> Iterator[Record | Failure]:  # fmt: skip
    """Everything in a zip that is read from its beginning to its end. Raises BrokenInput."""
    if depth > MAX_DEPTH:
        raise BrokenInput(f"zip이 {MAX_DEPTH}겹보다 깊음 (zips nested too deeply)")
    with tempfile.TemporaryFile() as whole:
        _copied(packed, whole)
        with open_zip(part.name, handle=whole) as archive:
            media: Counter[str] = Counter()
            for number, info in enumerate(archive.infolist()[:MAX_MEMBERS]):
                name = member_name(info)
                bare = PurePosixPath(name.lstrip("/")).name
                if info.is_dir() or bare.startswith(".") or "__MACOSX" in name:
                    continue
                if _suffix(bare) in MEDIA:
                    media[_suffix(bare)] += 1
                    continue
                inner = replace(part, name=f"{part.name}!{name}", size=info.file_size)
                try:
                    with unpack_member(archive, number, bare) as handle:
                        head = handle.peek(4096) if hasattr(handle, "peek") else b""
                        inner.form = recognise(bare, head[:4096])
                        outs = (
                            read_inner(handle, inner, recognise, read, depth + 1)
                            if inner.form == "zip"
                            else read(handle, inner)
                        )
                        for item in outs:
                            item.place = f"{name}#{item.place}" if item.place else name
                            yield item
                except BrokenInput as error:
                    yield Failure(inner.label, name, str(error))
            if media:
                yield Failure(part.label, "", media_line(media))


def _copied(source: BinaryIO, target: BinaryIO) -> None:
    free = shutil.disk_usage(tempfile.gettempdir()).free // 2
    size = 0
    while block := source.read(1 << 20):
        size += len(block)
        if size > min(MAX_NESTED_BYTES, free):
            raise BrokenInput(
                f"zip 안의 zip이 너무 큼: 먼저 푸십시오 (zip inside a zip over {size >> 20} MiB: unpack it first)"
            )
        target.write(block)
    target.seek(0)


def explain(part: Part) -> str:
    """Why a Part that no reader takes gives nothing, for the user."""
    if part.form == "media":
        return media_line(_media_of(part))
    if part.form == "too_many":
        return f"멤버가 {MAX_MEMBERS}개를 넘음: 나머지는 읽지 않음 (more members than the limit, the rest is not read)"
    if part.form == "cut_tar":
        return "tar가 중간에 깨짐: 나머지는 읽지 않음 (damaged tar, the rest is not read)"
    pieces = pieces_of(Path(part.path))
    if part.form == "lack":
        return f"조각이 없음 (missing part): {pieces.lack if pieces else part.name.partition('!')[2]}"
    if part.form == "zip":
        try:
            open_zip(part.path, part.segments).close()
        except BrokenInput as error:
            return f"{error}" + (
                f"; 마지막 조각이 없을 수 있음 (the last part may be missing): {part.name}" if pieces else ""
            )
        return "빈 zip (empty zip)"
    return ""


def _media_of(part: Part) -> Counter[str]:
    try:
        if part.form == "media" and part.name.lower().endswith(".tar"):
            with tarfile.open(part.path, "r:") as tar:
                return Counter(s for m in tar if (s := _suffix(m.name)) in MEDIA)
        with open_zip(part.path, part.segments) as archive:
            return Counter(s for i in archive.infolist() if (s := _suffix(i.filename)) in MEDIA)
    except (BrokenInput, tarfile.TarError, OSError):
        return Counter()


def media_line(media: Counter[str]) -> str:
    told = ", ".join(f"{suffix} {count}" for suffix, count in sorted(media.items()))
    return f"글이 아닌 파일 {media.total()}개를 건너뜀 (sound, pictures and the like are skipped): {told}"
