"""kobitnet dpo: direct preference optimisation on pair shards (Rafailov et al. 2023, eq. 7).

    loss = -log sigmoid(beta * ((log pi(c) - log ref(c)) - (log pi(r) - log ref(r)))),  c chosen, r rejected

log pi(y) sums over the learned tokens of the answer. The reference is the starting model; its log-probabilities are
computed once at the start and kept in the run folder, so training holds one model and the loss starts at ln 2.
"""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from torch.nn import functional as F

from kobitnet.bitlinear import WeightCache
from kobitnet.checkpoint import load_model
from kobitnet.config import LoopConfig, autocast, resolve
from kobitnet.data import Batch, Pairs
from kobitnet.distributed import World
from kobitnet.loss import sequence_logprobs
from kobitnet.model import Model, hidden_states
from kobitnet.prompting import continuations
from kobitnet.sft import PROMPTS, From
from kobitnet.stage import (
    Stage,
    StageData,
    check_source,
    model_tokenizer,
    open_splits,
    run_stage,
    some_fit,
)
from kobitnet.step import Job, Loss, Objective
from kobitnet.train import Shards
from kodata.run.errors import UsageError
from kodata.run.files import atomic_open
from kodata.run.flags import DryRun, Flat, Fresh, Output, Seed
from kodata.run.progress import progress
from kodata.run.result import Result


@dataclass(kw_only=True, slots=True)
class DpoConfig(LoopConfig):
    """Settings of DPO; 2 epochs at 2e-7 with beta 0.1 are those of the 2B4T report. Toy models want about 1e-5."""

    epochs: float = 2.0
    """데이터를 도는 횟수 (passes over the data)"""
    seq_len: int = 512
    """가장 긴 질문과 답 (longest prompt with answer, tokens)"""
    batch_size: int = 8
    """한 스텝의 쌍 수 (pairs per optimizer step)"""
    beta: float = 0.1
    """기준 모델에 묶는 세기 (strength of the tie to the reference)"""
    label_smoothing: float = 0.0
    """선호가 뒤집혔을 확률 (probability that a preference is flipped)"""
    too_long: Literal["error", "drop"] = "error"
    """시퀀스보다 긴 쌍: 멈춤 또는 뺌 (pairs longer than a sequence: stop or leave out)"""

    def __post_init__(self) -> None:
        LoopConfig.__post_init__(self)
        if self.beta <= 0:
            raise UsageError(
                f"--beta 는 0보다 커야 합니다 (must be above 0): {self.beta}",
                help="기본값은 --help 에 있습니다 (defaults are in --help)",
            )
        if not 0 <= self.label_smoothing < 0.5:
            raise UsageError(
                f"--label-smoothing 은 0 이상 0.5 미만입니다 (must be in [0, 0.5)): {self.label_smoothing}",
                help="기본값은 --help 에 있습니다 (defaults are in --help)",
            )


def preference(beta: float, label_smoothing: float = 0.0) -> Objective:
    """The DPO objective: sums over pairs of the loss, of the margin beta * (…) and of margin > 0."""

    def objective(model: Model, batch: Batch) -> Loss:
        hidden = hidden_states(model, batch.input_ids)
        policy = sequence_logprobs(hidden, model.lm_head.weight, batch.targets)
        assert batch.reference is not None, "Pairs.reference comes first"
        chosen, rejected = (policy - batch.reference).chunk(2)
        margin = beta * (chosen - rejected)
        total = -(
            (1 - label_smoothing) * F.logsigmoid(margin) + label_smoothing * F.logsigmoid(-margin)
        ).sum()
        told = margin.detach()
        return Loss(
            total=total,
            count=len(told),
            metrics={
                "margin": float(told.sum()),
                "accuracy": float((told > 0).sum()),
                "chosen_reward": float(beta * chosen.detach().sum()),
                "rejected_reward": float(beta * rejected.detach().sum()),
            },
        )

    return objective


