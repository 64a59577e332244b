"""The text of a document that has structure: headings as `#` lines, a blank line between blocks, table rows as `a | b`."""

from __future__ import annotations

import re

_BLANKS = re.compile(r"[ \t\xa0\u3000]+")


class Layout:
    """Collects blocks in reading order; notes are put after the body."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._notes: list[str] = []
        self._row_open = False

    def heading(self, text: str, level: int) -> None:
        """A title of a chapter or section; level 1 is the outermost."""
        if text := " ".join(text.split()):
            self._add(f"{'#' * min(max(level, 1), 6)} {text}")

    def paragraph(self, text: str) -> None:
        """A block of text; newlines inside it stay."""
        self._add(_lines(text))

    def row(self, cells: list[str]) -> None:
        """A row of a table, directly below the row before it. Cells without text keep their place between others."""
        cells = [" ".join(cell.split()) for cell in cells]
        while cells and not cells[-1]:
            cells.pop()
        if any(cells):
            self._line(" | ".join(cells))

    def item(self, text: str) -> None:
        """An item of a list, directly below the item before it."""
        if text := _lines(text):
            self._line(text if text[:2] in ("- ", "* ") else f"- {text}")

    def verbatim(self, text: str) -> None:
        """Code: in a fence."""
        if text.strip():
            self._add(f"```\n{text.strip(chr(10)).rstrip()}\n```")

    def note(self, text: str) -> None:
        """A footnote or endnote."""
        if text := _lines(text):
            self._notes.append(text)

    def _line(self, text: str) -> None:
        if self._row_open and self._blocks:
            self._blocks[-1] += f"\n{text}"
        else:
            self._blocks.append(text)
        self._row_open = True

    def _add(self, text: str) -> None:
        if text:
            self._blocks.append(text)
            self._row_open = False

    def end_rows(self) -> None:
        """The next row or item begins a new block."""
        self._row_open = False

    @property
    def text(self) -> str:
        """The whole document."""
        return "\n\n".join([*self._blocks, *self._notes])


def _lines(text: str) -> str:
    return "\n".join(line for raw in text.split("\n") if (line := _BLANKS.sub(" ", raw).strip()))
