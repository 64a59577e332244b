"""Two runs of one verb side by side: their numbers in one table, their curves in one chart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kodata.report import blocks as b
from kodata.report.blocks import Block
from kodata.report.road import card, how_made, label, main_facts, mapping, scalars, unfinished
from kodata.report.runs import Run


def compare(first: Run, second: Run) -> list[Block]:
    """Two runs of the same verb: numbers beside each other, curves in one chart, then what only one has."""
    names = two_names(first, second)
    numbers = [dict(scalars(run.summary)) for run in (first, second)]
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
    same = "" if differ else "설정이 같습니다 (same settings)."
    page.append(b.table("다른 설정 (settings that differ)", ["설정 (setting)", *names], differ, note=same))
    for run in (first, second):
        page += unfinished(run)
    others = {block["title"]: block for block in second.report}
    left: list[list[Block]] = [[], []]
    for block in first.report:
        other = others.get(block["title"])
        together = _together(block, other, names) if other and other["type"] == block["type"] else None
        if together:
            page.append(together)
            del others[block["title"]]
        else:
            left[0].append(block)
    left[1] = [block for block in second.report if others.get(block["title"]) is block]
    for run, name, rest in zip((first, second), names, left, strict=True):
        page += [
            b.chapter(f"{run.tool} {run.verb} · {name}", main_facts(run), tool=run.tool),
            *rest,
            how_made(run),
        ]
    return page


def two_names(first: Run, second: Run) -> list[str]:
    if first.name != second.name:
        return [first.name, second.name]
    return [f"{run.path.resolve().parent.name}/{run.name}" for run in (first, second)]


def _both(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
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
    return b.cell(after - before), f"{share:+.1f}%".replace("-", "−") if before and share == share else None


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
    if kind == "histogram" and first["edges"] == second["edges"]:
        middles = [(a + z) / 2 for a, z in zip(first["edges"], first["edges"][1:], strict=False)]
        curves = {
            name: list(zip(middles, block["counts"], strict=True))
            for name, block in zip(names, (first, second), strict=True)
        }
        return b.lines(title, curves, x=first["unit"], y="개수 (count)")
    return None


def _alternate(first: list[Any], second: list[Any], names: list[str]) -> Iterator[tuple[Any, str]]:
    for i in range(max(len(first), len(second))):
        for series, name in ((first, names[0]), (second, names[1])):
            if i < len(series):
                yield series[i], name
