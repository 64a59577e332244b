"""The one training loop of pretraining, SFT and DPO: steps, checkpoints, exact resume, curves.

What differs between the stages is a source of batches and an objective `(model, batch) -> Loss`; everything else is here.
The loop's state is the step number, weights, optimizer and curves; batches follow from the step, so a run that was killed
and resumed ends with the same weights, bit for bit, on the same number of threads.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kobitnet.bitlinear import WeightCache, keep_latents_in_bf16, set_strength
from kobitnet.config import LoopConfig, autocast, decided, identity
from kobitnet.data import Batch, Source
from kobitnet.distributed import World
from kobitnet.model import Model
from kobitnet.optim import build_optimizer, schedule, set_rates
from kobitnet.sharding import is_sharded, shard_model, whole
from kobitnet.track import tracking
from kobitnet.training_state import load_checkpoint, save_checkpoint
from kobitnet.watch import codes, watch
from kodata.run.errors import UserError
from kodata.run.progress import note, progress

# ---- one step -----------------------------------------------------------------------------------


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


SPIKE_STEPS = 50
"""Steps whose gradient norms make the recent mean."""


def spike_limit(state: dict[str, Any], factor: float) -> float:
    """The gradient norm above which the next step is skipped: `factor` times the recent mean, once there is one."""
    norms = state["norms"]
    if not factor or len(norms) < SPIKE_STEPS:
        return float("inf")
    return factor * sum(norms) / len(norms)


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


# ---- the loop -----------------------------------------------------------------------------------


class _StopRequest:
    """SIGINT and SIGTERM ask the loop to save and stop after the present step; a second one stops at once."""

    def __init__(self) -> None:
        self.asked = False
        self._old: dict[int, Any] = {}

    def __enter__(self) -> "_StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._ask)
        return self

    def _ask(self, number: int, frame: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        note("중단 요청: 이번 스텝 뒤에 저장하고 멈춥니다 (stopping after this step, saving)")

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """torch with so many threads (0 = as it is), and as before afterwards."""
    before = torch.get_num_threads()
    if number:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit(job: Job, run: Path, world: World = ALONE) -> dict[str, Any]:
    """Train to the end, resuming what is in run/checkpoints; returns {"curve": rows, "codes": rows, "samples": …, …}.

    Of several processes all compute and only the first writes (a sharded model is validated and saved by all together).

    Raises:
        UserError: loss became NaN or infinite; the disk is full; no whole checkpoint to resume from.
        KeyboardInterrupt: after saving, on SIGINT or SIGTERM.
    """
    config, total = job.config, job.total_steps
    optimizer = prepare(job, world)
    first = world.rank == 0
    together = is_sharded(job.model)
    state = load_checkpoint(run, job.model, optimizer, repair=first) or {
        "step": 0,
        "curve": [],
        "codes": [],
        "samples": [],
        "window": _window(),
        "norms": [],
        "skipped": [],
        "tokens": 0,
        "seconds": 0.0,
    }
    step = state.pop("step")
    state.pop("files", None)
    if step:
        note(f"이어서 합니다: {step}/{total} 스텝 (resuming)")
    with (
        threads(config.threads),
        _StopRequest() as stop,
        WeightCache(job.model) as weights,
        tracking(config.track if first else "none", run, identity(config), step) as track,
        progress(f"학습 (training, {job.stage})", total=total, unit="스텝", done=step) as bar,
    ):
        if not job.cache or together:  # what a process gathers of a sharded layer is not its own to keep
            weights.__exit__()
        saved_at, saved_step = time.monotonic(), step
        last = time.monotonic()
        while step < total:
            watching = (first or together) and (
                (step + 1) == total or (config.eval_every and (step + 1) % config.eval_every == 0)
            )
            before = codes(job.model) if watching and not together else {}
            try:
                usual = spike_limit(state, decided(config).spike)
                loss, count, lr, norm, metrics, tokens = train_step(
                    job, optimizer, weights, step, world, skip_above=usual
                )
            except NotFinite:
                raise not_finite(step + 1, config, saved_step) from None
            step += 1
            if norm > usual:
                state["skipped"].append(step)
                note(f"{step} 스텝을 버립니다: 기울기 노름 {norm:.3g} > {usual:.3g} (spike: step skipped)")
            # A skipped step counts as the limit itself: a level that stays high is met after a while.
            state["norms"] = [*state["norms"], min(norm, usual)][-SPIKE_STEPS:]
            window = state["window"]
            window["loss"] += loss
            window["count"] += count
            for key, value in metrics.items():
                window["metrics"][key] = window["metrics"].get(key, 0.0) + value
            state["tokens"] += tokens
            now = time.monotonic()
            state["seconds"] += now - last
            last = now
            if step % config.log_every == 0 or step in (1, total):
                track(step, _log(state, step, lr, norm))
            if watching:
                track(step, watch(job, state, step, before, world))
                last = time.monotonic()
            bar.advance(
                1,
                loss=f"{loss / max(count, 1):.3f}",
                lr=f"{lr:.1e}",
                tok_s=f"{state['tokens'] / max(state['seconds'], 1e-9):,.0f}",
            )
            due = (
                config.save_every and step % config.save_every == 0
            ) or time.monotonic() - saved_at >= config.save_seconds
            # Processes agree: the first one's clock says when, and a signal may reach only one of them.
            stopping, due = (n > 0 for n in world.sums([float(stop.asked), float(first and due)]))
            if (first or together) and (step == total or due or stopping):
                save_checkpoint(run, step, job.model, optimizer, state, keep=config.keep)
                saved_at, saved_step = time.monotonic(), step
                last = saved_at
            if stopping and step < total:
                raise KeyboardInterrupt
    job.model.eval()
    set_strength(job.model, 1.0)
    return state


def _window() -> dict[str, Any]:
    return {"loss": 0.0, "count": 0, "metrics": {}}


def _log(state: dict[str, Any], step: int, lr: float, norm: float) -> dict[str, float]:
    """One row of the curve, appended and returned: means since the row before."""
    window = state["window"]
    count = max(window["count"], 1)
    row: dict[str, float] = {"step": step, "loss": window["loss"] / count, "lr": lr, "grad_norm": norm}
    row.update({key: value / count for key, value in window["metrics"].items()})
    state["curve"].append(row)
    state["window"] = _window()
    return row
