"""Rows of an official task file, whatever its form: tab-separated, CSV, JSONL, JSON (SQuAD's too) or Parquet, gzipped or not."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kodata.run.errors import UserError

SUFFIXES = (".tsv", ".txt", ".csv", ".jsonl", ".json", ".parquet")
MAX_BYTES = 1 << 30
AGAIN = "공식 파일을 다시 받거나 그 줄을 고치십시오 (download the official file again, or mend the line)"


def rows_of(path: Path, *, quoted: bool = True) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line or number, row with lower-case keys) of a .tsv .txt .csv .jsonl .json (.gz) or .parquet file."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        yield from enumerate(map(lowered, _parquet(path)), 1)
        return
    text = _text(path)
    if name.endswith(".json"):
        yield from enumerate(map(lowered, _json_rows(text, path)), 1)
    elif name.endswith(".jsonl"):
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield number, lowered(_object(line, path, number))
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


def lowered(row: Any) -> dict[str, Any]:
    """The row with its column names in lower case."""
    return {str(key).strip().lower(): cell for key, cell in row.items()}
