"""Watching a run: validation, codes and samples on the way; curves and tables as report blocks at the end."""

from __future__ import annotations

import resource
import sys
from typing import Any

import torch
from torch import Tensor

from kobitnet.bitlinear import BitLinear, code_shares, set_strength
from kobitnet.distributed import World
from kobitnet.model import Model, count_parameters
from kobitnet.sharding import is_sharded
from kobitnet.step import Job, compute
from kodata.run.progress import note

# ---- on the way ---------------------------------------------------------------------------------


@torch.no_grad()
def validate(job: Job, world: World) -> dict[str, float]:
    """Mean loss (and metrics) over the first `eval_batches` batches of the held-out source, fully quantised."""
    if job.val is None:
        return {}
    size = job.config.batch_size // job.config.accumulate
    total, count = 0.0, 0
    sums: dict[str, float] = {}
    available = len(job.val)
    training = job.model.training
    job.model.eval()
    set_strength(job.model, 1.0)
    for number in range(job.config.eval_batches * job.config.accumulate):
        first = number * size
        if first >= available:
            break
        loss = compute(job, job.val.batch(first, min(size, available - first)), world.device)
        total += float(loss.total)
        count += loss.count
        for key, value in loss.metrics.items():
            sums[key] = sums.get(key, 0.0) + value
    job.model.train(training)
    row = {"val_loss": total / max(count, 1), **{f"val_{k}": v / max(count, 1) for k, v in sums.items()}}
    if job.val_bytes_per_target:
        row["val_bits_per_byte"] = row["val_loss"] / 0.6931471805599453 / job.val_bytes_per_target
    return row


def watch(
    job: Job, state: dict[str, Any], step: int, before: dict[str, Tensor], world: World
) -> dict[str, float]:
    """Validation (its row is returned), shares of -1, 0, +1 and flips of this step per layer, samples.

    A sharded model is validated by all processes together; its codes and samples are not looked at on the way.
    """
    row = {"step": step, **validate(job, world)}
    state.setdefault("val", []).append(row)
    if is_sharded(job.model):
        if world.rank:
            return row
    else:
        state["codes"].append({"step": step, "layers": _shares(job.model, before)})
    if job.sample is not None and not is_sharded(job.model):
        training = job.model.training
        job.model.eval()
        state["samples"] = [{"step": step, **sample} for sample in job.sample(job.model)]
        job.model.train(training)
    shown = [f"loss {state['curve'][-1]['loss']:.4g}"] + [
        f"{key} {value:.4g}" for key, value in row.items() if key != "step"
    ]
    note(f"{step}/{job.total_steps} 스텝: " + " · ".join(shown))
    return row


def codes(model: Model) -> dict[str, Tensor]:
    """int8 codes (out, in) of every quantised layer by name."""
    return {
        name: code_shares(m)[0]
        for name, m in model.named_modules()
        if isinstance(m, BitLinear) and m.quant != "none"
    }


def _shares(model: Model, before: dict[str, Tensor]) -> list[dict[str, Any]]:
    """For each decoder layer: shares of the codes and the share that this one optimizer step changed."""
    layers: dict[int, list[float]] = {}
    for name, module in model.named_modules():
        if name not in before:
            continue
        now, shares = code_shares(module)
        flips = float((now != before[name]).float().mean())
        number = int(name.split("layers.")[1].split(".")[0])
        sums = layers.setdefault(number, [0.0] * 5)
        for i, value in enumerate((*shares, flips, 1.0)):
            sums[i] += value * now.numel()
    return [
        {"layer": n, "minus": s[0] / s[4], "zero": s[1] / s[4], "plus": s[2] / s[4], "flips": s[3] / s[4]}
        for n, s in sorted(layers.items())
    ]


# ---- at the end ---------------------------------------------------------------------------------


