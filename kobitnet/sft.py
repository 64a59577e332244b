"""kobitnet sft: supervised fine-tuning of a model on chat shards; only the tokens to learn count in the loss."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from kobitnet.checkpoint import load_model
from kobitnet.config import LoopConfig, resolve
from kobitnet.data import PackedChats
from kobitnet.prompting import continuations
from kobitnet.stage import (
    Stage,
    StageData,
    check_source,
    model_tokenizer,
    open_splits,
    run_stage,
    some_fit,
)
from kobitnet.step import Job
from kobitnet.train import Shards, causal_lm
from kodata.run.flags import DryRun, Flat, Fresh, Output, Parameter, Seed
from kodata.run.result import Result

From = Annotated[
    Path,
    Parameter(name="--from", help="출발 모델: run 폴더나 모델 폴더 (starting model: run or model folder)"),
]
PROMPTS = ("안녕하세요?", "대한민국의 수도는 어디인가요?", "세금은 언제 내야 하나요?")


@dataclass(kw_only=True, slots=True)
class SftConfig(LoopConfig):
    """Settings of fine-tuning; --lr is 5e-5, the upper end of usual full precision values, since 2B4T found larger ones
    and more epochs better for ternary weights. Toy models want about 1e-3."""

    epochs: float = 3.0
    """데이터를 도는 횟수 (passes over the data)"""
    seq_len: int = 512
    """시퀀스 길이, 여러 대화를 담음 (sequence length, packed with several chats)"""
    batch_size: int = 8
    """한 스텝의 시퀀스 수 (sequences per optimizer step)"""
    too_long: Literal["error", "drop"] = "error"
    """시퀀스보다 긴 대화: 멈춤 또는 뺌 (chats longer than a sequence: stop or leave out)"""


def sft(
    shards: Shards,
    /,
    *,
    source: From,
    output: Output,
    config: Annotated[SftConfig | None, Flat] = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    fresh: Fresh = False,
) -> Result:
    """대화로 미세 조정합니다: 답 토큰만 배웁니다 (fine-tune on chats; only answer tokens are learned)

    Chats are packed best-fit into sequences; positions restart and attention stays within a chat. Weights stay ternary.
    """
    config = deepcopy(config) or SftConfig()  # defaults of this call are not to stay in the caller's settings
    resolve(config, lr=5e-5, schedule="cosine", warmup=0.03, weight_decay=0.01)
    return run_stage(
        Stage(
            verb="sft",
            inputs=[shards, source],
            open=lambda: chat_data(shards, source, config, seed),
            job=lambda data: sft_job(data, source, config),
            stage="sft",
            extra=chat_numbers,
        ),
        output,
        config,
        seed=seed,
        dry_run=dry_run,
        fresh=fresh,
    )


def chat_numbers(data: "StageData[PackedChats]") -> dict[str, float]:
    """What became of the chats."""
    packed = data.source
    return {
        "chats": len(packed.kept),
        "chats_dropped": packed.dropped,
        "learned_share": packed.shards.num_targets / packed.shards.num_tokens,
    }


def chat_data(shards: Path, source: Path, config: SftConfig, seed: int) -> "StageData[PackedChats]":
    """Packed chats, checked against the model's tokenizer."""
    train_split, val_split = open_splits(shards, "chat")
    tokenizer = model_tokenizer(source, train_split)
    packed = PackedChats(train_split, config.seq_len, seed, pad_id=tokenizer.pad_id, too_long=config.too_long)
    val = (
        PackedChats(val_split, config.seq_len, 0, pad_id=tokenizer.pad_id, too_long="drop")
        if some_fit(val_split, config.seq_len)
        else None
    )
    return StageData(tokenizer=tokenizer, source=packed, val=val)


def sft_job(data: "StageData[PackedChats]", source: Path, config: SftConfig) -> Job:
    """The starting model on its packed chats."""
    check_source(source, config)
    model, _ = load_model(source)
    model.config.max_position_embeddings = max(model.config.max_position_embeddings, config.seq_len)
    return Job(
        model=model,
        source=data.source,
        objective=causal_lm,
        config=config,
        stage="sft",
        val=data.val,
        sample=lambda m: continuations(m, data.tokenizer, PROMPTS, chat=True),
    )
