"""BitNet trained from scratch against post-training quantisation of a full-precision twin (2310.11453 table 3), in Korean, at any size.

    kobitnet train SHARDS -o fp --quant none …     the full-precision twin, trained on the same shards with the same settings
    kobitnet train SHARDS -o bitnet …
    python recipes/ptq/held_out_task.py SHARDS -o held_out.jsonl      a task that a small model can do at all
    python recipes/ptq/ptq_table.py fp --bitnet bitnet --on SHARDS --tasks-dir EVAL --tasks kobest,held_out.jsonl -n 200 -o ptq

Every finished row is kept: the same command again goes on where it stopped. The output is a run folder like any other
(stats.json, report.html; `kodata report ptq`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from ptq_methods import METHODS, Method, quantise

from kobitnet.checkpoint import load_model
from kobitnet.evaluate import task_run, task_score
from kobitnet.evaluate.backend import TorchBackend
from kobitnet.evaluate.perplexity import combine, score_documents
from kobitnet.evaluate.task_files import Loaded, load_tasks
from kodata.report import blocks
from kodata.run.errors import UserError
from kodata.run.files import atomic_json, read_json_object
from kodata.run.folder import open_run
from kotok.shards import Shards, open_shards

CALIBRATION_TOKENS, CALIBRATION_LENGTH = 8_192, 256


def main(arguments: list[str] | None = None) -> int:
    """The script; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="온정밀도 run (full-precision run, --quant none)")
    parser.add_argument(
        "--bitnet", type=Path, help="같은 자료로 처음부터 배운 BitNet (BitNet trained on the same data)"
    )
    parser.add_argument(
        "--on",
        type=Path,
        required=True,
        help="글 조각 (text shards): val 로 잽니다 (scored), train 으로 맞춥니다 (calibrates)",
    )
    parser.add_argument("--tasks", action="append", default=[], help="과제나 묶음 (tasks or groups)")
    parser.add_argument("--tasks-dir", type=Path, help="과제 파일 폴더 (folder of the task files)")
    parser.add_argument("-n", "--limit", type=int, help="과제마다 앞의 N 문항 (first N questions)")
    parser.add_argument(
        "--max-tokens", type=int, default=20_000, help="혼란도를 잴 토큰 (tokens scored, 0 = all)"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="결과 폴더 (result folder)")
    parser.add_argument("--fresh", action="store_true", help="처음부터 (start again)")
    given = parser.parse_args(arguments)
    try:
        print(*table(given), sep="\n")
    except UserError as error:
        print(*error.lines(), sep="\n", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return 130
    return 0


def table(given: argparse.Namespace) -> list[str]:
    """Do every row that is not done yet; returns the lines to print."""
    shards, loaded = open_shards(given.on, "val"), _tasks(given)
    inputs = [
        given.model,
        given.on,
        *([given.bitnet] if given.bitnet else []),
        *(one.place for one in loaded),
    ]
    settings = {
        "tasks": [one.task.name for one in loaded],
        "limit": given.limit,
        "max_tokens": given.max_tokens,
    }
    with open_run(
        given.output, tool="kobitnet", verb="ptq", config=settings, inputs=inputs, fresh=given.fresh
    ) as run:
        if run.done:
            return [*run.result().lines, str(given.output)]
        rows = []
        for method in [*METHODS, *([None] if given.bitnet else [])]:
            name = "BitNet" if method is None else f"{method.label}-{method.name}"
            file = run.path / "rows" / f"{name}.json"
            if not file.exists():
                atomic_json(file, _row(given, method, shards, loaded, run.path / "asked" / name))
            rows.append(read_json_object(file))
        lines = [
            f"{r['label']:7s} {r['method']:24s} 혼란도 (perplexity) {r['perplexity']:12,.2f} · 바이트당 비트 (bits/byte) {r['bits_per_byte']:.4f}"
            + (f" · 정확도 (accuracy) {r['accuracy']:.4f}" if r["accuracy"] is not None else "")
            for r in rows
        ]
        run.finish(
            summary={f"{r['label']} {r['method']}": r for r in rows}, report=_report(rows), lines=lines
        )
        return [*lines, str(given.output)]


def _tasks(given: argparse.Namespace) -> list[Loaded]:
    return load_tasks(given.tasks, given.tasks_dir, shots=False)[0] if given.tasks else []


def _row(
    given: argparse.Namespace, method: Method | None, shards: Shards, loaded: list[Loaded], records: Path
) -> dict[str, Any]:
    """Load, quantise, measure."""
    model, tokenizer = load_model(given.bitnet if method is None else given.model)
    quant = model.kobitnet["quant"]
    if method is not None and quant != "none":
        raise UserError(
            f"온정밀도 모델이 아닙니다 (not a full-precision model, {quant}): {given.model}",
            "kobitnet train SHARDS -o fp --quant none 의 결과를 주십시오 (give a run of it)",
        )
    if tokenizer.fingerprint != shards.tokenizer_fingerprint:
        raise UserError(
            f"조각과 모델의 토크나이저가 다릅니다 (shards and model have different tokenizers): {given.on}"
        )
    if method is not None:
        quantise(model, method, _samples(given.on))
    backend = TorchBackend(model, tokenizer)
    positions = backend.positions
    context = min(512, positions)
    score = combine(
        list(
            score_documents(
                backend, shards, context=context, stride=context // 2, max_tokens=given.max_tokens
            )
        )
    )
    answered = [
        task_run.answer(backend, one, shots=0, limit=given.limit, record=records / f"{one.task.name}.jsonl")
        for one in loaded
    ]
    found = task_score.summary(answered, {}) if answered else {"tasks": {}}
    return {
        "label": "W1.58A8" if method is None else method.label,
        "method": f"BitNet {quant}, 학습 (trained)" if method is None else method.name,
        "perplexity": score.perplexity,
        "bits_per_byte": score.bits_per_byte,
        "stderr": None if score.stderr != score.stderr else score.stderr,
        "accuracy": found.get("accuracy"),
        "tasks": {name: task["metrics"] for name, task in found["tasks"].items()},
    }


def _samples(on: Path) -> list[torch.Tensor]:
    """Calibration text: the first tokens of the train split, which no evaluation sees."""
    train = open_shards(on, "train")
    total = min(CALIBRATION_TOKENS, train.num_tokens)
    ids = torch.from_numpy(train.span(0, total).astype("int64"))
    return list(ids.split(CALIBRATION_LENGTH))


def _report(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    tasks = list(dict.fromkeys(name for r in rows for name, found in r["tasks"].items() if "acc" in found))
    body = [
        [
            r["label"], r["method"], round(r["perplexity"], 2), round(r["bits_per_byte"], 4), r["stderr"] and round(r["stderr"], 4),
            *(_accuracy(r["tasks"][t]["acc"]) for t in tasks),
            *([_against_chance(r["tasks"])] if tasks else []),
        ]
        for r in rows
    ]  # fmt: skip
    columns = [
        "정밀도 (precision)",
        "방법 (method)",
        "혼란도 (perplexity)",
        "바이트당 비트 (bits/byte)",
        "± 표준오차 (stderr)",
        *tasks,
        *(["우연과 견줌 (against chance)"] if tasks else []),
    ]
    levels = [(t, next(r["tasks"][t]["acc"] for r in rows if t in r["tasks"])) for t in tasks]
    chance = ", ".join(f"{name} {one['chance']:.2f} (문항 items {one['n']:,})" for name, one in levels)
    return [
        blocks.table(
            "나중에 양자화한 것과 처음부터 배운 것 (quantised afterwards, trained from scratch)",
            columns,
            body,
            note="BitNet 2310.11453 표 3의 꼴 (as table 3 there). 양자화는 흉내이며 산술은 fp32 (simulated quantisation, fp32 arithmetic). "
            + (
                f"과제는 0-shot 정확도 ± 표준오차, 우연 수준 (zero-shot accuracy, chance): {chance}. "
                if tasks
                else ""
            )
            + "작은 모델 하나의 값이라 큰 모델에 옮길 수 없습니다 (one small model: do not carry over to large ones).",
        ),
        blocks.bars(
            "바이트당 비트, 작을수록 좋음 (bits per byte, lower is better)",
            [(f"{r['label']} {r['method']}", r["bits_per_byte"]) for r in rows],
        ),
    ]


def _accuracy(one: dict[str, Any]) -> str:
    return f"{one['value']:.3f}" + ("" if one["stderr"] is None else f" ± {one['stderr']:.3f}")


def _against_chance(found: dict[str, Any]) -> str:
    """In words: the tasks whose 95 % interval lies above chance."""
    accuracies = {name: metrics["acc"] for name, metrics in found.items() if "acc" in metrics}
    above = [name for name, one in accuracies.items() if one["low"] > one["chance"]]
    below = [name for name, one in accuracies.items() if one["high"] < one["chance"]]
    words = [f"우연보다 나음 (better): {', '.join(above)}"] if above else []
    words += [f"우연보다 못함 (worse): {', '.join(below)}"] if below else []
    if len(above) + len(below) < len(accuracies):
        rest = "나머지는" if words else "모두"
        words.append(f"{rest} 우연과 다르지 않음 (not different from chance)")
    return "; ".join(words)


if __name__ == "__main__":
    sys.exit(main())
