"""The three stages as resumable files in the run folder: each result is written whole, and found again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from kodata.dedup import shingles
from kodata.dedup.cluster import AGAINST, EXACT, KEEP, NEAR, Catalogue, Outcome, catalogue, decide
from kodata.dedup.config import DedupConfig
from kodata.dedup.filter import FilterTask, filter_shard
from kodata.dedup.parallel import run_tasks
from kodata.dedup.reference import I64, U32, U64
from kodata.dedup.sign import SignTask, batches, load_signed, sign_shard
from kodata.doc import read_shard
from kodata.run.files import atomic_open
from kodata.run.progress import progress


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the stages need to know; the same plan gives the same files."""

    shards: list[Path]
    limits: list[int | None]
    """Documents to take of each shard, None for all."""
    out: Path
    config: DedupConfig
    against: Path | None
    """File of evaluation texts: {"texts", "places"}."""
    workers: int

    @property
    def work(self) -> Path:
        """Stage results, removed when the run is done."""
        return self.out / "work"

    def signed(self, index: int) -> Path:
        """Stage 1's file of one shard."""
        return self.work / f"signed-{index:05d}.npz"

    def sets(self, index: int) -> Path:
        """Shingle sets of one shard's candidates."""
        return self.work / f"sets-{index:05d}.npz"

    def decisions(self, index: int) -> Path:
        """Stage 2's file of one shard."""
        return self.work / f"decisions-{index:05d}.npz"

    def docs(self, index: int) -> Path:
        """Stage 3's output of one shard."""
        return self.out / "docs" / f"{index:05d}.jsonl.zst"

    def dropped(self, index: int) -> Path:
        """Where stage 3 puts what it removed of one shard."""
        return self.out / "dropped" / f"{index:05d}.jsonl.zst"


def sign(plan: Plan) -> None:
    """Stage 1 for every shard that has no result yet."""
    config = plan.config
    tasks = [
        SignTask(
            shard,
            plan.signed(i),
            limit,
            config.ngram,
            plan.against,
            config.against_ngram,
            config.against_overlap,
        )
        for i, (shard, limit) in enumerate(zip(plan.shards, plan.limits, strict=True))
        if not plan.signed(i).exists()
    ]
    done = len(plan.shards) - len(tasks)
    with progress("서명 (signatures)", total=len(plan.shards), unit="파일", done=done) as bar:
        documents = 0
        for count, chars in run_tasks(sign_shard, tasks, plan.workers):
            documents += count
            bar.advance(1, bytes=chars * 3, 문서=f"{documents:,}")  # a Hangul syllable is three bytes


@dataclass(frozen=True, slots=True)
class SetsTask:
    """The documents of one shard whose shingle sets are needed."""

    shard: Path
    out: Path
    rows: tuple[int, ...]
    ngram: int


def write_sets(task: SetsTask) -> int:
    """Shingle sets of the task's rows, in order, into `task.out`."""
    wanted = set(task.rows)
    last = max(task.rows, default=-1)
    picked = (d for row, d in enumerate(islice(read_shard(task.shard), last + 1)) if row in wanted)
    values: list[U64] = [np.zeros(0, np.uint64)]
    sizes: list[I64] = [np.zeros(0, np.int64)]
    for batch in batches(picked, len(wanted)):
        part, offsets = shingles.shingle_sets([document.text for document in batch], task.ngram)
        values.append(part)
        sizes.append(np.diff(offsets))
    with atomic_open(task.out, "wb") as out:
        np.savez(out, values=np.concatenate(values), sizes=np.concatenate(sizes))
    return len(wanted)


