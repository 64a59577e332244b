"""One file for a small model: a line of facts and a few arrays, compressed, checked in full when it is opened.

    8 bytes "KODATA\\0\\1" · 4 bytes size of the head · head (JSON, UTF-8) · the arrays, each one zstd frame

The head names kind, facts, and for each array its dtype, shape, stored bytes and BLAKE2b digest. Nothing in it is run: no
pickle. Sorted unsigned keys are stored as differences. Sizes are bounded before anything is allocated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kodata.run.errors import UserError
from kodata.run.files import atomic_open

MAGIC = b"KODATA\0\1"
MAX_HEAD = 1 << 20
MAX_ARRAY = 1 << 31
"""Bytes of one array."""
DTYPES = ("uint8", "int8", "uint16", "uint32", "uint64", "float16", "float32")

Arrays = dict[str, npt.NDArray[Any]]


def save_model(
    path: str | Path, kind: str, facts: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
) -> None:
    """Write a model whole or not at all; equal models give equal bytes."""
    import zstandard

    packer = zstandard.ZstdCompressor(level=9)
    parts, entries = [], {}
    for name, values in arrays.items():
        values = np.ascontiguousarray(values)
        ascending = values.dtype == np.uint64 and values.ndim == 1 and bool((values[1:] > values[:-1]).all())
        stored = np.diff(values, prepend=np.uint64(0)) if ascending else values
        packed = packer.compress(stored.tobytes())
        parts.append(packed)
        entries[name] = {
            "dtype": str(values.dtype),
            "shape": list(values.shape),
            "ascending": ascending,
            "bytes": len(packed),
            "digest": blake2b(packed, digest_size=12).hexdigest(),
        }
    head = json.dumps({"kind": kind, "facts": dict(facts), "arrays": entries}, ensure_ascii=False)
    raw = head.encode()
    with atomic_open(path, "wb") as out:
        out.write(MAGIC + len(raw).to_bytes(4, "little") + raw)
        for packed in parts:
            out.write(packed)


def load_model(path: str | Path, kind: str) -> tuple[dict[str, Any], Arrays]:
    """(facts, arrays) of a model of this kind.

    Raises:
        UserError: no such file, not a model file, a model of another kind, cut short or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"모델 파일이 없습니다 (no such model file): {path}", help="kodata train-lm, kodata train-quality"
        )
    try:
        with open(path, "rb") as handle:
            return _read(handle, kind, path)
    except (KeyError, TypeError, ValueError, OverflowError, MemoryError) as error:
        raise broken(path, f"{type(error).__name__}: {error}") from None


def _read(handle: Any, kind: str, path: Path) -> tuple[dict[str, Any], Arrays]:
    import zstandard

    if handle.read(len(MAGIC)) != MAGIC:
        raise broken(path, "kodata 모델이 아님 (not a kodata model)")
    size = int.from_bytes(handle.read(4), "little")
    if size > MAX_HEAD:
        raise broken(path, f"머리가 너무 큼 (head too large): {size}")
    head = json.loads(handle.read(size).decode("utf-8"))
    if head["kind"] != kind:
        raise UserError(
            f"다른 종류의 모델입니다 (a model of another kind): {head['kind']!r}, 바라는 것 (wanted): {kind!r}",
            help="--lm 에는 train-lm, --quality 와 --educational 에는 train-quality 의 모델 (mind which flag takes which model)",
            file=path,
        )
    arrays: Arrays = {}
    for name, entry in head["arrays"].items():
        if entry["dtype"] not in DTYPES:
            raise broken(path, f"dtype {entry['dtype']!r}")
        dtype = np.dtype(entry["dtype"])
        shape = [int(n) for n in entry["shape"]]
        whole = int(np.prod([1, *shape], dtype=object)) * dtype.itemsize
        stored = int(entry["bytes"])
        if min([0, *shape]) < 0 or not 0 <= whole <= MAX_ARRAY or not 0 <= stored <= MAX_ARRAY:
            raise broken(path, f"{name}: {shape}")
        packed = handle.read(stored)
        if len(packed) != stored or blake2b(packed, digest_size=12).hexdigest() != entry["digest"]:
            raise broken(path, f"{name}: 내용이 다름 (content differs)")
        try:
            raw = zstandard.ZstdDecompressor().decompress(packed, max_output_size=max(whole, 1))
        except zstandard.ZstdError as error:
            raise broken(path, f"{name}: {error}") from None
        if len(raw) != whole:
            raise broken(path, f"{name}: {len(raw)} != {whole}")
        values = np.frombuffer(raw, dtype).reshape(shape)
        arrays[name] = np.cumsum(values, dtype=np.uint64) if entry["ascending"] else values
    return dict(head["facts"]), arrays


def broken(path: Path, why: str) -> UserError:
    """The error for a file that cannot be a model."""
    return UserError(
        f"모델 파일이 깨졌습니다 (damaged model file): {why}",
        help="kodata train-lm 이나 kodata train-quality 로 다시 만드십시오 (train it again)",
        file=path,
    )
