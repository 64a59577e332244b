"""The last stage, a shard at a time: documents that stay go to docs/, the others with their reason to dropped/, and what is
cut out of those that stay to trimmed/."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import orjson

from kodata.dedup.arrays import open_arrays, save_arrays, strings_at
from kodata.dedup.choose import AGAINST, EXACT, KEEP, NEAR
from kodata.dedup.components import slices_of
from kodata.dedup.passages import Cut, Table, passes, trim
from kodata.dedup.plan import Plan, load_layout, load_plan
from kodata.dedup.rehydrate import FINEWEB2, repeats
from kodata.dedup.sign import words_of
from kodata.doc import Document, ShardWriter, read_lines, read_shard, write_shard
from kodata.run.files import atomic_json

REASONS = {EXACT: "exact", NEAR: "near", AGAINST: "against"}
SAMPLES = 4
EXCERPT = 240


@dataclass(slots=True)
class Decisions:
    """What happens to each document of a shard."""

    action: list[int]
    value: list[float]
    cluster: list[int]
    """Number of the cluster from 1, 0 for none."""
    copies: list[int]
    because: dict[int, str]
    """Row -> the kept id, or the place of the evaluation text."""


@dataclass(slots=True)
class Trimmed:
    """What was cut out of a shard's documents: numbers, where the passages first stood, some to look at."""

    numbers: Counter[str] = field(default_factory=Counter)
    origins: Counter[tuple[int, int]] = field(default_factory=Counter)
    """(first document, document) -> characters."""
    samples: list[dict[str, str]] = field(default_factory=list)

    def add(self, document: Document, number: int, cut: list[Cut]) -> None:
        """Count what was cut out of one document."""
        self.numbers["trimmed"] += 1
        for kind, piece, first in cut:
            self.origins[first, number] += len(piece)
            self.numbers[f"{kind}_pieces"] += 1
            self.numbers[f"{kind}_chars"] += len(piece)
        if len(self.samples) < SAMPLES:
            kind, piece, _ = max(cut, key=lambda c: len(c[1]))
            note = f"{document.source}/{document.id}"
            self.samples.append({"label": kind, "text": piece[:EXCERPT], "note": note})


def decisions_of(out: str, shard: int) -> Decisions:
    """The decisions about one shard, from all slices of clusters and the evaluation data found in it."""
    plan, layout = load_plan(out), load_layout(out)
    first, last = layout.starts[shard], layout.starts[shard + 1]
    size = int(last - first)
    action, value = np.zeros(size, np.uint8), np.zeros(size)
    cluster, copies = np.zeros(size, np.int64), np.ones(size, np.int64)
    because: dict[int, str] = {}
    bounds = slices_of(open_arrays(plan.members)["ends"])
    for part, begin in enumerate(bounds[:-1].tolist()):
        chosen = open_arrays(plan.file("chosen", part))
        some = slice(*np.searchsorted(chosen["numbers"], [first, last]).tolist())
        rows = chosen["numbers"][some] - first
        action[rows], value[rows] = chosen["action"][some], chosen["value"][some]
        cluster[rows], copies[rows] = chosen["cluster"][some], chosen["copies"][some]
        gone = chosen["action"][some] != KEEP
        kept = strings_at(chosen["kept_ids"], chosen["kept_ends"], chosen["cluster"][some][gone] - 1 - begin)
        because |= zip(rows[gone].tolist(), kept, strict=True)
    hits = words_of(open_arrays(plan.file("signed", shard)))["hits"]
    if hits:
        assert plan.against is not None
        places = orjson.loads(plan.against.read_bytes())["places"]
        for hit in hits:
            action[hit["row"]], value[hit["row"]] = AGAINST, hit["overlap"]
            because[hit["row"]] = places[hit["field"]]
    return Decisions(action.tolist(), value.tolist(), cluster.tolist(), copies.tolist(), because)


def tables_of(plan: Plan) -> list[Table]:
    """Repeated passages, pass after pass, as far as they are found."""
    return [
        Table.load(plan.table(kind), kind, least)
        for kind, least in passes(plan.config)
        if kind != "anchors" and plan.table(kind).exists()
    ]


