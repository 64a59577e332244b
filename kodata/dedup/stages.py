"""The stages of a run, in order, each done where the plan says and found again when the run goes on.

Every result is a file that is whole or not there. A stage is a function of (run folder, number) over shards, parts or slices; the
same numbers run here, as a Slurm array or on Ray. What fits in one memory (one part) the command does itself between
the stages over shards; with more parts those are units too, and only the union of edges is the command's.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from kodata.dedup.arrays import open_arrays, strings_at
from kodata.dedup.choose import KEEP, choose_copies
from kodata.dedup.components import join_parts, slices_of
from kodata.dedup.filter import decisions_of, filter_shard, tables_of
from kodata.dedup.memory import memory_for, sizes_for
from kodata.dedup.near import find_buckets, find_edges, write_entries, write_sets
from kodata.dedup.parallel import run_tasks
from kodata.dedup.passages import Kind, keys_of, merge_keys, passes, trim, write_keys
from kodata.dedup.plan import Layout, Plan, load_layout, load_plan
from kodata.dedup.reference import U64
from kodata.dedup.sign import sign_shard, words_of
from kodata.dedup.texts import find_equal
from kodata.doc import read_shard
from kodata.pipeline.where import ClusterConfig, ExecutorName
from kodata.run.files import atomic_json, atomic_open
from kodata.run.progress import progress


@dataclass(frozen=True, slots=True)
class Place:
    """Where units run, and with how much memory; nothing here changes an output."""

    workers: int
    """Processes here, or units at a time on a cluster (0 = no limit there)."""
    executor: ExecutorName = "local"
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    memory: float = 0.0
    """GB, 0 = half of this machine, or one unit of the cluster."""


class Sent(Exception):
    """A stage's units are on their way through Slurm: the job, and how many of how many units are done."""

    def __init__(self, job: str, stage: str, done: int, units: int):
        super().__init__(job)
        self.job, self.stage, self.done, self.units = job, stage, done, units


def run_stage(
    plan: Plan,
    place: Place,
    label: str,
    name: str,
    work: Callable[[str, int], object],
    files: list[Path],
) -> None:
    """Do unit i of every file i that is not there, where `place` says. Raises Sent when Slurm has them."""
    todo = [i for i, file in enumerate(files) if not file.exists()]
    with progress(label, total=len(files), unit="파일", done=len(files) - len(todo)) as bar:
        unit = partial(work, str(plan.out))
        if place.executor == "local":
            for _ in run_tasks(unit, todo, place.workers):
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
            TaskStep(unit, range(len(files))),
            name=f"kodata-{name}",
            folder=plan.out,
            tasks=len(files),
            done=lambda i: files[i].exists(),
            executor=place.executor,
            workers=place.workers,
            cluster=place.cluster,
            watch=watch,
        )
        if job is not None:
            raise Sent(job, name, sum(file.exists() for file in files), len(files))


def sign(plan: Plan, place: Place) -> Layout:
    """Stage 1 over all shards; then the numbers of the documents and how they will be compared, which a resumed run keeps."""
    shards = range(len(plan.shards))
    run_stage(plan, place, "서명 (signatures)", "sign", sign_shard, [plan.file("signed", i) for i in shards])
    if not (plan.out / "work" / "layout.json").exists():
        counts, characters = [0], 0
        seen: Counter[str] = Counter()
        for i in shards:
            signed = open_arrays(plan.file("signed", i))
            counts.append(len(signed["lengths"]))
            characters += int(signed["lengths"].sum())
            seen.update(words_of(signed)["sources"])
        spread = sorted(source for source, n in seen.items() if n > 1)
        atomic_json(plan.out / "work" / "sources.json", {"spread": spread})
        given = memory_for(place.memory, place.executor, place.cluster, place.workers)
        sizes = sizes_for(sum(counts), characters, plan.config, *given)
        Layout(np.cumsum(counts), sizes.parts, sizes.text_parts, sizes.unit).save(plan.out)
    return load_layout(str(plan.out))


