"""What a layout is, and how it is recognised: by the keys an item must have, never by a file's name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from kodata.sources.aihub.item import TaskItem, Text, WrongItem
from kodata.sources.aihub.paths import LOOK, has, walk

Reading = Callable[[Any, Any], Iterator[Text | TaskItem]]
"""(item, root of its file) -> what the item gives."""
Placed = tuple[str, Any]
LICENCES = {
    "AI Hub": "AI Hub 이용정책 (AI Hub terms of use, no redistribution)",
    "NIKL": "모두의 말뭉치 이용 약정 (NIKL terms of use, no redistribution)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One form in which a data set is delivered.

    name: short and stable; title: the data sets' Korean name; kind: kind of its documents (see `kodata.rules.KINDS`);
    items: where the items stand ("data[]"), a lone item and a plain list of items are always understood too;
    needs, lacks: paths an item must and must not have ("answer.contents:str" also asks for the type);
    read: what an item gives; group: rows that belong together (a dialogue of table rows) become one item;
    owner: "AI Hub", "NIKL", or "" for a shape that others use as well.
    """

    name: str
    title: str
    kind: str
    needs: tuple[str, ...]
    read: Reading
    items: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    group: Callable[[Iterable[Placed]], Iterator[Placed]] | None = None
    owner: str = "AI Hub"
    only: bool = False
    """Items stand at `items` alone: their keys are too common to say anything elsewhere."""

    def fits(self, item: Any) -> bool:
        """Whether an item has the keys of this layout."""
        return all(has(item, need) for need in self.needs) and not any(has(item, lack) for lack in self.lacks)

    def places(self) -> tuple[str, ...]:
        """Paths at which its items are looked for, in order."""
        return self.items if self.only else (*self.items, "[]", "")


@dataclass(slots=True)
class Found:
    """A layout and where its items stand in a file."""

    layout: Layout
    path: str

    def items(self, root: Any) -> Iterator[Placed]:
        """(number or "", item) of every item of a root."""
        if not self.path.endswith(("[]", "{}")):
            for item in walk(root, self.path):
                yield "", item
            return
        for number, item in enumerate(walk(root, self.path), 1):
            yield str(number), item


@dataclass(slots=True)
class Detector:
    """Finds the layout of a root. Files of one archive mostly have one layout, so the last one found is tried first."""

    layouts: tuple[Layout, ...]
    _last: list[Found] = field(default_factory=list)

    def find(self, root: Any) -> Found | None:
        """The first layout that fits, or None."""
        samples: dict[str, list[Any]] = {}
        for found in self._last:
            if _fits(found.layout, found.path, root, samples):
                return found
        for layout in self.layouts:
            for path in layout.places():
                if _fits(layout, path, root, samples):
                    self._last = [Found(layout, path)]
                    return self._last[0]
        return None


def _fits(layout: Layout, path: str, root: Any, samples: dict[str, list[Any]]) -> bool:
    if path not in samples:
        try:
            samples[path] = list(islice(walk(root, path), LOOK))
        except WrongItem:
            samples[path] = []
    return any(isinstance(item, Mapping) and layout.fits(item) for item in samples[path])