def filter_shard(out: str, shard: int) -> None:
    """Write the shard's documents; all else is closed before docs/, so that docs/ standing there means all is whole.

    A line that has the contract's form and nothing to change is written again as it stands, and a dropped one with its reason put in.
    """
    plan, layout = load_plan(out), load_layout(out)
    config, path, start = plan.config, plan.shards[shard], int(layout.starts[shard])
    limits = {EXACT: 1.0, NEAR: config.threshold, AGAINST: config.against_overlap}
    made = decisions_of(out, shard)
    signed = open_arrays(plan.file("signed", shard))
    words = words_of(signed)
    lengths, source_of = signed["lengths"].tolist(), signed["sources"].tolist()
    tables = tables_of(plan)
    sources = [Counter[str]() for _ in words["sources"]]
    trimmed = Trimmed()
    as_is = words["plain"] and not tables and not config.rehydrate
    with ExitStack() as stack:
        docs = stack.enter_context(write_shard(plan.output("docs", shard)))

        @cache
        def beside(folder: str) -> ShardWriter:
            return stack.enter_context(
                write_shard(plan.output(folder, shard))
            )  # opened after docs: closed before

        for row, item in enumerate(islice(_items(path, words["plain"]), len(made.action))):
            action, of_source = made.action[row], sources[source_of[row]]
            of_source["in"] += 1
            of_source["chars_in"] += lengths[row]
            if action != KEEP:
                of_source[REASONS[action]] += 1
                drop = {
                    "step": "dedup",
                    "reason": REASONS[action],
                    "value": round(made.value[row], 6),
                    "limit": limits[action],
                }
                if action == AGAINST:
                    drop["evaluation"] = made.because[row]
                else:
                    drop |= {"kept": made.because[row], "cluster": made.cluster[row]}
                if isinstance(item, bytes):
                    beside("dropped").write_line(b'%b,"drop":%b}\n' % (item[:-1], orjson.dumps(drop)))
                else:
                    beside("dropped").write({**item.to_dict(), "drop": drop})
                continue
            of_source["chars_kept"] += lengths[row]
            if as_is and made.copies[row] == 1 and isinstance(item, bytes):
                docs.write_line(item + b"\n")
                of_source["kept"] += 1
                continue
            document = Document.from_dict(orjson.loads(item)) if isinstance(item, bytes) else item
            text, cut = trim(document.text, start + row, tables) if tables else (document.text, [])
            left = len(text) / max(len(document.text), 1)
            if cut and (left < config.min_left or not text):
                of_source["passages"] += 1
                reason = {"reason": "passages", "value": round(left, 6), "limit": config.min_left}
                beside("dropped").write({**document.to_dict(), "drop": {"step": "dedup", **reason}})
                continue
            if made.copies[row] > 1:  # for rehydration: how often the text stood in the corpus
                document.meta["copies"] = made.copies[row]
            if config.rehydrate:
                document.meta["repeat"] = repeats(made.copies[row], FINEWEB2[config.rehydrate])
            if cut:
                document.text = text
                trimmed.add(document, start + row, cut)
                pieces = [piece for _, piece, _ in cut]
                beside("trimmed").write({"id": document.id, "in": "docs", "n": docs.count, "cut": pieces})
            docs.write(document)
            of_source["kept"] += 1
        origins = [[first, number, chars] for (first, number), chars in sorted(trimmed.origins.items())]
        save_arrays(plan.file("written", shard), origins=np.array(origins, np.int64).reshape(-1, 3))
        facts = {
            "cut": dict(trimmed.numbers),
            "sources": dict(zip(words["sources"], map(dict, sources), strict=True)),
            "samples": trimmed.samples,
        }
        atomic_json(plan.file("written", shard, "json"), facts)


def _items(path: Path, plain: bool) -> Iterator[bytes | Document]:
    """The documents of a shard, as lines when those are in the contract's form."""
    if not plain:
        return read_shard(path)
    return (line.strip() for _, line in read_lines(path))
