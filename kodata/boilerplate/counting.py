"""The first pass of a cleaning run: count the lines at the edges of documents, over all units, in bounded memory.

Each unit leaves the sorted 64-bit marks (line, document) of its edges; the marks of all units are put together in slices of
the hash space. Units are counted by the same executors as the cleaning, on any number of workers, and what is counted is
not counted again. Pages, books and the like are slow to read: what the first pass read of them waits for the second.
"""

from __future__ import annotations

import shutil
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kodata.boilerplate.frequency import DOCUMENT, KEY_BITS, SITE, YELLOW, edge_keys, site_of
from kodata.rules import profile_of
from kodata.run.files import atomic_open
from kodata.sources import Failure, Part, Record, Settings, read
from kodata.sources.rows import lines, one_line
from kodata.sources.streams import BrokenInput, open_bytes
from kodata.text.many import normalise_all

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRIMMED = ("news", "web")
"""Profiles whose texts come with a frame around them."""
SLOW = frozenset({"html", "warc", "epub", "hwp", "hwpx", "xml"})
"""Forms whose records are kept between the passes."""
HEAD_CHARS, TAIL_CHARS = 1000, 2600
"""Of a longer text only this much at each edge is looked at."""
SLICE_MARKS = 4_000_000
BATCH = 256
"""Documents whose edges are looked at together."""
MANY_MARKS = 1_000_000
"""Marks of a unit that may wait to be put together."""
Reader = Callable[[Part, Settings], Iterator[Record | Failure]]


def lines_file(folder: Path, index: int) -> Path:
    """The marks of a unit: there if and only if the unit is counted."""
    return folder / "work" / "lines" / f"{index:05d}.bin"


def pages_file(folder: Path, index: int) -> Path:
    """The records of a unit's slow parts."""
    return folder / "work" / "pages" / f"{index:05d}.jsonl.zst"


def frames_file(folder: Path) -> Path:
    """The lines that documents share, with their counts."""
    return folder / "work" / "frames.npy"


def wanted(config: Any, plan: Any) -> bool:
    """Does any part of the run have texts that may come with a frame?"""
    return config.boilerplate and any(
        plan.settings[part.settings].profile in (None, *TRIMMED) for unit in plan.units for part in unit
    )


def _edges_of(text: str) -> str:
    """As much of a text as its edges need."""
    return text if len(text) <= HEAD_CHARS + TAIL_CHARS else f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}"


def marks(texts: list[str], sites: list[str]) -> NDArray[np.uint64]:
    """Sorted marks of texts of several lines: one for each line at their edges, and one for each text under its site."""
    import numpy as np

    keys = edge_keys(normalise_all([_edges_of(text) for text in texts]), sites)
    found = keys[:, : SITE + 1] << np.uint64(16) | keys[:, DOCUMENT:]
    return np.unique(found[keys[:, : SITE + 1] != 0])


def count_unit(folder: Path, index: int, plan: Any, config: Any, limit: int | None = None) -> None:
    """Count one unit, unless it is counted."""
    import numpy as np

    from kodata.doc import write_shard

    if lines_file(folder, index).exists():
        return
    names = [Path(a).name or a for a in plan.arguments]
    found: list[NDArray[np.uint64]] = []
    texts: list[str] = []
    sites: list[str] = []

    def count() -> None:
        found.append(marks(texts, sites))
        texts.clear()
        sites.clear()
        if sum(map(len, found)) > 2 * len(found[0]) + MANY_MARKS:
            found[:] = [np.unique(np.concatenate(found))]

    seen = 0
    slow = any(part.form in SLOW for part in plan.units[index])
    with write_shard(pages_file(folder, index)) if slow else _nothing() as pages:
        for number, part in enumerate(plan.units[index]):
            settings = plan.settings[part.settings]
            if settings.profile not in (None, *TRIMMED) and part.form not in SLOW:
                continue
            items = read(part, settings) if limit is not None else _of_several_lines(part, settings)
            for item in items:
                if limit is not None and seen >= limit:
                    break
                seen += 1
                if part.form in SLOW:
                    pages.write(_packed(number, item))
                if isinstance(item, Failure):
                    continue
                kind = item.meta.get("kind")
                profile = settings.profile or profile_of(
                    kind if isinstance(kind, str) else None, config.profile
                )
                if profile in TRIMMED and "\n" in item.text.strip():
                    texts.append(_edges_of(item.text))  # no more of a long text is held
                    sites.append(site_of(item.meta, item.source or settings.source or names[part.argument]))
                    if len(texts) >= BATCH:
                        count()
    count()
    with atomic_open(lines_file(folder, index), "wb") as handle:
        np.unique(np.concatenate(found)).tofile(handle)


