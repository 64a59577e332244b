"""Two runs of one verb side by side: their numbers in one table, their curves in one chart, their tables row by row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kodata.report import blocks as b
from kodata.report.blocks import Block
from kodata.report.names import label, verb
from kodata.report.road import card, how_made, main_facts, mapping, scalars, unfinished
from kodata.report.runs import Run
from kodata.report.values import cell

MAX_WORDS = 40
"""Longest text of a summary that is shown in the table of results."""


def compare(first: Run, second: Run) -> list[Block]:
    """Two runs of the same verb: numbers beside each other, curves in one chart, then what only one has."""
    names = two_names(first, second)
    numbers = [  # deeper values, such as those of every task, stand in the run's own tables
        {k: v for k, v in scalars(run.summary, depth=1) if not (isinstance(v, str) and len(v) > MAX_WORDS)}
        for run in (first, second)
    ]
    page = [b.flow("두 실행 (two runs)", [card(run, "", []) for run in (first, second)])]
    page.append(_beside("결과 (summary)", names, [{label(k): v for k, v in n.items()} for n in numbers]))
    settings = [
        dict(scalars({"seed": run.manifest.get("seed"), **mapping(run.manifest.get("config"))}))
        for run in (first, second)
    ]
    differ = [
        [key, *(s.get(key) for s in settings)]
        for key in _both(*settings)
        if settings[0].get(key) != settings[1].get(key)
    ]
    title = "다른 설정 (settings that differ)"
    page.append(
        b.table(title, ["설정 (setting)", *names], differ)
        if differ
        else b.text(title, "없습니다: 설정이 같습니다 (none: the settings are the same).")
    )
    for run in (first, second):
        page += unfinished(run)
    others = {block["title"]: block for block in second.report}
    left: list[list[Block]] = [[], []]
    known = {label(key) for n in numbers for key in n}
    for block in first.report:
        other = others.get(block["title"])
        if block["type"] == "facts" and {name for name, _ in block["facts"]} <= known:
            others.pop(block["title"], None)  # the table of results says it all
            continue
        together = _together(block, other, names) if other and other["type"] == block["type"] else None
        if together:
            page.append(together)
            del others[block["title"]]
        else:
            left[0].append(block)
    left[1] = [block for block in second.report if others.get(block["title"]) is block]
    for run, name, rest in zip((first, second), names, left, strict=True):
        page += [
            b.chapter(f"{verb(run.tool, run.verb)} · {name}", main_facts(run), tool=run.tool),
            *rest,
            how_made(run),
        ]
    return page


def two_names(first: Run, second: Run) -> list[str]:
    if first.name != second.name:
        return [first.name, second.name]
    return [f"{run.path.resolve().parent.name}/{run.name}" for run in (first, second)]


def _both(first: Mapping[Any, Any], second: Mapping[Any, Any]) -> list[Any]:
    return [*first, *(key for key in second if key not in first)]


def _beside(title: str, names: list[str], values: Sequence[Mapping[str, Any]], unit: str = "") -> Block:
    """Two sets of named values in one table, with the difference of numbers."""
    columns = [f"항목 (item) {unit}".strip(), *names, "차이 (difference)", "차이, %"]
    rows = [
        [key, *(v.get(key) for v in values), *_change(*(v.get(key) for v in values))]
        for key in _both(*values)
    ]
    return b.table(title, columns, rows)


def _change(before: Any, after: Any) -> tuple[Any, str | None]:
    """The difference of two numbers and its share of the first; nothing for words."""
    if any(isinstance(v, bool | str) or v is None for v in (before, after)):
        return None, None
    share = 100 * (after - before) / abs(before) if before else 0.0
    return cell(after - before), f"{share:+.1f}%".replace("-", "−") if before and share == share else None


def _together(first: Block, second: Block, names: list[str]) -> Block | None:
    """Two blocks of one title as one, where that makes sense."""
    title, kind = first["title"], first["type"]
    if kind == "lines":
        series = [
            {**s, "name": f"{name} · {s['name']}"}
            for s, name in _alternate(first["series"], second["series"], names)
        ]
        axes = {k: first[k] for k in ("x", "y", "log_x", "log_y")}
        return b.lines(title, series[: b.MAX_SERIES], **axes)
    if kind in ("bars", "funnel", "facts"):
        field = {"bars": "bars", "funnel": "stages", "facts": "facts"}[kind]
        values = [dict(block[field]) for block in (first, second)]
        return _beside(title, names, values, first.get("unit", ""))
    if kind == "intervals":
        rows = [
            [f"{name} · {row[0]}", *row[1:]] for row, name in _alternate(first["rows"], second["rows"], names)
        ]
        low, high = min(first["low"], second["low"]), max(first["high"], second["high"])
        return b.intervals(title, rows, low, high, mark=first["mark"], unit=first["unit"])
    if kind == "histogram" and first["edges"] == second["edges"]:
        middles = [(a + z) / 2 for a, z in zip(first["edges"], first["edges"][1:], strict=False)]
        curves = {
            name: list(zip(middles, block["counts"], strict=True))
            for name, block in zip(names, (first, second), strict=True)
        }
        return b.lines(title, curves, x=first["unit"], y="개수 (count)")
    if kind == "table" and first["columns"] == second["columns"]:
        return _tables(first, second, names)
    if kind == "samples":
        pairs = _alternate(first["samples"], second["samples"], names)
        return b.samples(title, [{**s, "label": f"{name} · {s['label']}"} for s, name in pairs])
    return None


MAX_COLUMNS = 4
"""Columns of numbers shown for both runs."""


def _tables(first: Block, second: Block, names: list[str]) -> Block | None:
    """Two tables with the same columns row by row: rows are the same when their leading words are.

    Where a column of standard errors stands beside a column of values, the difference comes with its own standard error
    and in words. None where the words do not tell the rows apart or there is no number.
    """
    columns, both = first["columns"], [*first["rows"], *second["rows"]]
    keys = 0
    while keys < len(columns) and all(isinstance(row[keys], str) for row in both):
        keys += 1
    rows: list[dict[Any, list[Any]]] = [
        {tuple(row[:keys]): row for row in block["rows"]} for block in (first, second)
    ]
    if not keys or any(len(r) != len(block["rows"]) for r, block in zip(rows, (first, second), strict=True)):
        return None
    numbers = [
        i
        for i in range(keys, len(columns))
        if all(
            row[i] is None or (isinstance(row[i], int | float) and not isinstance(row[i], bool))
            for row in both
        )
    ]
    if not numbers:
        return None
    error = next((i for i in numbers if "stderr" in columns[i].lower()), None)
    empty: list[Any] = [None] * len(columns)
    pairs = [(key, rows[0].get(key, empty), rows[1].get(key, empty)) for key in _both(*rows)]
    if error is not None and error > numbers[0]:
        value = numbers[0]
        body = [
            [*key, x[value], y[value], *_difference(x[value], y[value], x[error], y[error])]
            for key, x, y in pairs
        ]
        header = [*columns[:keys], *names, "차이 (difference)", "± 표준오차 (stderr)", "판정 (verdict)"]
        note = "두 실행의 문항을 따로 뽑은 것으로 보고 셈하므로, 같은 문항이면 차이는 더 확실합니다 (taken as independent: on the same items the difference is surer)."
        return b.table(first["title"], header, body, note=note)
    shown = numbers[:MAX_COLUMNS]
    header = list(columns[:keys])
    for i in shown:
        header += [f"{columns[i]} · {name}" for name in names] + ["차이 (difference)"]
    body = [[*key, *(v for i in shown for v in (x[i], y[i], _change(x[i], y[i])[0]))] for key, x, y in pairs]
    left = [columns[i] for i in range(keys, len(columns)) if i not in shown]
    note = f"빠진 칸 (columns left out): {', '.join(left)}" if left else ""
    return b.table(first["title"], header, body, note=note)


def _difference(x: Any, y: Any, error_x: Any, error_y: Any) -> list[Any]:
    """Second less first, its standard error, and whether that is more than chance (95 %)."""
    if x is None or y is None:
        return [None, None, "한쪽에만 있음 (only in one)"]
    if error_x is None or error_y is None:
        return [cell(round(y - x, 6)), None, ""]
    error = math.hypot(error_x, error_y)
    words = "다르지 않음 (no clear difference)"
    if abs(y - x) > 1.96 * error:
        words = "둘째가 큼 (second larger)" if y > x else "둘째가 작음 (second smaller)"
    return [cell(round(y - x, 6)), cell(round(error, 6)), words]


def _alternate(first: list[Any], second: list[Any], names: list[str]) -> Iterator[tuple[Any, str]]:
    for i in range(max(len(first), len(second))):
        for series, name in ((first, names[0]), (second, names[1])):
            if i < len(series):
                yield series[i], name
