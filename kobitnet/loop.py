"""The one training loop of pretraining, SFT and DPO: steps, checkpoints, exact resume, curves.

What one step computes is in `kobitnet.step`. The loop's state is the step number, weights, optimizer and curves; batches follow from the step, so a run that was killed
and resumed ends with the same weights, bit for bit, on the same number of threads.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from kobitnet.bitlinear import WeightCache, set_strength
from kobitnet.config import decided, identity
from kobitnet.distributed import World
from kobitnet.sharding import is_sharded
from kobitnet.step import ALONE, Job, NotFinite, not_finite, prepare, train_step
from kobitnet.track import tracking
from kobitnet.training_state import load_checkpoint, save_checkpoint
from kobitnet.watch import codes, watch
from kodata.run.progress import note, progress

SPIKE_STEPS = 50
"""Steps whose gradient norms make the recent mean."""


def spike_limit(state: dict[str, Any], factor: float) -> float:
    """The gradient norm above which the next step is skipped: `factor` times the recent mean, once there is one."""
    norms = state["norms"]
    if not factor or len(norms) < SPIKE_STEPS:
        return float("inf")
    return factor * sum(norms) / len(norms)


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
