"""kobitnet train: pretraining a BitNet from scratch on token shards (causal language modelling)."""

import math
import os
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from kobitnet.checkpoint import load_model
from kobitnet.config import LoopConfig, resolve
from kobitnet.data import Batch, Source, Switched, TextWindows
from kobitnet.device import pick_device
from kobitnet.loss import summed_nll, summed_nll_and_z
from kobitnet.memory import check_memory
from kobitnet.mlm import MaskedWindows, fill, mask_id, masked_lm
from kobitnet.model import PRESETS, Model, build_model, hidden_states, model_config
from kobitnet.prompting import continuations
from kobitnet.stage import (
    Stage,
    StageData,
    check_source,
    model_tokenizer,
    open_splits,
    run_stage,
    shards_tokenizer,
)
from kobitnet.step import Job, Loss, Objective
from kodata.run.errors import UsageError, UserError
from kodata.run.flags import DryRun, Flat, Fresh, Output, Parameter, Seed
from kodata.run.result import Result
from kotok.shards import Shards as TokenShards
from kotok.tokenizer import Tokenizer

Start = Annotated[
    Path | None,
    Parameter(
        name="--from",
        help="이 모델에서 이어 배움: kobitnet convert 나 train 의 결과 (train on from this model)",
    ),
]
Shards = Annotated[Path, Parameter(help="토큰 조각 폴더: kotok encode 의 결과 (token shard folder)")]
GAPS = ("대한민국의 모든 권력은 [가림]으로부터 나온다.", "오늘은 날씨가 [가림] 좋다.")
PROMPTS = ("대한민국은", "제1조", "오늘은 날씨가", "이 법은", "질문:")


@dataclass(kw_only=True, slots=True)
class TrainConfig(LoopConfig):
    """Settings of pretraining; the defaults suit the tiny preset on a laptop CPU."""

    preset: Literal["tiny", "small", "125m", "350m", "700m", "1.3b", "3b", "3.9b", "2b4t"] = "tiny"
    """모델 크기 (model size)"""
    quant: Literal["b1.58", "b1", "b1-alpha", "group", "none"] = "b1.58"
    """양자화: none = 같은 SubLN의 완전 정밀도 (quantiser; none = full precision with the same SubLN)"""
    groups: int = 4
    """--quant group 의 묶음 수 (number of groups)"""
    act: Literal["relu2", "silu"] = "relu2"
    """활성 함수 (activation function)"""
    tie: bool = True
    """입출력 임베딩을 함께 씀 (tied embeddings)"""
    objective: Literal["clm", "mlm"] = "clm"
    """목표: clm = 다음 토큰, mlm = 양방향 빈칸 15 % (objective: next token, or gaps with attention both ways)"""
    stage2: Path | None = None
    """후반 절반에 읽을 조각: 질 좋은 글 (shards for the second half of the steps: the best text)"""
    quant_warmup: float = 0.0
    """양자화를 서서히 켜는 구간: 1 미만이면 비율, 이상이면 스텝 수 (quantisation blended in over: share below 1, else steps)"""
    z_loss: float = 0.0
    """z-loss 계수, PaLM은 1e-4 (z-loss coefficient)"""

    def __post_init__(self) -> None:
        LoopConfig.__post_init__(self)
        for name in ("quant_warmup", "z_loss"):
            if getattr(self, name) < 0:
                raise UsageError(
                    f"--{name.replace('_', '-')} 는 0 이상입니다 (must be 0 or more): {getattr(self, name)}",
                    help="기본값은 --help 에 있습니다 (defaults are in --help)",
                )
        if self.groups < 1:
            raise UsageError(
                f"--groups 는 1 이상입니다 (must be 1 or more): {self.groups}",
                help="기본값은 --help 에 있습니다 (defaults are in --help)",
            )


def causal_lm(model: Model, batch: Batch) -> Loss:
    """Next-token loss over the batch's targets: pretraining and, with masked targets, SFT."""
    hidden = hidden_states(model, batch.input_ids, batch.position_ids, batch.segments)
    return Loss(total=summed_nll(hidden, model.lm_head.weight, batch.targets), count=batch.count)


