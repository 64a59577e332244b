"""Arrays on disk and picked by row: npz files opened without reading them, packed strings, rows of many lengths."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kodata.dedup import reference
from kodata.dedup.reference import I64
from kodata.run.errors import UserError
from kodata.run.files import atomic_open


def save_arrays(path: Path, **arrays: npt.NDArray[Any]) -> None:
    """An uncompressed npz file, whole or not there."""
    with atomic_open(path, "wb") as out:
        np.savez(out, **arrays)  # type: ignore[arg-type]


def open_arrays(path: Path, *names: str) -> dict[str, npt.NDArray[Any]]:
    """Arrays of a file of `save_arrays`, all or those with these names, mapped from disk: only rows that are used are read.

    Raises UserError when the file is missing or broken.
    """
    found: dict[str, npt.NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
            for info in archive.infolist():
                array_name = info.filename.removesuffix(".npy")
                if names and array_name not in names:
                    continue
                file.seek(info.header_offset + 26)
                name, extra = struct.unpack("<HH", file.read(4))
                file.seek(name + extra, 1)
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0  # fmt: skip
                shape, fortran, dtype = read(file)
                assert not fortran and info.compress_type == zipfile.ZIP_STORED
                array: npt.NDArray[Any] = np.zeros(shape, dtype)
                if array.size:
                    array = np.memmap(path, dtype, "r", offset=file.tell(), shape=shape)
                found[array_name] = array
    except (OSError, zipfile.BadZipFile, ValueError, struct.error) as error:
        raise UserError(
            f"작업 파일을 읽을 수 없습니다 (cannot read a work file): {error}",
            "--fresh 로 다시 하십시오 (run again with --fresh)",
            file=path,
        ) from None
    return found


def pack(strings: Sequence[str]) -> tuple[npt.NDArray[np.uint8], I64]:
    """(bytes of all, ends [n + 1]): string i is bytes[ends[i] : ends[i + 1]]."""
    parts = [s.encode("utf-8", "surrogatepass") for s in strings]
    ends = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(p) for p in parts], out=ends[1:])
    return np.frombuffer(b"".join(parts), np.uint8), ends


def strings_at(data: npt.NDArray[np.uint8], ends: I64, rows: I64) -> list[str]:
    """The strings of some rows of what `pack` made."""
    picked = reference.spans(data, ends, rows).tobytes()
    cuts = [0, *np.cumsum(ends[rows + 1] - ends[rows]).tolist()]
    return [picked[a:b].decode("utf-8", "surrogatepass") for a, b in pairwise(cuts)]


def by_shard(numbers: I64, starts: I64) -> Iterator[tuple[int, slice, I64]]:
    """(shard, which of the ascending numbers, their rows in it) for every shard that has any of them."""
    cuts = np.searchsorted(numbers, starts)
    for shard in np.flatnonzero(np.diff(cuts)).tolist():
        part = slice(int(cuts[shard]), int(cuts[shard + 1]))
        yield shard, part, numbers[part] - starts[shard]
