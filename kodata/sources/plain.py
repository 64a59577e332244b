"""Text and Markdown files: a file is a document, or a line, or a block between blank lines."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from kodata.sources.fields import fixed_meta
from kodata.sources.record import Part, Record, Settings
from kodata.sources.streams import BLOCK, BrokenInput, packing
from kodata.text.encoding import sniff

PIECE_CHARS = 4_000_000
"""A document over twice this is given in pieces, cut at a newline, so that memory stays flat."""

_MARKDOWN = {".md", ".markdown", ".rmd", ".qmd", ".mdx"}
_FRONT = re.compile(r"\s*---[ \t]*\n(.{1,8000}?)\n(?:---|\.\.\.)[ \t]*(?:\n|$)", re.S)


def front_matter(text: str) -> tuple[str, dict[str, Any]]:
    """(text without the YAML block a Markdown file begins with, its plain values as meta); as it is when there is none."""
    found = _FRONT.match(text)
    if not found:
        return text, {}
    import yaml

    try:
        values = yaml.load(found[1], Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text, {}
    if not isinstance(values, dict):
        return text, {}
    plain = {str(k)[:100]: v[:1000] for k, v in values.items() if isinstance(v, str) and v.strip()}
    return text[found.end() :], fixed_meta(plain)


def _decoded(handle: BinaryIO) -> Iterator[str]:
    block = handle.read(BLOCK)
    encoding = sniff(block)
    if not encoding.startswith("utf-") and block.count(0) > 8:
        raise BrokenInput("글이 아니라 이진 파일 (binary file, not text)")
    if block.count(0) > 0.05 * len(block) and not encoding.startswith(("utf-16", "utf-32")):
        raise BrokenInput("글이 아니라 이진 파일 (binary file, not text)")
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)("replace"), translate=True)
    while block:
        yield decoder.decode(block)
        block = handle.read(BLOCK)
    # A character cut at the very end of the file is left out, not replaced.


def _documents(chunks: Iterator[str], separator: str) -> Iterator[str]:
    """Cut a stream at a separator; a piece longer than PIECE_CHARS is cut at a newline, at worst anywhere."""
    rest = ""
    for chunk in chunks:
        rest += chunk
        if separator:
            *whole, rest = rest.split(separator)
            yield from whole
        while len(rest) > 2 * PIECE_CHARS:  # so that the last piece is no crumb
            cut = rest.rfind("\n", PIECE_CHARS // 2, PIECE_CHARS) + 1 or PIECE_CHARS
            yield rest[:cut]
            rest = rest[cut:]
    yield rest


def read_text(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record]:
    """Records of a text file. Raises BrokenInput for a binary file."""
    separator = {"file": "", "line": "\n", "blank": "\n\n"}[settings.split]
    meta = {
        name: value
        for name, value in (("licence", settings.licence), ("kind", settings.kind))
        if value is not None
    }
    markdown = PurePosixPath(packing(part.name)[0].lower()).suffix in _MARKDOWN
    number = 0
    for text in _documents(_decoded(handle), separator):
        number += 1
        own: dict[str, Any] = {}
        if markdown and number == 1 and not separator:
            text, own = front_matter(text)
        if not text.strip() and (separator or not text):
            continue
        place = str(number) if separator or number > 1 else ""
        yield Record(text, place, None, settings.source, {**own, **meta, "file": part.name})
