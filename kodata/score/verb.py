"""`kodata score`: quality scores beside a corpus, computed once and cut where they are used."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from kodata.dedup.parallel import run_tasks
from kodata.doc import Corpus, Document, read_shard
from kodata.run.errors import UsageError, UserError
from kodata.run.flags import DryRun, Fresh, Inputs, Output, Parameter, Workers, worker_count
from kodata.run.folder import open_run
from kodata.run.progress import progress
from kodata.run.result import Result
from kodata.score.scorers import NAMES, Scorers
from kodata.score.sidecar import score_file, write_index, write_scores

BATCH_DOCUMENTS, BATCH_CHARS = 512, 2_000_000
DRY_DOCUMENTS = 200

By = Annotated[
    list[str],
    Parameter(
        help="잴 것: lm quality fluency educational, 쉼표도 됨 (scorers, by spaces or commas)",
        consume_multiple=True,
        negative=(),
    ),
]


def score(
    inputs: Inputs,
    /,
    *,
    output: Output,
    by: By = ["lm", "quality"],  # noqa: B006 (never changed; the help page shows it)
    lm: Annotated[Path | None, Parameter(help="kodata train-lm 의 모델 (model of kodata train-lm)")] = None,
    quality: Annotated[
        Path | None, Parameter(help="kodata train-quality 의 모델 (model of kodata train-quality)")
    ] = None,
    educational: Annotated[
        Path | None,
        Parameter(help="kodata train-quality --label 의 모델 (model of kodata train-quality --label)"),
    ] = None,
    workers: Workers = 0,
    dry_run: DryRun = False,
    fresh: Fresh = False,
) -> Result:
    """문서마다 품질 점수를 말뭉치 옆에 적음 (write quality scores beside a corpus).

    Columns, of each more is better: `lm` (minus bits a character under a character n-gram model), `quality` (calibrated
    probability of good text), `fluency` and `known` (Kiwi on two windows of each document: mean log-probability a morpheme, share of known morphemes),
    `educational` (expected label). The sidecar is one Parquet file a shard; `kodata mix --scores` cuts it at any threshold.
    Without a model `lm` and `quality` are built on first use from this corpus, in two halves that score each other
    (kodata/score/defaults.py); `educational` needs a model. Empty documents score NaN, which is under every cut.
    Resumes shard by shard; workers change nothing. Raises UserError: damaged models, models of another kind, inputs missing or unfinished.
    """
    names = tuple(dict.fromkeys(word.strip() for item in by for word in item.split(",") if word.strip()))
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        raise UsageError(
            f"없는 점수입니다 (no such scorer): {', '.join(unknown) or '-'}", help=f"--by {' '.join(NAMES)}"
        )
    given = {
        k: v for k, v in (("lm", lm), ("quality", quality), ("educational", educational)) if v is not None
    }
    if idle := [name for name in given if name not in names]:
        raise UsageError(
            f"--by 에 없는 모델입니다 (a model that --by does not name): {', '.join(idle)}",
            help=f"--by {' '.join([*names, *idle])}",
        )
    if "educational" in names and educational is None:
        raise UsageError(
            "educational 에는 모델이 필요합니다 (educational needs a model)",
            help="kodata train-quality CORPUS --label module:function -o edu.model, 그리고 --educational edu.model",
        )
    corpus = Corpus(*inputs)
    models: dict[str, tuple[Path, ...]] = {name: (Path(path),) for name, path in given.items()}
    for name, files in models.items():  # a damaged file is told before anything is written
        Scorers((name,), {name: files}).columns(["-"], ["가"])
    if dry_run:
        return _preview(corpus, names, models)
    settings = {"by": list(names), "models": sorted(given)}
    with open_run(
        output, tool="kodata", verb="score", config=settings, inputs=[*inputs, *given.values()], fresh=fresh
    ) as run:
        if run.done:
            return run.result()
        for name in names:
            if name in ("lm", "quality") and name not in models:
                from kodata.score.defaults import built

                models[name] = built(run.path, corpus, name)
        scorers = Scorers(names, models)
        tasks = [
            ScoreTask(shard, run.path, index, scorers)
            for index, shard in enumerate(corpus.shards())
            if not score_file(run.path, index).exists()
        ]
        total = len(corpus.shards())
        with progress("점수 (scores)", total=total, unit="파일", done=total - len(tasks)) as bar:
            documents = 0
            for count, size in run_tasks(score_shard, tasks, worker_count(workers)):
                documents += count
                bar.advance(1, bytes=size, 문서=f"{documents:,}")
        write_index(run.path, corpus, scorers.versions())
        from kodata.score.summary import lines_of, report_of, summary_of

        summary = summary_of(run.path, corpus)
        if not summary["documents"]:
            shutil.rmtree(run.path / "scores", ignore_errors=True)
            raise UserError(
                f"입력에 문서가 하나도 없습니다 (no document in the input): {', '.join(map(str, inputs))}",
                "kodata inspect 로 입력을 보십시오 (look at the input with kodata inspect)",
            )
        return run.finish(
            summary=summary, report=report_of(run.path, corpus, summary), lines=lines_of(summary)
        )


@dataclass(frozen=True, slots=True)
class ScoreTask:
    """One shard to score."""

    shard: Path
    out: Path
    index: int
    scorers: Scorers


def score_shard(task: ScoreTask) -> tuple[int, int]:
    """Write the scores of one shard; (documents, bytes of text)."""
    import numpy as np

    ids: list[str] = []
    parts: dict[str, list[Any]] = {}
    size = 0
    for batch in _batches(read_shard(task.shard)):
        found = task.scorers.columns([d.id for d in batch], [d.text for d in batch])
        for name, values in found.items():
            parts.setdefault(name, []).append(values)
        ids += [d.id for d in batch]
        size += sum(3 * len(d.text) for d in batch)
    names = parts or task.scorers.columns([], [])
    columns = {n: np.concatenate(parts[n]) if n in parts else np.zeros(0, np.float32) for n in names}
    write_scores(task.out, task.index, ids, columns)
    return len(ids), size


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    chars = 0
    for document in documents:
        batch.append(document)
        chars += len(document.text)
        if len(batch) >= BATCH_DOCUMENTS or chars >= BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def _preview(corpus: Corpus, names: tuple[str, ...], models: dict[str, tuple[Path, ...]]) -> Result:
    import time

    documents = list(islice(corpus.documents(), DRY_DOCUMENTS))
    chars = sum(len(d.text) for d in documents)
    size = sum(shard.stat().st_size for shard in corpus.shards())
    facts: dict[str, Any] = {"shards": len(corpus.shards()), "input_bytes": size}
    lines = [
        "시험 실행: 아무것도 쓰지 않았습니다 (dry run, nothing written)",
        f"파일 {facts['shards']:,}개, {size / 1e6:,.1f} MB (files)",
    ]
    for name in names:
        if name != "fluency" and name not in models:
            lines.append(f"{name}: 모델을 이 말뭉치에서 만듭니다 (a model will be built from this corpus)")
            continue
        start = time.perf_counter()
        Scorers((name,), models).columns([d.id for d in documents], [d.text for d in documents])
        facts[f"{name}_characters_per_second"] = round(chars / max(time.perf_counter() - start, 1e-9))
        lines.append(
            f"{name}: {facts[f'{name}_characters_per_second'] / 1e6:.2f} M자/초 (characters a second and core)"
        )
    return Result(path=None, summary=facts, lines=lines)
