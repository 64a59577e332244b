"""Charts as inline SVG, drawn in percentages so that letters keep their size on every width of page.

Every chart has ``role="img"`` with a title and a description; the numbers themselves stand beside it as a table, made
by :mod:`kodata.report.html`. Series differ by dash pattern and colour, never by colour alone.
"""

from __future__ import annotations

import itertools
import math
from html import escape

from kodata.report import format as fmt
from kodata.report.blocks import Block
from kodata.report.values import thin

HEIGHT = 240
"""Height of the plotting area, CSS pixels."""
DASHES = ("", "7 4", "2 3", "10 3 2 3", "12 5", "4 2 1 2")
"""Dash patterns by series; with eight colours the pair repeats after 24 series."""


def bar(share: float) -> str:
    """A bar of one table row, ``share`` of the cell from 0 to 1. The number beside it says the same in words."""
    width = max(0.0, min(1.0, share)) * 100
    return (
        '<svg class="ko-bar" aria-hidden="true" focusable="false" width="100%" height="14">'
        '<rect class="ko-track" width="100%" height="14" rx="3"/>'
        f'<rect class="ko-fill" width="{width:.2f}%" height="14" rx="3"/></svg>'
    )


def interval(value: float, low: float, high: float, mark: float | None) -> str:
    """An estimate with its interval in a table row, all as shares of the scale; ``mark`` is drawn as a line across.
    The numbers beside it say the same in words."""

    def at(share: float) -> str:
        return f"{100 * max(0.0, min(1.0, share)):.2f}%"

    line = "" if mark is None else f'<line class="ko-limit" x1="{at(mark)}" x2="{at(mark)}" y1="0" y2="14"/>'
    return (
        '<svg class="ko-bar ko-interval" aria-hidden="true" focusable="false" width="100%" height="14">'
        '<rect class="ko-track" width="100%" height="14" rx="3"/>'
        f'<line class="ko-span" x1="{at(low)}" x2="{at(high)}" y1="7" y2="7"/>{line}'
        f'<circle class="ko-point" cx="{at(value)}" cy="7" r="5"/></svg>'
    )


def histogram(block: Block, key: str) -> str:
    """The SVG of a histogram block; ``key`` makes its ids unique in the page."""
    edges, counts, limits = block["edges"], block["counts"], block["threshold"]
    if not counts:
        return ""
    log = logarithmic(edges) and all(limit > 0 for limit in limits)
    ends = [edges[1] / 2, *edges[1:]] if log and edges[0] == 0 else edges
    low, high = min([ends[0], *limits[:1]]), max([ends[-1], *limits[-1:]])
    across = Axis(low, high, log, ticks=6)
    up = Axis(0, max(counts) or 1, False, ticks=4, nice=True)
    body = [_grid(across, up)]
    for left, right, n in zip(ends, ends[1:], counts, strict=False):
        if n:
            a, b, top = across.at(left), across.at(right), up.at(n)
            body.append(
                f'<rect class="ko-fill" x="{a:.2f}%" width="{max(b - a, 0.3):.2f}%" '
                f'y="{HEIGHT * (1 - top / 100):.1f}" height="{max(HEIGHT * top / 100, 1):.1f}"/>'
            )
    for i, limit in enumerate(limits[:6]):
        x = across.at(limit)
        end = x > 60
        body.append(f'<line class="ko-limit" x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="{HEIGHT}"/>')
        body.append(
            f'<text class="ko-limit-label" x="{x:.2f}%" dx="{-6 if end else 6}" y="{14 + 16 * i}" '
            f'text-anchor="{"end" if end else "start"}">기준 {escape(fmt.number(limit))}{_unit(block["unit"])}</text>'
        )
    words = f"{len(counts)}칸, 합계 {fmt.number(sum(counts))}; {fmt.number(edges[0])} – {fmt.number(edges[-1])} {block['unit']}"
    if limits:
        words += "; 기준 (threshold) " + ", ".join(map(fmt.number, limits))
    return _svg(key, "ko-histogram", block["title"], words, "".join(body))


