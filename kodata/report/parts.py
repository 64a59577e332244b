"""One function for each kind of block: its inside as HTML. All take ``(block, key, limits, anchors)``."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from kodata.report import charts, prose
from kodata.report import format as fmt
from kodata.report.blocks import Block
from kodata.report.values import thin

TOOLS = ("kodata", "kotok", "kobitnet")
STATUS = {
    "done": "끝남 (done)",
    "running": "끝나지 않음 (unfinished)",
    "interrupted": "중단됨 (interrupted)",
    "failed": "실패 (failed)",
}
"""What the status of a run is called."""
WIDE = 56
"""Characters of a cell from which its column is kept wide enough to read."""
FOLD = 360
"""Characters of a long sample that stand open; the rest is one click away."""


def text(block: Block, key: str, limits: Any, anchors: dict[str, str]) -> str:
    shown, more = fmt.cut(block["markdown"], limits.text)
    return f'<div class="ko-prose">{prose.html(shown)}</div>' + (
        _more(limits.text, len(block["markdown"])) if more else ""
    )


def facts(block: Block, key: str, limits: Any, anchors: dict[str, str]) -> str:
    pairs = [(label, fmt.cut(fmt.value(v), limits.cell * 2)[0]) for label, v in block["facts"]]
    if not pairs:
        return _nothing()
    tiles = len(pairs) <= 8 and all(len(v) <= 14 for _, v in pairs)
    rows = "".join(f"<div><dt>{_e(label)}</dt><dd>{escape(v)}</dd></div>" for label, v in pairs)
    return f'<dl class="{"ko-tiles" if tiles else "ko-facts"}">{rows}</dl>'


def table(block: Block, key: str, limits: Any, anchors: dict[str, str]) -> str:
    if not block["rows"]:
        return _nothing()
    rows = block["rows"][: limits.rows]
    note = ""
    if block["total"] > len(rows):
        note = f'<p class="ko-note ko-cut">{block["total"]:,}행 가운데 {len(rows):,}행 (of {block["total"]:,} rows)</p>'
    return _grid(block["columns"], rows, block["title"], limits.cell, sort=True) + note


def funnel(block: Block, key: str, limits: Any, anchors: dict[str, str]) -> str:
    stages = block["stages"]
    if not stages:
        return _nothing()
    first = max(n for _, n in stages) or 1
    rows, before = [], None
    for label, n in stages:
        gone = (
            ""
            if before is None
            else "0"
            if n == before
            else f"−{fmt.number(before - n)}"
            if n < before
            else f"+{fmt.number(n - before)}"
        )
        lost = f" <small>{_share(before - n, before)}</small>" if before and n < before else ""
        rows.append(
            f'<tr><th scope="row">{_e(label)}</th><td class="ko-bar-cell">{charts.bar(n / first)}</td>'
            f'<td class="ko-n">{fmt.number(n)}</td><td class="ko-n">{_share(n, stages[0][1])}</td><td class="ko-n ko-lost">{gone}{lost}</td></tr>'
        )
        before = n
    head = "<tr><th>단계 (step)</th><td></td><th class='ko-n'>남음 (left)</th><th class='ko-n'>처음의 (of first)</th><th class='ko-n'>빠짐 (lost)</th></tr>"
    return _scroll(
        f'<table class="ko-bars ko-funnel"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>',
        block["title"],
    )


def bars(block: Block, key: str, limits: Any, anchors: dict[str, str]) -> str:
    pairs = block["bars"][: limits.rows]
    if not pairs:
        return _nothing()
    most = max((abs(v) for _, v in pairs if v is not None), default=0) or 1
    unit = f" <small>{_e(block['unit'])}</small>" if block["unit"] else ""
    rows = "".join(
        f'<tr><th scope="row">{_e(label)}</th><td class="ko-bar-cell">{charts.bar(abs(v or 0) / most)}</td>'
        f'<td class="ko-n">{escape(fmt.value(v))}{unit if v is not None else ""}</td></tr>'
        for label, v in pairs
    )
    more = _more(len(pairs), len(block["bars"]), "개 (items)") if len(pairs) < len(block["bars"]) else ""
    return _scroll(f'<table class="ko-bars"><tbody>{rows}</tbody></table>', block["title"]) + more


def intervals(block: Block, key: str, limits: Any, anchors: dict[str, str]) -> str:
    rows = block["rows"][: limits.rows]
    if not rows:
        return _nothing()
    width = block["high"] - block["low"]

    def share(v: float | None, other: float) -> float:
        return ((other if v is None else v) - block["low"]) / width

    places = 3 if width > 0.1 else 4
    words = [fmt.column([None if v is None else round(v, places) for v in row[1:]]) for row in rows]
    unit = f" {_e(block['unit'])}" if block["unit"] else ""
    marked = f'<th class="ko-n">{_e(block["mark"])}</th>' if block["mark"] else ""
    body = "".join(
        f'<tr><th scope="row">{_e(label)}</th><td class="ko-bar-cell">'
        + (
            charts.interval(share(v, 0), share(a, v), share(z, v), None if m is None else share(m, 0))
            if v is not None
            else ""
        )
        + f'</td><td class="ko-n">{escape(said[0])}</td><td class="ko-n">{escape(said[1])} – {escape(said[2])}</td>'
        + (f'<td class="ko-n">{escape(said[3])}</td>' if marked else "")
        + "</tr>"
        for (label, v, a, z, m), said in zip(rows, words, strict=True)
    )
    ends = f"{fmt.value(block['low'])} … {fmt.value(block['high'])}{unit}"
    head = f"<tr><th></th><th>{_e(ends)}</th><th class='ko-n'>값 (value)</th><th class='ko-n'>구간 (interval)</th>{marked}</tr>"
    more = _more(len(rows), len(block["rows"]), "개 (items)") if len(rows) < len(block["rows"]) else ""
    return (
        _scroll(f'<table class="ko-bars"><thead>{head}</thead><tbody>{body}</tbody></table>', block["title"])
        + more
    )


def histogram(block: Block, key: str, limits: Any, anchors: dict[str, str]) -> str:
    drawing = charts.histogram(block, key)
    if not drawing:
        return _nothing()
    edges, counts, unit = block["edges"], block["counts"], block["unit"]
    every = -(-len(counts) // (limits.alternative * 2))
    rows = [
        [edges[i], edges[min(i + every, len(counts))], sum(counts[i : i + every])]
        for i in range(0, len(counts), every)
    ]
    columns = [f"부터 (from) {unit}".strip(), f"까지 (to) {unit}".strip(), "개수 (count)"]
    across = f'<p class="ko-x-name">{_e(unit)}</p>' if unit else ""
    return (
        f'<p class="ko-y-name">개수 (count)</p><div class="ko-chart">{drawing}</div>{across}'
        + _alternative(_grid(columns, rows, block["title"], limits.cell))
    )


def lines(block: Block, key: str, limits: Any, anchors: dict[str, str]) -> str:
    drawing = charts.lines(block, key, limits.points)
    if not drawing:
        return _nothing()
    names = [
        f'<li class="ko-c{i % 8}"><svg aria-hidden="true" focusable="false" width="28" height="8"><path d="M0 4H28"'
        + (f' stroke-dasharray="{dash}"' if (dash := charts.DASHES[i % len(charts.DASHES)]) else "")
        + f"/></svg>{_e(series['name'])}</li>"
        for i, series in enumerate(block["series"])
    ]
    each = max(3, limits.alternative // max(1, len(block["series"])))
    rows = [[series["name"], a, b] for series in block["series"] for a, b in thin(series["points"], each)]
    columns = ["계열 (series)", block["x"] or "x", block["y"] or "y"]
    if all(len(series["points"]) < 2 for series in block["series"]):  # a curve of one point tells nothing
        return _grid(columns, rows, block["title"], limits.cell)
    logs = [
        name for name, on in ((block["x"] or "x", block["log_x"]), (block["y"] or "y", block["log_y"])) if on
    ]
    log = f" · 로그 눈금 (log): {_e(', '.join(logs))}" if logs else ""
    y = f'<p class="ko-y-name">{_e(block["y"])}{log}</p>' if block["y"] or log else ""
    x = f'<p class="ko-x-name">{_e(block["x"])}</p>' if block["x"] else ""
    legend = f'<ul class="ko-legend">{"".join(names)}</ul>' if len(names) > 1 else ""
    return f'{legend}{y}<div class="ko-chart">{drawing}</div>{x}' + _alternative(
        _grid(columns, rows, block["title"], limits.cell)
    )


def samples(block: Block, key: str, limits: Any, anchors: dict[str, str]) -> str:
    if not block["samples"]:
        return _nothing()
    out = []
    for sample in block["samples"][: limits.samples]:
        shown, _ = fmt.cut(sample["text"], limits.sample)
        tail = _more(len(shown), sample["length"]) if len(shown) < sample["length"] else ""
        label = f"<figcaption>{_e(sample['label'])}</figcaption>" if sample["label"] else ""
        note = f'<p class="ko-note">{_e(sample["note"])}</p>' if sample["note"] else ""
        head, rest = (shown, "") if len(shown) <= FOLD * 3 // 2 else (shown[:FOLD], shown[FOLD:])
        body = _e(head) if head else '<span class="ko-empty">(빈 글)</span>'
        if rest:
            body += " …"
            tail = f'<details class="ko-rest"><summary>이어서 (more)</summary><blockquote dir="auto">{_e(rest)}</blockquote>{tail}</details>'
        out.append(
            f'<figure class="ko-sample">{label}<blockquote dir="auto">{body}</blockquote>{tail}{note}</figure>'
        )
    more = _more(len(out), block["total"], "개 (samples)") if len(out) < block["total"] else ""
    return f'<div class="ko-samples">{"".join(out)}</div>{more}'


def tokens(block: Block, key: str, limits: Any, anchors: dict[str, str]) -> str:
    if not block["rows"]:
        return _nothing()
    out = []
    kinds = {kind for row in block["rows"] for _, kind in row["tokens"]}
    for row in block["rows"][: limits.samples]:
        shown = row["tokens"][: limits.tokens]
        spans = "".join(
            f'<span class="ko-t ko-t-{_kind(kind)}">{_piece(piece)}</span>' for piece, kind in shown
        )
        more = _more(len(shown), row["total"], "개 토큰 (tokens)") if len(shown) < row["total"] else ""
        label = (
            f'<p class="ko-row-name">{_e(row["label"])} <small>{row["total"]:,} 토큰 (tokens)</small></p>'
            if row["label"]
            else ""
        )
        plain = " | ".join(_e(piece) + (" ✓" if kind == "learned" else "") for piece, kind in shown[:200])
        out.append(
            f'{label}<div class="ko-tokens" dir="auto">{spans}</div>{more}'
            + _alternative(f'<p class="ko-plain">{plain}</p>', "글자로 보기 (as text)")
        )
    legend = ""
    if kinds & {"learned", "masked"}:
        legend = (
            '<p class="ko-legend"><span class="ko-t ko-t-learned">배움 (learned)</span> '
            '<span class="ko-t ko-t-masked">가림 (masked)</span></p>'
        )
    return legend + "".join(out)


def chapter(block: Block, key: str, limits: Any, anchors: dict[str, str]) -> str:
    return facts(block, key, limits, anchors) if block["facts"] else ""


def flow(block: Block, key: str, limits: Any, anchors: dict[str, str]) -> str:
    if not block["stages"]:
        return _nothing()
    cards = []
    for stage in block["stages"]:
        rows = "".join(
            f"<div><dt>{_e(k)}</dt><dd>{_e(fmt.value(v))}</dd></div>" for k, v in stage["facts"][:6]
        )
        status = stage["status"]
        mark = (
            ""
            if status in ("", "done")
            else f'<span class="ko-status">{_e(STATUS.get(status, status))}</span>'
        )
        target = anchors.get(stage["anchor"])
        name = f'<a href="#{target}">{_e(stage["name"])}</a>' if target else _e(stage["name"])
        hue = f" ko-{stage['tool']}" if stage["tool"] in TOOLS else ""
        main = f'<p class="ko-main">{_e(stage["main"])}</p>' if stage["main"] else ""
        tool = f'<span class="ko-tool">{_e(stage["tool"])}</span> ' if stage["tool"] else ""
        cards.append(
            f'<li class="ko-card{hue}{" ko-undone" if mark else ""}"><p class="ko-name">{tool}{name}</p>{mark}{main}'
            + (f"<dl>{rows}</dl>" if rows else "")
            + "</li>"
        )
    return f'<ol class="ko-flow">{"".join(cards)}</ol>'


SHOW: dict[str, Callable[[Block, str, Any, dict[str, str]], str]] = {
    "text": text,
    "facts": facts,
    "table": table,
    "funnel": funnel,
    "histogram": histogram,
    "lines": lines,
    "bars": bars,
    "intervals": intervals,
    "samples": samples,
    "tokens": tokens,
    "chapter": chapter,
    "flow": flow,
}


def _grid(columns: list[str], rows: list[list[Any]], title: str, limit: int, sort: bool = False) -> str:
    """A table; with ``sort`` the page's script puts a button into every header."""
    keys = [fmt.sort_keys([row[i] for row in rows]) for i in range(len(columns))]
    texts = [fmt.column([row[i] for row in rows]) for i in range(len(columns))]
    wide = [any(len(text) > WIDE for text in column) for column in texts]
    head = "".join(
        f'<th scope="col"{" class=ko-n" if keys[i] else ""}>{_e(fmt.cut(name, limit)[0])}</th>'
        for i, name in enumerate(columns)
    )
    body = []
    for j in range(len(rows)):
        cells = []
        for i in range(len(columns)):
            shown, more = fmt.cut(texts[i][j], limit)
            shown = escape(shown) + ("…" if more else "")
            column = keys[i]
            if column is not None:
                order = f' data-v="{column[j]!r}"' if sort and column[j] is not None else ""
                cells.append(f'<td class="ko-n"{order}>{shown}</td>')
            elif i == 0:
                cells.append(f'<th scope="row">{shown}</th>')
            else:
                cells.append(f"<td{' class=ko-w' if wide[i] else ''}>{shown}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    kind = "ko-table ko-sortable" if sort and len(rows) > 1 else "ko-table"
    return _scroll(
        f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>', title
    )


def _scroll(inner: str, title: str) -> str:
    """Wide tables scroll inside the page; the region takes the keyboard's arrow keys."""
    return f'<div class="ko-scroll" role="region" tabindex="0" aria-label="{_e(title)}">{inner}</div>'


def _alternative(inner: str, words: str = "표로 보기 (as a table)") -> str:
    return f'<details class="ko-data"><summary>{words}</summary>{inner}</details>'


def _more(shown: int, whole: int | float, what: str = "자 (characters)") -> str:
    return f'<p class="ko-note ko-cut">… 전체 {fmt.number(whole)}{what} 가운데 {shown:,}</p>'


def _nothing() -> str:
    return '<p class="ko-empty">값이 없습니다 (nothing to show)</p>'


def _share(part: float, whole: float) -> str:
    if not whole:
        return "–"
    share = 100 * part / whole
    return "<0.1%".replace("<", "&lt;") if 0 < share < 0.1 else f"{share:.1f}%"


def _kind(kind: int | str) -> str:
    return kind if isinstance(kind, str) else str(int(kind) % 6)


def _piece(piece: str) -> str:
    """A token's text with its blanks made visible; a line break is shown and also breaks the line."""
    shown = _e(piece).replace("\t", "<i>⇥</i>").replace("\n", "<i>⏎</i>\n")
    stripped = shown.lstrip(" ")
    shown = "<i>␣</i>" * (len(shown) - len(stripped)) + stripped
    return shown or "<i>∅</i>"


def _e(text: Any) -> str:
    return escape(fmt.visible(str(text)))
