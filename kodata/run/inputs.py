"""From what a user typed (files, folders, globs) to a sorted list of files."""

import glob
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from kodata.run.errors import UserError
from kodata.run.files import unreadable
from kodata.run.progress import note


def expand(
    inputs: Iterable[str | Path] | str | Path, suffixes: Sequence[str] = (), exclude: Iterable[Path] = ()
) -> list[Path]:
    """Files behind ``inputs``: sorted within each input, each file once, folders recursively.

    One path alone may be given without a list. ``suffixes`` (such as ".jsonl.zst") filters what is found in
    folders; a file named directly is always taken. Left out of folders: hidden names, ``exclude`` (the output of
    the verb that asks) and, of our own run folders, all but their ``docs/``, so that dropped texts do not come back.
    Raises UserError for an input that does not exist or is no regular file, a glob without a match, a folder
    without a fitting file, a folder that may not be read, and an unfinished run. Broken links, pipes and the like in
    a folder are skipped with a note.
    """
    found: dict[Path, Path] = {}
    inputs = [inputs] if isinstance(inputs, str | Path) else inputs
    banned = [p.resolve() for p in exclude]
    for item in inputs:
        path = Path(item)
        if str(item).strip() in ("", "-"):
            raise UserError(
                f"입력은 파일·폴더·글롭이어야 합니다 (an input must be a file, folder or glob): {str(item)!r}",
                "표준 입력은 파일로 받아 두십시오: … > in.jsonl (save standard input to a file first)",
            )
        if path.is_dir():
            skipped: list[Path] = []
            files = [
                p
                for p in _walk(path, set(), skipped)
                if p.name.lower().endswith(tuple(suffixes) or "") and not _within(p, banned)
            ]
            if skipped:
                _say_skipped(skipped[0], len(skipped))
            if not files:
                what = f" ({', '.join(suffixes)})" if suffixes else ""
                raise UserError(
                    f"폴더에 읽을 파일이 없습니다{what} (no input files in folder): {path}",
                    "다른 폴더를 주거나 파일을 바로 적으십시오 (give another folder, or name the files)",
                )
        elif path.is_file():
            files = [path]
        elif path.exists():
            raise UserError(
                f"보통 파일이 아닙니다 (not a regular file): {path}",
                "파일로 저장해 주십시오 (save it to a file first)",
            )
        else:
            matches = (Path(p) for p in sorted(glob.glob(str(item), recursive=True)))
            files = [p for p in matches if p.is_file() and not _within(p, banned)]
            if not files:
                raise UserError(
                    f"파일이나 폴더가 없습니다 (no such file or folder): {item}",
                    "경로를 확인하십시오. 글롭은 따옴표로 감쌉니다 (check the path; quote globs)",
                )
        for file in files:
            found.setdefault(file.resolve(), file)
    if not found:
        raise UserError(
            "입력이 없습니다 (no input given)", "파일·폴더·글롭을 적으십시오 (name files, folders or globs)"
        )
    return list(found.values())


def is_run(folder: Path) -> bool:
    """Whether a folder is an output of ours: its manifest names a tool and a verb."""
    manifest = folder / "manifest.json"
    try:
        facts = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else None
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and "tool" in facts and "verb" in facts


def refuse_unfinished(folder: Path) -> None:
    """Raise UserError when a run folder of ours is not whole."""
    facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if facts.get("status") != "done":
        raise UserError(
            f"끝나지 않은 실행의 출력입니다 (output of an unfinished run, {facts.get('status')}): {folder}",
            f"{facts.get('tool')} {facts.get('verb')} 를 같은 인자로 다시 실행해 마치십시오 (run it again to finish)",
        )


@cache  # a verb may look at its inputs more than once
def _say_skipped(first: Path, count: int) -> None:
    note(
        f"알림: 끊긴 링크·파이프 따위 {count:,} 개를 건너뜀 (broken links, pipes and the like are skipped): {first} …"
    )


def _walk(folder: Path, seen: set[Path], skipped: list[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in seen:  # a link back to a parent
        return
    seen = seen | {real}
    if is_run(folder):
        if not (folder / "docs").is_dir():
            return
        refuse_unfinished(folder)
        folder = folder / "docs"
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise unreadable(error, folder) from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry, seen, skipped)
        elif entry.is_file():
            yield entry
        else:
            skipped.append(entry)


def _within(path: Path, roots: Sequence[Path]) -> bool:
    real = path.resolve()
    return any(real == root or root in real.parents for root in roots)
