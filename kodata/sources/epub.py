"""EPUB books: the chapters in spine order, their headings kept, notes after the body; title, language and rights into meta.

Read with zipfile and lxml: the well-known libraries for EPUB load every picture and expand XML entities.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any, BinaryIO
from urllib.parse import unquote

from kodata.sources.container import Container
from kodata.sources.layout import Layout
from kodata.sources.record import Failure, Part, Record, Settings
from kodata.sources.streams import BrokenInput
from kodata.sources.xmltree import MAX_DEPTH, children, first, local, parse_xml, words
from kodata.text.encoding import declared_charset, decode
from kodata.text.markup import escape_tags

_PAGES = {"application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document"}
_HEADINGS = {f"h{n}": n for n in range(1, 7)}
_BLOCKS = {"p", "div", "section", "article", "blockquote", "dt", "dd", "dl", "figure", "figcaption", "caption", "center",
           "body", "main", "header", "footer", "ul", "ol", "table", "address", "hr"}  # fmt: skip
_SILENT = {
    "script",
    "style",
    "head",
    "nav",
    "img",
    "svg",
    "math",
    "video",
    "audio",
    "object",
    "rt",
    "rp",
    "form",
}
_NOTES = {"footnote", "endnote", "rearnote", "footnotes", "endnotes", "rearnotes"}
_SPACE = re.compile(r"\s+")
_KIND = "{http://www.idpf.org/2007/ops}type"


class _Page:
    """One chapter, walked once. Text gathers until a block ends it."""

    def __init__(self, layout: Layout):
        self.out = layout
        self.line: list[str] = []

    def flush(self, note: bool) -> None:
        text = "".join(self.line).strip()
        self.line = []
        if text:
            (self.out.note if note else self.out.paragraph)(text)

    def walk(self, element: Any, note: bool = False, depth: int = 0) -> None:
        name = local(element).lower()
        if not name or name in _SILENT:
            return
        if depth > MAX_DEPTH:  # nobody nests text this deep; what is there is kept as one line
            self.line.append(words(element))
            return
        kind = f"{element.get(_KIND) or element.get('epub:type') or ''} {element.get('role') or ''}"
        if "pagebreak" in kind or "noteref" in kind:
            return
        note = note or any(word.removeprefix("doc-") in _NOTES for word in kind.split())
        if name in _HEADINGS and not note:
            self.flush(note)
            self.out.heading(words(element), _HEADINGS[name])
            return
        if name == "pre":
            self.flush(note)
            self.out.verbatim("".join(element.itertext()))
            return
        if name == "tr":
            self.flush(note)
            self.out.row([words(cell) for cell in children(element, "td", "th", "TD", "TH")])
            return
        if (
            name == "li"
            and not note
            and not any(local(e).lower() in ("li", "p", "table") for e in element.iterdescendants())
        ):
            self.flush(note)
            self.out.item(words(element))
            return
        block = name in _BLOCKS or name == "li"
        if block:
            self.flush(note)
        if name == "br":
            self.line.append("\n")
        if element.text:
            self.line.append(_SPACE.sub(" ", element.text))
        for child in element:
            self.walk(child, note, depth + 1)
            if child.tail:
                self.line.append(_SPACE.sub(" ", child.tail))
        if block:
            self.flush(note)
            if name in ("ul", "ol", "table"):
                self.out.end_rows()


def _page(data: bytes, layout: Layout) -> None:
    import lxml.etree
    import lxml.html

    text = decode(data, declared_charset(data)).text
    if text.lstrip("\ufeff \n\r\t").startswith("<?xml"):
        text = text.partition("?>")[2]  # lxml refuses text that declares a charset
    if not text.strip():
        return
    try:
        root = lxml.html.document_fromstring(text)
    except (lxml.etree.ParserError, ValueError, AssertionError) as error:
        raise BrokenInput(f"장을 읽을 수 없음 (cannot read a chapter: {type(error).__name__})") from None
    page = _Page(layout)
    page.walk(root)
    page.flush(False)


def package(book: Container, default: str, what: str) -> tuple[Any, str]:
    """(root of the package file, folder it is in) of an EPUB or HWPX."""
    name = default
    if "META-INF/container.xml" in book:
        place = first(parse_xml(book.read("META-INF/container.xml"), what), "rootfile")
        if place is not None and place.get("full-path"):
            name = place.get("full-path").lstrip("/")
    return parse_xml(book.read(name), what), posixpath.dirname(name)


def spine(root: Any, folder: str) -> list[tuple[str, str]]:
    """(member name, media type) of what is to be read, in order."""
    items = {
        item.get("id"): (item.get("href") or "", item.get("media-type") or "", item.get("properties") or "")
        for item in root.iter()
        if local(item) == "item"
    }
    found = []
    for reference in root.iter():
        if local(reference) != "itemref":
            continue
        href, kind, properties = items.get(reference.get("idref"), ("", "", ""))
        if href and "nav" not in properties.split():
            found.append((posixpath.normpath(posixpath.join(folder, unquote(href))).lstrip("/"), kind))
    return found


def package_meta(root: Any) -> dict[str, str]:
    """title, author, date, language, licence as the package names them."""
    names = {
        "title": "title",
        "creator": "author",
        "date": "date",
        "rights": "licence",
        "language": "language",
        "publisher": "publisher",
    }
    meta: dict[str, str] = {}
    metadata = first(root, "metadata")
    for element in metadata.iter() if metadata is not None else ():
        key = names.get(local(element).lower())
        if key and key not in meta and (value := words(element)):
            meta[key] = value[:500]
    return meta


def read_epub(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """One book, one Record. A chapter that cannot be read is a Failure beside it. Raises BrokenInput for DRM."""
    book = Container(handle, part, "EPUB")
    if "META-INF/encryption.xml" in book:
        scheme = book.read("META-INF/encryption.xml")
        protected = [
            e.get("URI", "") for e in parse_xml(scheme, "EPUB").iter() if local(e) == "CipherReference"
        ]
        if any(name.lower().endswith((".xhtml", ".html", ".htm", ".xml")) for name in protected):
            raise BrokenInput("DRM이 걸린 EPUB (EPUB is DRM protected)")
    root, folder = package(book, "OEBPS/content.opf", "EPUB")
    layout, seen, failures = Layout(), set(), []
    for name, kind in spine(root, folder):
        if name in seen or (kind and kind not in _PAGES):
            continue
        seen.add(name)
        try:
            _page(book.read(name), layout)
        except BrokenInput as error:
            failures.append(Failure(part.label, name[:100], str(error)))
    meta: dict[str, Any] = package_meta(root)
    meta["licence"] = meta.get("licence") or settings.licence
    meta = {k: v for k, v in meta.items() if v is not None} | {
        "kind": settings.kind or "book",
        "file": part.name,
    }
    if seen:
        yield Record(escape_tags(layout.text), "", None, settings.source, meta)
    else:
        yield Failure(part.label, "", "차례(spine)에 읽을 장이 없음 (no chapter in the spine)")
    yield from failures
