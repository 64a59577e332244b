"""Stage 3, a shard at a time: documents that stay go to docs/, the others with their reason to dropped/."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import orjson

from kodata.dedup.cluster import AGAINST, EXACT, KEEP, NEAR
from kodata.dedup.rehydrate import FINEWEB2, repeats
from kodata.doc import read_shard, write_shard

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


def filter_shard(task: FilterTask) -> int:
    """Write the shard's documents; the dropped ones first, so that docs/ standing there means both are whole."""
    with np.load(task.decisions, allow_pickle=False) as data:
        action, value, cluster = data["action"].tolist(), data["value"].tolist(), data["cluster"].tolist()
        copies = data["copies"].tolist()
        because: dict[str, str] = orjson.loads(data["because"].tobytes())
    with ExitStack() as stack:
        docs = stack.enter_context(write_shard(task.docs))  # closed last
        dropped = stack.enter_context(write_shard(task.dropped)) if any(action) else None
        for row, document in enumerate(islice(read_shard(task.shard), len(action))):
            if action[row] == KEEP:
                if copies[row] > 1:  # for rehydration: how often the text stood in the corpus
                    document.meta["copies"] = copies[row]
                if task.rehydrate:
                    document.meta["repeat"] = repeats(copies[row], FINEWEB2[task.rehydrate])
                docs.write(document)
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
            assert dropped is not None
            dropped.write({**document.to_dict(), "drop": drop})
    return action.count(KEEP)