@torch.no_grad()
def reference_logprobs(
    model: Model, pairs: Pairs, config: DpoConfig, label: str, *, training: bool = False
) -> np.ndarray:
    """(pairs, 2) float32: log-probabilities of chosen and rejected answers under the model as it is now.

    `training`: as the policy computes them while it trains, which differs for b1 (activations quantised per tensor), so
    that the margin starts at 0 there too, up to the scale of the batch a pair happens to be in.
    """
    before = model.training
    model.train(training)
    device = model.lm_head.weight.device
    out = np.zeros((len(pairs), 2), dtype=np.float32)
    size = max(1, config.batch_size // config.accumulate)
    with WeightCache(model), progress(f"기준 확률 (reference, {label})", total=len(pairs), unit="쌍") as bar:
        for start in range(0, len(pairs), size):
            places = np.arange(start, min(start + size, len(pairs)))
            batch = pairs.of(places).to(device)
            with autocast(config, device.type):
                hidden = hidden_states(model, batch.input_ids)
                out[places] = (
                    sequence_logprobs(hidden, model.lm_head.weight, batch.targets).view(2, -1).T.cpu().numpy()
                )
            bar.advance(len(places))
    model.train(before)
    return out


def dpo(
    shards: Shards,
    /,
    *,
    source: From,
    output: Output,
    config: Annotated[DpoConfig | None, Flat] = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    fresh: Fresh = False,
) -> Result:
    """선호 쌍으로 맞춥니다 (align to preference pairs by DPO)

    Starts at loss ln 2 with margin 0; margin and the share of pairs whose chosen answer is ahead are in the curves.
    """
    config = deepcopy(config) or DpoConfig()  # defaults of this call are not to stay in the caller's settings
    resolve(config, lr=2e-7, schedule="cosine", warmup=0.1, weight_decay=0.0)
    return run_stage(
        Stage(
            verb="dpo",
            inputs=[shards, source],
            open=lambda: pair_data(shards, source, config, seed, rehearse=dry_run),
            job=lambda data: dpo_job(data, source, config),
            stage="dpo",
            before=lambda job, data, run, world: find_references(job, data, run, world, config),
            extra=lambda data: {"pairs": len(data.source), "pairs_dropped": data.source.dropped},
        ),
        output,
        config,
        seed=seed,
        dry_run=dry_run,
        fresh=fresh,
    )


def find_references(job: Job, data: "StageData[Pairs]", run: Path, world: World, config: DpoConfig) -> None:
    """Put the reference into the pairs: process 0 computes it once and leaves it in the run folder for the others."""
    if world.rank:
        for name, split in (("train", data.source), ("val", data.val)):
            if split is not None:
                split.reference = np.load(run / f"reference.{name}.npy", allow_pickle=False)
        return
    job.model.to(world.device)
    for name, split in (("train", data.source), ("val", data.val)):
        if split is not None:
            split.reference = _kept(run / f"reference.{name}.npy", job.model, split, config, name)


def _kept(path: Path, model: Model, pairs: Pairs, config: DpoConfig, name: str) -> np.ndarray:
    try:
        reference = np.load(path, allow_pickle=False)
        if reference.shape == (len(pairs), 2):
            return reference
    except (OSError, ValueError, EOFError):  # not there yet, or damaged: made again
        pass
    reference = reference_logprobs(model, pairs, config, name, training=name == "train")
    with atomic_open(path, "wb") as handle:
        np.save(handle, reference, allow_pickle=False)
    return reference


def pair_data(
    shards: Path, source: Path, config: DpoConfig, seed: int, *, rehearse: bool = False
) -> "StageData[Pairs]":
    """Pairs whose `reference` the caller fills in, checked against the model's tokenizer. `rehearse` fills in zeros:
    a plan needs the cost of a step, not the right reference."""
    train_split, val_split = open_splits(shards, "pair")
    tokenizer = model_tokenizer(source, train_split)
    pairs = Pairs(train_split, config.seq_len, seed, pad_id=tokenizer.pad_id, too_long=config.too_long)
    if rehearse:
        pairs.reference = np.zeros((len(pairs), 2), dtype=np.float32)
    val = (
        Pairs(val_split, config.seq_len, 0, pad_id=tokenizer.pad_id, too_long="drop")
        if some_fit(val_split, config.seq_len)
        else None
    )
    return StageData(tokenizer=tokenizer, source=pairs, val=val)


def dpo_job(data: "StageData[Pairs]", source: Path, config: DpoConfig) -> Job:
    """The starting model on its pairs."""
    check_source(source, config)
    model, _ = load_model(source)
    model.config.max_position_embeddings = max(model.config.max_position_embeddings, config.seq_len)
    return Job(
        model=model,
        source=data.source,
        objective=preference(config.beta, config.label_smoothing),
        config=config,
        stage="dpo",
        val=data.val,
        sample=lambda m: continuations(m, data.tokenizer, PROMPTS, chat=True),
    )
