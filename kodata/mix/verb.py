"""`kodata mix`: inputs checked, surveyed, dealt and written as a run."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from kodata.doc import Corpus
from kodata.mix.config import MixConfig
from kodata.mix.pool import survey
from kodata.mix.report import lines_of, report_of, summary_of
from kodata.mix.shares import choose, shares
from kodata.mix.write import write
from kodata.run.errors import UsageError, UserError
from kodata.run.flags import DryRun, Flat, Fresh, Inputs, Output, Parameter, Seed
from kodata.run.folder import open_run
from kodata.run.result import Result
from kodata.score.sidecar import Scores

ScoreFolders = Annotated[
    list[Path] | None,
    Parameter(
        help="점수 폴더, 입력마다 하나씩 (score folders, one for each input)",
        consume_multiple=True,
        negative=(),
    ),
]


def mix(
    inputs: Inputs,
    /,
    *,
    output: Output,
    scores: ScoreFolders = None,
    config: Annotated[MixConfig | None, Flat] = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    fresh: Fresh = False,
) -> Result:
    """여러 말뭉치를 몫대로 섞기 (mix corpora into one in stated shares).

    Whole documents are taken until a group has its share of characters. A group smaller than its share is gone over
    again, up to `repeat` times; if that is not enough the run stops and says what would be. Copies beyond the first get
    `#2`, `#3` … behind their id and `meta.copy`. The output is a corpus folder in a seeded order.

    Raises UserError: a weight for a group that is not there or a group without weight; a share that cannot be filled;
    scores of other documents.
    """
    config = config or MixConfig()
    check_names(inputs, config)
    corpora = [Corpus(path) for path in inputs]
    if scores is not None and len(scores) != len(corpora):
        raise UsageError(
            f"입력 {len(corpora)}개에 점수 {len(scores)}개입니다 (one score folder for each input)",
            help="kodata mix A B --scores A.scores B.scores",
        )
    if config.min_score and scores is None:
        raise UsageError(
            "--min-score 에는 --scores 가 필요합니다 (--min-score needs --scores)", help="--scores DIR"
        )
    beside = (
        [Scores(folder, corpus) for folder, corpus in zip(scores, corpora, strict=True)] if scores else None
    )
    if dry_run:
        pool = survey(corpora, beside, inputs, config)
        quota, _ = shares(pool, config)
        summary = summary_of(pool, quota, Counter(), Counter())
        told = ["시험 실행: 아무것도 쓰지 않았습니다 (dry run, nothing written)", *lines_of(summary)]
        return Result(summary=summary, lines=told)
    read = [Path(p) for p in inputs] + list(scores or [])
    settings = asdict(config)
    output = Path(output)
    found = None
    if fresh or not output.exists():  # a refusal leaves nothing behind, and the old output alone
        found = survey(corpora, beside, inputs, config)
        shares(found, config)
    with open_run(
        output, tool="kodata", verb="mix", config=settings, inputs=read, seed=seed, fresh=fresh
    ) as run:
        if run.done:
            return run.result()
        pool = found or survey(corpora, beside, inputs, config)
        quota, _ = shares(pool, config)
        taken = choose(pool, quota, seed)
        if not any(taken):
            raise UserError(
                "섞을 문서가 없습니다 (no document to mix)",
                help="--min-score 를 낮추십시오 (lower --min-score)",
            )
        chars, documents = write(run, corpora, pool, taken, seed)
        summary = summary_of(pool, quota, chars, documents)
        return run.finish(summary=summary, report=report_of(summary), lines=lines_of(summary))


def check_names(inputs: list[str], config: MixConfig) -> None:
    """Refuse an input given twice (its ids would stand twice), and weights for inputs that have one name."""
    places = [Path(p).resolve() for p in inputs]
    if len(set(places)) < len(places):
        raise UsageError(
            f"같은 입력이 두 번 있습니다 (an input is given twice): {' '.join(map(str, inputs))}",
            help="여러 번 돌려면 --repeat (use --repeat to go over it again)",
        )
    names = [p.name for p in places]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice and config.by == "input" and config.weights:
        raise UsageError(
            f"이름이 같은 입력의 몫을 가를 수 없습니다 (inputs of one name cannot have weights of their own): {', '.join(twice)}",
            help="--by source, 또는 폴더 이름을 바꾸십시오 (or rename a folder)",
        )
