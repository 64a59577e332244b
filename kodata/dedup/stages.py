"""The stages as resumable files in the run folder: each result is written whole, and found again.

Per shard, here or on a cluster: signatures; shingle sets of candidates; keys of passages; documents. In one task, the command's:
clusters, and the merge of passage keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
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
from kodata.dedup.passages import Kind, Table, keys_of, merge_keys, passes, trim, write_keys
from kodata.dedup.reference import I64, U32, U64
from kodata.dedup.sign import SignTask, batches, load_signed, sign_shard
from kodata.doc import read_shard
from kodata.pipeline.where import ClusterConfig, ExecutorName
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
    """Processes here, or units at a time on a cluster (0 = no limit there)."""
    executor: ExecutorName = "local"
    cluster: ClusterConfig = field(default_factory=ClusterConfig)

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

    def rows(self, index: int) -> Path:
        """Which of one shard's documents are candidates."""
        return self.work / f"rows-{index:05d}.npy"

    def keys(self, index: int, kind: Kind) -> Path:
        """Keys of one shard's passages."""
        return self.work / f"{kind}-{index:05d}.npy"

    def table(self, kind: Kind) -> Path:
        """Keys of passages that several documents have."""
        return self.work / f"{kind}.npy"

    def trimmed(self, index: int) -> Path:
        """What was cut out of one shard's documents."""
        return self.out / "trimmed" / f"{index:05d}.jsonl.zst"

    def cut(self, index: int) -> Path:
        """Numbers of what was cut out of one shard."""
        return self.work / f"cut-{index:05d}.json"

    def origins(self, index: int) -> Path:
        """Which documents one shard's cut passages first stood in."""
        return self.work / f"origins-{index:05d}.npy"

    def decisions(self, index: int) -> Path:
        """Stage 2's file of one shard."""
        return self.work / f"decisions-{index:05d}.npz"

    def docs(self, index: int) -> Path:
        """Stage 3's output of one shard."""
        return self.out / "docs" / f"{index:05d}.jsonl.zst"

    def dropped(self, index: int) -> Path:
        """Where stage 3 puts what it removed of one shard."""
        return self.out / "dropped" / f"{index:05d}.jsonl.zst"


class Sent(Exception):
    """A stage's units are on their way through Slurm: the job, and how many of how many units are done."""

    def __init__(self, job: str, stage: str, done: int, units: int):
        super().__init__(job)
        self.job, self.stage, self.done, self.units = job, stage, done, units


def run_stage(
    plan: Plan,
    label: str,
    name: str,
    work: Callable[[Any], Any],
    tasks: Sequence[Any],
    files: Sequence[Path],
) -> None:
    """Do task i of every shard whose file is not there, where the plan says. Raises Sent when Slurm has them."""
    todo = [i for i, file in enumerate(files) if not file.exists()]
    with progress(label, total=len(files), unit="파일", done=len(files) - len(todo)) as bar:
        if plan.executor == "local":
            for _ in run_tasks(work, [tasks[i] for i in todo], plan.workers):
                bar.advance(1)
            return
        if not todo:
            return
        from kodata.pipeline.executor import run_units
        from kodata.pipeline.stage import TaskStep

        state = [len(files) - len(todo)]

        def watch() -> None:
            now = sum(file.exists() for file in files)
            bar.advance(now - state[0])
            state[0] = now

        job = run_units(
            TaskStep(work, tasks),
            name=f"kodata-{name}",
            folder=plan.out,
            tasks=len(files),
            done=lambda i: files[i].exists(),
            executor=plan.executor,
            workers=plan.workers,
            cluster=plan.cluster,
            watch=watch,
        )
        if job is not None:
            raise Sent(job, name, sum(file.exists() for file in files), len(files))


