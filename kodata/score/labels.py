"""Labels for educational value and the like: from a function the user names, or from a JSONL file."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from kodata.doc import Document, read_records
from kodata.run.errors import UsageError, UserError


def labelled(documents: Iterable[Document], given: str) -> Iterator[tuple[Document, float]]:
    """(document, label) of each document that has one.

    given: `module:function`, called with each text, returns a number or None for no label; or a JSONL file of
    {"id", "label"}, ids as in the corpus. Raises UserError for labels that are no finite numbers, UsageError for a function that is not there.
    """
    if Path(given).suffix in (".jsonl", ".zst", ".gz") or Path(given).is_file():
        table = _table(Path(given))
        for document in documents:
            if document.id in table:
                yield document, table[document.id]
        return
    function = _function(given)
    for document in documents:
        try:
            label = function(document.text)
        except Exception as error:
            raise UserError(
                f"{given} 가 문서 {document.id} 에서 실패 (the labelling function failed): {type(error).__name__}: {error}",
                help="함수는 글을 받아 수나 None 을 돌려줍니다 (it takes a text and returns a number or None)",
            ) from error
        if label is not None:
            yield document, _number(label, f"{given}({document.id})")


def _table(path: Path) -> dict[str, float]:
    table: dict[str, float] = {}
    for line, record in read_records(path):
        if not isinstance(record.get("id"), str) or "label" not in record:
            raise UserError('"id" 와 "label" 이 있어야 합니다 (needs "id" and "label")', file=path, line=line)
        table[record["id"]] = _number(record["label"], f"{path}:{line}")
    return table


def _number(label: object, where: str) -> float:
    if isinstance(label, bool) or not isinstance(label, int | float) or not math.isfinite(label):
        raise UserError(f"라벨은 유한한 수여야 합니다 (a label must be a finite number): {where}: {label!r}")
    return float(label)


def _function(given: str) -> Callable[[str], float | None]:
    module, colon, name = given.partition(":")
    help = "--label my_labels:score, 또는 --label labels.jsonl"
    if not colon:
        raise UsageError(
            f"--label 은 module:function 이나 JSONL 파일입니다 (module:function or JSONL): {given}", help
        )
    if "" not in sys.path:
        sys.path.insert(0, "")  # a module in the current folder, as with python -m
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"함수를 찾지 못했습니다 (no such function): {given}: {error}", help) from None
    if not callable(found):
        raise UsageError(f"부를 수 없습니다 (not callable): {given}", help)
    return found  # type: ignore[no-any-return]
