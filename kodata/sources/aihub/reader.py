"""Files of known layouts as Records for the corpus and as TaskItems for chats and pairs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, BinaryIO

from kodata.sources.aihub.bulk import Bulk, is_lines, lines
from kodata.sources.aihub.item import TaskItem, Text, UnknownLayout, WrongItem
from kodata.sources.aihub.layout import LICENCES, Detector, Found, Placed
from kodata.sources.aihub.paths import shape
from kodata.sources.aihub.provenance import Provenance, provenance
from kodata.sources.aihub.registry import LAYOUTS
from kodata.sources.aihub.tolerant import Value, values
from kodata.sources.record import Failure, Part, Record, Settings

WHOLE_BYTES = 32 << 20
"""A JSON file up to this size is read at once, a larger one item by item."""
MATERIAL = "chat_material"
"""Reason under which `clean` sets aside what is for chats and pairs only."""
Out = Text | TaskItem | Failure
Fallback = Callable[[Any, str], Iterator[Record | Failure]]


@dataclass(slots=True)
class Source:
    """Where items come from: what failures name, and what their meta carries."""

    label: str
    settings: Settings
    origin: Provenance = field(default_factory=Provenance)
    detector: Detector = field(default_factory=lambda: Detector(LAYOUTS))

    @classmethod
    def of(cls, part: Part, settings: Settings) -> Source:
        """Of a part of an input."""
        member = part.name.partition("!")[2]
        return cls(part.label, settings, provenance(f"{part.path}/{member}" if member else part.path))

    def meta(self, found: Found, own: Mapping[str, Any]) -> dict[str, Any]:
        """Meta of a text or task: its own, and layout, data set, split, licence and kind."""
        layout, origin = found.layout, self.origin
        owner = layout.owner or ("AI Hub" if origin.tree else "")
        meta = {
            **own,
            "layout": layout.name,
            "dataset": origin.dataset or layout.title,
            "split": origin.split,
        }
        meta["licence"] = self.settings.licence or LICENCES.get(owner)
        meta["kind"] = self.settings.kind or own.get("kind") or layout.kind
        return {name: value for name, value in meta.items() if value}


def outputs(
    found: Found, items: Iterable[Placed], root: Any, source: Source, prefix: str = ""
) -> Iterator[Out]:
    """What items give, one Failure for each that gives nothing. An item of another layout than the first is read by its own."""
    layout = found.layout
    for place, item in layout.group(items) if layout.group else items:
        at = "/".join(p for p in (prefix, place) if p)
        use = found
        if isinstance(item, Mapping) and not layout.group and not layout.fits(item):
            use = Detector(LAYOUTS).find(item) or found
        nothing = True
        try:
            for out in use.layout.read(item, root) if use is found else _alone(use, item):
                nothing = False
                out.place = "/".join(p for p in (at, out.place) if p)
                out.meta = source.meta(use, out.meta)
                if isinstance(out, TaskItem):
                    out.file = source.label
                yield out
        except (WrongItem, KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            told = str(error) if isinstance(error, WrongItem) else f"{type(error).__name__}: {error}"
            yield Failure(
                source.label, at, f"{layout.name} 짜임과 다름 (not as its layout says): {told[:200]}"
            )
            continue
        if nothing:
            yield Failure(
                source.label, at, f"{layout.name}: 글이 없음 (no text in the item). {shape(item, 1)[:200]}"
            )


def _alone(found: Found, item: Any) -> Iterator[Text | TaskItem]:
    for _, inner in found.items(item):
        yield from found.layout.read(inner, item)


def records(outs: Iterable[Out | Record], source: Source) -> Iterator[Record | Failure]:
    """Documents of what items give. An item with nothing but chat material becomes one Record that `clean` sets aside."""
    held: list[TaskItem] = []
    place, texts = None, 0

    def aside() -> Iterator[Record]:
        if held and not texts:
            text = "\n\n".join(task.plain() for task in held)
            first = held[0]
            yield Record(
                text, first.place, first.id or None, _named(first.meta, source), first.meta, drop=MATERIAL
            )

    for out in outs:
        if isinstance(out, Failure | Record):
            yield out
            continue
        item = _item_of(out.place)
        if item != place:
            yield from aside()
            held, place, texts = [], item, 0
        if isinstance(out, TaskItem):
            held.append(out)
        else:
            texts += 1
            yield Record(out.text, out.place, out.id, _named(out.meta, source), out.meta)
    yield from aside()


def _named(meta: Mapping[str, Any], source: Source) -> str:
    return source.settings.source or str(meta.get("dataset", ""))


def _item_of(place: str) -> str:
    """The part of a place that names the item: numbers of lines and items, before what is inside it."""
    return "/".join(p for p in place.split("/") if p.isdigit())


def file_outputs(
    handle: BinaryIO, source: Source, fallback: Fallback | None = None
) -> Iterator[Out | Record]:
    """What a JSON file gives. Values of no known layout go to `fallback(value, place)`, or are a Failure with their keys."""
    begun = handle.read(WHOLE_BYTES + 1)
    if len(begun) <= WHOLE_BYTES:
        several: Iterable[Value] = values(begun)
    elif is_lines(begun):
        several = (Value(str(line.number), line.value, line.error) for line in lines(begun, handle))
    else:
        yield from _bulk_outputs(Bulk(begun, handle), source, fallback)
        return
    for place, value, error in several:
        if error:
            yield Failure(source.label, place, error)
        elif found := source.detector.find(value):
            yield from outputs(found, found.items(value), value, source, place)
        elif fallback:
            yield from fallback(value, place)
        else:
            yield Failure(source.label, place, str(UnknownLayout(shape(value))))


def _bulk_outputs(bulk: Bulk, source: Source, fallback: Fallback | None) -> Iterator[Out | Record]:
    if not bulk.found:
        yield Failure(
            source.label,
            "",
            f"{WHOLE_BYTES >> 20} MiB가 넘는 JSON에서 항목의 목록을 못 찾음 (no list of items in a large JSON)",
        )
        return
    rows = bulk.items()
    head = list(islice(rows, 8))
    found = next(
        (f for row in head if not row.error and (f := source.detector.find(bulk.skeleton(row.value)))), None
    )
    if found is None and fallback is None:
        seen = next((row.value for row in head if not row.error), None)
        yield Failure(source.label, "", str(UnknownLayout(shape(bulk.skeleton(seen), 3))))
        return
    failures: list[Failure] = []

    def good() -> Iterator[Placed]:
        for row in chain(head, rows):
            if row.error:
                failures.append(Failure(source.label, str(row.number), row.error))
            else:
                yield str(row.number), row.value

    if found is None:
        assert fallback is not None
        for place, value in good():
            yield from failures
            failures.clear()
            yield from fallback([value], place)
    elif found.path.count("[]") == 1:  # the items of the layout are the elements of the long list
        root = bulk.skeleton({})
        for out in outputs(found, good(), root, source):
            yield from failures
            failures.clear()
            yield out
    else:
        for place, value in good():
            root = bulk.skeleton(value)
            yield from failures
            failures.clear()
            yield from outputs(found, found.items(root), root, source, place)
    yield from failures


def read_json(
    handle: BinaryIO, part: Part, settings: Settings, fallback: Callable[..., Iterator[Record | Failure]]
) -> Iterator[Record | Failure]:
    """Records of a JSON file. In a tree as AI Hub delivers it an unknown layout is a Failure that names the keys;
    elsewhere, and when the user names the text's key, `fallback(value, part, settings, place)` reads it."""
    source = Source.of(part, settings)
    if settings.text_field:
        source.detector = Detector(())
    strict = source.origin.tree and not settings.text_field
    generic = None if strict else (lambda value, place: fallback(value, part, settings, place))
    yield from records(file_outputs(handle, source, generic), source)


