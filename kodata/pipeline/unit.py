"""One work unit: read its parts, clean each record, write what is kept, dropped and failed, and count.

Everything a unit writes is whole or not there; its number file comes last and is what makes the unit done.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

from kodata.boilerplate import Frames
from kodata.boilerplate.counting import Reader, frames_file, reader
from kodata.doc import ShardWriter, write_shard
from kodata.pipeline.cleaner import Cleaned, Cleaner, plain
from kodata.pipeline.plan import Plan
from kodata.run.files import atomic_json, atomic_open
from kodata.sources import Failure, Part, Record

LIVE_SECONDS = 0.5
BATCH, BATCH_CHARS = 256, 1 << 20
"""Records that are cleaned together, and the characters after which a batch is closed."""
Failed = tuple[Part, Failure]


def unit_file(folder: Path, index: int) -> Path:
    """The number file of a unit: there if and only if the unit is done."""
    return folder / "work" / "units" / f"{index:05d}.json"


def live_file(folder: Path, index: int) -> Path:
    """The counters a running unit leaves for the progress bar."""
    return folder / "work" / "live" / f"{index:05d}"


def pieces(text: str, limit: int) -> Iterator[str]:
    """A text too long to hold and judge as one, in pieces of about equal length, cut at newlines, else at blanks."""
    size = -(-len(text) // -(-len(text) // limit))
    start = 0
    while len(text) - start > limit:
        end = start + size
        cut = (
            text.rfind("\n", start + size // 2, end) + 1 or text.rfind(" ", start + size // 2, end) + 1 or end
        )
        yield text[start:cut]
        start = cut
    yield text[start:]


def records(
    unit: list[Part], read: Reader, plan: Plan, max_chars: int, counts: Counter[str]
) -> Iterator[tuple[Part, Record | Failure]]:
    """What the parts of a unit give, texts over `max_chars` cut into pieces; those after the first are counted as split."""
    for part in unit:
        for item in read(part, plan.settings[part.settings]):
            if isinstance(item, Failure) or len(item.text) <= max_chars:
                yield part, item
                continue
            for number, text in enumerate(pieces(item.text, max_chars), 1):
                counts["split"] += number > 1
                place, identity = f"{item.place}#{number}", f"{item.id}#{number}" if item.id else None
                yield (
                    part,
                    Record(text, place, identity, item.source, {**item.meta, "part": number}, item.drop),
                )


def batches(
    items: Iterable[tuple[Part, Record | Failure]],
) -> Iterator[tuple[list[tuple[Part, Record]], Failed | None]]:
    """(records that follow each other, the failure after them, if that ended them). A batch is closed at BATCH records or
    BATCH_CHARS characters."""
    batch: list[tuple[Part, Record]] = []
    chars = 0
    for part, item in items:
        if isinstance(item, Failure):
            yield batch, (part, item)
            batch, chars = [], 0
            continue
        batch.append((part, item))
        chars += len(item.text)
        if chars >= BATCH_CHARS or len(batch) >= BATCH:
            yield batch, None
            batch, chars = [], 0
    if batch:
        yield batch, None


class _Outputs:
    """The shards of one unit, opened when the first record comes, so that no empty file is left but docs/."""

    def __init__(self, folder: Path, index: int, stack: ExitStack):
        self._folder, self._index, self._stack = folder, index, stack
        self._open: dict[str, ShardWriter] = {}
        self.writer("docs")

    def writer(self, name: str) -> ShardWriter:
        if name not in self._open:
            path = self._folder / name / f"{self._index:05d}.jsonl.zst"
            self._open[name] = self._stack.enter_context(write_shard(path))
        return self._open[name]

    def write(self, name: str, values: list[dict[str, Any]]) -> None:
        writer = self.writer(name)
        try:
            writer.write_all(values)
        except TypeError:  # dates, bytes, wide integers, lone surrogates from Parquet, YAML and the like
            for value in values:
                try:
                    writer.write(value)
                except TypeError:
                    writer.write(plain(value))

    def count(self, name: str) -> int:
        return self._open[name].count if name in self._open else 0


def _write(out: _Outputs, done: list[Cleaned], hashes: dict[str, bytearray]) -> None:
    """A cleaned batch, with the places of personal data and the pieces cut off. hashes: of the kept ids, by output."""
    lines: dict[str, list[dict[str, Any]]] = {}
    for item in done:
        where, document = item.output, item.document
        value = document.to_dict()
        if item.drop is None:
            digest = blake2b(document.id.encode("utf-8", "replace"), digest_size=8).digest()
            hashes.setdefault(where, bytearray()).extend(digest)
        else:
            value["drop"] = item.drop.to_dict()
        some = lines.setdefault(where, [])
        if item.found or item.cut:
            beside = {"id": document.id, "in": where, "n": out.count(where) + len(some)}
            if item.found:
                places = [[f.kind, f.start, f.end] for f in item.found]
                lines.setdefault("pii", []).append({**beside, "found": places})
            if item.cut:
                lines.setdefault("trimmed", []).append({**beside, "cut": item.cut})
        some.append(value)
    for where, values in lines.items():
        out.write(where, values)


def run_unit(folder: Path, index: int, plan: Plan, config: Any, *, limit: int | None = None,
             tell: Callable[[int, int, int], None] | None = None) -> None:  # fmt: skip
    """Do one unit, unless it is done. `tell(documents, bytes, kept)` is called now and then."""
    if unit_file(folder, index).exists():
        return
    frames = Frames(frames_file(folder)) if frames_file(folder).exists() else None
    cleaner = Cleaner(config, plan, frames)
    counts = cleaner.numbers.counts
    hashes: dict[str, bytearray] = {"docs": bytearray()}
    said = time.monotonic()
    items = records(plan.units[index], reader(folder, index, plan), plan, config.max_chars, counts)
    with ExitStack() as stack:
        out = _Outputs(folder, index, stack)
        for batch, failure in batches(islice(items, limit)):
            _write(out, cleaner.clean(batch), hashes)
            if failure:
                out.write("work/failed", [cleaner.failed(*failure)])
            if tell and time.monotonic() - said > LIVE_SECONDS:
                said = time.monotonic()
                tell(counts["in"], counts["bytes_in"], counts["kept"])
        written = {
            "kept": sum(map(out.count, hashes)),
            "dropped": out.count("dropped"),
            "failed": out.count("work/failed"),
        }
    if counts["in"] != sum(written.values()) or any(counts[name] != n for name, n in written.items()):
        raise AssertionError(f"unit {index}: {counts['in']} in, written {written}")
    for where, values in hashes.items():
        with atomic_open(
            folder / "work" / f"ids{where.removeprefix('docs')}" / f"{index:05d}.bin", "wb"
        ) as handle:
            handle.write(values)
    atomic_json(unit_file(folder, index), cleaner.numbers.to_json())
