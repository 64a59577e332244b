"""XML from strangers, parsed without entities, DTDs, network or unbounded trees."""

from __future__ import annotations

from typing import Any

from kodata.sources.streams import BrokenInput

MAX_DEPTH = 200
"""Readers walk trees by recursion; the parser itself stops at 256."""


def parse_xml(data: bytes, what: str = "XML") -> Any:
    """Root element (lxml). Entities of the file's own are not expanded, nothing is fetched. Raises BrokenInput."""
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        return etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise BrokenInput(f"{what}이 깨짐 (broken {what}: {str(error)[:120]})") from None


def local(element: Any) -> str:
    """Name of an element without its namespace; "" for comments, entities and the like."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def children(element: Any, *names: str) -> list[Any]:
    """Child elements of these local names, in order; all of them without names."""
    return [child for child in element if local(child) and (not names or local(child) in names)]


def first(element: Any, *names: str) -> Any | None:
    """The first descendant of one of these local names."""
    return next((found for found in element.iter() if local(found) in names), None)


def words(element: Any | None) -> str:
    """All text inside an element, blanks collapsed. Iterative: depth does not matter."""
    return "" if element is None else " ".join("".join(element.itertext()).split())
