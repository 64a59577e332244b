"""Rows of a task from its official file in a local folder, or from the Hub."""

from __future__ import annotations

import csv
import fnmatch
import gzip
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kobitnet.evaluate.tasks import GROUPS, TASKS, Item, Task, free
from kodata.run.errors import UsageError, UserError

SUFFIXES = (".tsv", ".txt", ".csv", ".jsonl", ".json", ".parquet")
MAX_BYTES = 1 << 30
MAX_FILES = 50_000
AGAIN = "공식 파일을 다시 받거나 그 줄을 고치십시오 (download the official file again, or mend the line)"


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
            return _items(task, ((n, _lowered(row)) for n, row in enumerate(found, 1)), address)
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


def rows_of(path: Path, *, quoted: bool = True) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line or number, row with lower-case keys) of a .tsv .txt .csv .jsonl .json (.gz) or .parquet file."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        yield from enumerate(map(_lowered, _parquet(path)), 1)
        return
    text = _text(path)
    if name.endswith(".json"):
        yield from enumerate(map(_lowered, _json_rows(text, path)), 1)
    elif name.endswith(".jsonl"):
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield number, _lowered(_object(line, path, number))
    elif name.endswith(".csv"):
        yield from _table(csv.reader(io.StringIO(text, newline="")), path)
    else:
        cells = (_cells(line, quoted) for line in text.replace("\r\n", "\n").rstrip("\n").split("\n"))
        yield from _table(cells, path)


def _text(path: Path) -> str:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as handle:
            data = handle.read(MAX_BYTES + 1)
    except (OSError, EOFError) as error:
        raise UserError(
            f"파일이 잘렸거나 읽을 수 없습니다 (truncated or unreadable file): {error}",
            "다시 받으십시오 (download it again)",
            file=path,
        ) from None
    except Exception as error:  # zlib.error
        raise UserError(
            f"압축이 깨졌습니다 (damaged gzip): {error}", "다시 받으십시오 (download it again)", file=path
        ) from None
    if len(data) > MAX_BYTES:
        raise UserError(
            f"과제 파일이 너무 큽니다 (task file over {MAX_BYTES >> 20} MB)",
            "파일을 나누십시오 (split the file)",
            file=path,
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        if error.start + 4 > len(data):
            raise UserError(
                "파일이 글자 한가운데서 끝납니다 (the file ends in the middle of a character)",
                "파일이 잘렸습니다: 다시 받으십시오 (it is cut short: download it again)",
                file=path,
                line=line,
            ) from None
        raise UserError(
            f"UTF-8이 아닙니다 (not UTF-8), 바이트 (byte) {error.start}",
            "UTF-8로 바꾸십시오 (convert it): iconv -f cp949 -t utf-8",
            file=path,
            line=line,
        ) from None


def _cells(line: str, quoted: bool) -> list[str]:
    """Cells of one tab-separated line; a cell in quotes with its inner quotes doubled stands for what is inside."""
    cells = line.split("\t")
    if not quoted:
        return cells
    return [
        c[1:-1].replace('""', '"')
        if len(c) > 1 and c[0] == c[-1] == '"' and c[1:-1].replace('""', "").count('"') == 0
        else c
        for c in cells
    ]


def _table(lines: Iterable[list[str]], path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    header: list[str] = []
    try:
        for number, cells in enumerate(lines, 1):
            if not header:
                header = [c.strip().lower() for c in cells]
                continue
            if not any(cells):
                continue
            if len(cells) != len(header):
                raise UserError(
                    f"칸 수가 다릅니다 (columns differ): {len(cells)}, 머리글 (header) {len(header)}",
                    "파일이 잘리지 않았는지 보십시오 (is the file cut short?)",
                    file=path,
                    line=number,
                )
            yield number, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise UserError(f"CSV가 깨졌습니다 (broken CSV): {error}", AGAIN, file=path) from None


def _object(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"JSON이 깨졌습니다 (broken JSON): {str(error)[:120]}", AGAIN, file=path, line=number
        ) from None
    if not isinstance(row, dict):
        raise UserError("JSON 객체여야 합니다 (must be a JSON object)", AGAIN, file=path, line=number)
    return row


def _json_rows(text: str, path: Path) -> list[dict[str, Any]]:
    """A list of objects, or the nested SQuAD form flattened."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"JSON이 깨졌습니다 (broken JSON): {error.msg}", AGAIN, file=path, line=error.lineno
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"JSON이 깨졌습니다 (broken JSON): {str(error)[:120]}", AGAIN, file=path) from None
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        try:
            return [
                {**qa, "context": paragraph["context"], "title": article.get("title", "")}
                for article in content["data"]
                for paragraph in article["paragraphs"]
                for qa in paragraph["qas"]
            ]
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"SQuAD 형식이 아닙니다 (not in SQuAD form): {error}", AGAIN, file=path) from None
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise UserError("객체의 목록이어야 합니다 (must be a list of objects)", AGAIN, file=path)
    return content


def _parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        return parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(
            f"Parquet를 읽을 수 없습니다 (cannot read Parquet): {str(error)[:200]}", AGAIN, file=path
        ) from None


def _lowered(row: Any) -> dict[str, Any]:
    return {str(key).strip().lower(): cell for key, cell in row.items()}
