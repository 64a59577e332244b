"""The frame of `kodata sft` and `kodata dpo`: read, sieve, choose, count, write.

Pass 1 reads, cleans and checks one example after another into a spool file; pass 2 knows all prompts, drops near-duplicates,
marks what must be held out together and writes. The output does not depend on anything but inputs, config and seed.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from kodata.chat.clean import Cleaner
from kodata.chat.inputs import input_sources
from kodata.chat.quality import Quality
from kodata.chat.records import Chat, Message, Pair, RecordError, dump_line
from kodata.chat.rows import check_output, parse_json
from kodata.chat.shared import SharedConfig, judge_text
from kodata.chat.sieve import Place, Sieve, source_name
from kodata.run.files import atomic_open
from kodata.run.flags import check_limit
from kodata.run.folder import open_run
from kodata.run.progress import progress
from kodata.run.result import Result

DRY_RUN_RECORDS = 200
BATCH = 512

Item = TypeVar("Item", Chat, Pair)
Found = Iterator[tuple[Place, str, Item]]


@dataclass(slots=True)
class Kept:
    """What the report needs to know about the examples that stay."""

    forms: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    lengths: list[tuple[int, ...]] = field(default_factory=list)
    """Characters of each example: (prompt, answer) of a chat, (prompt, chosen, rejected) of a pair."""
    rounds: Counter[int] = field(default_factory=Counter)
    samples: list[dict[str, str]] = field(default_factory=list)
    quality: Quality = field(default_factory=Quality)
    same_prompts: int = 0
    """Examples whose prompt came before, exactly or nearly."""


@dataclass(slots=True)
class _Accepted:
    """What pass 2 needs of an example that passed the checks, beside its record in the spool."""

    file: Path
    line: int | str
    lengths: tuple[int, ...]
    cluster: Any


@dataclass(kw_only=True, slots=True)
class Builder(Generic[Item]):
    """One verb: how it reads, what it refuses, what it tells. `config` is the verb's own settings."""

    verb: str
    title: str
    unit: str
    config: SharedConfig
    seed: int
    per_prompt: int
    read: Callable[[Sequence[Path | str], Sieve], Found[Item]]
    """Examples in input order, cleaned; whatever cannot be one is dropped into the sieve."""
    check: Callable[[Item, Place, Sieve], bool]
    """Whether an example passes; otherwise it was dropped."""
    to_json: Callable[[Item], dict[str, Any]]
    texts: Callable[[Item], tuple[list[Message], ...]]
    """The prompt, then each answer."""
    choose: Callable[[list[tuple[int, ...]]], dict[int, str]] = lambda lengths: {}
    """Lengths of what is left -> {number: reason} of what is left out of it."""
    tell: Callable[[Sieve, Kept], tuple[dict[str, Any], list[dict[str, Any]], list[str]]]
    """summary, report, lines."""
    refuse: Callable[[Sieve], None] = Sieve.refuse_empty
    extra_inputs: Sequence[Path] = ()


