"""Learning-rate stability: BitNet and full precision at the same peaks (2310.11453, figure 5: BitNet stands larger ones).

    python recipes/science/lr_stability.py SHARDS -o lr --precision bf16 --steps 200

Ten runs of about two CPU-minutes on a processor that multiplies bf16. Each is recorded on its own and resumes.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from study import COLUMNS, SIZES, Arm, Budget, at_edge, best, command, measure_all, row_of

from kodata.report import blocks


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lrs", type=float, nargs="+", default=[1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2])
    parser.add_argument("--quants", nargs="+", default=["b1.58", "none"])
    parser.add_argument("--size", choices=list(SIZES), default="2m")


def arms(given: argparse.Namespace) -> list[Arm]:
    return [
        Arm(name=f"{quant}-lr{lr:g}", quant=quant, lr=lr, size=SIZES[given.size], schedule="cosine")
        for quant in given.quants
        for lr in sorted(given.lrs)
    ]


def study(
    given: argparse.Namespace, budget: Budget, folder: Path
) -> tuple[dict[str, Any], list[Any], list[str]]:
    rows = measure_all(arms(given), budget, given.shards, folder)
    curves, lines, summary = {}, [], {}
    for quant in given.quants:
        mine = {name: row for name, row in rows.items() if row["settings"]["arm"]["quant"] == quant}
        curves[quant] = [
            (r["settings"]["arm"]["lr"], r["loss"]) for r in mine.values() if r["loss"] is not None
        ]
        top = best(mine)
        edge = at_edge(top, mine)
        spread = max(y for _, y in curves[quant]) - mine[top]["loss"]
        summary[quant] = {"best_lr": mine[top]["settings"]["arm"]["lr"], "loss": mine[top]["loss"], "at_edge": edge, "spread": spread}  # fmt: skip
        lines.append(
            f"{quant}: 최선 (best) lr {summary[quant]['best_lr']:g}, {mine[top]['loss']:.4f} nats, 가장 나쁜 것과 차이 (worst minus best) {spread:.4f}"
            + (" · 끝값이라 더 넓혀야 합니다 (at the edge: widen --lrs)" if edge else "")
        )
    report = [
        blocks.lines(
            "최고 학습률과 검증 손실 (peak learning rate and validation loss)",
            curves,
            x="lr",
            y="nats",
            log_x=True,
        ),
        blocks.lines(
            "손실 곡선 (curves)",
            {n: r["curve"] for n, r in rows.items() if r["curve"]},
            x="스텝 (step)",
            y="nats",
        ),
        blocks.table("실행 (runs)", COLUMNS, [row_of(n, r) for n, r in rows.items()]),
    ]
    return {"best": summary, "runs": rows}, report, lines


def main(arguments: list[str] | None = None) -> int:
    return command("science-lr", __doc__ or "", study, options, arms, arguments)


if __name__ == "__main__":
    sys.exit(main())
