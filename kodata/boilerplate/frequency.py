"""Lines that many documents of one site share, cut from heads and tails.

The line classes are those of PLD (SNU, arXiv 2510.24139) with its Korean thresholds: red in more than 50 documents, yellow
in more than 3, green else. PLD keeps runs of green lines anywhere; here only the edges of a document are cut, up to the
innermost red line that nothing but red, yellow and blank lines part from the edge: a middle is never touched. A small site
has no line 50 times, so there a line of at least 4 documents and 30 % of the site is red too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from kodata.boilerplate.rules import ATTRIBUTION, MAX_LINE, SENTENCE, Trimmed
from kodata.native import core

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEAD_LINES, TAIL_LINES = 4, 12
"""Lines with text looked at, at each edge."""
RED, YELLOW = 50, 3
SMALL_SITE, SHARE = 20, 0.3
"""Of a site with this many documents, this share of them makes a line red."""
_DIGITS = re.compile(r"\d+")
_LETTERS = re.compile(r"[^\W\d_].*?[^\W\d_]")
_HEADING = re.compile(r"^\s*#{1,6}\s")
_STRUCTURE = re.compile(r"^\s*(?:`{3}|~{3}|:::|</?[A-Za-z][^>]*>\s*$)")
"""Half of a pair: the other half would stay behind."""
SMALL_TABLE = 200_000
"""Shared lines that are held in memory; a longer table stays on disk."""
KEY_BITS = 48
"""Of a line's hash; the 16 bits below are of the document, so that copies of a document count once."""
TAIL, SITE, DOCUMENT = HEAD_LINES, HEAD_LINES + TAIL_LINES, HEAD_LINES + TAIL_LINES + 1
"""Columns of `edge_keys`; the head begins at 0."""
_BASE, _MASK = 0xA0761D6478BD642F, (1 << 64) - 1


def site_of(meta: Mapping[str, Any], source: str) -> str:
    """Host of the document's address, else its source."""
    address = meta.get("url")
    host = urlsplit(address).hostname if isinstance(address, str) and "://" in address[:12] else None
    return (host or source).removeprefix("www.")


