"""Studies of training: lists of small runs that record themselves, power laws through their losses, one report.

A study is a list of `Arm`s (a size, a quantiser, a learning rate, a seed …). Every finished run is one JSON file under
OUT/runs, and a run that was killed resumes from its checkpoint, so the same command again goes on where it stopped. What is
written at the end is a run folder like any other (stats.json, report.html; `kodata report OUT`).

    L(N) = a N^b + c      loss over parameters (BitNet, arXiv 2310.11453, section 3.2; b is negative)
    L(E) = a E^b + c      the same over the energy of inference, its "inference-optimal" form

a, b, c come from least squares over b on a fine grid; for each b the best a and c are those of a straight line.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from variants import VARIANTS

from kobitnet.config import LoopConfig, OptimConfig, resolve
from kobitnet.data import TextWindows
from kobitnet.evaluate.energy import forward, shape_of
from kobitnet.loop import fit
from kobitnet.memory import keep_memory
from kobitnet.model import Preset, build_model, count_parameters, model_config
from kobitnet.products import multiply_by_onednn
from kobitnet.stage import open_splits
from kobitnet.step import Job
from kobitnet.train import causal_lm
from kodata.run.errors import UserError
from kodata.run.files import atomic_json, read_json_object
from kodata.run.folder import open_run
from kodata.run.progress import note

# ---- one run ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Size:
    """Dimensions of a model; heads share key and value in pairs when `kv_heads` is half of `heads`."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int


SIZES = {
    "0.1m": Size(hidden=64, intermediate=128, layers=3, heads=2, kv_heads=2),
    "0.3m": Size(hidden=96, intermediate=256, layers=3, heads=3, kv_heads=3),
    "0.7m": Size(hidden=128, intermediate=384, layers=3, heads=4, kv_heads=4),
    "2m": Size(hidden=256, intermediate=384, layers=4, heads=4, kv_heads=2),
    "5m": Size(hidden=256, intermediate=768, layers=6, heads=4, kv_heads=4),
}
"""By parameters outside the embeddings, about."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One run of a study."""

    name: str
    size: Size = SIZES["2m"]
    quant: str = "b1.58"
    variant: str = ""
    """A layer of `variants.VARIANTS` in the place of ours."""
    lr: float = 4e-3
    schedule: str = "two-stage"
    optimizer: str = "adamw"
    weight_decay: float = 0.1
    quant_warmup: float = 0.0
    residual_scale: bool = True
    """Start the last matrix of each branch smaller, by 1 / sqrt(2 layers)."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long each run is."""

    steps: int
    batch_size: int = 16
    seq_len: int = 256
    precision: str = "fp32"
    threads: int = 1

    @property
    def tokens(self) -> int:
        return self.steps * self.batch_size * self.seq_len


