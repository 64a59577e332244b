"""XML files by what their root says they are: JATS articles, statutes of law.go.kr, XHTML. Others are named, not guessed."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from kodata.sources.html import read_html
from kodata.sources.jats import article
from kodata.sources.record import Failure, Part, Record, Settings
from kodata.sources.statute import statute
from kodata.sources.streams import read_all
from kodata.sources.xmltree import local, parse_xml
from kodata.text.encoding import declared_charset, decode
from kodata.text.markup import escape_tags

MAX_XML_BYTES = 64 << 20
_LAYOUTS: dict[str, Callable[[Any], tuple[str, dict[str, Any]]]] = {"article": article, "법령": statute}


def _utf8(data: bytes) -> bytes:
    """The file in UTF-8 without its declaration: libxml2 knows neither CP949 by its Korean names nor broken bytes."""
    declared = declared_charset(data)
    text = decode(data, declared).text.lstrip("\ufeff \r\n\t")
    if text.startswith("<?xml"):
        text = text.partition("?>")[2]
    return text.encode("utf-8", "replace")


def read_xml(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """Each known document inside the file is a Record. Raises BrokenInput for damaged XML."""
    data = read_all(handle, MAX_XML_BYTES)
    root = parse_xml(_utf8(data))
    if local(root) == "html":
        yield from read_html(io.BytesIO(data), part, settings)
        return
    found = 0
    for element in [e for e in root.iter() if local(e) in _LAYOUTS and _outermost(e)]:
        found += 1
        text, meta = _LAYOUTS[local(element)](element)
        for name, value in (("licence", settings.licence), ("kind", settings.kind)):
            if value is not None and not (name == "licence" and meta.get(name)):
                meta[name] = value
        place = str(found) if element is not root else ""
        yield Record(escape_tags(text), place, None, settings.source, meta | {"file": part.name})
    if not found:
        names = Counter(local(e) for e in root.iter() if local(e))
        seen = ", ".join(name for name, _ in names.most_common(12))
        yield Failure(
            part.label, "", f"모르는 XML 짜임 (unknown XML layout): <{local(root)}>; 요소 (elements): {seen}"
        )


def _outermost(element: Any) -> bool:
    return not any(local(e) in _LAYOUTS for e in element.iterancestors())
