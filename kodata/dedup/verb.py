"""`kodata dedup`: duplicates within and across sources removed, clusters written down, evaluation data kept out."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated

import orjson

from kodata.dedup import shingles
from kodata.dedup.against import evaluation_texts
from kodata.dedup.config import DedupConfig
from kodata.dedup.stages import Plan, Sent, find, find_passages, sign, write_decisions, write_documents
from kodata.dedup.summary import lines_of, report_of, summary_of
from kodata.doc import Corpus, read_records, read_shard
from kodata.pipeline.where import Cluster, ClusterConfig, Executor
from kodata.run.errors import UserError
from kodata.run.files import atomic_open
from kodata.run.flags import DryRun, Flat, Fresh, Inputs, Limit, Output, Parameter, Workers, worker_count
from kodata.run.folder import RunFolder, open_run
from kodata.run.inputs import expand
from kodata.run.result import Result

DRY_RUN_DOCUMENTS = 200

Against = Annotated[
    list[Path] | None,
    Parameter(
        help="이 평가 자료가 든 문서를 버림 (remove documents that contain this evaluation data)",
        consume_multiple=True,
        negative=(),
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
    The result does not depend on `workers`, `executor` or how many tasks run at a time; a killed run goes on where it was. With
    `executor="slurm"` the command sends a stage and comes back; run again it goes on to the next. Clusters and merges
    are one task, done by the command.
    Raises UserError when an input is missing, unfinished or broken.
    """
    config = config or DedupConfig()
    shards = list({shard.resolve(): shard for shard in Corpus(*inputs).shards()}.values())
    evaluation = [Path(p) for p in against or []]
    if dry_run:
        return _preview(shards, config, limit)

    settings = {**asdict(config), "limit": limit, "against": len(evaluation)}
    read = [*_existing(inputs), *_existing(evaluation)]
    with open_run(output, tool="kodata", verb="dedup", config=settings, inputs=read, fresh=fresh) as run:
        work = run.path / "work"
        if run.done:
            shutil.rmtree(work, ignore_errors=True)
            return run.result()
        work.mkdir(exist_ok=True)
        fields = _write_fields(work / "against.json", evaluation, config) if evaluation else None
        units = worker_count(workers) if executor == "local" else workers
        limits = _limits(shards, limit)
        plan = Plan(shards, limits, run.path, config, fields, units, executor, cluster or ClusterConfig())
        try:
            sign(plan)
            whole, outcome = find(plan)
            if not whole.ids:
                raise UserError(
                    f"입력에 문서가 하나도 없습니다 (no document in the input): {', '.join(map(str, inputs))}",
                    "kodata inspect 로 입력을 보십시오 (look at the input with kodata inspect)",
                )
            write_decisions(plan, whole, outcome)
            write_documents(plan, whole.starts, find_passages(plan, whole.starts))
        except Sent as sent:
            return _sent(run, sent)
        for leftover in run.path.rglob(".*.tmp"):  # of workers that a cluster stopped
            leftover.unlink(missing_ok=True)
        summary = summary_of(plan, whole, outcome)
        result = run.finish(
            summary=summary,
            report=report_of(plan, whole, outcome, summary),
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


def _preview(shards: list[Path], config: DedupConfig, limit: int | None) -> Result:
    """`--dry-run`: sign the first documents and say how long and how large the whole would be."""
    documents = list(islice(read_shard(shards[0]), min(limit or DRY_RUN_DOCUMENTS, DRY_RUN_DOCUMENTS)))
    if not documents:
        raise UserError("첫 파일에 문서가 없습니다 (the first file holds no document)", file=shards[0])
    start = time.perf_counter()
    texts = [document.text for document in documents]
    shingles.signatures(texts, config.ngram)
    seconds = time.perf_counter() - start
    sets, _ = shingles.shingle_sets(texts, config.ngram)
    size = sum(shard.stat().st_size for shard in shards)
    bands, rows = shingles.lsh_shape(config.threshold)
    facts = {
        "shards": len(shards),
        "input_bytes": size,
        "bands": bands,
        "rows": rows,
        "characters_per_second": round(sum(map(len, texts)) / max(seconds, 1e-9)),
        "signature_bytes_per_document": 4 * shingles.PERMUTATIONS,
        "candidate_bytes_per_document": 8 * len(sets) // len(texts),
    }
    lines = [
        "시험 실행: 아무것도 쓰지 않았습니다 (dry run, nothing written)",
        f"파일 {len(shards):,}개, {size / 1e6:,.1f} MB (files)",
        f"서명 {facts['characters_per_second'] / 1e6:,.1f} M자/초 (signatures, characters a second and core)",
        f"메모리: 문서 100만 개에 서명 {facts['signature_bytes_per_document'] / 1e3:,.2f} GB, 중복 후보만 "
        f"{facts['candidate_bytes_per_document'] / 1e3:,.2f} GB/100만 더 (memory a million documents: "
        "signatures, and this much more a million duplicate candidates)",
        f"MinHash {bands} × {rows}, 자카드 (Jaccard) ≥ {config.threshold}",
    ]
    return Result(path=None, summary=facts, lines=lines)
