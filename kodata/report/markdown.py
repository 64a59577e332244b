"""Blocks as GitHub-flavoured Markdown: the same content, charts as compact tables and sparklines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kodata.report import format as fmt
from kodata.report.blocks import Block, checked
from kodata.report.charts import sparkline
from kodata.report.parts import STATUS
from kodata.report.values import cell, thin

MAX_ROWS = 200
MAX_SAMPLES = 40
MAX_SAMPLE = 1_600
"""Characters of one sample."""
MAX_TOKENS = 400

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&!])")


def render(
    title: str, blocks: Iterable[Block], subtitle: str = "", meta: Mapping[str, Any] | None = None
) -> str:
    """The blocks as one Markdown text. Raises ``ValueError`` for a block that is not one of ``kodata.report.blocks``."""
    out = [f"# {_e(title)}"]
    if subtitle:
        out.append(_e(subtitle))
    flat = [(k, v) for k, v in (meta or {}).items() if not isinstance(v, Mapping | list | tuple)]
    if flat:
        out.append(" · ".join(f"{_e(k)}: {_e(fmt.value(cell(v)))}" for k, v in flat))
    level = "##"
    for block in map(checked, blocks):
        if block["type"] == "chapter":
            level = "###"
        out.append(f"{'##' if block['type'] == 'chapter' else level} {_e(block['title'])}")
        out.append(_SHOW[block["type"]](block) or "값이 없습니다 (nothing to show)")
        if block["note"]:
            out.append(f"*{_e(block['note'])}*")
    return "\n\n".join(part for part in out if part) + "\n"


def _text(block: Block) -> str:
    # Markdown of the author passes; raw HTML and hidden characters do not.
    shown = fmt.visible(block["markdown"]).replace("<", "&lt;").strip()
    fences = re.findall(r"^`{3,}", shown, re.M)
    return shown + f"\n{fences[-1]}" if len(fences) % 2 else shown  # an open fence would swallow what follows


def _facts(block: Block) -> str:
    return "\n".join(f"- {_e(label)}: **{_e(fmt.value(value))}**" for label, value in block["facts"])


def _chapter(block: Block) -> str:
    return _facts(block) or " "


def _table(block: Block) -> str:
    if not block["rows"]:
        return ""
    shown = block["rows"][:MAX_ROWS]
    numeric = [fmt.sort_keys([row[i] for row in shown]) is not None for i in range(len(block["columns"]))]
    return _grid(block["columns"], shown, numeric) + _more(len(shown), block["total"], "행 (rows)")


def _funnel(block: Block) -> str:
    rows, before = [], None
    stages = block["stages"]
    for label, n in stages:
        share = f"{100 * n / stages[0][1]:.1f}%" if stages[0][1] else "–"
        rows.append([label, n, share, None if before is None else n - before])
        before = n
    columns = ["단계 (step)", "남음 (left)", "처음의 (of first)", "바뀜 (change)"]
    return _grid(columns, rows, [False, True, True, True]) if rows else ""


def _histogram(block: Block) -> str:
    edges, counts, unit = block["edges"], block["counts"], block["unit"]
    if not counts:
        return ""
    every = -(-len(counts) // 12)
    rows = [
        [
            f"{fmt.number(edges[i])} – {fmt.number(edges[min(i + every, len(counts))])}",
            sum(counts[i : i + every]),
        ]
        for i in range(0, len(counts), every)
    ]
    limits = ", ".join(map(fmt.number, block["threshold"]))
    head = f"`{sparkline(counts)}`" + (f" 기준 (threshold): {limits} {_e(unit)}" if limits else "")
    return f"{head}\n\n" + _grid([f"구간 (range) {unit}".strip(), "개수 (count)"], rows, [False, True])


def _lines(block: Block) -> str:
    if not block["series"]:
        return ""
    out = []
    rows = []
    for series in block["series"]:
        values = [p[1] for p in series["points"]]
        real = [v for v in values if v is not None]
        ends = [real[0], real[-1], min(real), max(real)] if real else [None] * 4
        rows.append([series["name"], series["total"], *ends])
        out.append(f"- {_e(series['name'])}: `{sparkline(values) or ' '}`")
    columns = ["계열 (series)", "점 (points)", "처음 (first)", "끝 (last)", "최소 (min)", "최대 (max)"]
    axes = f"{_e(block['x'])} → {_e(block['y'])}\n\n" if block["x"] or block["y"] else ""
    few = _points(block)
    return (
        axes
        + "\n".join(out)
        + "\n\n"
        + _grid(columns, rows, [False] + [True] * 5)
        + (f"\n\n{few}" if few else "")
    )


def _points(block: Block) -> str:
    """A few points of every series."""
    each = max(3, 12 // len(block["series"]))
    rows = [[s["name"], x, y] for s in block["series"] for x, y in thin(s["points"], each)]
    return (
        _grid(["계열 (series)", block["x"] or "x", block["y"] or "y"], rows[:MAX_ROWS], [False, True, True])
        if rows
        else ""
    )


def _bars(block: Block) -> str:
    pairs = block["bars"][:MAX_ROWS]
    most = max((abs(v) for _, v in pairs if v is not None), default=0) or 1
    rows = [[label, "█" * round(12 * (abs(v or 0) / most)), v] for label, v in pairs]
    return _grid(["", "", block["unit"] or "값 (value)"], rows, [False, False, True]) if rows else ""


def _intervals(block: Block) -> str:
    rows = [
        [label, v, f"{fmt.value(a)} – {fmt.value(z)}", *([m] if block["mark"] else [])]
        for label, v, a, z, m in block["rows"][:MAX_ROWS]
    ]
    columns = [
        "",
        f"값 (value) {block['unit']}".strip(),
        "구간 (interval)",
        *([block["mark"]] if block["mark"] else []),
    ]
    return _grid(columns, rows, [False, True, True, True]) if rows else ""


def _samples(block: Block) -> str:
    out = []
    for sample in block["samples"][:MAX_SAMPLES]:
        shown = sample["text"][:MAX_SAMPLE]
        if sample["label"]:
            out.append(f"**{_e(sample['label'])}**")
        out.append(_fence(shown) + _more(len(shown), sample["length"], "자 (characters)"))
        if sample["note"]:
            out.append(f"*{_e(sample['note'])}*")
    return (
        "\n\n".join(out) + _more(min(len(block["samples"]), MAX_SAMPLES), block["total"], "개 (samples)")
        if out
        else ""
    )


def _tokens(block: Block) -> str:
    out = []
    for row in block["rows"][:MAX_SAMPLES]:
        pieces = [f"[{p}]" if kind == "learned" else p for p, kind in row["tokens"][:MAX_TOKENS]]
        masked = any(isinstance(kind, str) for _, kind in row["tokens"])
        if row["label"]:
            out.append(f"**{_e(row['label'])}** ({row['total']:,} 토큰 (tokens))")
        if masked:
            out.append("배우는 토큰은 대괄호 안 (learned tokens in brackets)")
        out.append(
            _fence("|".join(pieces))
            + _more(min(len(row["tokens"]), MAX_TOKENS), row["total"], "개 토큰 (tokens)")
        )
    return "\n\n".join(out)


def _flow(block: Block) -> str:
    rows = []
    for i, stage in enumerate(block["stages"], 1):
        numbers = ", ".join(f"{k} {fmt.value(v)}" for k, v in stage["facts"])
        status = STATUS.get(stage["status"], stage["status"])
        rows.append([str(i), f"{stage['tool']} {stage['name']}".strip(), stage["main"], numbers, status])
    columns = ["", "단계 (stage)", "결과 (result)", "수 (numbers)", "상태 (status)"]
    return _grid(columns, rows, [True] + [False] * 4) if rows else ""


_SHOW: dict[str, Callable[[Block], str]] = {
    "text": _text,
    "facts": _facts,
    "chapter": _chapter,
    "table": _table,
    "funnel": _funnel,
    "histogram": _histogram,
    "lines": _lines,
    "bars": _bars,
    "intervals": _intervals,
    "samples": _samples,
    "tokens": _tokens,
    "flow": _flow,
}


def _grid(columns: list[str], rows: list[list[Any]], numeric: list[bool]) -> str:
    head = "| " + " | ".join(_e(c) or " " for c in columns) + " |"
    rule = "|" + "|".join(" ---: " if n else " --- " for n in numeric) + "|"
    body = ["| " + " | ".join(_e(fmt.value(v)[:400]) for v in row) + " |" for row in rows]
    return "\n".join([head, rule, *body])


def _fence(text: str) -> str:
    """A code fence longer than any run of backticks inside."""
    text = fmt.visible(text)
    ticks = "`" * max(3, 1 + max(map(len, re.findall(r"`+", text)), default=0))
    return f"{ticks}text\n{text}\n{ticks}"


def _more(shown: int, whole: int | float, what: str) -> str:
    return f"\n\n… 전체 {fmt.number(whole)}{what} 가운데 {shown:,}" if shown < whole else ""


def _e(text: Any) -> str:
    """One line of text with Markdown's and HTML's letters made harmless."""
    return _SPECIAL.sub(r"\\\1", fmt.visible(str(text)).replace("\n", " ").replace("\t", " ").strip())
