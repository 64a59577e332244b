"""Files that are either whole or not there: written beside their place, flushed to disk, then renamed."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from kodata.run.errors import UserError

MAX_JSON_BYTES = 256 * 1024 * 1024


@contextmanager
def atomic_open(path: str | Path, mode: str = "wb", **kwargs: Any) -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path``; on success it is fsynced and renamed onto ``path``.

    A crash at any moment leaves the old file or the new one, never half of one. ``mode`` is "w" or "wb".
    Raises UserError when the disk is full or the place cannot be written.
    """
    path = Path(path)
    if "b" not in mode:
        kwargs.setdefault("encoding", "utf-8")
        kwargs.setdefault("newline", "\n")
        # a file name that is not UTF-8 comes as lone surrogates: \udcb0, which JSON reads back as it was
        kwargs.setdefault("errors", "backslashreplace")
    temp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temp, mode, **kwargs) as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temp, path)
    except OSError as error:
        temp.unlink(missing_ok=True)
        raise disk_error(error, path) from error
    except BaseException:
        temp.unlink(missing_ok=True)
        raise


def disk_error(error: OSError, path: Path) -> UserError:
    """A UserError for a failed write, telling a full disk from a place that may not be written."""
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"디스크가 가득 찼습니다 (disk is full): {path}",
            "자리를 비운 뒤 같은 명령을 다시 실행하면 이어집니다 (free some space and run the same command again)",
        )
    return UserError(
        f"쓸 수 없습니다 (cannot write): {path}: {error.strerror or error}",
        "폴더 권한을 확인하거나 -o 로 다른 곳을 고르십시오 (check permissions or choose another -o)",
    )


def atomic_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented UTF-8 JSON, atomically."""
    with atomic_open(path, "w") as handle:
        json.dump(value, handle, ensure_ascii=False, indent=1, allow_nan=False)
        handle.write("\n")


def read_json(path: str | Path) -> Any:
    """Read one JSON file. Raises UserError naming file and line when it is missing, too large or broken."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise UserError(f"JSON 파일이 너무 큽니다 (JSON file over {MAX_JSON_BYTES} bytes)", file=path)
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"파일이 없습니다 (no such file): {path}") from None
    except OSError as error:
        raise UserError(f"읽을 수 없습니다 (cannot read): {error.strerror}", file=path) from None
    except json.JSONDecodeError as error:
        raise UserError(
            f"JSON이 깨졌습니다 (broken JSON): {error.msg}", file=path, line=error.lineno
        ) from None
    except (
        ValueError,
        RecursionError,
    ) as error:  # bad UTF-8, an integer of thousands of digits, a bomb of brackets
        raise UserError(f"JSON이 깨졌습니다 (broken JSON): {error}", file=path) from None


def read_json_object(path: str | Path) -> dict[str, Any]:
    """``read_json`` for a file whose root must be an object."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise UserError(f"JSON 객체여야 합니다 (must be a JSON object, is {type(value).__name__})", file=path)
    return value


def fingerprint(path: str | Path) -> str:
    """A hex digest that stands for the content of an input.

    A finished run folder is known by the digest of its own outputs' list (its manifest), any other folder by
    its files, a file by its size and content: whole up to 4 MB, beyond that 64 blocks of 64 KiB spread over
    it with head and tail, so that a terabyte costs no second pass.
    """
    path = Path(path)
    try:
        return _digest(path)
    except OSError as error:
        raise unreadable(error, path) from None


def unreadable(error: OSError, path: Path) -> UserError:
    """A UserError for a file or folder that may not be, or cannot be, read."""
    return UserError(
        f"읽을 수 없습니다 (cannot read): {error.filename or path}: {error.strerror or error}",
        "권한과 디스크를 확인하거나 그것을 빼고 주십시오 (check permissions and disk, or leave it out)",
    )


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=12)
    if path.is_dir():
        manifest = path / "manifest.json"
        if manifest.is_file():
            facts = read_json_object(manifest)
            digest.update(json.dumps([facts.get("id"), facts.get("status")], sort_keys=True).encode())
            return digest.hexdigest()
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(
                f"{file.relative_to(path)}\0{fingerprint(file)}\0".encode("utf-8", "surrogateescape")
            )
        return digest.hexdigest()
    size = path.stat().st_size
    digest.update(str(size).encode())
    block, blocks = 64 * 1024, 64
    with open(path, "rb") as handle:
        if size <= block * blocks:
            digest.update(handle.read())
        else:
            for i in range(blocks):
                handle.seek(i * (size - block) // (blocks - 1))
                digest.update(handle.read(block))
    return digest.hexdigest()


def digest_of(value: Mapping[str, Any] | list[Any]) -> str:
    """Hex digest of a JSON value, independent of key order."""
    data = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=12).hexdigest()