def job(arm: Arm, budget: Budget, shards: Path) -> Job:
    """The arm as a job of the training loop."""
    train, held_out = open_splits(shards, "text")
    if held_out is None or held_out.num_tokens <= budget.seq_len:
        raise UserError(
            f"검증할 글이 모자랍니다 (too little held-out text): {shards}",
            help="kotok encode … --val 0.03 --fresh",
        )
    config = LoopConfig(
        steps=budget.steps,
        batch_size=budget.batch_size,
        seq_len=budget.seq_len,
        precision=budget.precision,  # type: ignore[arg-type]
        threads=budget.threads,
        lr=arm.lr,
        eval_every=max(1, budget.steps // 4),
        eval_batches=32,
        keep=1,
        optim=OptimConfig(schedule=arm.schedule, name=arm.optimizer, weight_decay=arm.weight_decay),  # type: ignore[arg-type]
    )
    resolve(config, lr=arm.lr, warmup=0.05)
    shape = model_config(
        Preset(**asdict(arm.size), lr=arm.lr, lr2=arm.lr), vocab_size=train.vocab_size, seq_len=budget.seq_len
    )
    model = build_model(shape, arm.quant, seed=arm.seed, residual_scale=arm.residual_scale)
    if arm.variant:
        VARIANTS[arm.variant](model)
    return Job(
        model=model,
        source=TextWindows(train, budget.seq_len, arm.seed),
        objective=causal_lm,
        config=config,
        stage="study",
        val=TextWindows(held_out, budget.seq_len, 0),
        val_bytes_per_target=held_out.bytes / held_out.num_tokens if held_out.bytes else None,
        quant_warmup=arm.quant_warmup,
    )


def measure(arm: Arm, budget: Budget, shards: Path, folder: Path) -> dict[str, Any]:
    """Train the arm, or read what it recorded before; resumes from its checkpoint. `loss` is None when it diverged."""
    record = folder / "runs" / f"{arm.name}.json"
    settings = {"arm": asdict(arm), "budget": {k: v for k, v in asdict(budget).items() if k != "threads"}}
    if record.exists():
        found = read_json_object(record)
        if found["settings"] != settings:
            raise UserError(
                f"다른 설정의 기록입니다 (recorded with other settings): {record}", help="-o 다른_폴더"
            )
        return found
    work = folder / "work" / arm.name
    (work / "model").mkdir(parents=True, exist_ok=True)
    one = job(arm, budget, shards)
    started, cpu = time.monotonic(), time.process_time()
    failed = ""
    try:
        state = fit(one, work)
    except UserError as error:  # a loss that is not finite is a result here
        if "NaN" not in str(error):
            raise
        failed, state = str(error), {"curve": [], "val": []}
    last = state["val"][-1] if state["val"] else {}
    energy = forward(shape_of(one.model.config.to_dict()), "fp16" if arm.quant == "none" else "ternary")
    row = {
        "settings": settings,
        "loss": last.get("val_loss"),
        "bits_per_byte": last.get("val_bits_per_byte"),
        "failed": failed,
        **count_parameters(one.model),
        "tokens": budget.tokens,
        "energy": sum(energy),
        "curve": [[r["step"], r["loss"]] for r in state["curve"]],
        "validation": [[r["step"], r["val_loss"]] for r in state["val"]],
        "seconds": time.monotonic() - started,
        "cpu_seconds": time.process_time() - cpu,
    }
    atomic_json(record, row)
    shutil.rmtree(work)
    return row


def measure_all(arms: Iterable[Arm], budget: Budget, shards: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """Every arm in its order; a line each on stderr."""
    rows = {}
    for arm in arms:
        row = rows[arm.name] = measure(arm, budget, shards, folder)
        told = "발산 (diverged)" if row["loss"] is None else f"{row['loss']:.4f} nats"
        note(f"{arm.name}: {told}, {row['cpu_seconds']:.0f} CPU-s")
    return rows


def best(rows: dict[str, dict[str, Any]]) -> str:
    """Name of the run with the lowest validation loss."""
    finite = {name: row["loss"] for name, row in rows.items() if row["loss"] is not None}
    if not finite:
        raise UserError(
            "모든 실행이 발산했습니다 (every run diverged)", help="--lrs 를 낮추세요 (lower --lrs)"
        )
    return min(finite, key=lambda name: finite[name])


def at_edge(name: str, rows: dict[str, dict[str, Any]]) -> bool:
    """Whether the best learning rate is the smallest or largest tried: then the optimum is not bracketed."""
    rates = sorted(row["settings"]["arm"]["lr"] for row in rows.values())
    return rows[name]["settings"]["arm"]["lr"] in (rates[0], rates[-1])


def seeds(arm: Arm, number: int) -> list[Arm]:
    """The arm with seeds 0, 1, …"""
    return [replace(arm, name=f"{arm.name}-s{seed}", seed=seed) for seed in range(number)]


# ---- power laws ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Law:
    """y = a x^b + c."""

    a: float
    b: float
    c: float
    error: float
    """Root mean square of the residuals."""

    def __call__(self, x: float) -> float:
        return self.a * x**self.b + self.c

    def __str__(self) -> str:
        return f"{self.a:.4g} · x^{self.b:.3f} + {self.c:.4f}"


def fit_law(x: Iterable[float], y: Iterable[float]) -> Law:
    """Least squares over b in -2 … -0.01 (grid of 0.001); a and c in closed form, with a, c >= 0.

    Raises:
        ValueError: fewer than three different sizes.
    """
    xs, ys = np.asarray(list(x), float), np.asarray(list(y), float)
    if len(set(xs.tolist())) < 3:
        raise ValueError("three different sizes at least")
    scale = math.exp(float(np.log(xs).mean()))  # x / scale near 1, so that powers stay tame
    found: tuple[float, float, float, float] | None = None
    for b in np.arange(-2000, -9) / 1000:
        power = (xs / scale) ** b
        matrix = np.stack([power, np.ones_like(power)], 1)
        a, c = np.linalg.lstsq(matrix, ys, rcond=None)[0]
        if c < 0:
            a, c = float(power @ ys / (power @ power)), 0.0
        if a < 0:
            a, c = 0.0, float(ys.mean())
        error = float(np.square(matrix @ [a, c] - ys).mean())
        if found is None or error < found[0]:
            found = error, float(a), float(b), float(c)
    assert found is not None
    error, a, b, c = found
    return Law(a=a / scale**b, b=b, c=c, error=math.sqrt(error))


def predict_largest(x: list[float], y: list[float]) -> tuple[Law, float, float]:
    """The law through all sizes but the largest, what it says of that one, and its relative error there."""
    order = np.argsort(x)
    xs, ys = np.asarray(x, float)[order], np.asarray(y, float)[order]
    law = fit_law(xs[:-1], ys[:-1])
    told = law(float(xs[-1]))
    return law, told, told / float(ys[-1]) - 1.0


# ---- the command --------------------------------------------------------------------------------

Study = Callable[[argparse.Namespace, Budget, Path], tuple[dict[str, Any], list[dict[str, Any]], list[str]]]
"""(arguments, budget, run folder) -> (summary, report blocks, lines)."""


def command(
    name: str,
    about: str,
    study: Study,
    options: Callable[[argparse.ArgumentParser], None],
    plan: Callable[[argparse.Namespace], list[Arm]],
    arguments: list[str] | None = None,
) -> int:
    """A study script: arguments, budget, run folder, errors as the house tells them. Returns the exit code."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "shards", type=Path, help="글 조각 폴더, val 이 있는 것 (text shards with a val split)"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="결과 폴더 (result folder)")
    parser.add_argument("--steps", type=int, default=400, help="실행마다 스텝 (steps a run)")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seq-len", type=int, default=256)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dry-run", action="store_true", help="실행 목록만 (the list of runs only)")
    parser.add_argument("--fresh", action="store_true", help="처음부터 (start again)")
    options(parser)
    given = parser.parse_args(arguments)
    budget = Budget(
        steps=given.steps,
        batch_size=given.batch_size,
        seq_len=given.seq_len,
        precision=given.precision,
        threads=given.threads,
    )
    keep_memory()
    multiply_by_onednn()
    try:
        arms = plan(given)
        told = f"실행 {len(arms)}개 × {budget.tokens:,} 토큰 (runs x tokens), 최대 (at most)"
        if given.dry_run:
            print(told, *(arm.name for arm in arms), sep="\n")
            return 0
        note(told)
        free = {"shards", "output", "threads", "dry_run", "fresh"}
        settings = {key: value for key, value in vars(given).items() if key not in free}
        with open_run(
            given.output,
            tool="kobitnet",
            verb=name,
            config=settings,
            inputs=[given.shards],
            fresh=given.fresh,
        ) as run:
            if run.done:
                print(*run.result().lines, given.output, sep="\n")
                return 0
            summary, report, lines = study(given, budget, run.path)
            run.finish(summary=summary, report=report, lines=lines)
        print(*lines, given.output, sep="\n")
    except UserError as error:
        print(*error.lines(), sep="\n", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return 130
    return 0


def row_of(name: str, row: dict[str, Any]) -> list[Any]:
    """A line of the table every study shows; `COLUMNS` are its heads."""
    arm = row["settings"]["arm"]
    return [
        name, arm["quant"], arm["variant"] or "–", arm["lr"], arm["seed"], row["non_embedding"],
        "발산 (diverged)" if row["loss"] is None else round(row["loss"], 4),
        "–" if row["bits_per_byte"] is None else round(row["bits_per_byte"], 4),
        round(row["cpu_seconds"], 1),
    ]  # fmt: skip


COLUMNS = [
    "실행 (run)", "양자화 (quantiser)", "층 (layer)", "학습률 (lr)", "씨앗 (seed)", "임베딩 밖 (non-embedding)",
    "검증 nats", "바이트당 비트 (bits/byte)", "CPU s",
]  # fmt: skip
