"""Finding run folders and reading what they say about themselves, without trusting it."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kodata.report.blocks import Block, checked
from kodata.run.errors import UserError
from kodata.run.files import read_json_object

MAX_DEPTH = 4
"""How far below a given folder runs are looked for."""
MAX_BLOCKS = 500
"""Blocks read from one run."""
MAX_FOLDERS = 20_000


@dataclass(kw_only=True, slots=True)
class Run:
    """One run as its ``manifest.json`` and ``stats.json`` tell it."""

    path: Path
    """The run folder."""
    name: str
    """What a reader calls it: the folder, or the file it stands for."""
    manifest: dict[str, Any]
    summary: dict[str, Any] = field(default_factory=dict)
    report: list[Block] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    places: frozenset[Path] = frozenset()
    """Absolute paths of the folder and of the output."""

    @property
    def tool(self) -> str:
        return str(self.manifest["tool"])

    @property
    def verb(self) -> str:
        return str(self.manifest["verb"])

    @property
    def status(self) -> str:
        return str(self.manifest.get("status", ""))

    @property
    def done(self) -> bool:
        return self.status == "done"

    @property
    def output(self) -> Path:
        """The run's output: the folder, or the file beside ``x.run``."""
        return self.path.with_name(self.name) if self.path.suffix == ".run" else self.path


def find(inputs: Iterable[str | Path]) -> list[list[Run]]:
    """For each input (and each match of a pattern) the runs it stands for, by start time; a run named twice is taken once.

    Raises UserError for an input that does not exist or holds no run, and for a broken file in a run.
    """
    seen: set[Path] = set()
    found = []
    for item in (match for given in inputs for match in _globbed(given)):
        folders = _folders(Path(item))
        runs = [read(folder) for folder in folders if folder.resolve() not in seen]
        seen.update(folder.resolve() for folder in folders)
        found.append(sorted(runs, key=lambda run: (str(run.manifest.get("started", "")), run.name)))
    if not found:
        raise UserError("실행 폴더를 하나 이상 주십시오 (no run given)", "kodata report W -o report.html")
    return found


def read(folder: Path) -> Run:
    """One run folder. A run that did not finish may lack ``stats.json``; a finished one may not."""
    manifest = _object(folder / "manifest.json")
    for key in ("tool", "verb"):
        if not isinstance(manifest.get(key), str):
            raise UserError(
                f"실행 기록에 {key!r} 글자열이 없습니다 (manifest lacks a string)",
                file=folder / "manifest.json",
            )
    run = Run(path=folder, name=_name(folder), manifest=manifest)
    run.places = frozenset({run.path.resolve(), run.output.resolve()})
    stats = folder / "stats.json"
    if not stats.exists() and not run.done:
        return run
    content = _object(stats)
    for key, kind in (("summary", dict), ("report", list), ("lines", list)):
        if not isinstance(content.get(key, kind()), kind):
            raise UserError(f"{key!r} 의 꼴이 다릅니다 (wrong type, {kind.__name__} expected)", file=stats)
    run.summary = content.get("summary", {})
    run.lines = [str(line)[:500] for line in content.get("lines", [])[:20]]
    for i, block in enumerate(content.get("report", [])[:MAX_BLOCKS]):
        try:
            run.report.append(checked(block))
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"보고서 {i}번째 조각을 읽을 수 없습니다 (broken report block {i}): {str(error)[:200]}",
                "그 실행을 --fresh 로 다시 하거나 그 폴더를 빼십시오 (run it again with --fresh, or leave this run out)",
                file=stats,
            ) from None
    return run


def _object(path: Path) -> dict[str, Any]:
    try:
        return read_json_object(path)
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, endless nesting
        raise UserError(f"JSON이 깨졌습니다 (broken JSON): {str(error)[:200]}", file=path) from None


def _globbed(item: str | Path) -> list[str | Path]:
    """A pattern in quotes stands for what it matches; anything else for itself."""
    found: list[str | Path] = []
    if not os.path.lexists(item) and glob.has_magic(str(item)):
        found += sorted(glob.glob(str(item)))
    return found or [item]


def _folders(path: Path) -> list[Path]:
    if path.is_file():
        beside = [
            p
            for p in (path.with_name(f"{_stem(path.name)}.run"), path.parent)
            if (p / "manifest.json").is_file()
        ]
        if not beside:
            raise UserError(
                f"이 파일을 만든 실행이 없습니다 (no run folder beside this file): {path}",
                "실행 폴더를 주십시오 (give a run folder): kodata report W -o report.html",
            )
        return beside[:1]
    if not path.is_dir():
        raise UserError(
            f"파일이나 폴더가 없습니다 (no such file or folder): {path}",
            "경로를 확인하십시오 (check the path)",
        )
    if (path / "manifest.json").is_file():
        return [path]
    found = []
    for count, (folder, names, files) in enumerate(os.walk(path)):
        names.sort()
        here = Path(folder)
        if count > MAX_FOLDERS or len(here.relative_to(path).parts) >= MAX_DEPTH:
            names.clear()
        names[:] = [n for n in names if not n.startswith(".")]
        if "manifest.json" in files and _ours(here / "manifest.json"):
            found.append(here)
            names.clear()  # what is inside a run belongs to it
    if not found:
        raise UserError(
            f"실행 폴더가 없습니다 (no run folder found): {path}",
            "kodata·kotok·kobitnet 가 만든 폴더를 주십시오 (give a folder that one of the tools wrote)",
        )
    return found


def _ours(manifest: Path) -> bool:
    """Other programs also write files of this name: theirs are passed over, broken ones are named."""
    content = _object(manifest)
    return "tool" in content and "verb" in content


def _stem(name: str) -> str:
    for suffix in (".zst", ".gz", ".jsonl", ".json", ".parquet", ".html", ".md"):
        name = name.removesuffix(suffix)
    return name


def _name(folder: Path) -> str:
    """``chat.run`` stands for the file beside it, when that is there."""
    if folder.suffix != ".run":
        return folder.name or folder.resolve().name
    stem = folder.name.removesuffix(".run")
    beside = sorted(p.name for p in folder.parent.glob("*") if p.is_file() and _stem(p.name) == stem)
    return beside[0] if beside else folder.name
