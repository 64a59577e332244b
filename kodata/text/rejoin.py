"""Lines cut at a fixed width put together again: books typed in, HWP and PDF text, old mailing lists.

Conservative: only a block of lines that looks wrapped is touched, that is, lines of about one width none of which but the
last falls far short of it. Verse, lists, tables, headings, dialogue and code keep their lines. Joining is idempotent: a
joined block is one line, and one line is never a wrapped block.

At a cut inside Korean the question is space or no space. A line wrapped at words ends a full word and the space was eaten
by the newline; a line wrapped at letters cuts words in the middle. Which of the two a text does is seen from the widths of
its lines: letters fill every line to the same width, words leave a ragged edge. In ragged text a space is right; in full
text each cut is judged: by a word of the same text that stands there whole, else by Kiwi (`kodata.text.spacing`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

PROFILES = frozenset({"book", "academic"})
"""Profiles whose texts come wrapped; verse, statutes and dialogue keep their lines."""
LEAST_WIDTH = 24
"""Narrower columns are verse, lists or tables (display width, a Hangul syllable is 2)."""
MOST_WIDTH = 200
LEAST_LINES = 2
"""Lines of a wrapped block, its last included, in a text that has longer ones of the same width."""
SURE_LINES = 5
"""Lines of a block that shows the text is wrapped."""
RAGGED = 24
"""A word-wrapped line may fall this much short: the longest word that did not fit."""
FULL = 2
"""A letter-wrapped line may fall this much short: one syllable did not fit."""

CONTEXT = 25
"""Characters on each side of a cut that are looked at."""

_LETTER = "[가나다라마바사아자차카타파하]"
_ALONE = re.compile(r"^\s*(?:[#>|│┃┌├└]|<[A-Za-z/!]|`{3}|~{3}|={3}|-{3}|\[[^\]]{1,20}\]\s*$)")
"""Always a line of its own."""
_ITEM = re.compile(rf"^\s*(?:[-*+•·ㆍ‧○●◦▪■□◆◇▶▷►☞※★☆→✓☑]|\d{{1,3}}\\?[.)]\s|[①-⑳⑴-⑿㉠-㉻]|{_LETTER}[.)]\s)")
"""Always the first line of something, a list item for one."""
_MAYBE = re.compile(
    rf"^\s*(?:\(\d{{1,3}}\)|\({_LETTER}\)|[a-zA-Z][.)]\s|제\s?\d+\s?(?:조|항|장|절|편|관)|[A-Za-z가-힣 ]{{1,12}}\s?[:：]\s)"
)
"""The first line of something, unless the line before it is in the middle of a sentence."""
_TABLE = re.compile(r"\t|\S {3,}\S|\|")
_CLOSED = re.compile(r"""(?:[.!?…。]|[.!?…][)\]"'”’」』〉》]+|[”」』])$""")
_SENTENCE_END = re.compile(r"""(?:다|요|죠|까|오|라|네|지|음|함|됨|임|것)[.!?…]+["'”’」』)]*$""")
_INNER = re.compile(r"""[가-힣][.!?…]+["'”’」』)]*\s+\S""")
_QUOTE_START = re.compile(r"""^\s*["“「『‘'—–-]""")
_CODE = re.compile(r"[;{}]\s*$|^\s*(?:import|from|def|class|return|for|if|#include|\$|>>>)\b[^가-힣]*$")
_HANGUL = re.compile("[가-힣]")


def width(text: str) -> int:
    """Columns a line takes: 2 for Hangul, hanja, kana and full-width signs, 1 for the rest."""
    return len(text) + sum(
        c >= "\u1100"
        and ("\u1100" <= c <= "\u11ff" or "\u2e80" <= c <= "\ud7ff" or "\uf900" <= c <= "\uffef")
        for c in text
    )


def _blocks(lines: Sequence[str]) -> list[tuple[int, int]]:
    """(start, end) of runs of prose lines: no blank, no structure, no table, no deeper indent within."""
    found: list[tuple[int, int]] = []
    start = 0
    fence = False
    for i, line in enumerate([*lines, ""]):
        stop = not line.strip() or i == len(lines)
        if line.lstrip().startswith(("```", "~~~")):
            fence, stop = not fence, True
        alone = stop or fence or bool(_ALONE.match(line) or _TABLE.search(line) or _CODE.search(line))
        begins = bool(_ITEM.match(line)) or (i > start and _opens(lines[i - 1], line))
        if not begins and i > start and _MAYBE.match(line):
            begins = bool(_CLOSED.search(lines[i - 1].rstrip())) or width(lines[i - 1]) < width(line)
        if alone or begins:
            if i > start:
                found.append((start, i))
            start = i + 1 if alone else i
    return found


def _opens(before: str, line: str) -> bool:
    """Does this line begin a paragraph by its indent, or a turn of dialogue after a closed line?"""
    indented = line[:1] in " \u3000" and before[:1] not in " \u3000"
    return indented or (bool(_QUOTE_START.match(line)) and bool(_CLOSED.search(before.rstrip())))


class Edge(NamedTuple):
    """Columns of the widest line, and whether lines are filled to the letter."""

    columns: int
    full: bool


