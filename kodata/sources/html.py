"""Web pages: the main text by trafilatura, title, date and address into meta."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from kodata.run.errors import UserError
from kodata.sources.record import Failure, Part, Record, Settings
from kodata.sources.streams import read_all
from kodata.text.encoding import declared_charset, decode
from kodata.text.markup import escape_tags

_WRAPPED = re.compile(r"(?<=[가-힣,])[ \t]*\n[ \t]+(?=[가-힣])")
MAX_PAGE_BYTES = 32 << 20


def extract(html: str) -> tuple[str, dict[str, Any]]:
    """(main text, {title, date, url}) of a page; text "" when the page has none."""
    import logging

    try:
        import trafilatura
    except ImportError as error:
        raise UserError(
            f"HTML을 읽으려면 trafilatura가 필요합니다 (trafilatura cannot be imported): {error}",
            'pip install trafilatura "lxml[html_clean]"',
        ) from None

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    found = trafilatura.bare_extraction(html, include_comments=False, include_tables=True, with_metadata=True)
    if found is None:
        return "", {}
    meta = {name: getattr(found, name) for name in ("title", "date", "url") if getattr(found, name, None)}
    # A source line broken and indented inside a sentence is one line to a browser.
    return escape_tags(_WRAPPED.sub(" ", getattr(found, "text", None) or "")), meta


def read_html(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """One page, one Record."""
    data = read_all(handle, MAX_PAGE_BYTES)
    page = decode(data, declared_charset(data))
    try:
        text, meta = extract(page.text)
    except UserError:
        raise
    except (
        Exception
    ) as error:  # lxml and trafilatura raise many kinds on damaged pages; the page is named, the run goes on
        yield Failure(part.label, "", f"HTML을 읽을 수 없음 (cannot extract HTML: {type(error).__name__})")
        return
    meta.update(
        {
            name: value
            for name, value in (("licence", settings.licence), ("kind", settings.kind or "web"))
            if value is not None
        }
    )
    yield Record(text, "", None, settings.source, {**meta, "file": part.name})
