"""Rows of a task from its official file in a local folder, or from the Hub."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kobitnet.evaluate.task_rows import AGAIN, SUFFIXES, lowered, rows_of
from kobitnet.evaluate.tasks import GROUPS, TASKS, Item, Task, free
from kodata.run.errors import UsageError, UserError

MAX_FILES = 50_000


@dataclass(kw_only=True, slots=True)
class Loaded:
    """A task with its questions."""

    task: Task
    items: list[Item]
    pool: list[Item]
    """Where examples are drawn from."""
    own_pool: bool
    """The pool is the scored file itself."""
    place: str
    """The file, or hf:name."""
    pool_place: str = ""
    """The file of the examples, when it is another."""


# ---- which tasks --------------------------------------------------------------------------------


def wanted(names: Iterable[str]) -> list[tuple[str, bool]]:
    """(task name or path of a .jsonl, asked for by itself rather than by its group), in order, each once.

    Raises UsageError for a name nobody knows, with the nearest ones.
    """
    out: dict[str, bool] = {}
    for name in (part.strip() for given in names for part in given.split(",")):
        if name in GROUPS:
            for member in GROUPS[name]:
                out.setdefault(member, False)
        elif name in TASKS or name.endswith((".jsonl", ".jsonl.gz")):
            out[name] = True
        elif name:
            import difflib

            known = [*GROUPS, *TASKS]
            near = difflib.get_close_matches(name, known, 3, 0.5)
            raise UsageError(
                f"모르는 과제입니다 (unknown task): {name!r}",
                f"혹시 (did you mean): {', '.join(near)}"
                if near
                else "묶음 (groups): "
                + ", ".join(GROUPS)
                + " · "
                + "과제 (tasks): "
                + ", ".join(n for n in TASKS if "kmmlu" not in n),
            )
    return list(out.items())


def load_tasks(
    names: Iterable[str], folder: Path | None, *, shots: bool
) -> tuple[list[Loaded], dict[str, str]]:
    """The tasks with their rows, and the members of a group that are not there with the reason.

    Raises UserError when a task asked for by its own name, or every member of what was asked for, is missing, for a
    malformed file, and for two files of one name.
    """
    if folder is not None and not folder.is_dir():
        raise UserError(
            f"과제 폴더가 없습니다 (no such task folder): {folder}",
            "--tasks-dir 를 확인하십시오 (check --tasks-dir)",
        )
    loaded, absent = [], {}
    for name, alone in wanted(names):
        task = TASKS.get(name)
        if task is None:
            loaded.append(_own_file(Path(name)))
            continue
        try:
            loaded.append(_from_folder(task, folder, shots) if folder else _from_hub(task, shots))
        except Missing as error:
            if alone:
                raise UserError(str(error), error.help) from None
            absent[name] = str(error)
    names_found = [one.task.name for one in loaded]
    if twice := next((name for name in names_found if names_found.count(name) > 1), None):
        raise UserError(
            f"두 과제의 이름이 같습니다 (two tasks of one name): {twice}",
            "파일 이름을 바꾸십시오: 답은 이름마다 적힙니다 (rename a file: answers are recorded by name)",
        )
    if not loaded:
        first = next(iter(absent.values()), "")
        raise UserError(
            f"고른 과제가 하나도 없습니다 (none of the tasks is there): {first}",
            "--tasks-dir 에 공식 파일이 있는 폴더를 주십시오; 망이 있으면 빼도 됩니다, 허브에서 받습니다 (give the folder of the official files; online it may be left out, the Hub is asked)",
        )
    return loaded, absent


class Missing(UserError):
    """The data of a task are not there."""


# ---- where the rows are -------------------------------------------------------------------------


def _from_folder(task: Task, folder: Path, shots: bool) -> Loaded:
    file = find(folder, (*task.files, task.name))
    if file is None:
        raise Missing(
            f"과제 파일이 없습니다 (no file for task {task.name}): {folder}",
            f"찾은 이름 (looked for): {', '.join(task.files)} + {' '.join(SUFFIXES)} (.gz)",
        )
    pool_file = find(folder, task.shots) if shots and task.shots else None
    items = questions(task, file)
    pool = questions(task, pool_file) if pool_file else items
    return Loaded(
        task=task,
        items=items,
        pool=pool,
        own_pool=pool_file is None,
        place=str(file),
        pool_place=str(pool_file or ""),
    )


def _from_hub(task: Task, shots: bool) -> Loaded:
    from kodata.sources.hub import open_dataset

    def rows(address: str) -> list[Item]:
        try:
            found = open_dataset(f"hf:{address}")
            return _items(task, ((n, lowered(row)) for n, row in enumerate(found, 1)), address)
        except UserError as error:
            raise Missing(
                str(error), "--tasks-dir FOLDER 로 받아 둔 파일을 쓰십시오 (use downloaded files)"
            ) from None

    items = rows(task.hub)
    pool = rows(task.hub_shots) if shots and task.hub_shots else items
    return Loaded(task=task, items=items, pool=pool, own_pool=pool is items, place=f"hf:{task.hub}")


def _own_file(path: Path) -> Loaded:
    """Any JSONL: the kind of task is that of its first row."""
    if not path.is_file():
        raise UserError(
            f"과제 파일이 없습니다 (no such task file): {path}", "이름을 확인하십시오 (check the name)"
        )
    name = path.name.removesuffix(".gz").removesuffix(".jsonl")
    probe = Task(name=name, title=name, kind="choice", read=free, metrics=(), files=())
    items = questions(probe, path)
    kinds = {"judge" if i.turns else "choice" if i.choices else "answer" for i in items}
    if len(kinds) > 1:
        raise UserError(
            f"한 파일에 여러 종류의 문항이 있습니다 (several kinds of questions in one file): {', '.join(sorted(kinds))}",
            "종류마다 파일을 나누십시오 (one file for each kind)",
            file=path,
        )
    kind = kinds.pop()
    metrics: tuple[str, ...] = ()
    if kind == "choice":
        metrics = ("acc", "acc_norm", "f1")
    elif kind == "answer":
        from kobitnet.evaluate.text_metrics import TEXT_METRICS

        metrics = ("exact_match", "character_f1", *TEXT_METRICS)
    task = Task(
        name=name, title=f"{name}.jsonl", kind=kind, read=free, metrics=metrics, files=(),  # type: ignore[arg-type]
        until=("\n\n",), max_new_tokens=512 if kind == "judge" else 128,
    )  # fmt: skip
    return Loaded(task=task, items=items, pool=items, own_pool=True, place=str(path))


def find(folder: Path, patterns: Iterable[str]) -> Path | None:
    """The file that fits the first pattern that any file fits. Raises UserError when several do."""
    files = []
    for count, path in enumerate(folder.rglob("*")):
        if count > MAX_FILES:
            raise UserError(
                f"과제 폴더에 파일이 너무 많습니다 (over {MAX_FILES:,} files in the task folder): {folder}",
                "--tasks-dir 를 좁히십시오 (narrow --tasks-dir)",
            )
        if _stem(path.name) != path.name and path.is_file():
            files.append(path)
    files.sort()
    for pattern in patterns:
        depth = pattern.count("/") + 1
        found = [
            p
            for p in files
            if fnmatch.fnmatch("/".join([*p.parts[-depth:-1], _stem(p.name)]).lower(), pattern.lower())
        ]
        if len(found) > 1:
            raise UserError(
                f"한 과제에 맞는 파일이 여럿입니다 (several files fit one task): {found[0]}, {found[1]}",
                "하나만 남기거나 --tasks-dir 를 좁히십시오 (keep one, or narrow --tasks-dir)",
            )
        if found:
            return found[0]
    return None


def _stem(name: str) -> str:
    plain = name.removesuffix(".gz")
    for suffix in SUFFIXES:
        if plain.endswith(suffix):
            return plain.removesuffix(suffix)
    return name


# ---- reading ------------------------------------------------------------------------------------


def questions(task: Task, path: Path) -> list[Item]:
    """All questions of a file. Raises UserError naming file, line and key for a broken one."""
    return _items(task, rows_of(path, quoted=task.quoted), path)


def _items(task: Task, rows: Iterable[tuple[int, dict[str, Any]]], place: Path | str) -> list[Item]:
    items = []
    for line, row in rows:
        try:
            item = task.read(row)
        except (KeyError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
            what = (
                f"칸 (column) {error.args[0]}" if isinstance(error, KeyError) and error.args else str(error)
            )
            raise UserError(
                f"{task.name} 형식이 아닙니다 (not a row of {task.name}): {what}; 있는 칸 (columns): {', '.join(list(row)[:12])}",
                AGAIN,
                file=place,
                line=line,
            ) from None
        if item is not None:
            items.append(item)
    if not items:
        raise UserError(
            f"문항이 없습니다 (no questions in the file): {place}", "파일을 확인하십시오 (check the file)"
        )
    return items