def _hash(text: str) -> int:
    """64 bits: a polynomial over the characters, mixed as splitmix64 does. kodata/csrc/frame.cpp states the same."""
    h = 0
    for c in text:
        h = (h * _BASE + ord(c) + 1) & _MASK
    h = ((h ^ h >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    h = ((h ^ h >> 27) * 0x94D049BB133111EB) & _MASK
    return h ^ h >> 31


def key_of(site: str, line: str) -> int:
    """48 bits of a line of normalised text: blanks and digits do not matter (조회 12, 조회 3)."""
    folded = _DIGITS.sub("0", " ".join(line.split()))
    return _hash(f"{site}\0{folded}") >> 16


def site_key(site: str) -> int:
    """The key under which the documents of a site are counted."""
    return key_of(site, "")


def edges(lines: Sequence[str]) -> tuple[list[int], list[int]]:
    """(places of the first lines with text, places of the last), outermost first."""
    head: list[int] = []
    for i, line in enumerate(lines):
        if line.strip():
            head.append(i)
            if len(head) == HEAD_LINES:
                break
    tail: list[int] = []
    for i in range(len(lines) - 1, -1, -1):
        if lines[i].strip():
            tail.append(i)
            if len(tail) == TAIL_LINES:
                break
    return head, tail


def countable(line: str) -> bool:
    """Could this line be frame at all? Prose of any length over MAX_LINE, attributions and bare signs are not."""
    if len(line) > MAX_LINE or not _LETTERS.search(line) or _STRUCTURE.match(line):
        return False
    return not ATTRIBUTION.search(line)


def edge_keys(texts: list[str], sites: list[str]) -> NDArray[np.uint64]:
    """[texts, HEAD_LINES + TAIL_LINES + 2]: keys of the first and the last lines with text, outermost first, 0 for one that
    cannot be frame or is not there; the key of the site; 16 bits for the document."""
    import numpy as np

    keys = np.zeros((len(texts), DOCUMENT + 1), dtype=np.uint64)
    if native := core():
        native.edges(texts, sites, keys)
    else:
        fill_edge_keys(texts, sites, keys)
    return keys


def fill_edge_keys(texts: list[str], sites: list[str], keys: NDArray[np.uint64]) -> None:
    """The reference of `edge_keys`, into a table of zeros."""
    for row, text, site in zip(keys, texts, sites, strict=True):
        lines = text.split("\n")
        for start, places in zip((0, TAIL), edges(lines), strict=True):
            for n, i in enumerate(places):
                row[start + n] = key_of(site, lines[i]) if countable(lines[i]) else 0
        row[SITE], row[DOCUMENT] = site_key(site), _hash(max(lines, key=len)) & 0xFFFF


class Cut(NamedTuple):
    """As Trimmed; the first `head` pieces stood before the text."""

    text: str
    cut: tuple[str, ...]
    head: int


class Frames:
    """The counted lines of a run: sorted keys and their numbers of documents, memory-mapped."""

    def __init__(self, path: Path):
        import numpy as np

        table = np.load(path, mmap_mode="r", allow_pickle=False)
        self._keys, self._counts = table["key"], table["count"]
        self._small = None
        if len(self._keys) <= SMALL_TABLE:
            self._small = dict(zip(self._keys.tolist(), self._counts.tolist(), strict=True))

    def count(self, key: int) -> int:
        """Documents of one key; 0 for one in YELLOW documents or fewer."""
        return self._small.get(key, 0) if self._small is not None else self.counts([key])[0]

    def counts(self, keys: Sequence[int]) -> list[int]:
        """Documents of each key; 0 for those in YELLOW documents or fewer."""
        import numpy as np

        if not len(self._keys):
            return [0] * len(keys)
        asked = np.asarray(keys, dtype=np.uint64)
        places = np.minimum(np.searchsorted(self._keys, asked), len(self._keys) - 1)
        return np.where(self._keys[places] == asked, self._counts[places], 0).tolist()  # type: ignore[no-any-return]

    def may_cut(self, texts: list[str], sites: list[str]) -> NDArray[np.bool_]:
        """False where `trim` surely cuts nothing: neither the first nor the last line is shared."""
        import numpy as np

        if not len(self._keys):
            return np.zeros(len(texts), dtype=bool)
        outermost = edge_keys(texts, sites)[:, [0, TAIL]]
        places = np.minimum(np.searchsorted(self._keys, outermost), len(self._keys) - 1)
        return (self._keys[places] == outermost).any(axis=1)

    def trim(self, text: str, site: str) -> Cut:
        """Cut the shared lines from both edges. A text that would be nothing but frame stays."""
        if "\n" not in text or not len(self._keys):
            return Cut(text, (), 0)
        lines = text.split("\n")
        head, tail = edges(lines)
        seen: dict[int, int] = {}

        def shared(i: int) -> int:  # most edges end at their first line, so lines are looked up one by one
            if i not in seen:
                seen[i] = self.count(key_of(site, lines[i]))
            return seen[i]

        def red(i: int) -> bool:
            if shared(i) <= YELLOW or shared(i) > RED:
                return shared(i) > RED
            total = self.count(site_key(site))
            return total >= SMALL_SITE and shared(i) >= SHARE * total

        def possible(i: int) -> bool:  # a sentence that only a few share is text
            return countable(lines[i]) and (red(i) or (shared(i) > YELLOW and not SENTENCE.search(lines[i])))

        start, end = 0, len(lines)
        for i in head:
            if not possible(i) or _HEADING.match(lines[i]):
                break
            if red(i):
                start = i + 1
        for i in tail:
            if not possible(i):
                break
            if red(i):
                end = i
        before = [line.strip() for line in lines[:start] if line.strip()]
        after = [line.strip() for line in lines[end:] if line.strip()]
        kept = "\n".join(lines[start:end]).rstrip().lstrip("\n")
        if not (before or after) or not kept.strip():
            return Cut(text, (), 0)
        return Cut(kept, (*before, *after), len(before))


__all__ = ["Cut", "Frames", "Trimmed", "countable", "edge_keys", "edges", "key_of", "site_key", "site_of"]