def build(
    builder: Builder[Any],
    inputs: Sequence[str],
    output: Path,
    settings: dict[str, Any],
    *,
    against: Sequence[Path],
    limit: int | None,
    dry_run: bool,
    fresh: bool,
) -> Result:
    """Run a builder: the output file with its run folder beside it, or with `dry_run` only what would be told."""
    check_limit(limit)
    check_output(output)
    config = builder.config
    sources = input_sources(inputs)
    searcher = Searcher(against, config) if against else None
    cleaner = Cleaner(config.normalise, config.pii)
    if dry_run:
        sieve = Sieve(builder.verb, None, cleaner)
        with tempfile.TemporaryFile() as spool:
            kept = _run(
                builder, sources, sieve, spool, None, searcher, min(limit or DRY_RUN_RECORDS, DRY_RUN_RECORDS)
            )
        summary, report, lines = builder.tell(sieve, kept)
        lines = ["시험 실행: 아무것도 쓰지 않았습니다 (dry run, nothing written)", *lines]
        return Result(path=None, summary=summary, report=report, lines=lines)

    files = [s for s in sources if isinstance(s, Path)]
    hub = {"hub": [s for s in sources if isinstance(s, str)]} if len(files) < len(sources) else {}
    settings = {**asdict(config), **settings, **hub, "limit": limit, "against": len(against)}
    with open_run(
        output,
        tool="kodata",
        verb=builder.verb,
        config=settings,
        inputs=[*files, *builder.extra_inputs, *against],
        seed=builder.seed,
        fresh=fresh,
        kind="file",
    ) as run:
        if run.done:
            return run.result()
        with ExitStack() as stack:
            dropped = stack.enter_context(atomic_open(run.path / "dropped.jsonl", "wb"))
            out = stack.enter_context(atomic_open(output, "wb"))
            spool = stack.enter_context(tempfile.TemporaryFile(dir=run.path))
            bar = stack.enter_context(progress(builder.title, unit=builder.unit))
            sieve = Sieve(builder.verb, dropped, cleaner)
            kept = _run(builder, sources, sieve, spool, out, searcher, limit, bar.advance)
        summary, report, lines = builder.tell(sieve, kept)
        return run.finish(summary=summary, report=report, lines=lines)


def _run(
    builder: Builder[Any],
    sources: Sequence[Path | str],
    sieve: Sieve,
    spool: IO[bytes],
    out: IO[bytes] | None,
    searcher: Searcher | None,
    limit: int | None,
    advance: Callable[[int], None] = lambda n: None,
) -> Kept:
    from kodata.chat.near import Prompts

    prompts = Prompts(builder.config.near)
    accepted: list[_Accepted] = []
    for batch in _batches(_checked(builder, sources, sieve, limit)):
        hits = (
            searcher.search([[m for part in builder.texts(i) for m in part] for _, _, i in batch])
            if searcher
            else {}
        )
        for number, (place, form, item) in enumerate(batch):
            if number in hits:
                sieve.drop(
                    place,
                    "against",
                    value=hits[number][0],
                    limit=builder.config.against_overlap,
                    key=hits[number][1],
                    late=True,
                )
                continue
            prompt, *answers = builder.texts(item)
            prompts.add(prompt)
            lengths = (sum(len(m.content) for m in prompt), *(len(a[-1].content) for a in answers))
            accepted.append(_Accepted(place.file, place.line, lengths, item.meta.get("cluster")))
            spool.write(form.encode() + b"\n" + dump_line(builder.to_json(item)))
        advance(len(batch))
    groups = prompts.groups(lambda: (_prompt(r) for _, r in _spooled(spool)))
    kept = _write(builder, sieve, spool, out, groups, accepted)
    builder.refuse(sieve)
    return kept


def _checked(
    builder: Builder[Any], sources: Sequence[Path | str], sieve: Sieve, limit: int | None
) -> Found[Any]:
    """Examples that pass every check that needs no other example but those before."""
    config = builder.config
    for place, form, item in builder.read(sources, sieve):
        if limit is not None and sieve.read >= limit:
            return
        if not builder.check(item, place, sieve):
            continue
        prompt, *answers = builder.texts(item)
        fault = judge_text(prompt, answers, config)
        if fault:
            sieve.drop(place, fault.reason, value=fault.value, limit=fault.limit, key=fault.rule)
            continue
        if sieve.seen([m for part in (prompt, *answers) for m in part]):
            sieve.drop(place, "duplicate", value=item.id)
            continue
        item.id = sieve.unique_id(item.id, [m for part in (prompt, *answers) for m in part])
        item.source = item.source or source_name(place.file)
        item.meta = sieve.cleaner.values(item.meta)
        sieve.read += 1
        yield place, form, item