def find(plan: Plan) -> tuple[Catalogue, Outcome]:
    """Stage 2: clusters over all shards (recomputed on resume; only the shingle sets are files)."""
    whole = catalogue(load_signed(plan.signed(i)) for i in range(len(plan.shards)))

    def by_shard(documents: I64) -> Iterator[tuple[int, I64]]:
        cuts = np.searchsorted(documents, whole.starts)
        for i in range(len(plan.shards)):
            yield i, documents[cuts[i] : cuts[i + 1]] - whole.starts[i]

    def minima_of(documents: I64) -> U32:
        out = np.empty((len(documents), shingles.PERMUTATIONS), np.uint32)
        at = 0
        for i, rows in by_shard(documents):
            with np.load(plan.signed(i), allow_pickle=False) as data:
                out[at : at + len(rows)] = data["minima"][rows]
            at += len(rows)
        return out

    def sets_of(documents: I64) -> tuple[U64, I64]:
        tasks = [
            SetsTask(plan.shards[i], plan.sets(i), tuple(rows.tolist()), plan.config.ngram)
            for i, rows in by_shard(documents)
            if not plan.sets(i).exists()
        ]
        with progress("후보 확인 (candidates)", total=len(documents), unit="문서") as bar:
            for count in run_tasks(write_sets, tasks, plan.workers):
                bar.advance(count)
        parts, sizes = [], []
        for i in range(len(plan.shards)):
            with np.load(plan.sets(i), allow_pickle=False) as data:
                parts.append(data["values"])
                sizes.append(data["sizes"])
        offsets = np.zeros(len(documents) + 1, np.int64)
        np.cumsum(np.concatenate(sizes), out=offsets[1:])
        return np.concatenate(parts), offsets

    return whole, decide(whole, minima_of, sets_of, plan.config)


def write_decisions(plan: Plan, whole: Catalogue, outcome: Outcome) -> None:
    """Per shard what stage 3 needs, and the clusters and evaluation hits for people."""
    places = orjson.loads(plan.against.read_bytes())["places"] if plan.against else []
    because: dict[int, str] = {n: places[hit["field"]] for n, hit in whole.hits.items()}
    copies = np.ones(len(whole.ids), np.int64)
    for cluster in outcome.clusters:
        copies[cluster.kept] = sum(whole.copies[n] for n in cluster.members)
        because |= dict.fromkeys(cluster.members[1:], whole.ids[cluster.kept])
    for i in range(len(plan.shards)):
        first, last = int(whole.starts[i]), int(whole.starts[i + 1])
        words = {str(n - first): because[n] for n in range(first, last) if outcome.action[n] != KEEP}
        with atomic_open(plan.decisions(i), "wb") as out:
            np.savez(
                out,
                action=outcome.action[first:last],
                value=outcome.value[first:last],
                cluster=outcome.cluster[first:last],
                copies=copies[first:last],
                because=np.frombuffer(orjson.dumps(words), np.uint8),
            )
    with atomic_open(plan.out / "clusters.jsonl", "wb") as out:
        for index, cluster in enumerate(outcome.clusters, 1):
            out.write(
                orjson.dumps(_cluster_record(plan, whole, index, cluster), option=orjson.OPT_APPEND_NEWLINE)
            )
    if plan.against:
        with atomic_open(plan.out / "against.jsonl", "wb") as out:
            for number, hit in sorted(whole.hits.items()):
                record = {
                    "id": whole.ids[number],
                    "source": whole.sources[number],
                    "evaluation": places[hit["field"]],
                    "overlap": round(hit["overlap"], 6),
                }
                out.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


def _cluster_record(plan: Plan, whole: Catalogue, index: int, cluster: Any) -> dict[str, Any]:
    members = []
    for number, value, exact in zip(cluster.members, cluster.jaccards, cluster.exact, strict=True):
        shard = int(np.searchsorted(whole.starts, number, side="right")) - 1
        members.append(
            {
                "id": whole.ids[number],
                "source": whole.sources[number],
                "shard": plan.shards[shard].name,
                "row": number - int(whole.starts[shard]),
                "chars": int(whole.lengths[number]),
                "jaccard": round(value, 6),
                "exact": exact,
            }
        )
    return {"cluster": index, "size": len(members), "kept": whole.ids[cluster.kept], "members": members}


def write_documents(plan: Plan) -> None:
    """Stage 3 for every shard whose documents are not there yet."""
    limits = {EXACT: 1.0, NEAR: plan.config.threshold, AGAINST: plan.config.against_overlap}
    tasks = [
        FilterTask(shard, plan.decisions(i), plan.docs(i), plan.dropped(i), limits, plan.config.rehydrate)
        for i, shard in enumerate(plan.shards)
        if not plan.docs(i).exists()
    ]
    with progress(
        "쓰기 (writing)", total=len(plan.shards), unit="파일", done=len(plan.shards) - len(tasks)
    ) as bar:
        for kept in run_tasks(filter_shard, tasks, plan.workers):
            bar.advance(1, 남김=f"{kept:,}")
