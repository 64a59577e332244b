"""Evaluation files as a list of texts to look for in documents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kodata.chat.rows import ROW_SUFFIXES, BadRow, open_binary, read_rows
from kodata.dedup.shingles import nfc
from kodata.run.errors import UserError
from kodata.run.inputs import expand

TEXT_SUFFIXES = (".txt", ".txt.gz", ".txt.zst")
_MAX_DEPTH = 16


@dataclass(slots=True)
class EvaluationTexts:
    """Texts long enough to be searched, where each stands, and how many were too short."""

    texts: list[str]
    places: list[str]
    too_short: int
    broken: int


def evaluation_texts(paths: list[Path], n: int) -> EvaluationTexts:
    """Every string of every record (any key, any depth) of at least `n` characters without white space.

    JSONL, JSON, CSV, TSV, Parquet and plain text are read; equal texts are taken once. Labels, ids and short
    answers fall under the length and are counted. Raises UserError when no text is long enough.
    """
    found = EvaluationTexts([], [], 0, 0)
    seen: set[str] = set()
    for path in expand(paths, (*ROW_SUFFIXES, *TEXT_SUFFIXES)):
        for place, text in _strings_of(path, found):
            text = nfc([text])[0]
            key = "".join(text.split())
            if len(key) < n:
                found.too_short += 1
            elif key not in seen:
                seen.add(key)
                found.texts.append(text)
                found.places.append(place)
    if not found.texts:
        raise UserError(
            f"평가 자료에 {n}자 이상의 글이 없습니다 (no evaluation text of {n} characters): "
            + ", ".join(map(str, paths)),
            help="--against-ngram을 줄이거나 --against의 경로를 확인하세요 (lower --against-ngram or check the path)",
        )
    return found


def _strings_of(path: Path, found: EvaluationTexts) -> Iterator[tuple[str, str]]:
    if path.name.lower().endswith(TEXT_SUFFIXES):
        with open_binary(path) as stream:
            for number, line in enumerate(stream, 1):
                yield f"{path.name}:{number}", line.decode("utf-8", "replace")
        return
    for number, row in read_rows(path):
        if isinstance(row, BadRow):
            found.broken += 1
            continue
        for key, text in _leaves(row, "", 0):
            yield f"{path.name}:{number}:{key}", text


def _leaves(value: Any, key: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif depth < _MAX_DEPTH and isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, f"{key}.{name}" if key else str(name), depth + 1)
    elif depth < _MAX_DEPTH and isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{key}[{number}]", depth + 1)
