"""What a page says of itself: title, byline, date, address, site, and whether it is news. Open Graph, JSON-LD, meta tags."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

_NAMES = {
    "og:title": "title", "twitter:title": "title", "dable:author": "byline", "author": "byline", "article:author": "byline",
    "og:article:author": "byline", "article:published_time": "date", "og:published_time": "date", "datepublished": "date",
    "date": "date", "pubdate": "date", "publish_date": "date", "dc.date": "date", "dc.date.issued": "date",
    "og:url": "url", "og:site_name": "site", "dc.rights": "licence", "licence": "licence", "license": "licence",
}  # fmt: skip
_NEWS = re.compile(r"^(?:News|Reportage|Analysis|Opinion)\w*Article$")
_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d\d)\s*(?:[-./]|년)\s*(\d{1,2})\s*(?:[-./]|월)\s*(\d{1,2})(?!\d)|(?<!\d)((?:19|20)\d\d)(\d\d)(\d\d)(?=\D|$|T|\d{6})"
)
MAX_VALUE = 500
MAX_TAGS = 200
MAX_LD_CHARS = 200_000


def iso_date(text: str) -> str:
    """The first date of a text as YYYY-MM-DD; "" when there is none: 2024.1.2, 2024년 1월 2일, 20240102."""
    for match in _DATE.finditer(text[:200]):
        year, month, day = match.group(1, 2, 3) if match[1] else match.group(4, 5, 6)
        if 1 <= int(month) <= 12 and 1 <= int(day) <= 31:
            return f"{year}-{int(month):02d}-{int(day):02d}"
    return ""


def _articles(value: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    if depth > 4:
        return
    if isinstance(value, list):
        for item in value[:50]:
            yield from _articles(item, depth + 1)
    elif isinstance(value, Mapping):
        kinds = value.get("@type")
        if any(
            str(k).endswith(("Article", "BlogPosting"))
            for k in (kinds if isinstance(kinds, list) else [kinds])
        ):
            yield value
        yield from _articles(value.get("@graph"), depth + 1)
        yield from _articles(value.get("mainEntity"), depth + 1)


def _names(value: Any) -> str:
    """Author of JSON-LD: a string, {name}, or a list of them."""
    if isinstance(value, Mapping):
        value = value.get("name")
    if isinstance(value, list):
        return ", ".join(filter(None, (_names(v) for v in value[:5])))
    return value.strip() if isinstance(value, str) else ""


def _linked_data(tree: Any) -> dict[str, str]:
    for script in islice(tree.document.query_selector_all('script[type="application/ld+json"]'), 20):
        if len(script.text) > MAX_LD_CHARS:
            continue
        try:
            found = list(_articles(json.loads(script.text, strict=False)))
        except (ValueError, RecursionError):
            continue
        for article in found:
            kinds = article["@type"] if isinstance(article["@type"], list) else [article["@type"]]
            made = {
                "title": _names(article.get("headline")), "byline": _names(article.get("author")),
                "date": iso_date(str(article.get("datePublished") or "")), "licence": _names(article.get("license")),
                "kind": "news" if any(_NEWS.match(str(k)) for k in kinds) else "",
            }  # fmt: skip
            return {k: v[:MAX_VALUE] for k, v in made.items() if v}
    return {}


def page_meta(tree: Any) -> dict[str, Any]:
    """title, byline, date (YYYY-MM-DD), url, site, licence and kind, as far as the page (a resiliparse tree) says them."""
    meta: dict[str, Any] = _linked_data(tree)
    for element in islice(tree.document.query_selector_all("meta[content]"), MAX_TAGS):
        name = (
            element.getattr("property") or element.getattr("name") or element.getattr("itemprop") or ""
        ).lower()
        value = " ".join((element.getattr("content") or "").split())[:MAX_VALUE]
        key = _NAMES.get(name)
        if key == "date":
            value = iso_date(value)
        if key == "byline" and value.startswith("http"):
            continue
        if key and value and key not in meta:
            meta[key] = value
    if "title" not in meta and (title := " ".join((tree.title or "").split())):
        meta["title"] = title[:MAX_VALUE]
    if "url" not in meta:
        link = tree.document.query_selector('link[rel="canonical"]')
        if link is not None and (address := link.getattr("href") or "").startswith("http"):
            meta["url"] = address
    if "date" not in meta:
        time = tree.document.query_selector("time[datetime]")
        if time is not None and (date := iso_date(time.getattr("datetime") or "")):
            meta["date"] = date
    return meta