def sign(plan: Plan) -> None:
    """Stage 1 for every shard that has no result yet."""
    config = plan.config
    settings = (config.ngram, plan.against, config.against_ngram, config.against_overlap)
    tasks = [
        SignTask(shard, plan.signed(i), limit, *settings)
        for i, (shard, limit) in enumerate(zip(plan.shards, plan.limits, strict=True))
    ]
    run_stage(plan, "서명 (signatures)", "sign", sign_shard, tasks, [task.out for task in tasks])


@dataclass(frozen=True, slots=True)
class SetsTask:
    """The documents of one shard whose shingle sets are needed."""

    shard: Path
    out: Path
    rows: Path
    ngram: int


def write_sets(task: SetsTask) -> int:
    """Shingle sets of the task's rows, in order, into `task.out`."""
    wanted = set(np.load(task.rows, allow_pickle=False).tolist())
    last = max(wanted, default=-1)
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
        tasks = []
        for i, rows in by_shard(documents):
            with atomic_open(plan.rows(i), "wb") as out:
                np.save(out, rows, allow_pickle=False)
            tasks.append(SetsTask(plan.shards[i], plan.sets(i), plan.rows(i), plan.config.ngram))
        run_stage(plan, "후보 (candidates)", "sets", write_sets, tasks, [task.out for task in tasks])
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


@dataclass(frozen=True, slots=True)
class KeysTask:
    """The passages of one shard's kept documents, after the passes before."""

    shard: Path
    decisions: Path
    out: Path
    first: int
    """Number of the shard's first document."""
    kind: Kind
    least: int
    before: tuple[tuple[Path, Kind, int], ...]
    """Tables of the passes before."""
    anchors: Path | None


def write_passage_keys(task: KeysTask) -> int:
    """Keys of one shard in one pass; how many."""
    with np.load(task.decisions, allow_pickle=False) as data:
        action = data["action"].tolist()
    tables = [Table.load(*given) for given in task.before]
    anchors = np.load(task.anchors, allow_pickle=False)["key"] if task.anchors else None

    def keys() -> Iterator[tuple[int, U64]]:
        for row, document in enumerate(islice(read_shard(task.shard), len(action))):
            if action[row] == KEEP:
                text, _ = trim(document.text, task.first + row, tables)
                yield row, keys_of(text, task.kind, task.least, anchors)

    return write_keys(task.out, keys())


def find_passages(plan: Plan, starts: I64) -> tuple[tuple[Path, Kind, int], ...]:
    """The tables of repeated passages (path, kind, least), pass after pass; empty when none was asked for."""
    tables: list[tuple[Path, Kind, int]] = []
    for kind, least in passes(plan.config):
        anchors = plan.table("anchors") if kind == "substrings" else None
        files = [plan.keys(i, kind) for i in range(len(plan.shards))]
        if not plan.table(kind).exists():
            tasks = [
                KeysTask(
                    shard, plan.decisions(i), files[i], int(starts[i]), kind, least, tuple(tables), anchors
                )
                for i, shard in enumerate(plan.shards)
            ]
            run_stage(plan, f"{kind}", kind, write_passage_keys, tasks, files)
            merge_keys(plan.table(kind), files, starts)
        for file in files:
            file.unlink(missing_ok=True)
        if kind != "anchors":
            tables.append((plan.table(kind), kind, least))
    return tuple(tables)


def write_documents(plan: Plan, starts: I64, tables: tuple[tuple[Path, Kind, int], ...] = ()) -> None:
    """The last stage, for every shard whose documents are not there yet."""
    limits = {EXACT: 1.0, NEAR: plan.config.threshold, AGAINST: plan.config.against_overlap}
    tasks = [
        FilterTask(
            shard,
            plan.decisions(i),
            plan.docs(i),
            plan.dropped(i),
            limits,
            plan.config.rehydrate,
            int(starts[i]),
            tables,
            plan.config.min_left,
            plan.trimmed(i),
            plan.cut(i),
            plan.origins(i),
        )
        for i, shard in enumerate(plan.shards)
    ]
    files = [task.docs for task in tasks]
    run_stage(plan, "쓰기 (writing)", "write", filter_shard, tasks, files)
