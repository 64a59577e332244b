"""kobitnet eval: how good a model is on held-out text, and whether the ternary engine computes what torch computes."""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from kodata.run.errors import UsageError, UserError
from kodata.run.flags import Flat, Fresh, Parameter
from kodata.run.result import Result

if TYPE_CHECKING:
    from kobitnet.evaluate.backend import Backend
    from kobitnet.evaluate.compare import Comparison
    from kobitnet.evaluate.perplexity import Score
    from kotok.shards import Shards

UNTRAINED_BYTES = 1_000_000_000  # of a larger model no fresh twin is made only to see that it knows nothing
PROMPTS = ("대한민국은", "제1조", "이 법은", "질문: 세금은 언제 내야 하나요?")


@dataclass(kw_only=True, slots=True)
class EvalConfig:
    """What is measured, and how much of it."""

    backend: Literal["torch", "engine"] = "torch"
    """계산기: torch | engine (CPU 3진 엔진, native ternary engine)"""
    context: int = 512
    """창 길이, 모델보다 길면 모델에 맞춤 (window, tokens; at most what the model reads)"""
    stride: int = 256
    """창을 옮기는 폭 (how far the window moves, tokens)"""
    max_tokens: int = 50_000
    """평가할 토큰 수, 0 = 전부 (tokens to score, 0 = all)"""
    compare: bool = True
    """torch와 엔진의 글을 견줌 (compare greedy text of torch and engine)"""
    compare_tokens: int = 48
    """견줄 토큰 수 (tokens compared per prompt)"""

    def __post_init__(self) -> None:
        if self.context < 2 or not 1 <= self.stride < self.context:
            raise UsageError(
                f"--context 는 2 이상, --stride 는 1 이상 --context 미만입니다 (bad windows): {self.context}, {self.stride}",
                help="기본값은 --help 에 있습니다 (defaults are in --help)",
            )
        if self.max_tokens < 0 or self.compare_tokens < 1:
            raise UsageError(
                f"--max-tokens >= 0, --compare-tokens >= 1: {self.max_tokens}, {self.compare_tokens}",
                help="기본값은 --help 에 있습니다 (defaults are in --help)",
            )


def evaluate(
    model: Annotated[Path, Parameter(help="run 폴더나 모델 폴더 (run or model folder)")],
    /,
    *,
    on: Annotated[
        Path | None,
        Parameter(help="글 조각 폴더: val 부분으로 잽니다 (text shards: their val split is scored)"),
    ] = None,
    output: Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"], help="결과 폴더, 없으면 보이기만 (result folder; else only shown)"
        ),
    ] = None,
    config: Annotated[EvalConfig | None, Flat] = None,
    fresh: Fresh = False,
) -> Result:
    """모델을 평가합니다: 혼란도, 바이트당 비트, 엔진과 torch의 일치 (perplexity, bits per byte, engine against torch)

    Documents of the val split are scored in strided windows that never cross a document.
    """
    config = config or EvalConfig()
    if on is None:
        raise UsageError(
            "무엇으로 평가할지 없습니다 (nothing to evaluate on)",
            help="--on SHARDS (kotok encode … --val 0.02 의 폴더)",
        )
    _text_split(on)  # before a folder is made: a wrong path leaves nothing behind
    if not Path(model).is_file():
        from kobitnet.checkpoint import model_folder

        model_folder(model)
    if output is None:
        summary, report, lines = _measure(model, on, config)
        return Result(summary=summary, report=report, lines=lines)
    from kodata.run.folder import open_run

    with open_run(
        output, tool="kobitnet", verb="eval", config=asdict(config), inputs=[model, on], fresh=fresh
    ) as run:
        if run.done:
            return run.result()
        summary, report, lines = _measure(model, on, config)
        return run.finish(summary=summary, report=report, lines=lines)


