"""Web pages: the main text by resiliparse; title, byline, date and address into meta.

resiliparse was chosen over trafilatura by what each gives on Korean pages (tests/bench/extraction.py): it keeps headings
and whole lines, in half the time. What its main-content rules lose inside the text (list items, nested spans) is put back
from its rendering of the whole page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any, BinaryIO

from kodata.run.errors import UserError
from kodata.sources.pagemeta import page_meta
from kodata.sources.record import Failure, Part, Record, Settings
from kodata.sources.streams import read_all
from kodata.text.encoding import declared_charset, decode
from kodata.text.markup import escape_tags

MAX_PAGE_BYTES = 32 << 20
_FRAME = [
    "nav", "footer", "aside", "form", "button", "select", "[role=navigation]", "[role=banner]", "[role=contentinfo]",
    "[role=search]", "[role=menu]", "[aria-hidden=true]", ".navheader", ".navfooter", ".breadcrumb", ".breadcrumbs", "#gnb",
    "#lnb", ".gnb", ".lnb", "#footer", ".sns_share", ".pagination",
]  # fmt: skip
"""What is frame by its element, role or a name with one meaning."""
_SPACES = re.compile(r"[ \t\xa0]+")
_ITEM = re.compile(r"^(\s*)(?:•|\d{1,3}\.) ")
_ENDS = re.compile(r"[가-힣][.!?…]+[\"'”’」』)\]]*$|다\.")
# Looked up in the source: iterating over found elements of a resiliparse tree takes the square of their number.
_ANCHOR = re.compile(r"<a\s[^>]{0,2000}>([^<]{0,400}(?:<(?!/?a[\s>])[^<]{0,400}){0,20})</a", re.I)
_HEADING = re.compile(r"<h([1-6])\b[^>]{0,500}>([^<]{0,400}(?:<(?!/?h)[^<]{0,400}){0,20})</h\1", re.I)
_TAG = re.compile(r"<[^>]{0,2000}>")
_NESTS = re.compile(
    r"<(/?)(?:div|span|section|article|table|ul|ol|li|p|b|i|em|font|center|blockquote)\b", re.I
)
MAX_DEPTH = 1000
"""Main-content rules take the square of the depth; a deeper page is rendered whole."""
MAX_TAGS = 1000
"""A page with more meta and script tags was made to cost time; its meta is not read."""
_PROSE = 40
"""A line this long (characters) that is no link is text."""
_LINKS = 120
"""Longer lines are not lists of links."""


def _lines(text: str) -> list[str]:
    return [
        _SPACES.sub(" ", line).rstrip(" ¶") if "\t\t" not in line else _cells(line)
        for line in text.split("\n")
    ]


def _cells(line: str) -> str:
    return " | ".join(" ".join(cell.split()) for cell in re.split(r"\t\t+", line.strip()) if cell.strip())


def _key(line: str) -> str:
    return "".join(line.lstrip(" •").split())


class _Links:
    """Which lines of a page are nothing but links, and which are headings."""

    def __init__(self, html: str):
        self.words: set[str] = set()
        for match in _ANCHOR.finditer(html):
            text = unescape(_TAG.sub("", match[1]))
            if len(text) <= _LINKS:
                self.words.update(text.split())
        self.headings = {_key(unescape(_TAG.sub("", match[2]))) for match in _HEADING.finditer(html)}

    def only(self, line: str) -> bool:
        label, colon, rest = line.partition(":")
        if colon and len(label) <= 12 and "|" in rest:  # 가능한 언어: de | en
            line = rest
        words = [w for w in line.replace("|", " ").split() if any(c.isalnum() for c in w)]
        if not words or len(line) > _LINKS or _ENDS.search(line):
            return False
        return sum(len(w) for w in words if w in self.words) >= 0.75 * sum(map(len, words))


def _restored(main: list[str], whole: list[str], links: _Links) -> list[str]:
    """Lines of the whole page from the first to the last that the main content has, without frame lines between."""
    wanted = {_key(line) for line in main if line.strip()}
    heads = {key[:12]: key for key in wanted if len(key) >= 12}
    tails = {key[-12:] for key in wanted if len(key) >= 12}
    keep = [False] * len(whole)
    for i, line in enumerate(whole):
        key = _key(line)
        if not key:
            continue
        cut = len(key) >= 12 and (key[:12] in heads or key[-12:] in tails)  # the same line with a span more
        keep[i] = key in wanted or cut
    known = [i for i, kept in enumerate(keep) if kept]
    if not known:
        return main
    first, last = known[0], known[-1]
    while last + 1 < len(whole) and (
        not whole[last + 1].strip() or (_ITEM.match(whole[last + 1]) and not links.only(whole[last + 1]))
    ):
        last += 1
    for i in range(first, last + 1):
        line = whole[i]
        if not keep[i] and line.strip() and not links.only(line):
            text = _ITEM.match(line) or _ENDS.search(line) or len(line.strip()) >= _PROSE or " | " in line
            keep[i] = bool(text) or _key(line) in links.headings
    body = [
        line
        for i, line in enumerate(whole[: last + 1])
        if not line.strip() or (keep[i] and not (line.count(" | ") > 1 and links.only(line)))  # de | en | ko
    ]
    while body and (not body[-1].strip() or links.only(body[-1])):
        body.pop()
    start = 0
    while start < len(body) and (not body[start].strip() or links.only(body[start])):
        start += 1
    return body[start:]


def _depth(html: str) -> int:
    """About how deep elements are nested."""
    deepest = depth = 0
    for match in _NESTS.finditer(html):
        depth += -1 if match[1] else 1
        deepest = max(deepest, depth)
    return deepest


def extract(html: str) -> tuple[str, dict[str, Any]]:
    """(main text, {title, byline, date, url, site; kind "news" for pages that say so}); text "" when there is none."""
    try:
        from resiliparse.extract.html2text import extract_plain_text
        from resiliparse.parse.html import HTMLTree
    except ImportError as error:
        raise UserError(
            f"HTML을 읽으려면 resiliparse가 필요합니다 (resiliparse cannot be imported): {error}",
            "pip install resiliparse",
        ) from None

    tree = HTMLTree.parse(html)
    if tree.body is None:
        return "", {}
    options: dict[str, Any] = {"preserve_formatting": True, "alt_texts": False, "skip_elements": _FRAME}
    main = _lines(extract_plain_text(tree, main_content=_depth(html) < MAX_DEPTH, **options))
    whole = _lines(extract_plain_text(tree, main_content=False, **options))
    lines = _restored(main, whole, _Links(html))
    text = "\n".join(
        line if "•" not in line else _ITEM.sub(r"\1- ", line) if line.lstrip().startswith("•") else line
        for line in lines
    )
    tags = html.count("<meta") + html.count("<META") + html.count("<script")
    return escape_tags(text.strip("\n")), page_meta(tree) if tags < MAX_TAGS else {}


def page(data: bytes, charset: str | None = None) -> tuple[str, dict[str, Any]]:
    """`extract` for the bytes of a page; charset: what the HTTP header said. BOM and valid UTF-8 win over it, it over the
    page's own declaration."""
    return extract(decode(data, charset or declared_charset(data)).text)


def read_html(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """One page, one Record."""
    data = read_all(handle, MAX_PAGE_BYTES)
    try:
        text, meta = page(data)
    except UserError:
        raise
    except (
        Exception
    ) as error:  # whatever a damaged page makes the parser raise; the page is named, the run goes on
        yield Failure(part.label, "", f"HTML을 읽을 수 없음 (cannot extract HTML: {type(error).__name__})")
        return
    meta["kind"] = settings.kind or meta.get("kind", "web")
    if settings.licence is not None:
        meta["licence"] = settings.licence
    yield Record(text, "", None, settings.source, {**meta, "file": part.name})