def compare(plan: Plan, place: Place, layout: Layout) -> None:
    """Stages 2 to 8: clusters, and what becomes of every document in one."""
    shards, parts = range(len(plan.shards)), range(layout.parts)
    mine = (
        place
        if layout.parts > 1 or place.executor == "local"
        else replace(place, executor="local", workers=1)
    )

    def files(stage: str, numbers: range) -> list[Path]:
        return [plan.file(stage, i) for i in numbers]

    texts = files("texts", range(layout.text_parts))
    run_stage(plan, mine, "같은 글 (equal texts)", "texts", find_equal, texts)
    if plan.config.near:
        buckets = files("buckets", parts)
        if layout.parts > 1 and not all(file.exists() for file in buckets):
            entries = [plan.file("entries", i, "json") for i in shards]
            run_stage(plan, place, "버킷 항목 (entries)", "entries", write_entries, entries)
        run_stage(plan, mine, "버킷 (buckets)", "buckets", find_buckets, buckets)
        shutil.rmtree(plan.out / "work" / "entries", ignore_errors=True)
        run_stage(plan, place, "후보 (candidates)", "sets", write_sets, files("sets", shards))
        run_stage(
            plan,
            mine,
            "확인 (verifying)",
            "verify",
            find_edges,
            [plan.file("edges", i, "json") for i in parts],
        )
    if not plan.members.exists():
        join_parts(plan, layout)
    slices = range(slice_count(plan))
    chosen = [plan.file("chosen", i, "json") for i in slices]
    run_stage(plan, mine, "묶음 (clusters)", "choose", choose_copies, chosen)
    with atomic_open(plan.out / "clusters.jsonl", "wb") as out:
        for i in slices:
            with open(plan.file("chosen", i, "jsonl"), "rb") as part:
                shutil.copyfileobj(part, out)
    if plan.against:
        _write_hits(plan)


def slice_count(plan: Plan) -> int:
    """Slices of the clusters."""
    return len(slices_of(open_arrays(plan.members)["ends"])) - 1


def _write_hits(plan: Plan) -> None:
    """against.jsonl: every document that holds evaluation data."""
    assert plan.against is not None
    places = orjson.loads(plan.against.read_bytes())["places"]
    with atomic_open(plan.out / "against.jsonl", "wb") as out:
        for shard in range(len(plan.shards)):
            for hit in hits_of(plan, shard):
                record = {
                    "id": hit["id"],
                    "source": hit["source"],
                    "evaluation": places[hit["field"]],
                    "overlap": round(hit["overlap"], 6),
                }
                out.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


def hits_of(plan: Plan, shard: int) -> Iterator[dict[str, Any]]:
    """{"id", "source", "field", "overlap"} of each document of a shard that holds evaluation data, in order."""
    signed = open_arrays(plan.file("signed", shard))
    words = words_of(signed)
    rows = np.array([hit["row"] for hit in words["hits"]], np.int64)
    ids = strings_at(signed["ids"], signed["id_ends"], rows)
    for hit, identity, source in zip(words["hits"], ids, signed["sources"][rows].tolist(), strict=True):
        yield {
            "id": identity,
            "source": words["sources"][source],
            "field": hit["field"],
            "overlap": hit["overlap"],
        }


def write_passage_keys(kind: Kind, least: int, out: str, shard: int) -> None:
    """Keys of the passages of one shard's kept documents, on what the passes before left."""
    plan, layout = load_plan(out), load_layout(out)
    action = decisions_of(out, shard).action
    tables = tables_of(plan)
    anchors = np.load(plan.table("anchors"), allow_pickle=False)["key"] if kind == "substrings" else None
    start = int(layout.starts[shard])

    def keys() -> Iterator[tuple[int, U64]]:
        for row, document in enumerate(islice(read_shard(plan.shards[shard]), len(action))):
            if action[row] == KEEP:
                text, _ = trim(document.text, start + row, tables)
                yield row, keys_of(text, kind, least, anchors)

    write_keys(plan.file(kind, shard, "npy"), keys())


def find_passages(plan: Plan, place: Place, layout: Layout) -> None:
    """The tables of repeated passages, pass after pass, when any was asked for."""
    for kind, least in passes(plan.config):
        files = [plan.file(kind, i, "npy") for i in range(len(plan.shards))]
        if not plan.table(kind).exists():
            run_stage(plan, place, kind, kind, partial(write_passage_keys, kind, least), files)
            merge_keys(plan.table(kind), files, layout.starts)
        for file in files:
            file.unlink(missing_ok=True)


def write_documents(plan: Plan, place: Place) -> None:
    """The last stage, for every shard whose documents are not there yet."""
    files = [plan.output("docs", i) for i in range(len(plan.shards))]
    run_stage(plan, place, "쓰기 (writing)", "write", filter_shard, files)
