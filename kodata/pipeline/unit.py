"""One work unit: read its parts, clean each record, write what is kept, dropped and failed, and count.

Everything a unit writes is whole or not there; its number file comes last and is what makes the unit done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import Any

from kodata.boilerplate import Frames, trim
from kodata.boilerplate.counting import TRIMMED, Reader, frames_file, reader
from kodata.boilerplate.frequency import site_of
from kodata.doc import Document, ShardWriter, place_id, write_shard
from kodata.lang import KOREAN, asked
from kodata.licence import known, name_of
from kodata.pii import Masked, PiiConfig, mask
from kodata.pipeline.numbers import FAILURES_SHOWN, Numbers
from kodata.pipeline.plan import Plan
from kodata.pipeline.route import output_of, route
from kodata.rules import PROFILES, Drop, judge, profile_of
from kodata.run.files import atomic_json, atomic_open
from kodata.sources import Failure, Part, Record, Settings, read
from kodata.sources.record import shown
from kodata.text.fast import measure, normalise, shapes, toxicity, utf8_size
from kodata.text.hanyang import PROFILES as OLD_HANGUL
from kodata.text.hanyang import to_jamo
from kodata.text.rejoin import PROFILES as WRAPPED
from kodata.text.rejoin import rejoin

_UNTOUCHED_META = {"licence", "url", "kind", "date", "file", "part"}
LIVE_SECONDS = 0.5
MAX_ROWS = 10_000


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


def _masked(text: str, config: PiiConfig) -> Masked:
    return mask(text, config, shapes(text))


def _masked_meta(value: Any, config: PiiConfig, depth: int = 0) -> Any:
    """Meta without personal data in its strings."""
    if isinstance(value, str):
        return _masked(value, config).text
    if depth < 6 and isinstance(value, Mapping):
        return {str(k): _masked_meta(v, config, depth + 1) for k, v in value.items()}
    if depth < 6 and isinstance(value, list):
        return [_masked_meta(v, config, depth + 1) for v in value]
    return value


def _plain(value: Any) -> Any:
    """A JSON-able stand-in: dates and the like as text, bytes left out, lone surrogates replaced."""
    if isinstance(value, Mapping):
        return {_plain(str(k)): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else str(value)
    return f"({len(value)} bytes)" if isinstance(value, bytes) else str(value)


class Cleaner:
    """Cleans records one by one and counts them. `settings` per source, `defaults` when a record says nothing."""

    def __init__(self, config: Any, plan: Plan):
        self.config = config
        self.plan = plan
        self.asked = asked(config.lang)
        self.names = [shown(Path(a).name or a) for a in plan.arguments]
        self.numbers = Numbers()
        # the rows of the tables that a document with these properties is counted in
        self._rows: dict[tuple[Any, ...], list[Any]] = {}
        self.read: Reader = read
        self.frames: Frames | None = None

    def records(self, unit: list[Part]) -> Iterator[tuple[Part, Record | Failure]]:
        """What the parts of a unit give, long texts cut into pieces."""
        for part in unit:
            for item in self.read(part, self.plan.settings[part.settings]):
                if isinstance(item, Failure) or len(item.text) <= self.config.max_chars:
                    yield part, item
                    continue
                for number, text in enumerate(pieces(item.text, self.config.max_chars), 1):
                    self.numbers.counts["split"] += number > 1
                    identity = f"{item.id}#{number}" if item.id else None
                    yield (
                        part,
                        Record(
                            text,
                            f"{item.place}#{number}",
                            identity,
                            item.source,
                            {**item.meta, "part": number},
                            item.drop,
                        ),
                    )

    def failed(self, part: Part, failure: Failure) -> dict[str, str]:
        """Count a failure; the line for failed.jsonl."""
        numbers = self.numbers
        numbers.counts["in"] += 1
        numbers.counts["failed"] += 1
        numbers.row(numbers.sources, self._source(part, "")).update({"in": 1, "failed": 1})
        numbers.row(numbers.arguments, str(part.argument)).update({"in": 1, "failed": 1})
        line = dict(failure.to_dict())
        if len(numbers.failures) < FAILURES_SHOWN:
            numbers.failures.append(line)
        return line

    def _source(self, part: Part, own: str) -> str:
        return own or self.plan.settings[part.settings].source or self.names[part.argument]

    def clean(
        self, part: Part, record: Record
    ) -> tuple[Document, Drop | None, list[list[Any]], list[str], str]:
        """(document, why it is dropped or None, places of personal data in it, pieces cut off as frame, output folder)."""
        config, numbers = self.config, self.numbers
        settings: Settings = self.plan.settings[part.settings]
        source = self._source(part, record.source)
        meta = record.meta
        kind = meta.get("kind")
        profile = settings.profile or profile_of(kind if isinstance(kind, str) else None, config.profile)
        text = normalise(record.text)
        if profile in OLD_HANGUL:
            text, left = to_jamo(text)
            numbers.counts["hanyang_pua"] += left
        if profile in WRAPPED and (joined := rejoin(text)) != text:
            text = joined
            numbers.counts["rejoined"] += 1
        cut: list[str] = []
        if config.boilerplate and profile in TRIMMED:
            trimmed = trim(text, self.frames, site_of(meta, source))
            if trimmed.cut:
                text = trimmed.text
                cut = [_masked(piece, config.pii).text for piece in trimmed.cut]  # bylines hold addresses
                numbers.counts["boilerplate"] += len(trimmed.cut)
        found = measure(text)
        drop = (
            Drop(record.drop, 0.0, 0.0, "sources") if record.drop else judge(found, text, PROFILES[profile])
        )
        language, profile, drop = route(found, text, profile, drop, self.asked, kind)
        if drop is None and config.require_licence and not known(meta.get("licence")):
            drop = Drop("no_licence", 0.0, 1.0, "licence")
        masked = _masked(text, config.pii)
        identity = _plain(record.id) if record.id else place_id(part.name, record.place)
        if config.pii.mode != "off":
            meta = {k: v if k in _UNTOUCHED_META else _masked_meta(v, config.pii) for k, v in meta.items()}
        if drop is None and language != KOREAN:
            meta = {**meta, "language": language}
        if (
            drop is None
            and config.toxicity
            and language == KOREAN
            and (score := toxicity(text, found.eojeol))
        ):
            meta = {**meta, "toxicity": round(score, 3)}
        document = Document(identity, masked.text, source, meta)
        self._count(part, record, document, meta.get("licence"), kind, profile, drop, language)
        for item in masked.found:
            numbers.pii[item.kind] += 1
            numbers.row(numbers.pii_sources, source)[item.kind] += 1
        numbers.counts["pii_documents"] += bool(masked.found)
        numbers.measured(found)
        numbers.decided(identity, masked.text, source, found, profile, drop)
        return (
            document,
            drop,
            [[item.kind, item.start, item.end] for item in masked.found],
            cut,
            output_of(language),
        )

    def _count(
        self,
        part: Part,
        record: Record,
        document: Document,
        licence: Any,
        kind: Any,
        profile: str,
        drop: Drop | None,
        language: str,
    ) -> None:
        numbers = self.numbers
        counts = numbers.counts
        kept = drop is None
        text = document.text
        chars_in, bytes_in, chars_out = len(record.text), utf8_size(record.text), len(text)
        bytes_out = bytes_in if text is record.text else utf8_size(text)
        if drop is not None:
            numbers.reasons[drop.reason] += 1
        if not isinstance(licence, str):
            licence = None
        if not isinstance(kind, str) or not kind:
            kind = "-"
        key = (document.source, licence, kind, profile, language, part.argument)
        rows = self._rows.get(key)
        if rows is None:
            rows = self._rows[key] = [
                counts,
                numbers.row(numbers.sources, document.source),
                numbers.row(numbers.licences, name_of(licence)),
                numbers.row(numbers.kinds, f"{kind} → {profile}"),
            ]
            if language:
                rows.append(numbers.row(numbers.languages, language))
            rows.append(numbers.row(numbers.arguments, str(part.argument)))
            if len(self._rows) > MAX_ROWS:  # as many sources as documents
                self._rows = {}
        rows[-1]["in"] += 1
        for row in rows[:-1]:
            row["in"] += 1
            row["chars_in"] += chars_in
            row["bytes_in"] += bytes_in
            if kept:
                row["kept"] += 1
                row["chars_out"] += chars_out
                row["bytes_out"] += bytes_out
            else:
                row["dropped"] += 1


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

    def write(self, name: str, value: dict[str, Any]) -> None:
        writer = self.writer(name)
        try:
            writer.write(value)
        except TypeError:  # dates, bytes, wide integers, lone surrogates from Parquet, YAML and the like
            writer.write(_plain(value))

    def count(self, name: str) -> int:
        return self._open[name].count if name in self._open else 0


def run_unit(folder: Path, index: int, plan: Plan, config: Any, *, limit: int | None = None,
             tell: Callable[[int, int, int], None] | None = None) -> None:  # fmt: skip
    """Do one unit, unless it is done. `tell(documents, bytes, kept)` is called now and then."""
    if unit_file(folder, index).exists():
        return
    cleaner = Cleaner(config, plan)
    cleaner.read = reader(folder, index, plan)
    if frames_file(folder).exists():
        cleaner.frames = Frames(frames_file(folder))
    counts = cleaner.numbers.counts
    hashes: dict[str, bytearray] = {"docs": bytearray()}
    said = time.monotonic()
    with ExitStack() as stack:
        out = _Outputs(folder, index, stack)
        for part, item in cleaner.records(plan.units[index]):
            if limit is not None and counts["in"] >= limit:
                break
            if isinstance(item, Failure):
                out.write("work/failed", cleaner.failed(part, item))
                continue
            document, drop, personal, cut, where = cleaner.clean(part, item)
            if drop is None:
                out.write(where, document.to_dict())
                hashes.setdefault(where, bytearray()).extend(
                    blake2b(document.id.encode("utf-8", "replace"), digest_size=8).digest()
                )
            else:
                where = "dropped"
                out.write(where, {**document.to_dict(), "drop": drop.to_dict()})
            if personal:
                place = out.count(where) - 1
                out.write("pii", {"id": document.id, "in": where, "n": place, "found": personal})
            if cut:
                out.write("trimmed", {"id": document.id, "in": where, "n": out.count(where) - 1, "cut": cut})
            if tell and counts["in"] % 16 == 0 and time.monotonic() - said > LIVE_SECONDS:
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
