"""kobitnet eval: how good a model is on held-out text and on tasks, how small and fast, and whether engine and torch agree."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from kobitnet.evaluate.config import EvalConfig
from kodata.run.errors import UsageError, UserError
from kodata.run.flags import Flat, Fresh, Limit, Parameter
from kodata.run.result import Result

if TYPE_CHECKING:
    from kobitnet.evaluate.task_files import Loaded


def evaluate(
    model: Annotated[Path, Parameter(help="run 폴더나 모델 폴더 (run or model folder)")],
    /,
    *,
    on: Annotated[
        Path | None,
        Parameter(help="토큰 샤드 폴더: val 부분으로 잽니다 (text shards: their val split is scored)"),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        Parameter(
            negative=(),
            help="과제나 과제 묶음, 쉼표로 나눔: kobest klue kornlu korquad nsmc haerae kmmlu komtbench logickor, 내 JSONL 파일도 (tasks, groups, own JSONL)",
        ),
    ] = None,
    tasks_dir: Annotated[
        Path | None,
        Parameter(
            help="공식 과제 파일이 있는 폴더, 없으면 허브에서 받음 (folder of the official files; else from the Hub)"
        ),
    ] = None,
    texts: Annotated[
        list[str] | None,
        Parameter(
            negative=(), help="말뭉치: 종류(kind)마다 혼란도 (a corpus: perplexity by kind of document)"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"], help="결과 폴더, 없으면 화면에만 (result folder; else only shown)"
        ),
    ] = None,
    config: Annotated[EvalConfig | None, Flat] = None,
    limit: Limit = None,
    fresh: Fresh = False,
) -> Result:
    """모델을 평가합니다: 한국어 과제, 혼란도, 바이트당 비트, 크기와 속도 (Korean tasks, perplexity, bits per byte, size and speed)

    Documents of the val split are scored in strided windows that never cross a document. Tasks have the prompts and
    metrics of lm-evaluation-harness; --limit takes the first N questions of each. With -o every answer is recorded as it
    comes: the same command again goes on where it stopped.
    """
    config = config or EvalConfig()
    if on is None and not tasks and not texts:
        raise UsageError(
            "무엇으로 평가할지 없습니다 (nothing to evaluate on)",
            help="--on SHARDS (kotok encode … --val 0.02 의 폴더), --tasks kobest, --texts CORPUS",
        )
    if on is not None:
        from kobitnet.evaluate.held_out import text_split

        text_split(on)  # before a folder is made: a wrong path leaves nothing behind
    if not Path(model).is_file():
        from kobitnet.engine.config import model_folder

        model_folder(model)
    loaded, absent = _tasks(model, tasks or [], tasks_dir, config)
    plan = _Plan(
        model=model, on=on, loaded=loaded, absent=absent, texts=texts or [], limit=limit, config=config
    )
    if output is None:
        return Result(**_measure(plan, None))
    from kodata.run.folder import open_run

    places = [place for one in loaded for place in (one.place, one.pool_place)]
    files = [place for place in places if place and not place.startswith("hf:")]
    settings = asdict(config)
    if loaded:
        settings |= {"tasks": [one.task.name for one in loaded], "limit": limit}
    with open_run(
        output,
        tool="kobitnet",
        verb="eval",
        config=settings,
        inputs=[model, *([on] if on else []), *files, *(texts or [])],
        fresh=fresh,
    ) as run:
        if run.done:
            return run.result()
        return run.finish(**_measure(plan, run.path / "tasks"))


@dataclass(kw_only=True, slots=True)
class _Plan:
    """One evaluation, checked."""

    model: Path
    on: Path | None
    loaded: "list[Loaded]"
    absent: dict[str, str]
    texts: list[str]
    limit: int | None
    config: EvalConfig


def _tasks(
    model: Path, names: list[str], folder: Path | None, config: EvalConfig
) -> "tuple[list[Loaded], dict[str, str]]":
    """The tasks, read; what they need is looked for now and not after an hour."""
    if not names:
        return [], {}
    from kobitnet.evaluate.task_files import load_tasks
    from kobitnet.evaluate.text_metrics import TEXT_METRICS, require
    from kobitnet.prompting import stage_of

    loaded, absent = load_tasks(names, folder, shots=config.fewshot > 0)
    judged = [one.task.name for one in loaded if one.task.kind == "judge"]
    if judged and stage_of(model) not in ("sft", "dpo"):
        raise UserError(
            f"대화 템플릿으로 배우지 않은 모델은 {', '.join(judged)} 에 답할 수 없습니다 (a model without a chat template cannot answer): {model}",
            help="kobitnet sft 뒤의 모델을 주거나 그 과제를 빼십시오 (give a model after kobitnet sft, or leave the task out)",
        )
    if any(set(one.task.metrics) & set(TEXT_METRICS) for one in loaded):
        require()
    return loaded, absent


def _measure(plan: _Plan, records: Path | None) -> dict[str, Any]:
    """summary, report and lines of everything asked for, in the order text, tasks, domains, size."""
    from kobitnet.evaluate import domains, efficiency
    from kobitnet.evaluate.backend import load_backend
    from kobitnet.evaluate.held_out import fitted, held_out

    backend = load_backend(plan.model, plan.config.backend)
    config = fitted(plan.config, backend.positions)
    summary: dict[str, Any] = {"backend": config.backend}
    report: list[dict[str, Any]] = []
    lines: list[str] = []
    if plan.on is not None:
        found, blocks, told = held_out(plan.model, plan.on, backend, config)
        summary |= found
        report += blocks
        lines += told
    if plan.loaded:
        from kobitnet.evaluate import task_run, task_score

        answered = [
            task_run.answer(
                backend,
                one,
                shots=config.fewshot,
                limit=plan.limit,
                record=records and records / f"{one.task.name}.jsonl",
            )
            for one in plan.loaded
        ]
        scored = task_score.summary(answered, plan.absent)
        summary |= scored
        report += task_score.report(answered, scored, config.fewshot)
        lines += task_score.lines(scored)
    if plan.texts:
        by_kind = domains.score_domains(
            backend, plan.texts, context=config.context, stride=config.stride, max_tokens=config.max_tokens
        )
        summary["domains"] = {name: one.plain() for name, one in by_kind.items()}
        report += domains.blocks_of(by_kind)
        lines += [
            f"{name}: {s.bits_per_byte:.4f} 바이트당 비트 (bits per byte), 혼란도 (perplexity) {s.perplexity:,.2f}"
            for name, s in by_kind.items()
        ]
    facts = efficiency.model_config(plan.model)
    if facts is not None:
        size = efficiency.computed(facts)
        if config.efficiency:
            size["measured"] = {f"BitNet, {config.backend}": efficiency.measure(backend)}
            if full := efficiency.full_precision(plan.model):
                size["measured"]["온정밀도 fp32, torch (full precision)"] = full
        summary["efficiency"] = size
        report += efficiency.blocks_of(size)
        if plan.loaded or config.efficiency:
            lines += efficiency.lines_of(size)
    return {"summary": summary, "report": report, "lines": lines}
