"""The last stage, a shard at a time: documents that stay go to docs/, the others with their reason to dropped/, and what is
cut out of those that stay to trimmed/."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import orjson

from kodata.dedup.cluster import AGAINST, EXACT, KEEP, NEAR
from kodata.dedup.passages import Kind, Table, trim
from kodata.dedup.rehydrate import FINEWEB2, repeats
from kodata.doc import ShardWriter, read_shard, write_shard
from kodata.run.files import atomic_json, atomic_open

REASONS = {EXACT: "exact", NEAR: "near", AGAINST: "against"}


@dataclass(frozen=True, slots=True)
class FilterTask:
    """One shard to write: its source, its decisions, its two outputs and the limits that go into the reasons."""

    shard: Path
    decisions: Path
    docs: Path
    dropped: Path
    limits: dict[int, float]
    rehydrate: int = 0
    """Most repeats of the table for meta.repeat, 0 for none."""
    first: int = 0
    """Number of the shard's first document among all."""
    tables: tuple[tuple[Path, Kind, int], ...] = ()
    """Repeated passages, pass after pass: (table, kind, least characters)."""
    min_left: float = 0.0
    """Share of the text that must be left when passages are cut."""
    trimmed: Path | None = None
    cut: Path | None = None
    """Where the numbers of what was cut go."""
    origins: Path | None = None
    """Where (first document, document, characters cut) go."""


SAMPLES = 4
EXCERPT = 240


def filter_shard(task: FilterTask) -> int:
    """Write the shard's documents; all else is closed before docs/, so that docs/ standing there means all is whole."""
    with np.load(task.decisions, allow_pickle=False) as data:
        action, value, cluster = data["action"].tolist(), data["value"].tolist(), data["cluster"].tolist()
        copies = data["copies"].tolist()
        because: dict[str, str] = orjson.loads(data["because"].tobytes())
    tables = [Table.load(*given) for given in task.tables]
    numbers: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    origins: Counter[tuple[int, int]] = Counter()
    shown: list[dict[str, str]] = []
    with ExitStack() as stack:
        docs = stack.enter_context(write_shard(task.docs))

        @cache
        def beside(path: Path) -> ShardWriter:
            return stack.enter_context(write_shard(path))  # opened after docs: closed before

        for row, document in enumerate(islice(read_shard(task.shard), len(action))):
            if action[row] == KEEP:
                text, cut = trim(document.text, task.first + row, tables) if tables else (document.text, [])
                left = len(text) / max(len(document.text), 1)
                if cut and (left < task.min_left or not text):
                    numbers["dropped"] += 1
                    sources[document.source or task.shard.name] += 1
                    reason = {"reason": "passages", "value": round(left, 6), "limit": task.min_left}
                    beside(task.dropped).write({**document.to_dict(), "drop": {"step": "dedup", **reason}})
                    continue
                if copies[row] > 1:  # for rehydration: how often the text stood in the corpus
                    document.meta["copies"] = copies[row]
                if task.rehydrate:
                    document.meta["repeat"] = repeats(copies[row], FINEWEB2[task.rehydrate])
                if cut:
                    document.text = text
                    numbers["trimmed"] += 1
                    for kind, piece, first in cut:
                        origins[first, task.first + row] += len(piece)
                        numbers[f"{kind}_pieces"] += 1
                        numbers[f"{kind}_chars"] += len(piece)
                    if len(shown) < SAMPLES:
                        kind, piece, _ = max(cut, key=lambda c: len(c[1]))
                        place = f"{document.source}/{document.id}"
                        shown.append({"label": kind, "text": piece[:EXCERPT], "note": place})
                    assert task.trimmed is not None
                    pieces = [piece for _, piece, _ in cut]
                    beside(task.trimmed).write(
                        {"id": document.id, "in": "docs", "n": docs.count, "cut": pieces}
                    )
                docs.write(document)
                numbers["kept"] += 1
                continue
            drop = {
                "step": "dedup",
                "reason": REASONS[action[row]],
                "value": round(value[row], 6),
                "limit": task.limits[action[row]],
            }
            if action[row] == AGAINST:
                drop["evaluation"] = because[str(row)]
            else:
                drop |= {"kept": because[str(row)], "cluster": cluster[row]}
            beside(task.dropped).write({**document.to_dict(), "drop": drop})
        if task.origins is not None:
            rows = [[first, number, chars] for (first, number), chars in sorted(origins.items())]
            with atomic_open(task.origins, "wb") as out:
                np.save(out, np.array(rows, np.int64).reshape(-1, 3), allow_pickle=False)
        if task.cut is not None:
            atomic_json(task.cut, {"numbers": dict(numbers), "dropped_of": dict(sources), "samples": shown})
    return numbers["kept"]
