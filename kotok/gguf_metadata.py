"""GGUF metadata: names and values as bytes and back. What a tokenizer's fields are is in kotok.gguf.

The reader looks at metadata only and checks every count and length before it uses it; it never maps tensors.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

from kodata.run.errors import UserError

MAX_FIELDS, MAX_STRING, MAX_VALUES = 1 << 14, 1 << 24, 1 << 24
_SCALARS = {0: "B", 1: "b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY, _U32, _I32, _F32, _BOOL = 8, 9, 4, 5, 6, 7


def metadata_only(fields: dict[str, Any]) -> bytes:
    """A whole GGUF file of these fields and no tensors."""
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, len(fields))
    return head + b"".join(string_bytes(name) + value_bytes(value) for name, value in fields.items())


def string_bytes(text: str) -> bytes:
    """Length (u64) and UTF-8 bytes."""
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def value_bytes(value: Any) -> bytes:
    """Type number and bytes of a value: bool, int (u32), float (f32), str, or a list of str, int (i32) or float (f32)."""
    match value:
        case bool():
            return struct.pack("<I?", _BOOL, value)
        case int():
            return struct.pack("<II", _U32, value)
        case float():
            return struct.pack("<If", _F32, value)
        case str():
            return struct.pack("<I", _STRING) + string_bytes(value)
        case [] | [str(), *_]:
            return struct.pack("<IIQ", _ARRAY, _STRING, len(value)) + b"".join(map(string_bytes, value))
        case [int(), *_]:
            return struct.pack(f"<IIQ{len(value)}i", _ARRAY, _I32, len(value), *value)
        case [float(), *_]:
            return struct.pack(f"<IIQ{len(value)}f", _ARRAY, _F32, len(value), *value)
    raise TypeError(type(value))


def read_fields(path: Path) -> dict[str, Any]:
    """The metadata of a GGUF file. Raises UserError for everything that is not a whole, well-formed header."""
    with open(path, "rb") as handle:
        reader = _Reader(handle, path, path.stat().st_size)
        if reader.take(4) != b"GGUF":
            raise reader.broken("GGUF 파일이 아닙니다 (not a GGUF file)")
        version, _, count = reader.unpack("<I"), reader.unpack("<Q"), reader.unpack("<Q")
        if version not in (2, 3) or count > MAX_FIELDS:
            raise reader.broken(f"모르는 판이나 수 (unknown version {version}, {count} fields)")
        fields: dict[str, Any] = {}
        for _ in range(count):
            name = reader.string()
            fields[name] = reader.value(reader.unpack("<I"))
        return fields


class _Reader:
    def __init__(self, handle: BinaryIO, path: Path, size: int) -> None:
        self.handle, self.path, self.left, self.values = handle, path, size, 0

    def broken(self, what: str) -> UserError:
        return UserError(
            what, "파일이 깨졌습니다. 다시 받으십시오 (broken file: get it again)", file=self.path
        )

    def take(self, n: int) -> bytes:
        if n > self.left:
            raise self.broken("머리가 파일 밖을 가리킵니다 (header runs past the end)")
        self.left -= n
        return self.handle.read(n)

    def unpack(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def string(self) -> str:
        n = self.unpack("<Q")
        if n > MAX_STRING:
            raise self.broken(f"너무 긴 글 (string of {n} bytes)")
        try:
            return self.take(n).decode("utf-8")
        except UnicodeDecodeError:
            raise self.broken("UTF-8 이 아닌 글 (string is not UTF-8)") from None

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind in _SCALARS:
            return self.unpack(_SCALARS[kind])
        if kind != _ARRAY:
            raise self.broken(f"모르는 값의 종류 (unknown field type {kind})")
        inner, n = self.unpack("<I"), self.unpack("<Q")
        self.values += n
        if self.values > MAX_VALUES:
            raise self.broken(f"값이 너무 많습니다 (more than {MAX_VALUES} values)")
        if inner == _STRING:
            return [self.string() for _ in range(n)]
        if inner not in _SCALARS:
            raise self.broken(f"모르는 배열 (unknown array of type {inner})")
        code = _SCALARS[inner].lstrip("<")
        return list(struct.unpack(f"<{n}{code}", self.take(n * struct.calcsize("<" + code))))
