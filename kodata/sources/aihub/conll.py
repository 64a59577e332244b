"""Text files of analysed sentences (일반상식): comment lines with `#` hold the sentence, numbered lines its words."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from kodata.sources.aihub.layout import LICENCES
from kodata.sources.aihub.provenance import provenance
from kodata.sources.record import Part, Record, Settings
from kodata.text.encoding import sniff

SENTENCES = 2000
"""Sentences of a document; longer files become several."""
_WORD = re.compile(r"\d{1,4}\t[^\t]+\t[^\t]*\t")
_TEXT = re.compile(r"#+\s*(?:text|sent|sentence|문장|원문)\s*[=:]\s*", re.I)
_HANGUL = re.compile("[가-힣]")


def is_conll(head: bytes) -> bool:
    """Whether a text file begins with a comment and numbered words in columns."""
    lines = head.decode(sniff(head), "ignore").splitlines()[:60]
    words = [line for line in lines if _WORD.match(line)]
    return (
        len(words) > 1 and any(line.startswith("#") for line in lines[:3]) and 2 * len(words) > len(lines) - 2
    )


def read_conll(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record]:
    """The sentences of a file, one a line; each is its comment, or its words where the comment has none."""
    encoding = sniff(handle.peek(1 << 16))  # type: ignore[attr-defined]
    origin = provenance(f"{part.path}/{part.name.partition('!')[2]}")
    meta = {
        "layout": "aihub.conll", "dataset": origin.dataset or "일반상식", "split": origin.split, "kind": settings.kind or "wiki",
        "licence": settings.licence or (LICENCES["AI Hub"] if origin.tree else ""),
    }  # fmt: skip
    meta = {name: value for name, value in meta.items() if value}
    held: list[str] = []
    start = 1
    text = io.TextIOWrapper(handle, encoding, "replace")
    try:
        for number, sentence in enumerate(_sentences(text), 1):
            held.append(sentence)
            if len(held) >= SENTENCES:
                yield Record(
                    "\n".join(held), str(start), None, settings.source or meta["dataset"], dict(meta)
                )
                held, start = [], number + 1
    finally:
        text.detach()
    if held:
        yield Record("\n".join(held), str(start), None, settings.source or meta["dataset"], dict(meta))


def _sentences(lines: Iterator[str] | io.TextIOWrapper) -> Iterator[str]:
    said = ""
    words: list[str] = []
    for line in lines:
        line = line.strip("\r\n\ufeff ")
        if line.startswith("#"):
            if words:
                yield said or " ".join(words)
                said, words = "", []
            told = _TEXT.sub("", line)
            told = told.lstrip("# ").rpartition("\t")[2].strip()
            if _HANGUL.search(told) and (_TEXT.match(line) or not said):
                said = told
        elif _WORD.match(line):
            words.append(line.split("\t")[1].strip())
        elif not line and words:
            yield said or " ".join(words)
            said, words = "", []
    if words:
        yield said or " ".join(words)
