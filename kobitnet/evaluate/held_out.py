"""Held-out text: perplexity of shards, the untrained twin they are compared with, and torch against the engine."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kodata.run.errors import UserError

if TYPE_CHECKING:
    from kobitnet.evaluate.backend import Backend
    from kobitnet.evaluate.compare import Comparison
    from kobitnet.evaluate.config import EvalConfig
    from kobitnet.evaluate.perplexity import Score
    from kotok.shards import Shards

UNTRAINED_BYTES = 1_000_000_000  # of a larger model no fresh twin is made only to see that it knows nothing


def held_out(
    model: Path, on: Path, backend: Backend, config: EvalConfig
) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    """Perplexity of the val split, the untrained twin, engine against torch."""
    shards = text_split(on)
    if backend.tokenizer.fingerprint != shards.tokenizer_fingerprint:
        raise UserError(
            f"조각과 모델의 토크나이저가 다릅니다 (shards and model have different tokenizers): {on}",
            help="모델을 학습한 조각을 주세요 (give the shards the model was trained on)",
        )
    score = _score(backend, shards, config, label=config.backend)
    untrained = _untrained(model, backend, shards, config)
    comparisons = _compare(model, backend, config) if config.compare else []
    return _tell(config, score, untrained, comparisons, backend)


def fitted(config: EvalConfig, positions: int) -> EvalConfig:
    """The windows cut to what the model was made to read."""
    context = min(config.context, positions)
    return replace(config, context=context, stride=min(config.stride, context // 2))


def text_split(on: Path) -> Shards:
    from kotok.shards import open_shards

    shards = open_shards(on, "val")
    if shards.kind != "text":
        raise UserError(
            f"글 조각이 필요합니다 (text shards needed, these are {shards.kind}): {on}",
            help="--on 에 kotok encode 말뭉치의 폴더를 주세요",
        )
    return shards


def _score(
    backend: Backend, shards: Shards, config: EvalConfig, *, label: str, max_tokens: int | None = None
) -> Score:
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


def _untrained(model: Path, backend: Backend, shards: Shards, config: EvalConfig) -> Score | None:
    """The same architecture with fresh weights on a few documents: what training has to be compared with."""
    twin = _fresh_engine(backend) if config.backend == "engine" else _fresh_torch(model)
    if twin is None:
        return None
    return _score(twin, shards, config, label="처음 (untrained)", max_tokens=2_000)


def _fresh_engine(backend: Any) -> Backend | None:
    """Without torch: the engine with random ternary weights."""
    from kobitnet.engine.fresh import random_engine

    if 4 * backend.config.parameters > UNTRAINED_BYTES:
        return None
    twin = random_engine(backend.config, threads=backend.threads)
    twin.tokenizer = backend.tokenizer
    return twin


def _fresh_torch(model: Path) -> Backend | None:
    from kobitnet.checkpoint import WEIGHTS, model_folder, read_config
    from kobitnet.evaluate.backend import TorchBackend
    from kobitnet.model import build_model
    from kotok.tokenizer import load

    folder = model_folder(model)
    if (folder / WEIGHTS).stat().st_size > UNTRAINED_BYTES:
        return None
    architecture, facts = read_config(folder)
    fresh = build_model(architecture, facts["quant"], groups=int(facts["groups"]), seed=0).eval()
    return TorchBackend(fresh, load(folder))


def _compare(model: Path, backend: Backend, config: EvalConfig) -> list[Comparison]:
    """torch against engine; empty when one of the two cannot open this model, which the report then says.

    An evaluation on the engine does not import torch: the comparison runs in a process of its own.
    """
    from importlib.util import find_spec

    from kobitnet.evaluate.compare import compare_apart, compare_model
    from kodata.run.progress import note

    if find_spec("torch") is None or find_spec("transformers") is None:
        note("torch가 없어 견주지 않습니다 (not compared: torch is not installed)")
        return []
    try:
        if config.backend == "engine":
            return compare_apart(model, config.compare_tokens)
        return compare_model(model, config.compare_tokens, reference=backend)  # type: ignore[arg-type]
    except UserError as error:
        note(f"torch와 엔진을 견주지 않습니다 (engine and torch not compared): {error}")
        return []


def _tell(
    config: EvalConfig,
    score: Score,
    untrained: Score | None,
    comparisons: list[Comparison],
    backend: Backend,
) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    from kodata.report import blocks

    agree = sum(c.agrees for c in comparisons)
    identical = sum(c.differs_at is None for c in comparisons)
    verdict = (
        f"{agree}/{len(comparisons)}, 그 가운데 글자까지 같음 (of them identical) {identical}"
        if comparisons
        else "견주지 않음 (not compared)"
    )
    summary: dict[str, Any] = {
        "backend": config.backend,
        **score.plain(),
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
        "잰 글 (scored)": f"문서 {score.documents:,}개, 토큰 {score.tokens:,}개, 백엔드 {config.backend} (documents, tokens, backend)",
        "torch와 엔진의 일치 (torch and engine agree)": verdict,
    }
    report = [blocks.facts("한눈에 (at a glance)", facts)]
    if comparisons:
        decode = backend.tokenizer.decode
        report.append(
            blocks.table(
                "torch와 엔진의 글 (greedy text of torch and engine)",
                [
                    "시작 글 (prompt)",
                    "torch",
                    "엔진 (engine)",
                    "갈린 토큰 (parted at)",
                    "torch 1·2위 로짓 차 (top-2 gap)",
                    "torch 자체 오차 (own spread)",
                    "판정 (verdict)",
                ],
                [
                    [
                        c.prompt,
                        decode(c.torch_ids),
                        decode(c.other_ids),
                        c.differs_at,
                        None if c.gap is None else float(f"{c.gap:.2g}"),
                        float(f"{c.spread:.2g}"),
                        "같음 (identical)"
                        if c.differs_at is None
                        else "오차 안 (within rounding)"
                        if c.agrees
                        else "다름 (differ)",
                    ]
                    for c in comparisons
                ],
                note="torch도 스레드 수나 캐시에 따라 로짓이 조금씩 달라집니다(자체 오차). 글이 갈린 자리에서 torch의 1·2위 차가 그 오차보다 작으면 "
                "일치로 셉니다 (parting where torch itself is undecided counts as agreement).",
            )
        )
    lines = [f"{label}: {value}" for label, value in facts.items()]
    bad = [c for c in comparisons if not c.agrees]
    if bad:
        lines.append(
            f"주의 (warning): {len(bad)}개 글이 torch 자체 오차보다 크게 갈렸습니다 (texts part by more than rounding): {bad[0].prompt!r}"
        )
    return summary, report, lines
