"""`kodata dedup`: duplicates within and across sources removed, clusters written down, evaluation data kept out."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import orjson

from kodata.dedup import shingles
from kodata.dedup.against import evaluation_texts
from kodata.dedup.config import DedupConfig
from kodata.dedup.memory import ENTRY_BYTES, JOIN_BYTES, memory_for, sizes_for
from kodata.dedup.plan import Plan
from kodata.dedup.stages import Place, Sent, compare, find_passages, sign, write_documents
from kodata.dedup.summary import gather, lines_of, report_of, summary_of
from kodata.doc import Corpus, Document, read_records, read_shard
from kodata.pipeline.where import Cluster, ClusterConfig, Executor
from kodata.run.errors import UsageError, UserError
from kodata.run.files import atomic_open
from kodata.run.flags import DryRun, Flat, Fresh, Inputs, Limit, Output, Parameter, Workers, worker_count
from kodata.run.folder import RunFolder, open_run
from kodata.run.inputs import expand
from kodata.run.result import Result

DRY_RUN_DOCUMENTS = 200


def _not_negative(kind: Any, value: float) -> None:
    if value < 0:
        raise UsageError(f"--memory 는 0 이상입니다 (must not be negative): {value}")


Against = Annotated[
    list[Path] | None,
    Parameter(
        help="이 평가 자료가 든 문서를 버림 (remove documents that contain this evaluation data)",
        consume_multiple=True,
        negative=(),
    ),
]

Memory = Annotated[
    float,
    Parameter(
        validator=_not_negative,
        help="비교에 쓸 메모리 GB; 넘치면 파일로 나눠 비교, 결과는 같음; 0 = 이 기계의 반, 클러스터의 단위 하나 "
        "(memory for comparing; beyond it through files, with the same result; 0 = half of this machine, or a cluster's unit)",
    ),
]


def dedup(
    inputs: Inputs,
    /,
    *,
    output: Output,
    against: Against = None,
    config: Annotated[DedupConfig | None, Flat] = None,
    limit: Limit = None,
    workers: Workers = 0,
    memory: Memory = 0,
    executor: Executor = "local",
    cluster: Cluster = None,
    dry_run: DryRun = False,
    fresh: Fresh = False,
) -> Result:
    """중복과 평가 자료 누출 제거 (remove duplicates and evaluation leaks).

    Inputs are corpus folders or document files; all are compared with all. Two documents are duplicates when
    their texts are equal but for white space (exact), or share a MinHash bucket and the exact Jaccard of their
    character n-grams reaches `threshold` (near). Of each connected group one copy stays: the one of the first
    source in `priority`, then by `keep`. In the documents that stay, passages that an earlier one of them has can be cut out:
    `paragraphs`, `lines`, and with `substrings` any run of that many characters; what is cut is in `trimmed/`, a document
    of which less than `min_left` would be left goes to `dropped/` whole (also when others lost a passage in its favour). The output is a corpus folder with one shard for each input shard,
    `dropped/` with reasons, `clusters.jsonl` and, with `against`, `against.jsonl`.
    The result does not depend on `workers`, `memory`, `executor` or how many tasks run at a time; a killed run goes on where it
    was. Documents are compared in one memory when signatures and shingle sets of all would fit in `memory` (on a cluster in
    one unit's `--cluster.memory`), else in parts through files: kodata/dedup/memory.py has the rule. With `executor="slurm"` the
    command sends a stage and comes back; run again it goes on to the next. The union of edges is the command's own, 8 bytes a document.
    Raises UserError when an input is missing, unfinished or broken.
    """
    config = config or DedupConfig()
    shards = list({shard.resolve(): shard for shard in Corpus(*inputs).shards()}.values())
    evaluation = [Path(p) for p in against or []]
    units = worker_count(workers) if executor == "local" else workers
    place = Place(units, executor, cluster or ClusterConfig(), memory)
    if dry_run:
        return _preview(shards, config, limit, place)

    settings = {**asdict(config), "limit": limit, "against": len(evaluation)}
    read = [*_existing(inputs), *_existing(evaluation)]
    with open_run(output, tool="kodata", verb="dedup", config=settings, inputs=read, fresh=fresh) as run:
        work = run.path / "work"
        if run.done:
            shutil.rmtree(work, ignore_errors=True)
            return run.result()
        work.mkdir(exist_ok=True)
        fields = _write_fields(work / "against.json", evaluation, config) if evaluation else None
        plan = Plan(run.path, shards, _limits(shards, limit), config, fields)
        plan.save()
        try:
            layout = sign(plan, place)
            if not layout.total:
                raise UserError(
                    f"입력에 문서가 하나도 없습니다 (no document in the input): {', '.join(map(str, inputs))}",
                    "kodata inspect 로 입력을 보십시오 (look at the input with kodata inspect)",
                )
            compare(plan, place, layout)
            find_passages(plan, place, layout)
            write_documents(plan, place)
        except Sent as sent:
            return _sent(run, sent)
        for leftover in run.path.rglob(".*.tmp"):  # of workers that a cluster stopped
            leftover.unlink(missing_ok=True)
        findings = gather(plan, layout)
        summary = summary_of(findings)
        result = run.finish(
            summary=summary,
            report=report_of(findings, summary),
            lines=lines_of(summary, bool(evaluation)),
        )
        shutil.rmtree(work, ignore_errors=True)
        return result


def _sent(run: RunFolder, sent: Sent) -> Result:
    """The result of a run whose units are on their way through Slurm."""
    return run.suspend(
        summary={"job": sent.job, "stage": sent.stage, "units": sent.units, "units_done": sent.done},
        lines=[
            f"Slurm 작업 (job) {sent.job}: 단계 (stage) {sent.stage}, {sent.done:,} / {sent.units:,} 끝남 (done)",
            f"스크립트 (script): {run.path / 'work' / 'slurm' / 'launch_script.slurm'}",
            "작업이 끝나면 같은 명령을 다시 실행해 다음 단계로 (run the same command again for the next stage)",
        ],
    )


def _existing(inputs: Sequence[str | Path]) -> list[Path]:
    """The inputs as paths that exist: a glob becomes its files, a folder stays one input."""
    return [path for item in inputs for path in ([Path(item)] if Path(item).exists() else expand([item]))]


def _write_fields(path: Path, evaluation: list[Path], config: DedupConfig) -> Path:
    """The evaluation texts in one file that every worker reads."""
    found = evaluation_texts(evaluation, config.against_ngram)
    with atomic_open(path, "wb") as out:
        out.write(orjson.dumps({"texts": found.texts, "places": found.places}))
    return path


def _limits(shards: list[Path], limit: int | None) -> list[int | None]:
    """How many documents to take of each shard so that the first `limit` of all are taken."""
    if limit is None:
        return [None] * len(shards)
    limits: list[int | None] = []
    left = limit
    for shard in shards:
        taken = sum(1 for _ in islice(read_records(shard), left))
        limits.append(taken)
        left -= taken
    return limits


def _preview(shards: list[Path], config: DedupConfig, limit: int | None, place: Place) -> Result:
    """`--dry-run`: sign the first documents and say how long, how large and in how many parts the whole would be."""
    documents = list(islice(read_shard(shards[0]), min(limit or DRY_RUN_DOCUMENTS, DRY_RUN_DOCUMENTS)))
    if not documents:
        raise UserError("첫 파일에 문서가 없습니다 (the first file holds no document)", file=shards[0])
    start = time.perf_counter()
    texts = [document.text for document in documents]
    _, _, lengths = shingles.signatures(texts, config.ngram)
    seconds = time.perf_counter() - start
    size = sum(shard.stat().st_size for shard in shards)
    count = max(len(documents), round(size / _bytes_of(documents, shards[0]) * len(documents)))
    count = min(count, limit) if limit else count
    characters = round(count * int(lengths.sum()) / len(documents))
    memory, units = memory_for(place.memory, place.executor, place.cluster, place.workers)
    need = sizes_for(count, characters, config, memory, units)
    bands, rows = shingles.lsh_shape(config.threshold)
    facts = {
        "shards": len(shards),
        "input_bytes": size,
        "documents": count,
        "bands": bands,
        "rows": rows,
        "characters_per_second": round(sum(map(len, texts)) / max(seconds, 1e-9)),
        "memory_needed": need.needed,
        "memory": memory,
        "parts": need.parts,
        "unit_memory": need.unit,
        "join_memory": count * JOIN_BYTES,
    }
    way = (
        f"한 메모리에서 (in one memory): {need.needed / 1e9:,.2f} GB ≤ {memory / 1e9:,.2f} GB"
        if need.parts == 1
        else f"파일로 나눠 {need.parts:,} 부분 (through files, in parts): {need.needed / 1e9:,.2f} GB > {memory / 1e9:,.2f} GB, "
        f"작업마다 (a task) {need.unit / 1e9:,.2f} GB, 디스크 (disk) {count * bands * ENTRY_BYTES / 3e9:,.1f} GB, "
        f"묶음 잇기 (joining) {count * JOIN_BYTES / 1e9:,.2f} GB"
    )
    lines = [
        "시험 실행: 아무것도 쓰지 않았습니다 (dry run, nothing written)",
        f"파일 {len(shards):,}개, {size / 1e6:,.1f} MB, 문서 약 {count:,} (files, documents estimated)",
        f"서명 {facts['characters_per_second'] / 1e6:,.1f} M자/초 (signatures, characters a second and core)",
        f"MinHash {bands} × {rows}, 자카드 (Jaccard) ≥ {config.threshold}",
        f"비교 (comparing) {way}",
    ]
    return Result(path=None, summary=facts, lines=lines)


def _bytes_of(documents: list[Document], shard: Path) -> int:
    """About what these documents take in a shard of this form."""
    data = b"".join(
        orjson.dumps(document.to_dict(), option=orjson.OPT_APPEND_NEWLINE) for document in documents
    )
    if shard.name.endswith((".zst", ".gz", ".parquet")):
        import zstandard

        return len(zstandard.ZstdCompressor(level=3).compress(data))
    return len(data)