def regularised(z: float) -> Objective:
    """`causal_lm` with z-loss while training; the metric `nll` is the loss without it."""

    def objective(model: Model, batch: Batch) -> Loss:
        hidden = hidden_states(model, batch.input_ids, batch.position_ids, batch.segments)
        total, nll = summed_nll_and_z(hidden, model.lm_head.weight, batch.targets, z)
        if not model.training:
            return Loss(total=nll, count=batch.count)
        return Loss(total=total, count=batch.count, metrics={"nll": float(nll)})

    return objective


def train(
    shards: Shards,
    /,
    *,
    output: Output,
    source: Start = None,
    config: Annotated[TrainConfig | None, Flat] = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    fresh: Fresh = False,
) -> Result:
    """BitNet을 처음부터 학습합니다: 토큰 조각 → run/ (pretrain a BitNet from scratch: token shards -> run/)

    The run folder holds model/ (opens with stock transformers), checkpoints/, stats.json and report.html. The same
    command again resumes. b1.58 with the two-stage schedule of its Training Tips is the default. With --from a model is
    trained on (`kobitnet convert`'s, or a base model): its shape and quantiser stay, --lr is 1e-4 with a cosine.
    """
    config = (
        deepcopy(config) or TrainConfig()
    )  # defaults of this call are not to stay in the caller's settings
    if source is not None:
        return _train_on(shards, source, output, config, seed=seed, dry_run=dry_run, fresh=fresh)
    preset = PRESETS[config.preset]
    # 375 steps is the Training Tips' warm-up for 100,000 M tokens; a toy run is shorter than that.
    resolve(
        config,
        lr=preset.lr,
        lr2=preset.lr2,
        schedule="two-stage",
        weight_decay=0.1,
        warmup=0.05 if config.preset in ("tiny", "small") else 375,
    )
    check_groups(config)
    check_objective(config)
    return run_stage(
        Stage(
            verb="train",
            inputs=[shards, *([config.stage2] if config.stage2 else [])],
            open=lambda: text_data(shards, config, seed),
            job=lambda data: pretrain_job(data, config, seed),
            stage="mlm" if config.objective == "mlm" else "pretrain",
        ),
        output,
        config,
        seed=seed,
        dry_run=dry_run,
        fresh=fresh,
    )


def _train_on(
    shards: Path, source: Path, output: Path, config: TrainConfig, *, seed: int, dry_run: bool, fresh: bool
) -> Result:
    """Continued pretraining: the model of `source` on more text."""
    if config.objective != "clm":
        raise UsageError("--from 은 --objective clm 에만 있습니다 (clm only)", help="--objective clm")
    resolve(config, lr=1e-4, schedule="cosine", warmup=0.03, weight_decay=0.1)

    def opened() -> StageData:
        data = text_data(shards, config, seed)
        return StageData(
            tokenizer=model_tokenizer(source, open_splits(shards, "text")[0]),
            source=data.source,
            val=data.val,
        )

    return run_stage(
        Stage(
            verb="train",
            inputs=[shards, source, *([config.stage2] if config.stage2 else [])],
            open=opened,
            job=lambda data: continued_job(data, source, config),
            stage="pretrain",
        ),
        output,
        config,
        seed=seed,
        dry_run=dry_run,
        fresh=fresh,
    )


def continued_job(data: StageData, source: Path, config: TrainConfig) -> Job:
    """The model of `source` on the windows."""
    check_source(source, config)
    model, tokenizer = load_model(source)
    quant = model.kobitnet["quant"]
    if quant != config.quant:
        raise UsageError(
            f"--quant {config.quant} 인데 모델은 {quant} 입니다 (the model has another quantiser)",
            help=f"--quant {quant}",
        )
    model.config.max_position_embeddings = max(model.config.max_position_embeddings, config.seq_len)
    held_out = data.val.shards if isinstance(data.val, TextWindows) else None
    return Job(
        model=model,
        source=data.source,
        objective=regularised(config.z_loss) if config.z_loss else causal_lm,
        config=config,
        stage="pretrain",
        val=data.val,
        val_bytes_per_target=held_out.bytes / held_out.num_tokens if held_out and held_out.bytes else None,
        quant_warmup=config.quant_warmup,
        sample=lambda m: continuations(m, tokenizer, PROMPTS),
    )


def check_objective(config: TrainConfig) -> None:
    """Refuse settings that have no meaning together."""
    if config.objective == "mlm" and config.z_loss:
        raise UsageError("--z-loss 는 --objective clm 에만 있습니다 (clm only)", help="--z-loss 0")