Row = tuple[int, list[Any]]


def table_outputs(header: list[str], rows: Iterable[Row], source: Source) -> Iterator[Out] | None:
    """What the rows of a table give, None for columns of no known layout. `rows` begins with the header's own row, which
    is data where a table has no header (029: id, text and four numbers)."""
    if len(header) > 1 and _DOTTED.fullmatch(header[0]) and any("가" <= c <= "힣" for c in header[1]):
        names = [str(n) for n in range(len(header))]
    else:
        names = header
        rows = islice(rows, 1, None)
    found = source.detector.find([dict.fromkeys(names, "")])
    if found is None:
        if not source.origin.tree:
            return None
        return iter([Failure(source.label, "", str(UnknownLayout(", ".join(header[:30]), "표 (table)")))])
    return _table_outputs(found, names, rows, source)


_DOTTED = re.compile(r"[\w-]+(?:\.[\w-]+){2,}")


def _table_outputs(found: Found, names: list[str], rows: Iterable[Row], source: Source) -> Iterator[Out]:
    failures: list[Failure] = []

    def placed() -> Iterator[Placed]:
        for number, row in rows:
            if len(row) > len(names) and any(cell not in (None, "") for cell in row[len(names) :]):
                told = f"칸이 머리줄보다 많음 (more cells than the header: {len(row)} > {len(names)})"
                failures.append(Failure(source.label, str(number), told))
            elif any(cell not in (None, "") for cell in row):
                yield str(number), {k: _cell(v) for k, v in zip(names, row, strict=False) if k}

    for out in outputs(found, placed(), [], source):
        yield from failures
        failures.clear()
        yield out
    yield from failures


def _cell(value: Any) -> Any:
    """Cells of spreadsheets hold dates too."""
    return value if isinstance(value, str | int | float) or value is None else str(value)


def read_table(
    header: list[str], number: int, first: list[Any], rows: Iterable[Row], part: Part, settings: Settings
) -> Iterator[Record | Failure] | None:
    """Records of a table whose columns are a known layout; None for other tables, whose rows are then not touched."""
    source = Source.of(part, settings)
    outs = table_outputs(header, chain([(number, first)], rows), source)
    return None if outs is None else records(outs, source)