def _of_several_lines(part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """`read`, without the JSON lines that can hold no newline: half the time of a corpus of short texts is their parsing."""
    if part.form != "jsonl" or settings.text_field:
        yield from read(part, settings)
        return
    try:
        with open_bytes(part.path, part.name, part.member) as handle:
            if part.start == 0 and handle.peek(2)[:2] in (BOM_UTF16_LE, BOM_UTF16_BE):  # type: ignore[attr-defined]
                yield from read(part, settings)
                return
            if part.start:
                handle.seek(part.start)
            for number, line in lines(handle, part.start, part.end, part.line):
                if line and _several(line):
                    yield from one_line(line, part, number, settings)
    except BrokenInput:
        return  # the second pass says what is wrong


def _several(line: bytes) -> bool:
    """May a JSON line hold a newline in its text: an escaped one, or a list of lines?"""
    return (
        b"\\n" in line
        or b"\\u000" in line
        or b'["' in line
        or b"[ " in line
        or b"[\t" in line
        or b"[\r" in line
    )


class _nothing:
    def __enter__(self) -> Any:
        return None

    def __exit__(self, *error: object) -> None:
        return None


def _packed(number: int, item: Record | Failure) -> dict[str, Any]:
    if isinstance(item, Failure):
        return {"part": number, "failure": [item.file, item.place, item.reason]}
    return {"part": number, "record": [item.text, item.place, item.id, item.source, item.meta, item.drop]}


def reader(folder: Path, index: int, plan: Any) -> Reader:
    """`read`, from what the first pass kept where it kept something. Parts must be read in the order of the unit."""
    file = pages_file(folder, index)
    if not file.exists():
        return read
    from kodata.doc import read_records

    kept = (line for _, line in read_records(file))
    numbers = {id(part): number for number, part in enumerate(plan.units[index])}
    waiting: list[dict[str, Any]] = []

    def again(part: Part, settings: Settings) -> Iterator[Record | Failure]:
        if part.form not in SLOW:
            yield from read(part, settings)
            return
        while True:
            line = waiting.pop() if waiting else next(kept, None)
            if line is None:
                return
            if line["part"] != numbers[id(part)]:
                waiting.append(line)
                return
            yield Failure(*line["failure"]) if "failure" in line else Record(*line["record"])

    return again


def merge(folder: Path, units: int) -> None:
    """Write the keys of more than YELLOW documents with their counts, sorted."""
    import numpy as np

    target = frames_file(folder)
    if target.exists():
        return
    files = [lines_file(folder, i) for i in range(units)]
    total = sum(file.stat().st_size for file in files) // 8
    slices = max(1, -(-total // SLICE_MARKS))
    bounds = [(i << (KEY_BITS + 16)) // slices for i in range(slices + 1)]
    tables = []
    for low, high in pairwise(bounds):
        pieces = []
        for file in files:
            if not file.stat().st_size:
                continue
            values = np.memmap(file, dtype=np.uint64, mode="r")
            start = np.searchsorted(values, np.uint64(low))
            end = len(values) if high >> 64 else np.searchsorted(values, np.uint64(high))
            pieces.append(np.asarray(values[start:end]))
        every = np.unique(np.concatenate(pieces)) if pieces else np.empty(0, np.uint64)
        keys, counts = np.unique(every >> np.uint64(16), return_counts=True)
        some = counts > YELLOW
        table = np.empty(int(some.sum()), dtype=[("key", "<u8"), ("count", "<u4")])
        table["key"], table["count"] = keys[some], counts[some]
        tables.append(table)
    with atomic_open(target, "wb") as handle:
        np.save(handle, np.concatenate(tables), allow_pickle=False)


def forget(folder: Path) -> None:
    """Remove what only the second pass needed: the pages kept and the marks of the units."""
    for name in ("pages", "lines"):
        shutil.rmtree(folder / "work" / name, ignore_errors=True)