def check_groups(config: TrainConfig) -> None:
    """Refuse groups that do not divide every matrix of the preset into equal parts."""
    if config.quant != "group":
        return
    preset = PRESETS[config.preset]
    widths = {
        "hidden": preset.hidden,
        "intermediate": preset.intermediate,
        "kv": preset.kv_heads * (preset.hidden // preset.heads),
    }
    if any(width % config.groups for width in widths.values()):
        told = ", ".join(f"{name} {width}" for name, width in widths.items())
        most = math.gcd(*widths.values())
        fits = [g for g in range(1, min(most, 64) + 1) if most % g == 0]
        raise UsageError(
            f"--groups {config.groups} 로 나누어지지 않습니다 (widths must be multiples of --groups): {told}",
            help=f"--groups {min(fits, key=lambda g: abs(g - config.groups))}",
        )


def text_data(shards: Path, config: TrainConfig, seed: int) -> StageData:
    """Windows of text, held-out ones too, and the tokenizer; with --stage2 the second half of the steps reads that folder.

    Raises:
        UserError: what opening raises; the two folders were made with different tokenizers.
    """
    train_split, val_split = open_splits(shards, "text")
    tokenizer = shards_tokenizer(train_split)
    source: Source = windows(train_split, config, seed, tokenizer)
    if config.stage2:
        second, _ = open_splits(config.stage2, "text")
        if second.tokenizer_fingerprint != train_split.tokenizer_fingerprint:
            raise UserError(
                f"두 조각의 토크나이저가 다릅니다 (tokenizers of the two stages differ): {config.stage2}",
                help=f"kotok encode … --tok {shards / 'tokenizer'} 로 다시 만드세요 (encode it with the same tokenizer)",
            )
        late = windows(second, config, seed, tokenizer)
        total = config.steps or -(-int(config.epochs * (len(source) + len(late))) // config.batch_size)
        source = Switched(source, late, -(-total // 2) * config.batch_size)
    val = None
    if val_split is not None and val_split.num_tokens > config.seq_len:
        val = windows(val_split, config, 0, tokenizer)
    return StageData(tokenizer=tokenizer, source=source, val=val)


def windows(shards: TokenShards, config: TrainConfig, seed: int, tokenizer: Tokenizer) -> TextWindows:
    """A split as samples of the objective."""
    if config.objective == "clm":
        return TextWindows(shards, config.seq_len, seed)
    control = list(tokenizer.control.values())
    ordinary = np.setdiff1d(np.flatnonzero(tokenizer.token_bytes() > 0), control)
    return MaskedWindows(shards, config.seq_len, seed, mask=mask_id(tokenizer), ordinary=ordinary)


def pretrain_job(data: StageData, config: TrainConfig, seed: int) -> Job:
    """A fresh model to train on the windows."""
    tokenizer = data.tokenizer
    architecture = model_config(
        PRESETS[config.preset],
        vocab_size=tokenizer.vocab_size,
        act=config.act,
        tie=config.tie,
        seq_len=config.seq_len,
        eos=tokenizer.eot_id,
        pad=tokenizer.pad_id,
    )
    if pick_device(config.device).type == "cpu":
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        check_memory(
            architecture, config, config.batch_size * config.seq_len // (config.accumulate * processes)
        )
    model = build_model(architecture, config.quant, groups=config.groups, seed=seed)
    model.kobitnet = {"quant": config.quant, "groups": config.groups}
    masked = config.objective == "mlm"
    held_out = data.val.shards if isinstance(data.val, TextWindows) and not masked else None
    bytes_per_token = (
        held_out.bytes / held_out.num_tokens if held_out is not None and held_out.bytes else None
    )
    return Job(
        model=model,
        source=data.source,
        objective=masked_lm if masked else regularised(config.z_loss) if config.z_loss else causal_lm,
        config=config,
        stage="mlm" if masked else "pretrain",
        val=data.val,
        val_bytes_per_target=bytes_per_token,
        quant_warmup=config.quant_warmup,
        sample=(lambda m: gaps(m, tokenizer)) if masked else (lambda m: continuations(m, tokenizer, PROMPTS)),
    )


def gaps(model: Model, tokenizer: Tokenizer) -> list[dict[str, str]]:
    """Sentences with a gap and what the model puts there."""
    return [{"prompt": text, "text": fill(model, tokenizer, text)} for text in GAPS]
