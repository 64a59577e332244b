"""What the verbs train, sft and dpo share: opening and matching inputs, the dry-run plan, the run from start to end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeGuard, TypeVar

import torch

from kobitnet.bitlinear import WeightCache
from kobitnet.checkpoint import model_folder, read_config, save_settings
from kobitnet.config import LoopConfig, identity
from kobitnet.data import Source, example_lengths
from kobitnet.device import pick_device
from kobitnet.distributed import World, joined
from kobitnet.loop import fit, threads
from kobitnet.memory import check_memory, keep_memory
from kobitnet.model import count_parameters
from kobitnet.products import multiply_by_onednn
from kobitnet.prompting import stage_of
from kobitnet.step import Job, NotFinite, not_finite, prepare, train_step
from kodata.run.errors import UsageError, UserError
from kodata.run.folder import open_run
from kodata.run.progress import clock, set_quiet
from kodata.run.result import Result
from kotok.chat import template_name, template_of
from kotok.shards import Kind, Shards, open_shards

if TYPE_CHECKING:
    from kodata.run.folder import RunFolder
    from kotok.tokenizer import Tokenizer

S = TypeVar("S", bound=Source)


@dataclass(kw_only=True, slots=True)
class StageData(Generic[S]):
    """What a stage reads, opened and checked before its run folder is touched."""

    tokenizer: Tokenizer
    source: S
    val: S | None


WHAT = {"text": "글 (text)", "chat": "대화 (chat)", "pair": "선호 쌍 (pair)"}
VERB = {"text": "train", "chat": "sft", "pair": "dpo"}


def open_splits(folder: Path, kind: Kind) -> tuple[Shards, Shards | None]:
    """(train, val or None) of a shard folder that must be of this kind.

    Raises:
        UserError: another kind of shards, or what `open_shards` raises.
    """
    shards = open_shards(folder, "train")
    if shards.kind != kind:
        raise UserError(
            f"{WHAT[shards.kind]} 조각입니다, {WHAT[kind]} 조각이 필요합니다 (these are {shards.kind} shards, {kind} needed): {folder}",
            help=f"이 조각은 kobitnet {VERB[shards.kind]} 에 씁니다 (use them with kobitnet {VERB[shards.kind]})",
        )
    held_out = shards.meta["splits"].get("val") or {}
    return shards, open_shards(folder, "val") if held_out.get("documents") else None


def some_fit(val: Shards | None, seq_len: int) -> TypeGuard[Shards]:
    """Whether there is a held-out example that fits: validation goes without the others, or is left out."""
    return val is not None and bool((example_lengths(val, pairs=val.kind == "pair") <= seq_len).any())


def shards_tokenizer(shards: Shards) -> Tokenizer:
    """The tokenizer kept in a shard folder, checked against the fingerprint the shards were made with."""
    from kotok.tokenizer import load

    tokenizer = load(shards.tokenizer)
    if tokenizer.fingerprint != shards.tokenizer_fingerprint:
        raise UserError(
            f"조각이 다른 토크나이저로 만들어졌습니다 (shards were made with another tokenizer): {shards.tokenizer}",
            help="kotok encode … --fresh 로 다시 만드세요 (make the shards again)",
        )
    return tokenizer


def model_tokenizer(model: Path, shards: Shards) -> Tokenizer:
    """The tokenizer of a model; shards of another one, or of another chat template, are refused here, at the start, and not by a bad loss curve."""
    from kotok.tokenizer import load

    tokenizer = load(model_folder(model))
    if shards.tokenizer_fingerprint != tokenizer.fingerprint:
        raise UserError(
            f"조각과 모델의 토크나이저가 다릅니다 (tokenizers differ: shards {shards.tokenizer_fingerprint[:12]}, "
            f"model {tokenizer.fingerprint[:12]}): {shards.folder}",
            help=f"kotok encode … --tok {model_folder(model)} 로 조각을 다시 만드세요 (make the shards with the model's tokenizer)",
        )
    made, saved = shards.meta.get("template"), template_name(template_of(tokenizer))
    if made is not None and made != saved:
        # A base model has learned no template yet: it learns the one of the shards, and is saved with it.
        if stage_of(model) == "pretrain" and template_name(template_of(shards_tokenizer(shards))) == made:
            return shards_tokenizer(shards)
        raise UserError(
            f"조각과 모델의 대화 틀이 다릅니다 (chat templates differ: shards {made}, model {saved}): {shards.folder}",
            help="kotok encode … --template saved 로 조각을 다시 만들거나, 사전 학습만 한 모델에서 시작하세요 "
            "(make the shards again with --template saved, or start from a base model)",
        )
    return tokenizer


def check_source(model: Path, config: LoopConfig) -> None:
    """Refuse a starting model that does not fit into memory, before it is read. Raises what `check_memory` raises."""
    if pick_device(config.device).type == "cpu":
        check_memory(read_config(model_folder(model))[0], config)


def check_world(config: LoopConfig, world: World) -> None:
    """Refuse a batch that cannot be dealt out evenly."""
    if config.batch_size % (config.accumulate * world.size):
        raise UsageError(
            f"--batch-size {config.batch_size} 는 --accumulate {config.accumulate} × 프로세스 {world.size} 로 "
            "나누어져야 합니다 (must be a multiple of --accumulate times processes)",
            help=f"--batch-size {config.accumulate * world.size}",
        )


@dataclass(kw_only=True, slots=True)
class Stage(Generic[S]):
    """One of train, sft, dpo: what differs between them, for `run_stage`."""

    verb: str
    inputs: list[str | Path]
    """What the result depends on besides the settings, for the manifest."""
    open: Callable[[], StageData[S]]
    """Open and check the inputs, before the run folder is touched."""
    job: Callable[[StageData[S]], Job]
    stage: str
    """What the saved model says it comes from: pretrain, mlm, sft, dpo."""
    before: Callable[[Job, StageData[S], Path, World], None] | None = None
    """What is done in the run folder before the first step."""
    extra: Callable[[StageData[S]], dict[str, Any]] | None = None
    """More numbers for stats.json."""


def run_stage(
    stage: Stage[S], output: Path, config: LoopConfig, *, seed: int, dry_run: bool, fresh: bool
) -> Result:
    """A training verb from its settings to its result; under torchrun process 0 owns the folder, the others help."""
    keep_memory()
    multiply_by_onednn()
    device = pick_device(config.device)
    if dry_run:
        return plan(stage, device)
    with joined(device) as world:
        check_world(config, world)
        data = stage.open()  # before the folder is made: a refusal leaves nothing behind
        if world.rank:
            set_quiet(True)
            if world.agree(False):
                job = stage.job(data)
                if stage.before:
                    stage.before(job, data, Path(output), world)
                fit(job, Path(output), world)
            return Result()
        with open_run(
            output,
            tool="kobitnet",
            verb=stage.verb,
            config=identity(config),
            inputs=stage.inputs,
            seed=seed,
            fresh=fresh,
        ) as run:
            if run.done:
                world.agree(False)
                return run.result()
            job = stage.job(data)
            facts = job.model.kobitnet
            save_settings(
                run.path / "model",
                job.model,
                data.tokenizer,
                quant=facts["quant"],
                groups=facts["groups"],
                stage=stage.stage,
            )
            if stage.before:
                stage.before(job, data, run.path, world)
            world.agree(True)
            state = fit(job, run.path, world)
            return _finished(job, run, state, stage.extra(data) if stage.extra else {})


def _finished(job: Job, run: RunFolder, state: dict[str, Any], extra: dict[str, Any]) -> Result:
    """Close the run: stats.json, report.html, four lines."""
    from kobitnet.watch import report, summary
    from kodata.report.names import label

    numbers = {**summary(job, state), **extra}
    facts = {
        "손실 (loss)": f"{numbers['loss_first']:.4f} → {numbers['loss']:.4f}",
        "매개변수 (parameters)": f"{numbers['total']:,} (임베딩 제외 non-embedding {numbers['non_embedding']:,})",
        "스텝, 토큰 (steps, tokens)": f"{numbers['steps']:,}, {numbers['tokens']:,}",
        "속도 (speed)": f"{numbers['tokens_per_second']:,.0f} 토큰/초 (tokens a second)",
        "최대 메모리 (peak memory)": f"{numbers['peak_memory_gb']:.2f} GB",
        **{k: v for k, v in extra.items() if isinstance(v, int | float | str)},
    }
    held_out = {
        label(key): f"{numbers[key]:.4f}"
        for key in ("val_loss", "val_bits_per_byte", "val_accuracy", "val_margin")
        if key in numbers
    }
    lines = [f"{name}: {value}" for name, value in list(facts.items())[:4]]
    lines[0] += "".join(f" · {name} {value}" for name, value in held_out.items())
    facts |= held_out
    return run.finish(summary=numbers, report=report(job, state, facts), lines=lines)


def plan(stage: Stage[S], device: torch.device) -> Result:
    """Two real steps, the second timed; time and memory of the whole run. Writes nothing."""
    from kobitnet.watch import peak_memory

    job = stage.job(stage.open())
    world = World(device=device)
    config = job.config
    optimizer = prepare(job, world)
    tokens = 0
    with threads(config.threads), WeightCache(job.model) as cache:
        for _ in range(2):
            start = time.perf_counter()
            try:
                *_, tokens = train_step(job, optimizer, cache, 0, world)
            except NotFinite:
                raise not_finite(1, config) from None
            seconds = time.perf_counter() - start
    total = job.total_steps
    sizes = count_parameters(job.model)
    summary = {
        "steps": total,
        "tokens_per_step": tokens,
        "seconds_per_step": seconds,
        "seconds": seconds * total,
        "peak_memory_gb": peak_memory(),
        "samples_per_epoch": len(job.source),
        **sizes,
    }
    lines = [
        f"모델 (model): {sizes['total']:,}개 매개변수, 임베딩 제외 {sizes['non_embedding']:,} (parameters, non-embedding)",
        f"데이터 (data): 한 바퀴 {len(job.source):,} 시퀀스 (sequences an epoch), 한 스텝 {tokens:,} 토큰 (tokens a step)",
        f"계획 (plan): {total:,} 스텝 × {seconds:.2f} s ≈ {clock(seconds * total)}, 메모리 (memory) {summary['peak_memory_gb']:.2f} GB",
        "아무것도 쓰지 않았습니다 (dry run: nothing was written)",
    ]
    return Result(summary=summary, lines=lines)
