"""HWPX (OWPML, KS X 6101): the sections of a Hancom document in order; outline levels become headings, tables rows, notes the end.

What belongs to the page and not to the text is left out: running headers and footers, memos, field codes, descriptions of
pictures, text deleted under change tracking.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from kodata.sources.container import Container
from kodata.sources.epub import package, package_meta, spine
from kodata.sources.layout import Layout
from kodata.sources.record import Failure, Part, Record, Settings
from kodata.sources.streams import BrokenInput
from kodata.sources.xmltree import children, first, local, parse_xml, words
from kodata.text.markup import escape_tags

_SECTION = re.compile(r"^Contents/section(\d+)\.xml$")
_OUTLINE_STYLE = re.compile(r"^(?:개요|Outline) ?(\d)$")
_CHARACTERS = {"tab": "\t", "lineBreak": "\n", "nbSpace": " ", "fwSpace": " ", "hyphen": "-"}
_DELETED = {"deleteBegin": True, "deleteEnd": False}
_LEFT_OUT = {
    "header",
    "footer",
    "hiddenComment",
    "fieldBegin",
    "shapeComment",
    "secPr",
    "linesegarray",
    "parameters",
    "masterPage",
}
_NOTES = {"footNote", "endNote"}


class _Section:
    def __init__(self, layout: Layout, levels: dict[str, int], styles: dict[str, int]):
        self.out, self.levels, self.styles = layout, levels, styles
        self.deleted = False

    def paragraph(self, p: Any, sink: list[str] | None = None) -> None:
        """A paragraph with what hangs in it. With a sink its lines go there (cells, notes, captions)."""
        line: list[str] = []
        later: list[Any] = []
        for run in children(p, "run"):
            for element in run:
                name = local(element)
                if name == "t":
                    self._text(element, line)
                elif name == "equation":
                    line.append(words(first(element, "script")))
                elif name in ("compose", "dutmal"):
                    line.append(element.get("composeText") or words(first(element, "mainText")))
                else:
                    later.append(element)
        text = "".join(line)
        level = self.levels.get(p.get("paraPrIDRef", ""), 0) or self.styles.get(p.get("styleIDRef", ""), 0)
        if sink is not None:
            sink.append(text)
        elif level and len(text) <= 100:
            self.out.heading(text, level)
        else:
            self.out.paragraph(text)
        for element in later:
            self._hanging(element, sink)

    def _text(self, t: Any, line: list[str]) -> None:
        if t.text and not self.deleted:
            line.append(t.text)
        for mark in t:
            name = local(mark)
            self.deleted = _DELETED.get(name, self.deleted)
            if not self.deleted:
                line.append(_CHARACTERS.get(name, ""))
                line.append(mark.tail or "")

    def _hanging(self, element: Any, sink: list[str] | None) -> None:
        """Tables, text boxes, notes and captions below a run."""
        name = local(element)
        if name in _LEFT_OUT or not name:
            return
        if name == "tbl":
            self._table(element, sink)
        elif name in _NOTES:
            lines = self._lines(element)
            self.out.note(" ".join(line.strip() for line in lines if line.strip()))
        elif name == "p":
            self.paragraph(element, sink)
        else:
            for child in element:
                self._hanging(child, sink)

    def _lines(self, element: Any) -> list[str]:
        lines: list[str] = []
        for child in element:
            self._hanging(child, lines)
        return lines

    def _table(self, table: Any, sink: list[str] | None) -> None:
        rows = [[self._lines(cell) for cell in children(row, "tc")] for row in children(table, "tr")]
        put_table(rows, self.out, sink)
        for caption in children(table, "caption"):
            self._hanging(caption, sink)


def put_table(rows: list[list[list[str]]], out: Layout, sink: list[str] | None) -> None:
    """Cells as lists of lines. One column is a box around text, so its lines are paragraphs; a table in a cell is lines."""
    if sink is not None:
        sink.extend(" ".join(" ".join(cell) for cell in row) for row in rows)
    elif all(len(row) <= 1 for row in rows):
        for row in rows:
            for cell in row:
                for line in cell:
                    out.paragraph(line)
    else:
        out.end_rows()
        for row in rows:
            out.row([" ".join(cell) for cell in row])
        out.end_rows()


def _outline(book: Container) -> tuple[dict[str, int], dict[str, int]]:
    """(paragraph shape id -> outline level, style id -> level), levels from 1."""
    if "Contents/header.xml" not in book:
        return {}, {}
    shapes: dict[str, int] = {}
    styles: dict[str, int] = {}
    for element in parse_xml(book.read("Contents/header.xml"), "HWPX").iter():
        if local(element) == "paraPr":
            heading = next((h for h in children(element, "heading") if h.get("type") == "OUTLINE"), None)
            if heading is not None:
                shapes[element.get("id", "")] = (
                    1 + int(heading.get("level") or 0) if (heading.get("level") or "0").isdigit() else 1
                )
        elif local(element) == "style" and (found := _OUTLINE_STYLE.match(element.get("name") or "")):
            styles[element.get("id", "")] = int(found[1])
    return shapes, styles


def _sections(book: Container) -> tuple[list[str], dict[str, str]]:
    try:
        root, _ = package(book, "Contents/content.hpf", "HWPX")
        listed = [
            n
            for name, _ in spine(root, "")
            for n in (name, f"Contents/{name}")
            if n in book and _SECTION.match(n)
        ]
        meta = package_meta(root)
    except BrokenInput:
        listed, meta = [], {}
    numbered = [(int(match[1]), name) for name in book.names if (match := _SECTION.match(name))]
    return listed or [name for _, name in sorted(numbered)], meta


def read_hwpx(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """One document, one Record. Raises BrokenInput for a damaged, encrypted or foreign file."""
    book = Container(handle, part, "HWPX")
    if "META-INF/manifest.xml" in book and b"encryption-data" in book.read("META-INF/manifest.xml"):
        raise BrokenInput(
            "암호가 걸린 HWPX (HWPX is encrypted): 한글에서 암호를 풀어 저장 (save it without password)"
        )
    names, meta = _sections(book)
    if not names:
        raise BrokenInput("HWPX에 본문이 없음 (no section in HWPX)")
    section = _Section(Layout(), *_outline(book))
    failures = []
    for name in names:
        try:
            for p in children(parse_xml(book.read(name), "HWPX"), "p"):
                section.paragraph(p)
        except BrokenInput as error:
            failures.append(Failure(part.label, name, str(error)))
    if len(failures) < len(names):
        yield Record(
            escape_tags(section.out.text), "", None, settings.source, file_meta(meta, part, settings)
        )
    yield from failures


def file_meta(meta: dict[str, str], part: Part, settings: Settings) -> dict[str, Any]:
    """Meta of an office document: its own, and what the settings fill in."""
    made: dict[str, Any] = {k: v for k, v in meta.items() if k in ("title", "date", "author")}
    for name, value in (("licence", settings.licence), ("kind", settings.kind)):
        if value is not None:
            made[name] = value
    return made | {"file": part.name}
