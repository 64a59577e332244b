"""Scaling: L(N) = a N^b + c and its inference-energy form on four sizes or more, and the largest predicted from the others.

    python recipes/science/scaling.py SHARDS -o scaling --precision bf16 --steps 300

Ten runs of half a CPU-minute to four on a processor that multiplies bf16. Each is recorded on its own and resumes.

Every size sees the same tokens, as in 2310.11453 section 3.2. Small sizes on few tokens measure optimisation as much as
capacity: read the exponent as that of this setting.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from study import COLUMNS, SIZES, Arm, Budget, command, fit_law, measure_all, predict_largest, row_of

from kodata.report import blocks
from kodata.run.errors import UsageError


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--quants", nargs="+", default=["b1.58", "none"])
    parser.add_argument("--lr", type=float, default=4e-3)


def arms(given: argparse.Namespace) -> list[Arm]:
    if len(set(given.sizes)) < 4:
        raise UsageError("크기가 넷은 있어야 합니다 (four sizes at least)", help="--sizes 0.1m 0.3m 0.7m 2m")
    return [
        Arm(name=f"{quant}-{size}", quant=quant, size=SIZES[size], lr=given.lr)
        for quant in given.quants
        for size in SIZES
        if size in given.sizes
    ]


def study(
    given: argparse.Namespace, budget: Budget, folder: Path
) -> tuple[dict[str, Any], list[Any], list[str]]:
    rows = measure_all(arms(given), budget, given.shards, folder)
    summary: dict[str, Any] = {}
    lines: list[str] = []
    by_size: dict[str, list[Any]] = {}
    by_energy: dict[str, list[Any]] = {}
    for quant in given.quants:
        mine = [r for r in rows.values() if r["settings"]["arm"]["quant"] == quant and r["loss"] is not None]
        if len(mine) < 4:
            lines.append(f"{quant}: 발산한 것이 있어 맞추지 않음 (runs diverged: not fitted)")
            continue
        n, e, y = ([r[key] for r in mine] for key in ("non_embedding", "energy", "loss"))
        law, energy = fit_law(n, y), fit_law(e, y)
        _, told, error = predict_largest(n, y)
        summary[quant] = {
            "law": [law.a, law.b, law.c, law.error],
            "energy_law": [energy.a, energy.b, energy.c, energy.error],
            "predicted": told,
            "measured": y[n.index(max(n))],
            "relative_error": error,
        }
        lines.append(
            f"{quant}: L(N) = {law} · 가장 큰 크기 (largest) 예측 (predicted) {told:.4f}, 실측 (measured) {summary[quant]['measured']:.4f} ({100 * error:+.2f} %)"
        )
        by_size[quant], by_energy[quant] = sorted(zip(n, y)), sorted(zip(e, y))
        by_size[f"{quant} (a N^b + c)"] = [(x, law(x)) for x, _ in by_size[quant]]
        by_energy[f"{quant} (a E^b + c)"] = [(x, energy(x)) for x, _ in by_energy[quant]]
    report = [
        blocks.lines(
            "손실과 크기 (loss and size)", by_size, x="N (임베딩 밖, non-embedding)", y="nats", log_x=True
        ),
        blocks.lines(
            "손실과 추론 에너지 (loss and inference energy)",
            by_energy,
            x="J (7 nm, 512 토큰, tokens)",
            y="nats",
            log_x=True,
            note="FP16과 삼진의 행렬곱만 (matrix products only, FP16 and ternary), 2310.11453 표 2 (table 2)",
        ),
        blocks.table("실행 (runs)", COLUMNS, [row_of(n, r) for n, r in rows.items()]),
    ]
    return {"laws": summary, "runs": rows}, report, lines


def main(arguments: list[str] | None = None) -> int:
    return command("science-scaling", __doc__ or "", study, options, arms, arguments)


if __name__ == "__main__":
    sys.exit(main())
