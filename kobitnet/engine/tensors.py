"""A reader of safetensors files that trusts nothing: every size, offset, name and dtype is checked before it is used.

Format: u64 little-endian header length, a JSON object {name: {dtype, shape, data_offsets: [begin, end]}}, then the data.
"""

import json
import mmap
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kodata.run.errors import UserError

MAX_HEADER = 100 << 20  # the limit of the safetensors library itself
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
# numpy has no bfloat16: BF16 comes out as uint16 bits
DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "F64": np.dtype("<f8"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "U64": np.dtype("<u8"),
    "BOOL": np.dtype("?"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    file: "File"
    dtype: str
    shape: tuple[int, ...]
    begin: int  # bytes from the start of the file
    end: int


class File:
    """One memory-mapped safetensors file."""

    def __init__(self, path: Path):
        self.path = path
        with open(path, "rb") as handle:
            self.size = os.fstat(handle.fileno()).st_size
            if self.size < 8:
                raise _broken(path, f"파일이 너무 짧습니다 (file of {self.size} bytes)")
            self.map = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        header = int.from_bytes(self.map[:8], "little")
        if header > MAX_HEADER or header > self.size - 8:
            raise _broken(
                path, f"머리 길이가 파일보다 큽니다 (header of {header} bytes in a file of {self.size})"
            )
        self.entries = self._parse(self.map[8 : 8 + header], 8 + header)

    def _parse(self, raw: bytes, start: int) -> dict[str, Entry]:
        try:
            header = json.loads(raw.decode("utf-8"), object_pairs_hook=self._unique)
        except (ValueError, RecursionError) as error:
            raise _broken(
                self.path, f"머리가 JSON 이 아닙니다 (header is not JSON): {str(error)[:80]}"
            ) from None
        if not isinstance(header, dict):
            raise _broken(self.path, "머리가 객체가 아닙니다 (header is not an object)")
        header.pop("__metadata__", None)
        entries = {name: self._entry(name, value, start) for name, value in header.items()}
        at = start
        for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
            if entry.begin != at:
                raise _broken(
                    self.path, f"텐서 자리가 겹치거나 비었습니다 (overlapping or missing bytes): {name}"
                )
            at = entry.end
        if at != self.size:
            raise _broken(
                self.path, f"파일 길이가 머리와 다릅니다 (file has {self.size} bytes, header says {at})"
            )
        return entries

    def _unique(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise ValueError("duplicate key")
        return result

    def _entry(self, name: str, value: Any, start: int) -> Entry:
        match value:
            case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]} if (
                dtype in DTYPES
                and len(shape) <= 8
                and not isinstance(begin, bool)
                and not isinstance(end, bool)
                and all(type(n) is int and 0 <= n < 1 << 48 for n in shape)
            ):
                count = 1
                for n in shape:
                    count *= n
                size = count * DTYPES[dtype].itemsize
                if 0 <= begin <= end <= self.size - start and end - begin == size:
                    return Entry(self, dtype, tuple(shape), start + begin, start + end)
        raise _broken(self.path, f"잘못된 텐서 기록 (bad tensor entry): {name[:100]} {str(value)[:120]}")

    def close(self) -> None:
        with suppress(BufferError):  # an array still points into it; the map goes with the last one
            self.map.close()


class Tensors:
    """All tensors of a model folder (one file, or shards with an index)."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.files: list[File] = []
        self.entries: dict[str, Entry] = {}
        index = folder / INDEX
        if (folder / SINGLE).is_file():
            self._add(folder / SINGLE)
        elif index.is_file():
            for name in self._shards(index):
                self._add(folder / name)
        else:
            raise UserError(
                f"가중치가 없습니다 (no {SINGLE}): {folder}",
                help="학습을 끝내거나 모델 폴더를 확인하세요 (finish training, or check the folder)",
            )

    def _add(self, path: Path) -> None:
        try:
            file = File(path)
        except OSError as error:
            raise UserError(f"열 수 없습니다 (cannot open): {error.strerror}", file=path) from None
        self.files.append(file)
        twice = self.entries.keys() & file.entries.keys()
        if twice:
            raise _broken(path, f"두 파일에 있는 텐서 (tensor in two files): {min(twice)}")
        self.entries.update(file.entries)

    def _shards(self, index: Path) -> list[str]:
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
            if not all(
                isinstance(n, str) and n == Path(n).name and n.endswith(".safetensors") for n in names
            ):
                raise ValueError("a shard is not a plain file name")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _broken(index, f"색인을 읽을 수 없습니다 (bad index): {error}") from None
        return names

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def entry(self, name: str, shape: tuple[int, ...] | None = None) -> Entry:
        """Raises UserError when the tensor is missing or has another shape."""
        entry = self.entries.get(name)
        if entry is None:
            raise UserError(
                f"텐서가 없습니다 (missing tensor): {name}",
                file=self.folder,
                help="이 모델 폴더는 완전하지 않습니다 (incomplete model folder)",
            )
        if shape is not None and entry.shape != shape:
            raise _broken(
                entry.file.path,
                f"텐서 모양이 설정과 다릅니다 (shape {entry.shape}, config says {shape}): {name}",
            )
        return entry

    def array(self, name: str, shape: tuple[int, ...] | None = None) -> tuple[np.ndarray, str]:
        """(view of the mapped file, dtype name); BF16 as uint16 bits."""
        entry = self.entry(name, shape)
        raw = np.frombuffer(entry.file.map, np.uint8, entry.end - entry.begin, entry.begin)
        if entry.begin % DTYPES[entry.dtype].itemsize:
            raw = raw.copy()
        return raw.view(DTYPES[entry.dtype]).reshape(entry.shape), entry.dtype

    def floats(self, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """float32 copy of a float tensor. Raises UserError for another dtype or a value that is not finite."""
        array, dtype = self.array(name, shape)
        result = to_float32(array, dtype, name)
        if not np.isfinite(result).all():
            raise UserError(f"유한하지 않은 값 (NaN or infinity): {name}", file=self.folder)
        return result

    def release(self, name: str) -> None:
        """Give the pages of a tensor back to the system (they are read again when needed)."""
        entry = self.entries[name]
        begin, end = (
            -(-entry.begin // mmap.PAGESIZE) * mmap.PAGESIZE,
            entry.end // mmap.PAGESIZE * mmap.PAGESIZE,
        )
        if end > begin and hasattr(entry.file.map, "madvise"):
            entry.file.map.madvise(mmap.MADV_DONTNEED, begin, end - begin)

    def close(self) -> None:
        for file in self.files:
            file.close()


def to_float32(array: np.ndarray, dtype: str, name: str) -> np.ndarray:
    """A fresh float32 array of an F32, F16, BF16 or F64 tensor."""
    if dtype == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    if dtype in ("F32", "F16", "F64"):
        return array.astype(np.float32)
    raise UserError(f"실수 텐서가 아닙니다 (not a float tensor: {dtype}): {name}")


def _broken(path: Path, message: str) -> UserError:
    return UserError(
        message,
        file=path,
        help="파일이 깨졌습니다. 다시 내려받거나 다시 내보내세요 (broken file: download or export it again)",
    )