def _measure(
    model: Path, on: Path, config: EvalConfig
) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    from kobitnet.evaluate.backend import load_backend

    shards = _text_split(on)
    backend = load_backend(model, config.backend)
    if backend.tokenizer.fingerprint != shards.tokenizer_fingerprint:
        raise UserError(
            f"조각과 모델의 토크나이저가 다릅니다 (shards and model have different tokenizers): {on}",
            help="모델을 학습한 조각을 주세요 (give the shards the model was trained on)",
        )
    config = _fitted(config, model)
    score = _score(backend, shards, config, label=config.backend)
    untrained = _untrained(model, shards, config)
    comparisons = _compare(model, backend, config) if config.compare else []
    return _tell(config, score, untrained, comparisons, backend)


def _fitted(config: EvalConfig, model: Path) -> EvalConfig:
    """The windows cut to what the model was made to read."""
    from kodata.run.files import read_json_object

    if Path(model).is_file():
        return config
    from kobitnet.checkpoint import model_folder

    positions = int(
        read_json_object(model_folder(model) / "config.json").get("max_position_embeddings") or config.context
    )
    context = min(config.context, positions)
    return replace(config, context=context, stride=min(config.stride, context // 2))


def _text_split(on: Path) -> "Shards":
    from kotok.shards import open_shards

    shards = open_shards(on, "val")
    if shards.kind != "text":
        raise UserError(
            f"글 조각이 필요합니다 (text shards needed, these are {shards.kind}): {on}",
            help="--on 에 kotok encode 말뭉치의 폴더를 주세요",
        )
    return shards


def _score(
    backend: "Backend", shards: "Shards", config: EvalConfig, *, label: str, max_tokens: int | None = None
) -> "Score":
    from kobitnet.evaluate.perplexity import combine, score_documents
    from kodata.run.progress import progress

    limit = config.max_tokens if max_tokens is None else max_tokens
    total = min(shards.num_tokens, limit) if limit else shards.num_tokens
    scores = []
    with progress(f"혼란도 (perplexity, {label})", total=total, unit="토큰") as bar:
        for one in score_documents(
            backend, shards, context=config.context, stride=config.stride, max_tokens=limit
        ):
            scores.append(one)
            bar.advance(one.tokens)
    return combine(scores)


def _has_torch() -> bool:
    from importlib.util import find_spec

    return find_spec("torch") is not None and find_spec("transformers") is not None


def _torch_config(model: Path) -> tuple[Any, dict[str, Any]] | None:
    """(BitNetConfig, our facts), None for what only the engine opens, such as packed weights."""
    from kobitnet.checkpoint import model_folder, read_config

    try:
        return read_config(model_folder(model))
    except UserError:
        return None


def _untrained(model: Path, shards: "Shards", config: EvalConfig) -> "Score | None":
    """The same architecture with fresh weights on a few documents: what training has to be compared with."""
    if Path(model).is_file() or not _has_torch():
        return None
    from kobitnet.checkpoint import WEIGHTS, model_folder

    if (model_folder(model) / WEIGHTS).stat().st_size > UNTRAINED_BYTES:
        return None
    from kobitnet.evaluate.backend import TorchBackend
    from kobitnet.model import build_model
    from kotok.tokenizer import load

    folder = model_folder(model)
    config_and_facts = _torch_config(model)
    if config_and_facts is None:
        return None
    architecture, facts = config_and_facts
    fresh = build_model(architecture, facts["quant"], groups=int(facts["groups"]), seed=0).eval()
    return _score(
        TorchBackend(fresh, load(folder)), shards, config, label="처음 (untrained)", max_tokens=2_000
    )


def _compare(model: Path, backend: "Backend", config: EvalConfig) -> "list[Comparison]":
    """torch against engine; empty when one of the two cannot open this model, which the report then says."""
    from kodata.run.progress import note

    if Path(model).is_file() or not _has_torch():
        return []
    from kobitnet.evaluate.backend import TorchBackend, load_backend
    from kobitnet.evaluate.compare import compare
    from kobitnet.generate import prompt_tokens, stage_of, stop_ids

    config_and_facts = _torch_config(model)
    if config_and_facts is None:
        note(
            "torch가 열 수 없는 모델이라 견주지 않습니다 (not compared: torch cannot open this model, e.g. packed weights)"
        )
        return []
    if config_and_facts[1]["quant"] != "b1.58":
        note("엔진은 b1.58만 계산하므로 견주지 않습니다 (not compared: the engine computes b1.58 only)")
        return []
    reference = backend if isinstance(backend, TorchBackend) else TorchBackend.load(model)
    engine = load_backend(model, "engine") if backend is reference else backend
    tokenizer = reference.tokenizer
    prompts = [(text, prompt_tokens(tokenizer, text, chat=False)) for text in PROMPTS[:3]]
    if stage_of(model) in ("sft", "dpo"):
        prompts.append((PROMPTS[3], prompt_tokens(tokenizer, PROMPTS[3], chat=True)))
    return compare(
        reference, engine, prompts, max_new_tokens=config.compare_tokens, stop_ids=stop_ids(tokenizer)
    )


def _tell(
    config: EvalConfig,
    score: "Score",
    untrained: "Score | None",
    comparisons: "list[Comparison]",
    backend: "Backend",
) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    from kodata.report import blocks

    agree = sum(c.agrees for c in comparisons)
    identical = sum(c.differs_at is None for c in comparisons)
    verdict = (
        f"{agree}/{len(comparisons)} (글이 똑같음 identical {identical})"
        if comparisons
        else "견주지 않음 (not compared)"
    )
    summary: dict[str, Any] = {
        "backend": config.backend,
        **asdict(score),
        "untrained_perplexity": untrained.perplexity if untrained else None,
        "untrained_bits_per_byte": untrained.bits_per_byte if untrained else None,
        "compared": len(comparisons),
        "agree": agree,
        "identical": identical,
        "comparisons": [{**asdict(c), "agrees": c.agrees} for c in comparisons],
    }
    error = "" if math.isnan(score.stderr) else f" ± {score.stderr:.4f}"
    facts = {
        "혼란도 (perplexity)": f"{score.perplexity:,.2f}"
        + (f" (학습 전 untrained {untrained.perplexity:,.0f})" if untrained else ""),
        "바이트당 비트 (bits per byte)": f"{score.bits_per_byte:.4f}{error}",
        "잰 것 (scored)": f"{score.documents:,} 문서, {score.tokens:,} 토큰, {config.backend} (documents, tokens, backend)",
        "torch와 엔진의 일치 (torch and engine agree)": verdict,
    }
    report = [blocks.facts("한눈에 (at a glance)", facts)]
    if comparisons:
        decode = backend.tokenizer.decode
        report.append(
            blocks.table(
                "torch와 엔진의 글 (greedy text of torch and engine)",
                [
                    "시작 (prompt)",
                    "torch",
                    "엔진 (engine)",
                    "갈린 곳 (parted at)",
                    "torch 1·2위 차 (top-2 gap)",
                    "torch 자체 흔들림 (own spread)",
                    "판정 (verdict)",
                ],
                [
                    [
                        c.prompt,
                        decode(c.torch_ids),
                        decode(c.other_ids),
                        "-" if c.differs_at is None else c.differs_at,
                        "-" if c.gap is None else f"{c.gap:.1e}",
                        f"{c.spread:.1e}",
                        "같음 (agree)" if c.agrees else "다름 (differ)",
                    ]
                    for c in comparisons
                ],
                note="갈린 곳에서 torch의 1·2위 차가 자체 흔들림보다 작으면 같은 것으로 봅니다 (parting where torch itself is undecided counts as agreement)",
            )
        )
    lines = [f"{label}: {value}" for label, value in facts.items()]
    bad = [c for c in comparisons if not c.agrees]
    if bad:
        lines.append(
            f"주의 (warning): {len(bad)}개 글이 흔들림보다 크게 갈렸습니다 (texts part by more than rounding): {bad[0].prompt!r}"
        )
    return summary, report, lines
