"""JATS, the XML of journals: title, abstract and sections as headings and paragraphs; reference lists and citation marks left out."""

from __future__ import annotations

from typing import Any

from kodata.sources.layout import Layout
from kodata.sources.xmltree import MAX_DEPTH, children, first, local, words

_LEFT_OUT = {"ref-list", "fn-group", "author-notes", "object-id", "label", "graphic", "media", "alternatives", "permissions",
             "kwd-group", "custom-meta-group", "sec-meta", "alt-text", "long-desc", "supplementary-material"}  # fmt: skip
_SAFE_BLOCKS = {"p", "disp-quote", "boxed-text", "verse-group", "statement"}
_XLINK = "{http://www.w3.org/1999/xlink}href"


def _inline(element: Any) -> str:
    """Text of a paragraph, formulas as TeX where the file has it."""
    pieces: list[str] = []

    def walk(node: Any, depth: int) -> None:
        name = local(node)
        if name in ("disp-formula", "inline-formula"):
            tex = first(node, "tex-math")
            pieces.append(f"${words(tex).strip('$ ')}$" if tex is not None else words(node))
            return
        if name == "sup" and any(e.get("ref-type") in ("bibr", "fn") for e in children(node, "xref")):
            return
        if name == "xref" and node.get("ref-type") == "fn":
            return
        if name in _LEFT_OUT or not name or depth > MAX_DEPTH:
            return
        pieces.append(node.text or "")
        for child in node:
            walk(child, depth + 1)
            pieces.append(child.tail or "")
        if name == "break":
            pieces.append(" ")

    walk(element, 0)
    return " ".join("".join(pieces).split())


def _block(element: Any, out: Layout, level: int) -> None:
    name = local(element)
    if name in _LEFT_OUT or not name or level > 40:
        return
    if name in ("sec", "app", "abstract", "trans-abstract", "ack", "glossary", "notes"):
        title = next(iter(children(element, "title")), None)
        if title is not None:
            out.heading(_inline(title), level)
        elif name in ("abstract", "trans-abstract"):
            out.heading("초록" if "ko" in _language(element) else "Abstract", level)
        for child in children(element):
            if child is not title:
                _block(child, out, level + 1)
    elif name == "list":
        out.end_rows()
        for item in children(element, "list-item"):
            out.item(" ".join(_inline(p) for p in children(item)))
        out.end_rows()
    elif name == "table-wrap":
        for caption in children(element, "caption"):
            out.paragraph(_inline(caption))
        out.end_rows()
        for row in element.iter():
            if local(row) == "tr":
                out.row([_inline(cell) for cell in children(row, "td", "th")])
        out.end_rows()
    elif name == "fig":
        for caption in children(element, "caption"):
            out.paragraph(_inline(caption))
    elif name == "disp-formula":
        out.paragraph(_inline(element))
    elif name in ("code", "preformat"):
        out.verbatim("".join(element.itertext()))
    elif name == "p" and any(local(e) in ("list", "table-wrap", "fig", "code", "preformat") for e in element):
        _mixed(element, out, level)
    elif name == "p":
        out.paragraph(_inline(element))
    else:  # boxed text, statements, quotations: what is in them
        if (element.text or "").strip() and not any(local(e) in _SAFE_BLOCKS for e in element):
            out.paragraph(_inline(element))
            return
        for child in children(element):
            _block(child, out, level)


def _mixed(p: Any, out: Layout, level: int) -> None:
    """A paragraph with lists or tables inside: the text around them in pieces."""
    from copy import copy

    blocks = [e for e in p if local(e) in ("list", "table-wrap", "fig", "code", "preformat")]
    piece = [p.text or ""]
    for child in p:
        if child in blocks:
            out.paragraph(" ".join("".join(piece).split()))
            _block(child, out, level)
            piece = [child.tail or ""]
        else:
            alone = copy(child)
            tail, alone.tail = alone.tail or "", None
            piece += [_inline(alone), tail]
    out.paragraph(" ".join("".join(piece).split()))


def _language(element: Any) -> str:
    while element is not None:
        if found := element.get("{http://www.w3.org/XML/1998/namespace}lang"):
            return str(found).lower()
        element = element.getparent()
    return ""


def article(root: Any) -> tuple[str, dict[str, Any]]:
    """(text, meta) of an <article>."""
    out = Layout()
    meta: dict[str, Any] = {"kind": "academic"}
    front = next(iter(children(root, "front", "front-stub")), None)
    if front is not None:
        title = first(front, "article-title")
        if title is not None and (found := _inline(title)):
            meta["title"] = found
            out.heading(found, 1)
        for name, key in (("journal-title", "journal"), ("publisher-name", "publisher")):
            if value := words(first(front, name)):
                meta[key] = value
        for element in front.iter():
            if local(element) == "article-id" and element.get("pub-id-type") == "doi":
                meta["doi"] = words(element)
        meta.update(_licence(front))
        if date := _date(front):
            meta["date"] = date
        for element in front.iter():
            if local(element) in ("abstract", "trans-abstract"):
                _block(element, out, 2)
    for part in children(root, "body"):
        for element in children(part):
            _block(element, out, 2)
    for part in children(root, "back"):
        for element in children(part, "app-group", "app", "glossary"):
            _block(element, out, 2)
    return out.text, meta


def _licence(front: Any) -> dict[str, str]:
    licence = first(front, "license")
    if licence is None:
        return {}
    for element in licence.iter():
        if local(element) == "license_ref" and words(element):
            return {"licence": words(element)}
        if address := element.get(_XLINK):
            return {"licence": address}
    return {"licence": words(licence)[:300]} if words(licence) else {}


def _date(front: Any) -> str:
    for element in front.iter():
        if local(element) == "pub-date":
            numbers = [words(next(iter(children(element, name)), None)) for name in ("year", "month", "day")]
            known = [n.zfill(2) for n in numbers[: numbers.index("") if "" in numbers else 3] if n.isdigit()]
            return "-".join(known)
    return ""
