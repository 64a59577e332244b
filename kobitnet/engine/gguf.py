"""A reader of GGUF files that trusts nothing: every count, length, offset, type and name is checked before it is used.

Format (little endian): "GGUF", u32 version, u64 tensors, u64 fields; fields: name, type, value; tensors: name, u32 dims, u64 sizes
(the row first), u32 type, u64 offset from the data section, which starts at the next multiple of general.alignment.
"""

import mmap
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kobitnet.engine.ggml import BF16, BLOCKS, F16, F32, Q8_0, TYPE_NAMES, nbytes, q8_0_floats
from kodata.run.errors import UserError

MAX_TENSORS, MAX_FIELDS, MAX_NAME = 1 << 17, 1 << 14, 1 << 16
MAX_STRING, MAX_VALUES = 1 << 24, 1 << 24  # bytes of one string; values of all arrays together
STRING, ARRAY = 8, 9
SCALARS: dict[int, np.dtype[Any]] = {
    0: np.dtype("u1"),
    1: np.dtype("i1"),
    2: np.dtype("<u2"),
    3: np.dtype("<i2"),
    4: np.dtype("<u4"),
    5: np.dtype("<i4"),
    6: np.dtype("<f4"),
    7: np.dtype("?"),
    10: np.dtype("<u8"),
    11: np.dtype("<i8"),
    12: np.dtype("<f8"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    kind: int
    shape: tuple[int, ...]
    """(…, in): rows contiguous, the reverse of the file's order."""
    begin: int
    end: int


class Gguf:
    """One memory-mapped GGUF file: `fields` (metadata) and `entries` (tensors).

    Raises UserError for everything that is not a whole, well-formed file of known types.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            with open(path, "rb") as handle:
                self.size = os.fstat(handle.fileno()).st_size
                if self.size < 24:
                    raise self._broken(f"파일이 너무 짧습니다 (file of {self.size} bytes)")
                self.map = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise UserError(f"열 수 없습니다 (cannot open): {error.strerror}", file=path) from None
        self.at = 0
        self.values = 0
        if self._bytes(4) != b"GGUF":
            raise self._broken("GGUF 파일이 아닙니다 (not a GGUF file)")
        (version,) = self._take("<I")
        if version not in (2, 3):
            raise self._broken(f"모르는 판 (unknown version, or big endian): {version}")
        tensors, fields = self._take("<QQ")
        if tensors > MAX_TENSORS or fields > MAX_FIELDS:
            raise self._broken(f"수가 너무 큽니다 (too many): {tensors} tensors, {fields} fields")
        self.fields: dict[str, Any] = {}
        for _ in range(fields):
            name = self._string(MAX_NAME)
            if name in self.fields:
                raise self._broken(f"두 번 나온 이름 (duplicate field): {name[:100]}")
            self.fields[name] = self._value(self._take("<I")[0])
        self.entries = self._tensors(tensors)

    # ---- header ---------------------------------------------------------------------------------

    def _bytes(self, n: int) -> bytes:
        if n > self.size - self.at:
            raise self._broken(f"머리가 파일 밖을 가리킵니다 (header runs past the end, at byte {self.at})")
        self.at += n
        return self.map[self.at - n : self.at]

    def _take(self, form: str) -> tuple[int, ...]:
        return struct.unpack(form, self._bytes(struct.calcsize(form)))

    def _string(self, limit: int = MAX_STRING) -> str:
        (n,) = self._take("<Q")
        if n > limit:
            raise self._broken(f"너무 긴 글 (string of {n} bytes at byte {self.at})")
        try:
            return self._bytes(n).decode("utf-8")
        except UnicodeDecodeError:
            raise self._broken(f"UTF-8 이 아닌 글 (string is not UTF-8, at byte {self.at})") from None

    def _value(self, kind: int) -> Any:
        if kind == STRING:
            return self._string()
        if kind in SCALARS:
            return np.frombuffer(self._bytes(SCALARS[kind].itemsize), SCALARS[kind])[0].item()
        if kind != ARRAY:
            raise self._broken(f"모르는 값의 종류 (unknown field type): {kind}")
        inner, n = self._take("<IQ")
        self.values += n
        if self.values > MAX_VALUES:
            raise self._broken(f"값이 너무 많습니다 (arrays of more than {MAX_VALUES} values)")
        if inner == STRING:
            return [self._string() for _ in range(n)]
        if inner not in SCALARS:
            raise self._broken(f"모르는 배열 (unknown array of type {inner})")
        return np.frombuffer(self._bytes(n * SCALARS[inner].itemsize), SCALARS[inner]).tolist()

    def _tensors(self, count: int) -> dict[str, Entry]:
        found: list[tuple[str, tuple[int, ...], int, int]] = []
        for _ in range(count):
            name = self._string(MAX_NAME)
            (dims,) = self._take("<I")
            if not 1 <= dims <= 4:
                raise self._broken(f"차원 수 (number of dimensions) {dims}: {name[:100]}")
            sizes = self._take(f"<{dims}Q")
            kind, offset = self._take("<IQ")
            found.append((name, sizes[::-1], kind, offset))
        alignment = self.fields.get("general.alignment", 32)
        if type(alignment) is not int or not 1 <= alignment <= 1 << 20 or alignment & (alignment - 1):
            raise self._broken(f"잘못된 (bad) general.alignment: {alignment!r}")
        start = -(-self.at // alignment) * alignment
        entries: dict[str, Entry] = {}
        for name, shape, kind, offset in found:
            if name in entries:
                raise self._broken(f"두 번 나온 이름 (duplicate tensor): {name[:100]}")
            entries[name] = self._entry(name, shape, kind, offset, start, alignment)
        end = 0
        for name, entry in sorted(entries.items(), key=lambda item: item[1].begin):
            if entry.begin < end:
                raise self._broken(f"텐서 자리가 겹칩니다 (overlapping tensors): {name[:100]}")
            end = entry.end
        return entries

    def _entry(
        self, name: str, shape: tuple[int, ...], kind: int, offset: int, start: int, alignment: int
    ) -> Entry:
        where = f"{name[:100]} {shape}"
        if kind not in BLOCKS:
            raise UserError(
                f"읽을 수 없는 텐서 종류 {kind} (unsupported tensor type): {where}",
                file=self.path,
                help="읽는 것 (readable): " + ", ".join(TYPE_NAMES.values()),
            )
        if any(not 1 <= n < 1 << 40 for n in shape) or any(n >= 1 << 48 for n in _products(shape)):
            raise self._broken(f"텐서가 너무 크거나 비었습니다 (size out of range): {where}")
        if shape[-1] % BLOCKS[kind][0]:
            raise self._broken(f"행이 블록의 배수가 아닙니다 (row is not whole blocks): {where}")
        if offset % alignment:
            raise self._broken(f"어긋난 자리 (misaligned offset {offset}): {where}")
        begin, size = start + offset, nbytes(shape, kind)
        if begin > self.size or size > self.size - begin:
            raise self._broken(f"텐서가 파일 밖에 있습니다 (tensor runs past the end): {where}")
        return Entry(kind, shape, begin, begin + size)

    # ---- tensors --------------------------------------------------------------------------------

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def entry(self, name: str, shape: tuple[int, ...] | None = None) -> Entry:
        """Raises UserError when the tensor is missing or has another shape."""
        entry = self.entries.get(name)
        if entry is None:
            raise UserError(f"텐서가 없습니다 (missing tensor): {name}", file=self.path)
        if shape is not None and entry.shape != shape:
            raise self._broken(
                f"텐서 모양이 설정과 다릅니다 (shape {entry.shape}, fields say {shape}): {name}"
            )
        return entry

    def raw(self, name: str) -> np.ndarray:
        """uint8 view of the mapped file."""
        entry = self.entry(name)
        return np.frombuffer(self.map, np.uint8, entry.end - entry.begin, entry.begin)

    def floats(
        self, name: str, shape: tuple[int, ...] | None = None, rows: slice | None = None
    ) -> np.ndarray:
        """float32 copy of a F32, F16, BF16 or Q8_0 tensor, or of some rows of a matrix. UserError for NaN or infinity."""
        entry = self.entry(name, shape)
        raw, kept = self.raw(name), entry.shape
        if rows is not None:
            first, last, _ = rows.indices(kept[0])
            width = len(raw) // kept[0]
            raw, kept = raw[first * width : last * width], (last - first, *kept[1:])
        if entry.kind == F32:
            result = raw.view("<f4").astype(np.float32)
        elif entry.kind == F16:
            result = raw.view("<f2").astype(np.float32)
        elif entry.kind == BF16:
            result = (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
        elif entry.kind == Q8_0:
            result = q8_0_floats(raw, kept)
        else:
            raise UserError(
                f"실수 텐서가 아닙니다 (not a float tensor: {TYPE_NAMES[entry.kind]}): {name}", file=self.path
            )
        if not np.isfinite(result).all():
            raise UserError(f"유한하지 않은 값 (NaN or infinity): {name}", file=self.path)
        return result.reshape(kept)

    def release(self, name: str) -> None:
        """Give the pages of a tensor back to the system."""
        entry = self.entries[name]
        begin = -(-entry.begin // mmap.PAGESIZE) * mmap.PAGESIZE
        end = entry.end // mmap.PAGESIZE * mmap.PAGESIZE
        if end > begin and hasattr(self.map, "madvise"):
            self.map.madvise(mmap.MADV_DONTNEED, begin, end - begin)

    def close(self) -> None:
        with suppress(BufferError):  # an array still points into it; the map goes with the last one
            self.map.close()

    def _broken(self, message: str) -> UserError:
        return UserError(
            message,
            file=self.path,
            help="파일이 깨졌습니다. 다시 내려받거나 다시 내보내세요 (broken file: download or export it again)",
        )


def _products(shape: tuple[int, ...]) -> list[int]:
    out, product = [], 1
    for n in shape:
        product *= n
        out.append(product)
    return out
