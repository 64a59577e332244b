"""One optimizer step: an objective over micro-batches, their gradients, clipping, the optimizer, and nothing of the run around it.

What differs between pretraining, SFT and DPO is a source of batches and an objective `(model, batch) -> Loss`; a `Job` holds both.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from kobitnet.bitlinear import WeightCache, keep_latents_in_bf16, set_strength
from kobitnet.config import LoopConfig, autocast, decided
from kobitnet.data import Batch, Source
from kobitnet.distributed import World
from kobitnet.model import Model
from kobitnet.optim import build_optimizer, schedule, set_rates
from kobitnet.sharding import is_sharded, shard_model, whole
from kodata.run.errors import UserError


@dataclass(kw_only=True, slots=True)
class Loss:
    """What an objective returns for one micro-batch."""

    total: Tensor
    """Summed loss, attached to the graph."""
    count: int
    """How many terms were summed (target tokens, or pairs)."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Other sums over the same terms, logged as means."""


ALONE = World()
Objective = Callable[[Model, Batch], Loss]


@dataclass(kw_only=True, slots=True)
class Job:
    """Everything the loop needs; made by the verbs."""

    model: Model
    source: Source
    objective: Objective
    config: LoopConfig
    stage: str
    val: Source | None = None
    val_bytes_per_target: float | None = None
    """UTF-8 bytes of text for each target token of `val`, for bits per byte."""
    sample: Callable[[Model], list[dict[str, str]]] | None = None
    """Texts of the present model from fixed prompts."""
    quant_warmup: float = 0.0
    """Steps (below 1: share of all steps) over which quantisation is blended in."""
    cache: bool = True
    """Quantise weights once a step; False is the reference the tests compare with."""

    @property
    def total_steps(self) -> int:
        config = self.config
        return config.steps or max(1, -(-int(config.epochs * len(self.source)) // config.batch_size))


def micro_batches(job: Job, step: int, world: World = ALONE) -> list[Batch]:
    """This process's batches of one optimizer step, in order."""
    size = job.config.batch_size // (job.config.accumulate * world.size)
    first = step * job.config.batch_size
    return [
        job.source.batch(first + (i * world.size + world.rank) * size, size)
        for i in range(job.config.accumulate)
    ]


def compute(job: Job, batch: Batch, device: torch.device) -> Loss:
    """The objective of one micro-batch, on the device and in the precision asked for."""
    with autocast(job.config, device.type):
        if is_sharded(job.model):
            return job.model(job.objective, batch.to(device))[1]
        return job.objective(job.model, batch.to(device))


def backward(
    job: Job, batches: list[Batch], count: int, device: torch.device = ALONE.device
) -> tuple[float, dict[str, float]]:
    """Gradients of the whole step; returns the summed loss and metrics.

    mean: each micro-batch's summed loss is divided by `count`, the terms of the whole step, so accumulation equals one
    big batch whatever the number of targets in each part. sum: not divided.
    """
    scale = 1.0 / max(count, 1) if job.config.reduction == "mean" else 1.0
    total = 0.0
    metrics: dict[str, float] = {}
    for batch in batches:
        loss = compute(job, batch, device)
        (loss.total * scale).backward()
        total += float(loss.total.detach())
        for key, value in loss.metrics.items():
            metrics[key] = metrics.get(key, 0.0) + value
    return total, metrics


def prepare(job: Job, world: World = ALONE) -> torch.optim.Optimizer:
    """Put the model where and into the state it trains in (device, shards, compiled) and make its optimizer."""
    optim = decided(job.config)
    if job.config.recompute:
        job.model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    if job.config.compile:
        for layer in job.model.model.layers:
            layer.compile()
    if job.config.latents == "bf16":
        keep_latents_in_bf16(job.model)
    if world.size > 1 and job.config.parallel == "fsdp":
        shard_model(job.model, world.device)
    job.model.to(world.device)
    job.model.train()
    return build_optimizer(job.model, optim.name, betas=(optim.beta1, optim.beta2))


def terms(batches: list[Batch]) -> int:
    """Loss terms of a step, known before any forward: pairs for DPO, else target tokens."""
    return sum(len(b.pairs) if b.pairs is not None else b.count for b in batches)


def strength(step: int, total: int, warmup: float) -> float:
    """Lambda of annealed quantisation at a 0-based step: a straight line that reaches 1 after the warm-up."""
    steps = round(warmup * total) if warmup < 1 else int(warmup)
    return min(1.0, (step + 1) / (steps + 1))


class NotFinite(Exception):
    """Loss or gradient is NaN or infinite."""


def not_finite(step: int, config: LoopConfig, saved: int | None = None) -> UserError:
    """What the user is told of it; `saved` is the step of the last checkpoint, None when nothing is written."""
    kept = (
        ""
        if saved is None
        else f"; 마지막 온전한 체크포인트는 {saved} 스텝 (the last good checkpoint is kept)"
    )
    return UserError(
        f"{step}번째 스텝에서 손실이 NaN 또는 무한대가 되었습니다 (loss is NaN or infinite at step {step})",
        help=f"--lr {config.lr / 2:g} 로 낮추거나 --optim.clip 을 줄여 새 폴더에서 다시 하세요 "
        f"(lower --lr or --optim.clip, in a new folder){kept}",
    )


def train_step(
    job: Job,
    optimizer: torch.optim.Optimizer,
    cache: WeightCache,
    step: int,
    world: World = ALONE,
    *,
    skip_above: float = float("inf"),
) -> tuple[float, int, float, float, dict[str, float], int]:
    """One optimizer step: (summed loss, terms, learning rate, gradient norm, metrics, tokens).

    A gradient norm above `skip_above` leaves weights and optimizer as they are.

    Raises:
        NotFinite: before anything was changed.
    """
    config, optim = job.config, decided(job.config)
    total = job.total_steps
    warmup = round(optim.warmup * total) if optim.warmup < 1 else int(optim.warmup)
    lr, decay = schedule(
        step,
        total,
        kind=optim.schedule,
        warmup=warmup,
        peak=config.lr,
        peak2=optim.lr2,
        weight_decay=optim.weight_decay,
    )
    set_rates(optimizer, lr, decay, step)
    set_strength(job.model, strength(step, total, job.quant_warmup))
    batches = micro_batches(job, step, world)
    count, tokens = (int(n) for n in world.sums([terms(batches), sum(b.tokens for b in batches)]))
    loss, metrics = backward(job, batches, count, world.device)
    if not is_sharded(job.model):  # FSDP sums gradients as they are made
        world.sum_gradients(job.model)
    loss, *sums = world.sums([loss, *metrics.values()])
    metrics = dict(zip(metrics, sums, strict=True))
    # The limit is meant for the mean gradient: with --reduction sum it grows with the number of terms.
    limit = optim.clip * (max(count, 1) if config.reduction == "sum" else 1)
    norm = float(whole(nn.utils.clip_grad_norm_(job.model.parameters(), limit or float("inf"))))
    if not (abs(loss) < float("inf") and abs(norm) < float("inf")):
        raise NotFinite
    if norm <= skip_above:
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    cache.invalidate()
    return loss, count, lr, norm, metrics, tokens
