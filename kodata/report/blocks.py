"""The blocks a report is made of: plain dictionaries that go into ``stats.json`` as they are.

A verb builds blocks, :func:`kodata.report.html.render` and :func:`kodata.report.markdown.render` show them.
Each constructor here checks its arguments (``ValueError`` for a programmer's mistake) and bounds what is kept, value by
value (:mod:`kodata.report.values`) and in number, so that ``stats.json`` stays small and is always strict JSON. Long samples,
series and tables are cut, and the true size is kept beside what is left.

``checked`` rebuilds a block read from a file through the same constructors.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kodata.report.names import label
from kodata.report.values import (
    MAX_CELL,
    as_count,
    as_list,
    as_number,
    as_pair,
    as_pairs,
    as_text,
    cell,
    clean,
    clip,
    thin,
)

Block = dict[str, Any]

MAX_TEXT = 20_000
"""Characters kept of a ``text`` block."""
MAX_SAMPLE = 4_000
"""Characters kept of one sample."""
MAX_SAMPLES = 200
MAX_ROWS = 2_000
MAX_POINTS = 1_000
"""Points kept of one series."""
MAX_SERIES = 64
MAX_BINS = 1_000
MAX_TOKENS = 4_000
"""Tokens kept of one row of a ``tokens`` block."""

TOKEN_KINDS = ("learned", "masked")


def text(title: str, markdown: str, *, note: str = "") -> Block:
    """A paragraph or a few, in Markdown (headings, lists, emphasis, code and links are shown; HTML stays text)."""
    return _block("text", title, note, markdown=clip(markdown, MAX_TEXT))


def facts(title: str, values: Mapping[str, Any] | Iterable[Sequence[Any]], *, note: str = "") -> Block:
    """Label and value, a line each: ``{"문서 (documents)": 1234, "크기 (size)": "3.2 MB"}``.

    Keys of a summary (``val_loss``) are shown in words (:mod:`kodata.report.names`).
    """
    pairs = list(values.items()) if isinstance(values, Mapping) else [as_pair(v, "facts") for v in values]
    return _block(
        "facts", title, note, facts=[[label(clip(name, MAX_CELL)), cell(value)] for name, value in pairs]
    )


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    note: str = "",
    *,
    total: int | None = None,
) -> Block:
    """A sortable table. Every row has as many cells as there are columns; cells are text, numbers, bools or None.

    ``total`` is the true number of rows when the caller already left some out.
    """
    columns = [clip(c, MAX_CELL) for c in as_list(columns, "columns")]
    if not columns:
        raise ValueError(f"table {title!r}: no columns")
    kept: list[list[Any]] = []
    count = 0
    for row in rows:
        row = as_list(row, "row")
        if len(row) != len(columns):
            raise ValueError(f"table {title!r}: row {count} has {len(row)} cells, {len(columns)} columns")
        if count < MAX_ROWS:
            kept.append([cell(value) for value in row])
        count += 1
    return _block("table", title, note, columns=columns, rows=kept, total=max(count, as_count(total or 0)))


def funnel(title: str, stages: Iterable[Sequence[Any]], note: str = "") -> Block:
    """What is left after each step: ``[("들어옴 (in)", 1000), ("길이 (length)", 950), …]``, in order."""
    return _block(
        "funnel", title, note, stages=[[clip(label, MAX_CELL), as_count(n)] for label, n in as_pairs(stages)]
    )


def histogram(
    title: str,
    edges: Iterable[float],
    counts: Iterable[float],
    threshold: float | Sequence[float] | None = None,
    unit: str = "",
    *,
    note: str = "",
) -> Block:
    """Counts between ascending edges (one more than counts); ``threshold`` draws one or several limits."""
    ends: list[Any] = [as_number(e) for e in edges]
    counts = [as_count(c) for c in counts]
    if any(e is None for e in ends) or any(b <= a for a, b in itertools.pairwise(ends)):
        raise ValueError(f"histogram {title!r}: edges must be finite and ascending")
    if len(ends) != len(counts) + 1:
        raise ValueError(f"histogram {title!r}: {len(ends)} edges for {len(counts)} counts")
    if len(counts) > MAX_BINS:
        raise ValueError(f"histogram {title!r}: more than {MAX_BINS} bins")
    limits = (
        [] if threshold is None else list(threshold) if isinstance(threshold, list | tuple) else [threshold]
    )
    numbers = [n for n in map(as_number, limits) if n is not None]
    return _block("histogram", title, note, edges=ends, counts=counts, threshold=numbers, unit=clip(unit, 40))


def lines(
    title: str,
    series: Mapping[str, Iterable[Sequence[float]]] | Iterable[Mapping[str, Any]],
    x: str = "",
    y: str = "",
    log_x: bool = False,
    log_y: bool = False,
    *,
    note: str = "",
) -> Block:
    """Curves: ``{"train": [(step, loss), …], "val": […]}`` with axis names ``x`` and ``y``.

    Long series are thinned to ``MAX_POINTS`` keeping the lowest and highest value of each stretch.
    """
    named = series.items() if isinstance(series, Mapping) else [(s["name"], s["points"]) for s in series]
    kept: list[Block] = []
    for name, points in named:
        pairs = [[as_number(a), as_number(b)] for a, b in as_pairs(points)]
        kept.append(
            {
                "name": clip(name, MAX_CELL),
                "points": thin(pairs, MAX_POINTS, MAX_POINTS // 4 if log_x else 0),
                "total": len(pairs),
            }
        )
    if not isinstance(series, Mapping):  # read back from a file: the true length was recorded there
        for old, new in zip(series, kept, strict=True):
            new["total"] = max(new["total"], as_count(old.get("total", 0)))
    if len(kept) > MAX_SERIES:  # a deep model has many layers: the first and the last ones tell most
        note = f"{len(kept)} 계열 가운데 {MAX_SERIES} (series shown). {note}".strip()
        kept = kept[: MAX_SERIES // 2] + kept[-MAX_SERIES // 2 :]
    axes = {"x": clip(x, 80), "y": clip(y, 80), "log_x": bool(log_x), "log_y": bool(log_y)}
    return _block("lines", title, note, series=kept, **axes)


def bars(
    title: str, values: Iterable[Sequence[Any]] | Mapping[str, float], unit: str = "", *, note: str = ""
) -> Block:
    """Horizontal bars, a label and a number each, in the order given."""
    pairs = values.items() if isinstance(values, Mapping) else as_pairs(values)
    return _block(
        "bars",
        title,
        note,
        bars=[[clip(label, MAX_CELL), as_number(v)] for label, v in pairs],
        unit=clip(unit, 40),
    )


def intervals(
    title: str,
    values: Iterable[Sequence[Any]],
    low: float = 0.0,
    high: float = 1.0,
    *,
    mark: str = "",
    unit: str = "",
    note: str = "",
) -> Block:
    """Estimates on one common scale from ``low`` to ``high``: ``[(label, value, from, to, marked value or None), …]``.

    ``mark`` says what the marked value is, such as the level of chance.
    """
    ends = [as_number(low), as_number(high)]
    if ends[0] is None or ends[1] is None or ends[1] <= ends[0]:
        raise ValueError(f"intervals {title!r}: the scale {low!r} .. {high!r} is empty")
    kept: list[list[Any]] = []
    for row in values:
        row = as_list(row, "row")
        if len(row) != 5:
            raise ValueError(f"intervals {title!r}: a row has {len(row)} parts, not 5")
        if len(kept) < MAX_ROWS:
            kept.append([clip(row[0], MAX_CELL), *(as_number(v) for v in row[1:])])
    return _block(
        "intervals",
        title,
        note,
        rows=kept,
        low=ends[0],
        high=ends[1],
        mark=clip(mark, 80),
        unit=clip(unit, 40),
    )


def samples(
    title: str, items: Iterable[Mapping[str, Any]], *, note: str = "", total: int | None = None
) -> Block:
    """Pieces of text to look at: ``{"label": why it is here, "text": the text, "note": beside it}`` each."""
    kept: list[Block] = []
    count = 0
    for item in items:
        if not isinstance(item, Mapping) or "text" not in item:
            raise ValueError(f"samples {title!r}: item {count} needs a 'text'")
        whole = as_text(item["text"])
        if count < MAX_SAMPLES:
            sample = {key: clip(item.get(key) or "", MAX_CELL) for key in ("label", "note")}
            length = max(len(whole), as_count(item.get("length") or 0))
            kept.append({**sample, "text": clean(whole[:MAX_SAMPLE]), "length": length})
        count += 1
    return _block("samples", title, note, samples=kept, total=max(count, as_count(total or 0)))


def tokens(title: str, rows: Iterable[Any], *, note: str = "") -> Block:
    """Text cut into tokens, a row for each: ``[[("대한", 0), ("민국", 1)], …]``.

    A kind is an integer (a colour, taken modulo the palette) or ``"learned"`` / ``"masked"`` for loss masks.
    A row may also be ``{"label": tokenizer name, "tokens": [(piece, kind), …]}``.
    """
    kept: list[Block] = []
    for row in rows:
        label: Any = ""
        pieces, total = row, 0.0
        if isinstance(row, Mapping):
            label, pieces, total = (
                row.get("label", ""),
                row.get("tokens", ()),
                as_count(row.get("total") or 0),
            )
        cut: list[list[Any]] = []
        for piece, kind in as_pairs(pieces):
            if isinstance(kind, str) and kind not in TOKEN_KINDS:
                raise ValueError(
                    f"tokens {title!r}: kind {kind!r} is neither an integer nor one of {TOKEN_KINDS}"
                )
            cut.append([clip(piece, MAX_CELL), kind if isinstance(kind, str) else as_count(kind)])
        kept.append(
            {"label": clip(label, MAX_CELL), "tokens": cut[:MAX_TOKENS], "total": max(len(cut), total)}
        )
    return _block("tokens", title, note, rows=kept[:MAX_SAMPLES])


def chapter(
    title: str, values: Mapping[str, Any] | Iterable[Sequence[Any]] = (), *, note: str = "", tool: str = ""
) -> Block:
    """A heading over the blocks that follow, with a few facts under it; ``tool`` colours it."""
    block = facts(title, values, note=note)
    return {**block, "type": "chapter", "tool": clip(tool, 40)}


def flow(title: str, stages: Iterable[Mapping[str, Any]], *, note: str = "") -> Block:
    """The road as cards in order: ``{"tool", "name", "status", "main", "facts": {…}, "anchor": title of a chapter}``."""
    kept = []
    for stage in stages:
        if not isinstance(stage, Mapping):
            raise ValueError(f"flow {title!r}: a stage must be a mapping")
        words = {k: clip(stage.get(k) or "", MAX_CELL) for k in ("tool", "name", "status", "main", "anchor")}
        kept.append({**words, "facts": facts("-", stage.get("facts") or {})["facts"]})
    return _block("flow", title, note, stages=kept)


def checked(block: Any) -> Block:
    """A block of a file, rebuilt by its constructor; ``ValueError`` says what is wrong with it."""
    if not isinstance(block, Mapping):
        raise ValueError(f"a block must be an object, not {type(block).__name__}")
    kind = block.get("type")
    if not isinstance(kind, str) or kind not in _REBUILD:
        raise ValueError(f"unknown block type {kind!r}")
    make, fields = _REBUILD[kind]
    required, optional = fields
    missing = [name for name in required if name not in block]
    if missing:
        raise ValueError(f"block {kind!r} lacks {', '.join(missing)}")
    try:
        args = [block[name] for name in required]
        return make(block.get("title"), *args, **{k: block[k] for k in optional if k in block})
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"block {kind!r} is malformed: {error}") from None


_REBUILD: dict[str, tuple[Any, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "text": (text, (("markdown",), ("note",))),
    "facts": (facts, (("facts",), ("note",))),
    "table": (table, (("columns", "rows"), ("note", "total"))),
    "funnel": (funnel, (("stages",), ("note",))),
    "histogram": (histogram, (("edges", "counts"), ("threshold", "unit", "note"))),
    "lines": (lines, (("series",), ("x", "y", "log_x", "log_y", "note"))),
    "bars": (bars, (("bars",), ("unit", "note"))),
    "intervals": (intervals, (("rows",), ("low", "high", "mark", "unit", "note"))),
    "samples": (samples, (("samples",), ("note", "total"))),
    "tokens": (tokens, (("rows",), ("note",))),
    "chapter": (chapter, (("facts",), ("note", "tool"))),
    "flow": (flow, (("stages",), ("note",))),
}


def _block(kind: str, title: Any, note: Any, /, **content: Any) -> Block:
    if not isinstance(title, str) or not title.strip():
        raise ValueError(f"{kind}: the title must be text, not {title!r}")
    return {"type": kind, "title": clip(title, 200), **content, "note": clip(note or "", 2_000)}
