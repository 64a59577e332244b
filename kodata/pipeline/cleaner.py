"""Cleaning records, a batch at a time: each step sees the whole batch, so that Python runs once a batch where it can.

Documents in normal form that break no rule and hold no personal data, which is most of them, are never looked at one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kodata.boilerplate import Frames, may_be_framed, trim
from kodata.boilerplate.counting import TRIMMED
from kodata.boilerplate.frequency import site_of
from kodata.doc import Document, place_id
from kodata.lang import CODE, KOREAN, asked
from kodata.licence import known, name_of
from kodata.pii import Masked, PiiConfig, mask
from kodata.pii.found import Found
from kodata.pipeline.judging import at_borders, judge_all
from kodata.pipeline.numbers import FAILURES_SHOWN, Numbers
from kodata.pipeline.plan import Plan
from kodata.pipeline.route import output_of, route
from kodata.rules import LANGUAGE_RULES, Drop, profile_of
from kodata.sources import Failure, Part, Record
from kodata.sources.record import shown
from kodata.text.fast import shapes, toxicity, utf8_size
from kodata.text.hanyang import PROFILES as OLD_HANGUL
from kodata.text.hanyang import to_jamo
from kodata.text.many import COLUMNS, Looked, look, normalise_all
from kodata.text.rejoin import PROFILES as WRAPPED
from kodata.text.rejoin import rejoin

_UNTOUCHED_META = frozenset({"licence", "url", "kind", "date", "file", "part"})


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


def plain(value: Any) -> Any:
    """A JSON-able stand-in: dates and the like as text, bytes left out, lone surrogates replaced."""
    if isinstance(value, Mapping):
        return {plain(str(k)): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else str(value)
    return f"({len(value)} bytes)" if isinstance(value, bytes) else str(value)


@dataclass(slots=True)
class Cleaned:
    """A record on its way: first its normal text, then the document and what became of it.

    drop: None when it is kept; found: places of personal data in the document's text; cut: pieces cut off as frame.
    """

    part: Part
    record: Record
    text: str
    profile: str
    document: Document
    language: str = KOREAN
    drop: Drop | None = None
    found: Sequence[Found] = ()
    cut: Sequence[str] = ()

    @property
    def output(self) -> str:
        """The output folder."""
        return "dropped" if self.drop else output_of(self.language)


def _by_profile(done: Sequence[Cleaned], *, kept: bool = False) -> dict[str, list[int]]:
    """Places in a batch by profile, all of them or of those that are kept."""
    rows: dict[str, list[int]] = {}
    for n, item in enumerate(done):
        if not kept or item.drop is None:
            rows.setdefault(item.profile, []).append(n)
    return rows


class Cleaner:
    """Cleans batches of records and counts them. `settings` per source, `defaults` when a record says nothing."""

    def __init__(self, config: Any, plan: Plan, frames: Frames | None = None):
        self.config = config
        self.plan = plan
        self.asked = asked(config.lang)
        self.names = [shown(Path(a).name or a) for a in plan.arguments]
        self.numbers = Numbers()
        self.frames = frames

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

    def clean(self, batch: Sequence[tuple[Part, Record]]) -> list[Cleaned]:
        """Clean a batch; what became of each record, in order."""
        if not batch:
            return []
        texts = normalise_all([record.text for _, record in batch])
        done = [self._begin(part, record, text) for (part, record), text in zip(batch, texts, strict=True)]
        if self.config.boilerplate:
            self._trim(done)
        looked = look([item.text for item in done])
        self._judge(done, looked)
        self._protect(done, looked)
        self._count(done, looked)
        return done

    def _begin(self, part: Part, record: Record, text: str) -> Cleaned:
        """The text a document will have but for personal data, and the profile that judges it."""
        numbers, meta = self.numbers, record.meta
        source = self._source(part, record.source)
        profile = self.plan.settings[part.settings].profile
        if profile is None:
            kind = meta.get("kind")
            profile = profile_of(kind if isinstance(kind, str) else None, self.config.profile)
        if profile in OLD_HANGUL:
            text, left = to_jamo(text)
            numbers.counts["hanyang_pua"] += left
        if profile in WRAPPED and (joined := rejoin(text)) != text:
            text = joined
            numbers.counts["rejoined"] += 1
        identity = record.id
        if not identity:
            identity = place_id(part.name, record.place)
        elif not identity.isascii():
            identity = plain(identity)
        return Cleaned(part, record, text, profile, Document(identity, text, source, meta))

    def _trim(self, done: Sequence[Cleaned]) -> None:
        """Cut what stands around articles and pages; those that may have something are looked at one by one."""
        some = [
            item
            for item in done
            if item.profile in TRIMMED and ("\n" in item.text or may_be_framed(item.text))
        ]
        sites = [site_of(item.document.meta, item.document.source) for item in some]
        shared = (
            self.frames.may_cut([item.text for item in some], sites) if self.frames else [False] * len(some)
        )
        for item, site, cut in zip(some, sites, shared, strict=True):
            if not (cut or may_be_framed(item.text)):
                continue
            trimmed = trim(item.text, self.frames, site)
            if trimmed.cut:
                item.text = item.document.text = trimmed.text
                # bylines hold addresses
                item.cut = [_masked(piece, self.config.pii).text for piece in trimmed.cut]
                self.numbers.counts["boilerplate"] += len(item.cut)

    def _judge(self, done: Sequence[Cleaned], looked: Looked) -> None:
        """The rules, and where each goes: to its language or to the dropped ones."""
        config, texts = self.config, [item.text for item in done]
        drops: dict[int, Drop] = {}
        for profile, rows in _by_profile(done).items():
            drops |= judge_all(looked, texts, rows, profile)
        drops |= {
            n: Drop(item.record.drop, 0.0, 0.0, "sources") for n, item in enumerate(done) if item.record.drop
        }
        every = CODE in self.asked or config.require_licence
        for n in range(len(done)) if every else drops:
            item, drop = done[n], drops.get(n)
            if CODE in self.asked or (drop and drop.reason in LANGUAGE_RULES):
                kind = item.record.meta.get("kind")
                item.language, item.profile, drop = route(
                    looked.measures(n), item.text, item.profile, drop, self.asked, kind
                )
            if drop is None and config.require_licence and not known(item.record.meta.get("licence")):
                drop = Drop("no_licence", 0.0, 1.0, "licence")
            item.drop = drop

    def _protect(self, done: Sequence[Cleaned], looked: Looked) -> None:
        """Personal data out of texts and meta; language and toxicity into meta."""
        config, numbers = self.config, self.numbers
        eojeol = COLUMNS["eojeol"]
        for n, (item, bits, abuse) in enumerate(zip(done, looked.shapes, looked.abuse, strict=True)):
            document = item.document
            if bits:
                document.text, item.found = mask(item.text, config.pii, bits)
            if config.pii.mode != "off" and not document.meta.keys() <= _UNTOUCHED_META:
                document.meta = {
                    k: v if k in _UNTOUCHED_META else _masked_meta(v, config.pii)
                    for k, v in document.meta.items()
                }
            if item.drop is None and item.language != KOREAN:
                document.meta = {**document.meta, "language": item.language}
            elif (
                abuse
                and item.drop is None
                and config.toxicity
                and (score := toxicity(item.text, int(looked.table[n, eojeol])))
            ):
                document.meta = {**document.meta, "toxicity": round(score, 3)}
            for place in item.found:
                numbers.pii[place.kind] += 1
                numbers.row(numbers.pii_sources, document.source)[place.kind] += 1
            numbers.counts["pii_documents"] += bool(item.found)

    def _count(self, done: Sequence[Cleaned], looked: Looked) -> None:
        """All tables, histograms and samples."""
        numbers = self.numbers
        tables: dict[tuple[Any, ...], dict[str, int]] = {}
        for item, size in zip(done, looked.sizes.tolist(), strict=True):
            record, document = item.record, item.document
            licence, kind = record.meta.get("licence"), record.meta.get("kind")
            key = (
                document.source,
                licence if isinstance(licence, str) else None,
                kind if isinstance(kind, str) and kind else "-",
                item.profile,
                item.language,
                item.part.argument,
            )
            row = tables.get(key)
            if row is None:
                row = tables[key] = {"in": 0, "chars_in": 0, "bytes_in": 0}
            row["in"] += 1
            row["chars_in"] += len(record.text)
            row["bytes_in"] += size if item.text is record.text else utf8_size(record.text)
            if item.drop is not None:
                row["dropped"] = row.get("dropped", 0) + 1
                numbers.reasons[item.drop.reason] += 1
            elif "kept" in row:
                row["kept"] += 1
                row["chars_out"] += len(document.text)
                row["bytes_out"] += size if document.text is item.text else utf8_size(document.text)
            else:
                row["kept"] = 1
                row["chars_out"] = len(document.text)
                row["bytes_out"] = size if document.text is item.text else utf8_size(document.text)
        for (source, licence, kind, profile, language, argument), row in tables.items():
            numbers.counts.update(row)
            numbers.row(numbers.sources, source).update(row)
            numbers.row(numbers.licences, name_of(licence)).update(row)
            numbers.row(numbers.kinds, f"{kind} → {profile}").update(row)
            if language:
                numbers.row(numbers.languages, language).update(row)
            numbers.row(numbers.arguments, str(argument)).update({"in": row["in"]})
        numbers.measured(looked)
        borders: dict[int, list[tuple[str, float, float]]] = {}
        for profile, rows in _by_profile(done, kept=True).items():
            borders |= at_borders(looked, rows, profile)
        for n, item in enumerate(done):
            if item.drop is None:
                numbers.kept(item.document, item.profile, borders.get(n, ()))
            else:
                numbers.dropped(item.document, item.profile, item.drop)
