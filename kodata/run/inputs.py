"""From what a user typed (files, folders, globs) to a sorted list of files."""

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path

from kodata.run.errors import UserError


def expand(inputs: Iterable[str | Path] | str | Path, suffixes: Sequence[str] = ()) -> list[Path]:
    """Files behind ``inputs``: sorted within each input, each file once, folders recursively.

    One path alone may be given without a list. ``suffixes`` (such as ".jsonl.zst") filters what is found in folders; a file named directly is always
    taken. Hidden files and folders are left out of folders. Raises UserError for an input that does not
    exist, a glob without a match and a folder without a fitting file.
    """
    found: dict[Path, None] = {}
    inputs = [inputs] if isinstance(inputs, str | Path) else inputs
    for item in inputs:
        path = Path(item)
        if path.is_dir():
            files = [p for p in sorted(path.rglob("*")) if _fits(p, path, suffixes)]
            if not files:
                what = f" ({', '.join(suffixes)})" if suffixes else ""
                raise UserError(f"폴더에 읽을 파일이 없습니다{what} (no input files in folder): {path}")
        elif path.exists():
            files = [path]
        else:
            files = [Path(p) for p in sorted(glob.glob(str(item), recursive=True)) if Path(p).is_file()]
            if not files:
                raise UserError(
                    f"파일이나 폴더가 없습니다 (no such file or folder): {item}",
                    "경로를 확인하십시오. 글롭은 따옴표로 감쌉니다 (check the path; quote globs)",
                )
        found.update(dict.fromkeys(files))
    if not found:
        raise UserError("입력이 없습니다 (no input given)")
    return list(found)


def _fits(path: Path, root: Path, suffixes: Sequence[str]) -> bool:
    if not path.is_file() or any(part.startswith(".") for part in path.relative_to(root).parts):
        return False
    return not suffixes or path.name.lower().endswith(tuple(suffixes))
