"""Ablations, one change at a time at one learning rate: scales, Hadamard, int4, norms, learned scale, annealing.

    python recipes/science/ablation.py SHARDS -o ablation --steps 400 --seeds 3
    python recipes/science/ablation.py SHARDS -o puzzle --only subln --steps 300      the SubLN puzzle

The SubLN puzzle: at toy size SubLN cost 0.58 nats in full precision and b1.58 alike. The group `subln` crosses the three
suspects, in both precisions: the norm itself (pre-ln), the size it gives each branch (rescaled: normed, then brought back to the
size it had), and the start of the branches' last matrices (residual init scaled or not).
"""

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

from study import COLUMNS, SIZES, Arm, Budget, command, measure_all, row_of, seeds

from kodata.report import blocks

GROUPS: dict[str, dict[str, dict[str, Any]]] = {
    "weights": {
        "b1.58": {},
        "row-scale": {"variant": "row-scale"},
        "median": {"variant": "median"},
        "b1": {"quant": "b1"},
        "elastic": {"quant": "b1-alpha"},
        "annealed": {"quant_warmup": 0.25},
    },
    "activations": {
        "b1.58": {},
        "hadamard": {"variant": "hadamard"},
        "int4": {"variant": "int4"},
    },
    "subln": {
        f"{quant}-{name}": {"quant": quant, **change}
        for quant in ("b1.58", "none")
        for name, change in {
            "subln": {},
            "subln-flat-init": {"residual_scale": False},
            "pre-ln": {"variant": "pre-ln"},
            "pre-ln-flat-init": {"variant": "pre-ln", "residual_scale": False},
            "rescaled": {"variant": "rescaled"},
        }.items()
    },
}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--size", choices=list(SIZES), default="2m")


def arms(given: argparse.Namespace) -> list[Arm]:
    changes = {name: change for group in given.only for name, change in GROUPS[group].items()}
    return [
        one
        for name, change in changes.items()
        for one in seeds(Arm(name=name, size=SIZES[given.size], lr=given.lr, **change), given.seeds)
    ]


def study(
    given: argparse.Namespace, budget: Budget, folder: Path
) -> tuple[dict[str, Any], list[Any], list[str]]:
    rows = measure_all(arms(given), budget, given.shards, folder)
    losses: dict[str, list[float]] = {}
    for name, row in rows.items():
        if row["loss"] is not None:
            losses.setdefault(name.rsplit("-s", 1)[0], []).append(row["loss"])
    means = {name: statistics.fmean(values) for name, values in losses.items()}
    spread = {name: statistics.stdev(values) if len(values) > 1 else None for name, values in losses.items()}
    lines = [
        f"{name:24s} {mean:.4f} nats" + (f" ± {spread[name]:.4f}" if spread[name] is not None else "")
        for name, mean in sorted(means.items(), key=lambda item: item[1])
    ]
    report = [
        blocks.bars("검증 손실, 작을수록 좋음 (validation loss, lower is better)", means, unit="nats"),
        blocks.lines(
            "손실 곡선 (curves)",
            {n: r["curve"] for n, r in rows.items() if r["curve"]},
            x="스텝 (step)",
            y="nats",
        ),
        blocks.table(
            "실행 (runs)",
            COLUMNS,
            [row_of(n, r) for n, r in rows.items()],
            note="학습률 하나에서 견준 것: 최선의 학습률은 저마다 다를 수 있습니다 (one learning rate for all: each may have another best one)",
        ),
    ]
    return {"loss": means, "stdev": spread, "runs": rows}, report, lines


def main(arguments: list[str] | None = None) -> int:
    return command("science-ablation", __doc__ or "", study, options, arms, arguments)


if __name__ == "__main__":
    sys.exit(main())
