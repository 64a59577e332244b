"""Blocks as HTML: one self-contained page (:func:`render`) or a piece for a notebook (:func:`fragment`).

The page needs no network and no script to be read: the small inline script only adds sorting and the light/dark
button. Its security policy lets nothing else run or load, and every value is escaped, for the text shown here is data.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

from kodata.report import format as fmt
from kodata.report import parts
from kodata.report.blocks import Block, checked
from kodata.report.blocks import text as b_text
from kodata.report.values import cell

MAX_BYTES = 950_000
"""A page is kept under this size (bytes, UTF-8): what does not fit is cut, and the page says so."""
GENERATOR = "kodata report"
"""Stands in ``<meta name="generator">``; tells our reports from other files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much of long blocks is shown."""

    sample: int = 1_600
    """Characters of one sample."""
    samples: int = 60
    """Samples of one block."""
    rows: int = 500
    cell: int = 400
    """Characters of one cell."""
    points: int = 400
    """Points drawn for one series."""
    alternative: int = 48
    """Rows of the table that stands for a chart."""
    tokens: int = 1_200
    text: int = 20_000


# Tried in this order until the page is small enough.
STEPS = (
    Limits(),
    Limits(sample=800, samples=24, rows=200, cell=200, points=240, alternative=24, tokens=500, text=8_000),
    Limits(sample=300, samples=10, rows=60, cell=120, points=120, alternative=12, tokens=200, text=3_000),
    Limits(sample=120, samples=4, rows=20, cell=80, points=60, alternative=6, tokens=80, text=800),
)


def render(
    title: str, blocks: Iterable[Block], subtitle: str = "", meta: Mapping[str, Any] | None = None
) -> str:
    """The blocks as one HTML page under one megabyte.

    ``meta`` is a line of small facts under the title (date, seed …); the manifest of a run may be given as it is, its
    command, settings, inputs and versions then stand folded at the end. Raises ``ValueError`` for a block that
    is not one of :mod:`kodata.report.blocks`.
    """
    good = [checked(block) for block in blocks]
    head, foot = _head(title, subtitle, meta or {}), _foot(meta or {})
    room = MAX_BYTES - sum(len(part.encode()) for part in (head, foot, _contents(good)))
    body, shown = _fitting(good, room, "b")
    contents = _contents(good[:shown])
    return f'{head}<div class="ko-wide ko-body">\n{contents}\n<main id="ko-main">\n{body}\n{foot}'


def fragment(blocks: Iterable[Block]) -> str:
    """The blocks for a notebook cell: no page around them, no script, styles that touch nothing else."""
    good = [checked(block) for block in blocks]
    style = _asset("report.css")
    prefix = "k" + hashlib.sha256(repr(good).encode()).hexdigest()[:8] + "-"
    body, _ = _fitting(good, MAX_BYTES - len(style.encode()), prefix)
    return f'<div class="ko ko-fragment"><style>{style}</style>\n{body}\n</div>\n'


def _head(title: str, subtitle: str, meta: Mapping[str, Any]) -> str:
    """Everything before the contents: policy, styles, title and the small facts."""
    digest = base64.b64encode(hashlib.sha256(_asset("page.js").encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    facts = "".join(f"<div><dt>{_e(k)}</dt><dd>{_e(v)}</dd></div>" for k, v in _meta(meta)[0])
    return (
        '<!doctype html>\n<html lang="ko">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="generator" content="{GENERATOR}">\n<meta name="color-scheme" content="light dark">\n'
        f'<link rel="icon" href="data:,">\n<title>{_e(title)}</title>\n'
        f"<style>{_asset('report.css')}{_asset('page.css')}</style>\n</head>\n"
        '<body class="ko ko-page">\n<a class="ko-skip" href="#ko-main">본문으로 (skip to content)</a>\n'
        '<header class="ko-head"><div class="ko-wide">'
        '<p class="ko-kicker"><span class="ko-trits" aria-hidden="true"><i></i><i></i><i></i></span>'
        "kodata · kotok · kobitnet</p>"
        '<button type="button" class="ko-theme" hidden>어둡게 (dark)</button>'
        f"<h1>{_e(title)}</h1>"
        + (f'<p class="ko-subtitle">{_e(subtitle)}</p>' if subtitle else "")
        + (f'<dl class="ko-meta">{facts}</dl>' if facts else "")
        + "</div></header>\n"
    )


def _foot(meta: Mapping[str, Any]) -> str:
    """Everything after the sections: how it was made, and the script."""
    how = "".join(f"<div><dt>{_e(k)}</dt><dd>{_e(v)}</dd></div>" for k, v in _meta(meta)[1])
    if how:
        summary = "<summary>만든 방법 (how it was made)</summary>"
        how = f'<details class="ko-how">{summary}<dl class="ko-facts">{how}</dl></details>\n'
    return (
        f"{how}</main>\n</div>\n"
        '<footer class="ko-foot"><div class="ko-wide">이 파일 하나로 어디서나 열립니다 (one file, no network) · '
        f"kodata report</div></footer>\n<script>{_asset('page.js')}</script>\n</body>\n</html>\n"
    )


def _fitting(blocks: list[Block], room: int, prefix: str) -> tuple[str, int]:
    """The sections in at most ``room`` bytes, cut as little as that allows, and how many there are.

    When the shortest forms are still too long, the largest sections keep only their heading.
    """
    sections: list[str] = []
    for limits in STEPS:
        sections = _sections(blocks, limits, prefix)
        sizes = [len(section.encode()) + 1 for section in sections]
        if sum(sizes) <= room:
            return "\n".join(sections), len(sections)
    stubs = [
        b_text(block["title"], "너무 길어 여기에는 없습니다: `stats.json` (too long, see stats.json)")
        for block in blocks
    ]
    short = _sections(stubs, STEPS[-1], prefix)
    for i in sorted(range(len(sections)), key=sizes.__getitem__, reverse=True):
        if sum(sizes) <= room:
            break
        if blocks[i]["type"] != "chapter" and len(short[i].encode()) < sizes[i]:
            sections[i], sizes[i] = short[i], len(short[i].encode()) + 1
    shown = len(sections)
    while sum(sizes[:shown]) > room - 500:
        shown -= 1
    rest = len(sections) - shown
    more = f'\n<p class="ko-note ko-cut">나머지 {rest:,}개는 stats.json에 있습니다 ({rest:,} more in stats.json)</p>'
    return "\n".join(sections[:shown]) + (more if rest else ""), shown


def _sections(blocks: list[Block], limits: Limits, prefix: str) -> list[str]:
    """One ``<section>`` a block; those after a chapter are one heading lower."""
    anchors = {
        b["title"]: f"{prefix}{i}" for i, b in reversed(list(enumerate(blocks))) if b["type"] == "chapter"
    }
    out, level, tool = [], 2, ""
    for i, block in enumerate(blocks):
        key = f"{prefix}{i}"
        kind = block["type"]
        if kind == "chapter":
            level, tool = 3, block["tool"]
        inner = parts.SHOW[kind](block, key, limits, anchors)
        note = f'<p class="ko-note">{_e(block["note"])}</p>' if block["note"] else ""
        hue = f" ko-{tool}" if tool in parts.TOOLS else ""
        rank = 2 if kind == "chapter" else level
        out.append(
            f'<section class="ko-block ko-is-{kind}{hue}" id="{key}" aria-labelledby="{key}-h">'
            f'<h{rank} id="{key}-h"><a href="#{key}">{_e(block["title"])}</a></h{rank}>{inner}{note}</section>'
        )
    return out


def _contents(blocks: list[Block], most: int = 300) -> str:
    """The table of contents; blocks stand under their chapter."""
    items: list[str] = []
    nested = False
    for i, block in enumerate(blocks[:most]):
        link = f'<a href="#b{i}">{_e(block["title"][:80])}</a>'
        if block["type"] == "chapter":
            items.append(("</ul></li>" if nested else "") + f'<li class="ko-toc-chapter">{link}<ul>')
            nested = True
        else:
            items.append(f"<li>{link}</li>")
    end = "</ul></li>" if nested else ""
    return (
        '<nav class="ko-toc" aria-label="차례 (contents)"><details open><summary>차례 (contents)</summary>'
        f"<ul>{''.join(items)}{end}</ul></details></nav>"
    )


_NAMES = {
    "output": "출력 (output)",
    "status": "상태 (status)",
    "started": "시작 (started, UTC)",
    "seconds": "걸린 시간 (time)",
    "seed": "시드 (seed)",
    "error": "오류 (error)",
    "command": "명령 (command)",
    "config": "설정 (config)",
    "inputs": "입력 (inputs)",
    "versions": "버전 (versions)",
}


def _meta(meta: Mapping[str, Any]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """What stands under the title, and what stands folded at the end."""
    short, long = [], []
    manifest = "tool" in meta and "verb" in meta
    if manifest:
        short.append(("도구 (tool)", f"{meta['tool']} {meta['verb']}"))
    for key, value in meta.items():
        name = _NAMES.get(key, key)
        if manifest and (key not in _NAMES or value is None or (key == "status" and value == "done")):
            continue
        if key == "status":
            short.append((name, parts.STATUS.get(str(value), str(value))))
        elif key == "started" and isinstance(value, str):
            short.append((name, value[:16].replace("T", " ")))
        elif key == "seconds" and isinstance(value, int | float):
            short.append((name, fmt.seconds(value)))
        elif key == "command" and isinstance(value, list | tuple):
            long.append((name, shlex.join(str(word) for word in value)[:4_000]))
        elif isinstance(value, Mapping | list | tuple):
            long.append((name, json.dumps(value, ensure_ascii=False, indent=1, default=str)[:6_000]))
        else:
            short.append((name, fmt.value(cell(value))))
    return short, long


def _asset(name: str) -> str:
    return files("kodata.report").joinpath(name).read_text(encoding="utf-8")


def _e(text: Any) -> str:
    return escape(fmt.visible(str(text)))
