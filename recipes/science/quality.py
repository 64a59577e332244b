"""Quality at equal tokens: bits per byte of FP, b1.58, b1.58 less each of our defaults, and the original 1-bit BitNet.

    python recipes/science/quality.py SHARDS -o quality --steps 400 --dry-run
    nice -n 15 python recipes/science/quality.py SHARDS -o quality --steps 400 --precision bf16

SHARDS: 8k vocabulary, text with a val split. The learning rate of FP and of b1.58 is bracketed on seed 0 (the FP baseline
is thus the strongest of its rates; FP is tried with the two-stage schedule and with cosine), then every arm runs on three seeds at
the rate of its kind (the 1-bit arm at that of b1.58). 400 steps of 16 x 256 are 1.64 M tokens; about 2 M parameters outside
the embeddings. Budget: 9 + 15 runs less the two that the bracket did already; at about 4 CPU-minutes a run on a processor that
multiplies bf16 (5 in fp32) an hour and a half on one core. Each run is recorded on its own and resumes, so it may be stopped at any moment.
"""

import argparse
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from study import COLUMNS, SIZES, Arm, Budget, at_edge, best, command, measure_all, row_of

from kodata.report import blocks

DEFAULTS: dict[str, dict[str, Any]] = {
    "b1.58": {},
    "b1.58, cosine": {"schedule": "cosine"},  # less the two-stage schedule
    "b1.58, flat init": {"residual_scale": False},  # less the scaled start of the branches
}
"""Our b1.58 and what it is without each improvement that is on by default."""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lrs", type=float, nargs="+", default=[2e-3, 4e-3, 8e-3])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", choices=list(SIZES), default="2m")


def bracket(given: argparse.Namespace) -> dict[str, list[Arm]]:
    """Arms of the learning-rate search by kind."""
    size, rates = SIZES[given.size], sorted(given.lrs)
    kinds = {"FP": {"quant": "none"}, "FP, cosine": {"quant": "none", "schedule": "cosine"}, "b1.58": {}}
    return {
        kind: [Arm(name=f"{kind} lr{lr:g}-s0", size=size, lr=lr, **change) for lr in rates]  # type: ignore[arg-type]
        for kind, change in kinds.items()
    }


def finals(given: argparse.Namespace, chosen: dict[str, Arm]) -> dict[str, list[Arm]]:
    """Arms of the comparison by name, given the best arm of each kind of bracket."""
    ternary = chosen["b1.58"]
    heads = {
        "FP": chosen["FP"],
        **{name: replace(ternary, **change) for name, change in DEFAULTS.items()},
        "b1": replace(ternary, quant="b1"),
    }
    return {
        name: [replace(arm, seed=s, name=f"{name} lr{arm.lr:g}-s{s}") for s in range(given.seeds)]
        for name, arm in heads.items()
    }


def plan(given: argparse.Namespace) -> list[Arm]:
    """Every run there may be (the bracket's own are not run twice)."""
    found = bracket(given)
    later = finals(given, {"FP": found["FP"][0], "b1.58": found["b1.58"][0]})
    first = [arm for arms in found.values() for arm in arms]
    return first + [arm for arms in later.values() for arm in arms if arm not in first]


def study(
    given: argparse.Namespace, budget: Budget, folder: Path
) -> tuple[dict[str, Any], list[Any], list[str]]:
    chosen: dict[str, Arm] = {}
    rows: dict[str, Any] = {}
    lines: list[str] = []
    for kind, arms in bracket(given).items():
        mine = measure_all(arms, budget, given.shards, folder)
        rows |= mine
        top = best(mine)
        arm = next(a for a in arms if a.name == top)
        if at_edge(top, mine):
            lines.append(f"{kind}: 최선의 lr {arm.lr:g} 이 끝값입니다 (at the edge: widen --lrs)")
        kind = kind.split(",")[0]
        if kind not in chosen or mine[top]["loss"] < rows[chosen[kind].name]["loss"]:
            chosen[kind] = arm
    found: dict[str, list[float]] = {}
    for name, arms in finals(given, chosen).items():
        if name == "FP" and chosen["FP"].schedule == "cosine":
            arms = [replace(a, name=a.name.replace("FP ", "FP, cosine ")) for a in arms]
        mine = measure_all(arms, budget, given.shards, folder)
        rows |= mine
        key = "bits_per_byte" if all(r["bits_per_byte"] for r in mine.values()) else "loss"
        found[name] = [r[key] for r in mine.values() if r[key] is not None]
    means = {name: statistics.fmean(v) for name, v in found.items() if v}
    error = {n: statistics.stdev(v) / len(v) ** 0.5 if len(v) > 1 else None for n, v in found.items() if v}
    table = [
        [
            name,
            round(mean, 4),
            error[name] and round(error[name], 4),
            round(mean - means["FP"], 4),
            len(found[name]),
        ]
        for name, mean in means.items()
    ]
    lines += [
        f"{n:18s} {m:.4f} ± {e if e is None else round(e, 4)}  ({d:+.4f} 대 (against) FP)"
        for n, m, e, d, _ in table
    ]
    report = [
        blocks.table(
            "같은 토큰에서의 품질 (quality at equal tokens)",
            [
                "가지 (arm)",
                "바이트당 비트 (bits/byte)",
                "± 표준오차 (stderr)",
                "FP와 차이 (minus FP)",
                "씨앗 (seeds)",
            ],
            table,
            note=f"{budget.tokens:,} 토큰 (tokens a run). 학습률은 씨앗 0에서 고름 (rates chosen on seed 0). 작은 모델과 짧은 학습의 값 (a small model, a short training).",
        ),
        blocks.table("실행 (runs)", COLUMNS, [row_of(n, r) for n, r in rows.items()]),
    ]
    return {"mean": means, "stderr": error, "runs": rows}, report, lines


def main(arguments: list[str] | None = None) -> int:
    return command("science-quality", __doc__ or "", study, options, plan, arguments)


if __name__ == "__main__":
    sys.exit(main())
