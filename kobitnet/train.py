"""kobitnet train: pretraining a BitNet from scratch on token shards (causal language modelling)."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from kobitnet.checkpoint import save_settings
from kobitnet.config import LoopConfig, identity, resolve
from kobitnet.data import Batch, TextWindows
from kobitnet.distributed import joined
from kobitnet.generate import continuations
from kobitnet.loop import Job, Loss
from kobitnet.loss import summed_nll
from kobitnet.memory import keep_memory
from kobitnet.model import PRESETS, Model, build_model, hidden_states, model_config
from kobitnet.stage import StageData, check_world, done, finish, help_out, open_splits, plan, shards_tokenizer
from kodata.run.errors import UsageError
from kodata.run.flags import DryRun, Flat, Fresh, Output, Parameter, Seed
from kodata.run.folder import open_run
from kodata.run.result import Result

Shards = Annotated[Path, Parameter(help="토큰 조각 폴더: kotok encode 의 결과 (token shard folder)")]
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

    def __post_init__(self) -> None:
        LoopConfig.__post_init__(self)
        if self.groups < 1:
            raise UsageError(
                f"--groups 는 1 이상입니다 (must be 1 or more): {self.groups}",
                help="기본값은 --help 에 있습니다 (defaults are in --help)",
            )


def causal_lm(model: Model, batch: Batch) -> Loss:
    """Next-token loss over the batch's targets: pretraining and, with masked targets, SFT."""
    hidden = hidden_states(model, batch.input_ids, batch.position_ids, batch.segments)
    return Loss(total=summed_nll(hidden, model.lm_head.weight, batch.targets), count=batch.count)


def train(
    shards: Shards,
    /,
    *,
    output: Output,
    config: Annotated[TrainConfig | None, Flat] = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    fresh: Fresh = False,
) -> Result:
    """BitNet을 처음부터 학습합니다: 토큰 조각 → run/ (pretrain a BitNet from scratch: token shards -> run/)

    The run folder holds model/ (opens with stock transformers), checkpoints/, stats.json and report.html. The same
    command again resumes. b1.58 with the two-stage schedule of its Training Tips is the default.
    """
    config = config or TrainConfig()
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
    keep_memory()
    check_groups(config)
    if dry_run:
        return plan(pretrain_job(text_data(shards, config, seed), config, seed))
    with joined() as world:
        check_world(config, world)
        data = text_data(shards, config, seed)  # before the folder is made: a refusal leaves nothing behind
        if world.rank:
            return help_out(output, world, lambda: pretrain_job(data, config, seed))
        with open_run(
            output,
            tool="kobitnet",
            verb="train",
            config=identity(config),
            inputs=[shards],
            seed=seed,
            fresh=fresh,
        ) as run:
            if run.done:
                return done(run, world)
            job = pretrain_job(data, config, seed)
            save_settings(
                run.path / "model",
                job.model,
                data.tokenizer,
                quant=config.quant,
                groups=config.groups,
                stage="pretrain",
            )
            return finish(job, run, world)


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
    """Windows of text, held-out ones too, and the tokenizer."""
    train_split, val_split = open_splits(shards, "text")
    tokenizer = shards_tokenizer(train_split)
    source = TextWindows(train_split, config.seq_len, seed)
    val = None
    if val_split is not None and val_split.num_tokens > config.seq_len:
        val = TextWindows(val_split, config.seq_len, 0)
    return StageData(tokenizer=tokenizer, source=source, val=val)


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
    model = build_model(architecture, config.quant, groups=config.groups, seed=seed)
    held_out = data.val.shards if isinstance(data.val, TextWindows) else None
    bytes_per_token = (
        held_out.bytes / held_out.num_tokens if held_out is not None and held_out.bytes else None
    )
    return Job(
        model=model,
        source=data.source,
        objective=causal_lm,
        config=config,
        stage="pretrain",
        val=data.val,
        val_bytes_per_target=bytes_per_token,
        sample=lambda m: continuations(m, tokenizer, PROMPTS),
    )