def lines(block: Block, key: str, points: int = 300) -> str:
    """The SVG of a lines block; at most ``points`` points are drawn for each series."""
    log_x, log_y = block["log_x"], block["log_y"]

    def shown(p: list[float | None]) -> bool:
        return p[0] is not None and p[1] is not None and (p[0] > 0 or not log_x) and (p[1] > 0 or not log_y)

    every = [p for s in block["series"] for p in s["points"] if shown(p)]
    if not every:
        return ""
    across = Axis(min(p[0] for p in every), max(p[0] for p in every), log_x, ticks=6)
    up = Axis(min(p[1] for p in every), max(p[1] for p in every), log_y, ticks=5, nice=True)
    body = [
        _grid(across, up),
        '<svg class="ko-plot" viewBox="0 0 1000 1000" preserveAspectRatio="none" ',
        f'width="100%" height="{HEIGHT}">',
    ]
    dots = []
    for i, series in enumerate(block["series"]):
        pen, path = "M", []
        few = [p for p in series["points"] if shown(p)]
        for point in thin(series["points"], points, points // 4 if log_x else 0):
            if not shown(point):
                pen = "M"  # a gap, not a line over it
                continue
            path.append(f"{pen}{across.at(point[0]) * 10:.1f} {1000 - up.at(point[1]) * 10:.1f}")
            pen = "L"
        dash = DASHES[i % len(DASHES)]
        body.append(
            f'<path class="ko-c{i % 8}" d="{"".join(path)}"'
            + (f' stroke-dasharray="{dash}"' if dash else "")
            + "/>"
        )
        if len(few) <= 12:  # a line of one point would be invisible
            dots += [
                f'<circle class="ko-c{i % 8}" cx="{across.at(p[0]):.2f}%" cy="{HEIGHT * (1 - up.at(p[1]) / 100):.1f}" r="3.5"/>'
                for p in few
            ]
    body += ["</svg>", *dots]
    words = "; ".join(_describe(s) for s in block["series"][:8])
    return _svg(key, "ko-lines", block["title"], f"{block['x']} – {block['y']}: {words}", "".join(body))


def sparkline(values: list[float | None], width: int = 40) -> str:
    """The values as a row of block letters, for Markdown; a gap is a blank."""
    if len(values) > width:
        values = [values[i * len(values) // width] for i in range(width)]
    real = [v for v in values if v is not None]
    if not real:
        return ""
    axis = Axis(min(real), max(real), False)
    return "".join(" " if v is None else "▁▂▃▄▅▆▇█"[min(7, int(axis.at(v) / 12.5))] for v in values)


def logarithmic(edges: list[float]) -> bool:
    """Whether ascending edges look evenly spaced in ratio rather than in difference; a first edge of 0 is passed over."""
    if edges and edges[0] == 0:
        edges = edges[1:]
    if len(edges) < 4 or edges[0] <= 0 or edges[-1] / edges[0] < 16:
        return False
    logs = [math.log(e) for e in edges]
    return max(b - a for a, b in itertools.pairwise(logs)) < 2 * (logs[-1] - logs[0]) / (len(edges) - 1)


class Axis:
    """A range of numbers and where each stands on it, 0 to 100 percent."""

    def __init__(self, low: float, high: float, log: bool, ticks: int = 5, nice: bool = False) -> None:
        # clipped so that differences of the largest floats do not overflow
        low, high = (min(max(float(end), 1e-300 if log else -1e300), 1e300) for end in (low, high))
        if high <= low:
            pad = abs(low) * 0.1 or 1.0
            low, high = (low / 2, low * 2) if log else (low - pad, high + pad)
        self.log = log
        self.marks = _log_marks(low, high) if log else []
        if not self.marks:
            step = _step((high - low) / ticks)
            if nice and not log:  # the frame ends on a mark
                low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
            first = math.ceil(low / step - 1e-9)
            self.marks = [
                (first + i) * step for i in range(ticks * 3) if (first + i) * step <= high + step * 1e-6
            ]
            self.step = step
        else:
            self.step = self.marks[0]
        self.low, self.high = low, high

    def at(self, value: float | None) -> float:
        if value is None:
            return 0.0
        value = min(max(float(value), self.low), self.high)
        if self.high <= self.low:
            return 50.0
        if self.log:
            return 100 * (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return 100 * (value - self.low) / (self.high - self.low)

    def label(self, mark: float) -> str:
        return fmt.tick(mark, mark if self.log else self.step)


def _step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, at least ``rough``."""
    if rough < 1e-300:
        return 1e-300
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10, 20) if m * power >= rough * 0.999)


def _log_marks(low: float, high: float) -> list[float]:
    """Powers of ten in the range, thinned to seven; 1-2-5 steps when there are few."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    every = max(1, -(-(last - first + 1) // 7))
    marks = [10.0**e for e in range(first, last + 1, every)]
    if len(marks) >= 3:
        return marks
    return [m * 10.0**e for e in range(first - 1, last + 1) for m in (1, 2, 5) if low <= m * 10.0**e <= high]


def _grid(across: Axis, up: Axis) -> str:
    parts = []
    for mark in up.marks:
        y = HEIGHT * (1 - up.at(mark) / 100)
        parts.append(f'<line class="ko-grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="0" dx="-8" y="{y:.1f}" dy="4" text-anchor="end">{up.label(mark)}</text>')
    for mark in across.marks:
        x = across.at(mark)
        parts.append(f'<line class="ko-mark" x1="{x:.2f}%" x2="{x:.2f}%" y1="{HEIGHT}" y2="{HEIGHT + 5}"/>')
        parts.append(f'<text x="{x:.2f}%" y="{HEIGHT + 20}" text-anchor="middle">{across.label(mark)}</text>')
    parts.append(f'<line class="ko-axis" x1="0" x2="100%" y1="{HEIGHT}" y2="{HEIGHT}"/>')
    return "".join(parts)


def _describe(series: Block) -> str:
    real = [p[1] for p in series["points"] if p[1] is not None]
    name = fmt.visible(series["name"])
    if not real:
        return f"{name}: 값 없음 (no values)"
    return f"{name}: 처음 {fmt.number(real[0])}, 끝 {fmt.number(real[-1])}, 최소 {fmt.number(min(real))}, 최대 {fmt.number(max(real))}"


def _unit(unit: str) -> str:
    return escape(" " + fmt.visible(unit)) if unit else ""


def _svg(key: str, kind: str, title: str, words: str, body: str) -> str:
    return (
        f'<svg class="{kind}" role="img" aria-labelledby="{key}-t {key}-d" width="100%" height="{HEIGHT}">'
        f'<title id="{key}-t">{escape(fmt.visible(title))}</title><desc id="{key}-d">{escape(fmt.visible(words))}</desc>{body}</svg>'
    )