def _write(
    builder: Builder[Any],
    sieve: Sieve,
    spool: IO[bytes],
    out: IO[bytes] | None,
    groups: list[int],
    accepted: list[_Accepted],
) -> Kept:
    """Pass 2: what stays is written in input order, with the cluster it is held out by."""
    kept = Kept()
    gone: dict[int, str] = {}
    used: Counter[int] = Counter()
    clusters: dict[int, str | int] = {}
    for number, (group, one) in enumerate(zip(groups, accepted, strict=True)):
        if isinstance(one.cluster, str | int) and one.cluster != "":
            clusters.setdefault(group, one.cluster)
        used[group] += 1
        if builder.per_prompt and used[group] > builder.per_prompt:
            gone[number] = "near_prompt"
    left = [n for n in range(len(accepted)) if n not in gone]
    gone |= {left[n]: reason for n, reason in builder.choose([accepted[n].lengths for n in left]).items()}
    for number, (form, record) in enumerate(_spooled(spool)):
        one, group = accepted[number], groups[number]
        if number in gone:
            sieve.drop(Place(one.file, one.line, record), gone[number], value=record["id"], late=True)
            continue
        cluster = clusters.setdefault(group, record["id"])
        if cluster != record["id"] and record["meta"].get("cluster") in (None, ""):
            record["meta"]["cluster"] = cluster
        if out is not None:
            out.write(dump_line(record))
        sieve.kept += 1
        kept.forms[form] += 1
        kept.sources[record["source"]] += 1
        kept.lengths.append(one.lengths)
        kept.same_prompts += group != number
        messages = record.get("messages") or record["prompt"] + record["chosen"]
        kept.rounds[sum(m["role"] == "assistant" for m in messages)] += 1
        kept.quality.add(messages)
        if len(kept.samples) < 6:
            kept.samples.append({"label": record["id"], "text": shown(record), "note": record["source"]})
    return kept


def _batches(found: Iterable[Any]) -> Iterator[list[Any]]:
    batch = []
    for item in found:
        batch.append(item)
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _spooled(spool: IO[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(form, record) of pass 1, from the start."""
    spool.seek(0)
    while form := spool.readline():
        yield form[:-1].decode(), parse_json(spool.readline())


def _prompt(record: dict[str, Any]) -> list[Message]:
    messages = record["messages"][:-1] if "messages" in record else record["prompt"]
    return [Message(m["role"], m["content"]) for m in messages]


def shown(record: dict[str, Any]) -> str:
    """A record as text for the report."""
    text = "\n".join(f"{m['role']}: {m['content']}" for m in record.get("messages") or record["prompt"])
    for key in ("chosen", "rejected"):
        if key in record:
            text += f"\n\n[{key}] {record[key][0]['content']}"
    return text


class Searcher:
    """Evaluation texts to look for: how much of one stands in an example."""

    def __init__(self, paths: Sequence[Path], config: SharedConfig) -> None:
        from kodata.dedup import shingles
        from kodata.dedup.against import evaluation_texts

        found = evaluation_texts(list(paths), config.against_ngram)
        self.places = found.places
        self.overlap = config.against_overlap
        self.nfc = shingles.nfc
        self.index = shingles.backend().overlap_index(shingles.nfc(found.texts), config.against_ngram)

    def search(self, examples: Sequence[Sequence[Message]]) -> dict[int, tuple[float, str]]:
        """{example: (share, place)} of those that hold at least `against_overlap` of an evaluation text."""
        texts = ["\n".join(m.content for m in messages) for messages in examples]
        worst: dict[int, tuple[float, str]] = {}
        for example, field_number, found, total in self.index.search(self.nfc(texts)).tolist():
            share = found / total
            if share >= self.overlap and share > worst.get(example, (0.0, ""))[0]:
                worst[example] = (round(share, 4), self.places[field_number])
        return worst


def examples_error(sieve: Sieve, place: Place, found: Any) -> bool:
    """Drop an error that a reader gave in the place of an example; True when it was one."""
    if isinstance(found, RecordError):
        sieve.drop_error(place, found)
        return True
    return False