def _edge(lines: Sequence[str], known: Edge | None = None) -> Edge | None:
    """How a block of lines is wrapped, None when it does not look so. known: how the text is wrapped for sure."""
    widths = [width(line.strip()) for line in lines]
    body = widths[:-1]
    columns = max(widths)
    if not LEAST_WIDTH <= columns <= MOST_WIDTH or widths[-1] > columns:
        return None
    if known is None:
        if len(lines) < SURE_LINES or not any(_INNER.search(line) for line in lines):
            return None  # verse has no sentence that ends inside a line
        full = sum(columns - w <= FULL for w in body) >= 0.8 * len(body)
    else:
        if len(lines) < LEAST_LINES or not known.columns - RAGGED <= columns <= known.columns + FULL:
            return None
        columns, full = max(known.columns, columns), known.full
    if columns - min(body) > (RAGGED if not full or known is None else 4 * FULL) or min(body) < 0.5 * columns:
        return None
    # Verse of even lines ends its lines with its sentences; a wrapped text hardly ever does.
    if sum(bool(_SENTENCE_END.search(line.rstrip())) for line in lines[:-1]) > 0.34 * len(body):
        return None
    if sum(bool(_HANGUL.search(line)) for line in lines) < 0.6 * len(lines):
        return None
    if not full and not _wrapped_at_words(lines, columns):
        return None
    return Edge(columns, full)


def _wrapped_at_words(lines: Sequence[str], columns: int) -> bool:
    """The first word of the next line would not have fitted; that must hold for nearly every line."""
    fits = 0
    for line, following in pairwise(lines):
        word = following.split(maxsplit=1)[0] if following.split() else ""
        fits += width(line.strip()) + 1 + width(word) <= columns
    return fits <= 0.1 * (len(lines) - 1)


def _glue(before: str, after: str, full: bool, words: Callable[[], set[str]]) -> str:
    """What stood at the cut: a space or nothing."""
    if not before or not after:
        return ""
    last, first = before[-1], after[0]
    if last == "-" and first.isascii() and first.isalpha():
        return ""
    if not (_HANGUL.match(last) and _HANGUL.match(first)):
        # 10 + 개, 서울 + (수도), 말, + 뒤
        close = (
            (last.isdigit() and _HANGUL.match(first))
            or (first == "(" and _HANGUL.match(last))
            or first in ".,!?)]”’」』%"
            or last in "([“‘「『"
        )
        return "" if full and close else " "
    if not full:
        return " "
    tail, head = before.rpartition(" ")[2], after.partition(" ")[0]
    known = words()
    together, apart = tail + head in known, tail in known and head in known
    if together != apart and len(tail + head) > 2:
        return " " if apart else ""
    from kodata.text.spacing import space_between

    return " " if space_between(before[-CONTEXT:], after[:CONTEXT]) else ""


class _Text:
    """What one text shows as a whole: how it is wrapped for sure, and which words stand inside its lines."""

    def __init__(self, lines: Sequence[str], blocks: Sequence[Sequence[str]]):
        self.lines = lines
        edges = [edge for block in blocks if (edge := _edge(block))]
        self.edge = max(
            edges, key=lambda e: (sum(abs(e.columns - o.columns) <= 2 * FULL for o in edges), e), default=None
        )
        self._words: set[str] | None = None

    def words(self) -> set[str]:
        """Words that are neither first nor last of a line, so surely whole."""
        if self._words is None:
            self._words = {word for line in self.lines for word in line.split()[1:-1]}
        return self._words

    def joined(self, lines: Sequence[str]) -> list[str]:
        """The block in one line, if it is wrapped as the text is."""
        if self.edge is None or len(lines) < LEAST_LINES or _edge(lines, self.edge) is None:
            return list(lines)
        text = lines[0].rstrip()
        for line in lines[1:]:
            line = line.strip()
            text += _glue(text, line, self.edge.full, self.words) + line
        return [text]


def _once(text: str) -> str:
    lines = text.split("\n")
    blocks = [(start, end, _paragraphs(lines[start:end])) for start, end in _blocks(lines)]
    shown = _Text(lines, [piece for _, _, pieces in blocks for piece in pieces])
    if shown.edge is None:
        return text
    made: list[str] = []
    place = 0
    for start, end, pieces in blocks:
        made += lines[place:start]
        made += [line for piece in pieces for line in shown.joined(piece)]
        place = end
    return "\n".join([*made, *lines[place:]])


def rejoin(text: str) -> str:
    """Text (normalised) with its wrapped blocks joined into one line each, everything else as it is.

    Idempotent, and normal again: a text that would not settle is given back as it came.
    """
    if text.count("\n") < SURE_LINES - 1:
        return text
    done = _once(text)
    if done == text:
        return text
    from kodata.text.normalise import normalise

    done = normalise(done)
    return done if _once(done) == done else text


def _paragraphs(lines: Sequence[str]) -> list[list[str]]:
    """A run of lines may hold several paragraphs, each ended by a short closed line: cut there."""
    edge = max(width(line.rstrip()) for line in lines)
    pieces: list[list[str]] = [[]]
    for line in lines:
        pieces[-1].append(line)
        if _CLOSED.search(line.rstrip()) and width(line.rstrip()) < edge - RAGGED:
            pieces.append([])
    return [piece for piece in pieces if piece]