def report(job: Job, state: dict[str, Any], facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Blocks of a run's report.html from the loop's state; `facts` go on top."""
    from kodata.report import blocks

    curve, val = state["curve"], state.get("val", [])
    out = [blocks.facts("한눈에 (at a glance)", facts)]
    series = {"학습 (train)": _xy(curve, "loss"), "검증 (validation)": _xy(val, "val_loss")}
    out.append(
        blocks.lines(
            "손실 (loss)",
            {k: v for k, v in series.items() if v},
            x="스텝 (step)",
            y="토큰당 nats (nats a token)",
        )
    )
    for key, title, unit in (
        ("val_bits_per_byte", "검증 바이트당 비트 (validation bits per byte)", "비트/바이트 (bits per byte)"),
        ("margin", "DPO 마진 (reward margin)", "nats"),
        ("accuracy", "DPO 정확도, chosen이 이긴 비율 (chosen above rejected)", "비율 (share)"),
    ):
        found = {
            "학습 (train)": _xy(curve, key),
            "검증 (validation)": _xy(val, key if key.startswith("val") else f"val_{key}"),
        }
        found = {k: v for k, v in found.items() if v}
        if found:
            out.append(blocks.lines(title, found, x="스텝 (step)", y=unit))
    for key, title, name in (
        ("lr", "학습률 (learning rate)", "학습률 (lr)"),
        ("grad_norm", "기울기 노름 (gradient norm)", "노름 (norm)"),
    ):
        out.append(blocks.lines(title, {name: _xy(curve, key)}, x="스텝 (step)", y=name))
    out += _code_blocks(state)
    if state.get("samples"):
        out.append(
            blocks.samples(
                "생성 예, 탐욕 해독 (samples, greedy)",
                [
                    {"label": s["prompt"], "text": s["text"], "note": f"{s['step']} 스텝 (step)"}
                    for s in state["samples"]
                ],
            )
        )
    return out


def _xy(rows: list[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    return [(row["step"], row[key]) for row in rows if key in row]


def _code_blocks(state: dict[str, Any]) -> list[dict[str, Any]]:
    from kodata.report import blocks

    rows = [row for row in state["codes"] if row["layers"]]
    if not rows:
        return []
    flips: dict[str, list[tuple[float, float]]] = {}
    zeros: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for layer in row["layers"]:
            name = f"층 {layer['layer']} (layer)"
            flips.setdefault(name, []).append((row["step"], layer["flips"]))
            zeros.setdefault(name, []).append((row["step"], layer["zero"]))
    table = [
        [x["layer"], *(f"{100 * x[k]:.1f}" for k in ("minus", "zero", "plus")), f"{100 * x['flips']:.3f}"]
        for x in rows[-1]["layers"]
    ]
    out = [
        blocks.table(
            "학습이 끝났을 때 가중치 값의 비율 (shares of the codes at the end)",
            ["층 (layer)", "−1, %", "0, %", "+1, %", "한 스텝에 바뀐 비율, % (flips a step)"],
            table,
        )
    ]
    if len(rows) < 2:  # the table says it
        return out
    share = "비율 (share)"
    return [
        *out,
        blocks.lines(
            "한 스텝에 바뀐 가중치의 비율 (codes flipped by one step)", flips, x="스텝 (step)", y=share
        ),
        blocks.lines("0인 가중치의 비율 (share of zeros)", zeros, x="스텝 (step)", y=share),
    ]


def summary(job: Job, state: dict[str, Any]) -> dict[str, Any]:
    """Numbers of a finished run: sizes, tokens, first and last losses, speed, memory, the curves themselves."""
    curve, val = state["curve"], state.get("val", [])
    numbers: dict[str, Any] = {
        "stage": job.stage,
        "steps": job.total_steps,
        "tokens": state["tokens"],
        **count_parameters(job.model),
        "loss_first": curve[0]["loss"] if curve else None,
        "loss": curve[-1]["loss"] if curve else None,
        "tokens_per_second": state["tokens"] / max(state["seconds"], 1e-9),
        "train_seconds": state["seconds"],
        "peak_memory_gb": peak_memory(),
        "skipped_steps": state["skipped"],
    }
    if val:
        numbers.update({k: v for k, v in val[-1].items() if k != "step"})
    return {**numbers, "curve": curve, "validation": val, "codes": state["codes"]}


def peak_memory() -> float:
    """Largest resident memory of this process so far, in GB (10^9 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
