"""The XML of law.go.kr: a statute with its articles, supplementary provisions and annexes, as the law prints them."""

from __future__ import annotations

import re
from typing import Any

from kodata.sources.layout import Layout
from kodata.sources.xmltree import children, first, local, words

_DRAWN = re.compile("[\u2500-\u257f]")
_HEADING = re.compile(r"^\s*제\d+(?:편|장|절|관)(?:의\d+)?\s")


def _own(element: Any, name: str) -> str:
    found = next(iter(children(element, name)), None)
    return "" if found is None else "".join(found.itertext()).strip()


def _flow(text: str) -> list[str]:
    """Lines without the padding of a page, blank lines out."""
    return [" ".join(line.split()) for line in text.split("\n") if line.strip()]


def _article(unit: Any, out: Layout) -> None:
    text = " ".join(_own(unit, "조문내용").split())
    lines = [text] if text else []
    for clause in children(unit, "항"):
        lines += _flow(_own(clause, "항내용"))
        for number in children(clause, "호"):
            lines.append(" ".join(_own(number, "호내용").split()))
            for letter in children(number, "목"):
                lines.append(" ".join(_own(letter, "목내용").split()))
    if _own(unit, "조문여부") == "전문" or _HEADING.match(text):
        out.heading(text, 2 if "편" in text[:6] else 3)
        lines = lines[1:]
    out.paragraph("\n".join(line for line in lines if line))


def statute(root: Any) -> tuple[str, dict[str, Any]]:
    """(text, meta) of a <법령>. Annexes drawn as boxes are counted in meta `omitted_tables`: their cells are cut at a
    fixed width and cannot be put together again."""
    out = Layout()
    title = words(first(root, "법령명_한글")) or words(first(root, "법령명한글"))
    out.heading(title, 1)
    for unit in root.iter():
        if local(unit) == "조문단위":
            _article(unit, out)
    for unit in root.iter():
        if local(unit) == "부칙단위":
            lines = _flow(_own(unit, "부칙내용"))
            if lines:
                out.heading(lines[0], 2)
                out.paragraph("\n".join(lines[1:]))
    omitted = 0
    for unit in root.iter():
        if local(unit) == "별표단위":
            text = _own(unit, "별표내용")
            if _DRAWN.search(text):
                omitted += 1
            elif lines := _flow(text):
                out.paragraph("\n".join(lines))
    date = words(first(root, "시행일자"))
    meta: dict[str, Any] = {"title": title, "kind": "law", "law_id": words(first(root, "법령ID"))}
    if re.fullmatch(r"\d{8}", date):
        meta["date"] = f"{date[:4]}-{date[4:6]}-{date[6:]}"
    if omitted:
        meta["omitted_tables"] = omitted
    return out.text, {k: v for k, v in meta.items() if v}
