"""How small, how fast, how much energy: a model beside full precision of the same shape."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from kobitnet.evaluate import energy
from kodata.run.errors import UserError

if TYPE_CHECKING:
    from kobitnet.evaluate.backend import Backend

PROMPT, NEW, ROUNDS = 128, 16, 3


def model_config(model: Path) -> dict[str, Any] | None:
    """config.json of a run or model folder; None for a single file."""
    from kodata.run.files import read_json_object

    for folder in (model / "model", model):
        if (folder / "config.json").is_file():
            return read_json_object(folder / "config.json")
    return None


def computed(config: dict[str, Any], length: int = 512) -> dict[str, Any]:
    """Memory (bytes) and arithmetic energy (J for one pass over `length` tokens) of the shape, ternary and FP16."""
    shape = energy.shape_of(config)
    out: dict[str, Any] = {
        "length": length,
        "non_embedding": shape.non_embedding,
        "embedding": shape.embedding,
    }
    for name, bits, number in (("bitnet", "packed", "ternary"), ("fp16", "fp16", "fp16")):
        inner, outer = energy.weight_bytes(shape, bits)
        out[name] = {"non_embedding_bytes": inner, "total_bytes": inner + outer}
        for process in energy.PJ:
            adds, muls = energy.forward(shape, number, process, length)
            out[name][f"joules_{process}"] = adds + muls
    return out


def measure(backend: Backend) -> dict[str, Any]:
    """Milliseconds of a prompt and of each further token (median of three), and package joules where the CPU tells."""
    tokenizer = backend.tokenizer
    prompt = min(PROMPT, backend.positions - NEW - 1)
    text = list(
        tokenizer.encode(
            "대한민국의 모든 국민은 인간으로서의 존엄과 가치를 가지며 행복을 추구할 권리를 가진다. " * 40
        )
    )
    ids = text[:prompt] if len(text) >= prompt else (text * (prompt // max(len(text), 1) + 1))[:prompt]
    meter = energy.PackageEnergy()
    first, each, joules = [], [], []
    for _ in range(ROUNDS):
        steps = backend.steps(ids, NEW + 1)
        start = time.perf_counter()
        next(steps)
        middle = time.perf_counter()
        meter.start()
        count = sum(1 for _ in steps)
        end = time.perf_counter()
        used = meter.joules()
        first.append(middle - start)
        each.append((end - middle) / max(count, 1))
        joules.append(math.nan if used is None else used / max(count, 1))
    watts = median(joules)
    return {
        "prompt_tokens": prompt,
        "prompt_ms": median(first) * 1e3,
        "prompt_tokens_per_second": prompt / median(first),
        "decode_ms": median(each) * 1e3,
        "decode_tokens_per_second": 1 / median(each),
        "package_joules_per_token": None if math.isnan(watts) else watts,
    }


def full_precision(model: Path) -> dict[str, Any] | None:
    """`measure` of a full-precision torch model of the same shape, in a process of its own; None without torch."""
    from importlib.util import find_spec

    if find_spec("torch") is None or find_spec("transformers") is None:
        return None
    done = subprocess.run(
        [sys.executable, "-m", "kobitnet.evaluate.efficiency", str(model)],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    try:
        found = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return None
    return found if isinstance(found, dict) else None


def lines_of(found: dict[str, Any]) -> list[str]:
    """What a terminal user reads."""
    bit, full = found["bitnet"], found["fp16"]
    out = [
        f"크기 (size): 임베딩 제외 (non-embedding) {bit['non_embedding_bytes'] / 1e6:.2f} MB, 전체 (total) {bit['total_bytes'] / 1e6:.2f} MB"
        f" · FP16 {full['non_embedding_bytes'] / 1e6:.2f}, {full['total_bytes'] / 1e6:.2f} MB",
        f"산술 에너지, 7 nm, {found['length']} 토큰 (arithmetic energy): {_digits(bit['joules_7nm'])} J · FP16 {_digits(full['joules_7nm'])} J"
        f" ({full['joules_7nm'] / bit['joules_7nm']:.1f}배, times)",
    ]
    for name, one in found.get("measured", {}).items():
        out.append(
            f"{name}: 프롬프트 (prompt) {one['prompt_tokens_per_second']:.1f} 토큰/초, 생성 (decode) {one['decode_ms']:.2f} ms/토큰"
        )
    return out


def blocks_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The table of the report."""
    from kodata.report import blocks

    rows = []
    for key, name in (
        ("bitnet", "BitNet b1.58, 2비트로 저장 (packed)"),
        ("fp16", "FP16, 같은 모양 (same shape)"),
    ):
        one = found[key]
        rows.append(
            [name, round(one["non_embedding_bytes"] / 1e6, 3), round(one["total_bytes"] / 1e6, 3),
             _digits(one["joules_7nm"]), _digits(one["joules_45nm"])]
        )  # fmt: skip
    ratio = [
        found["fp16"][k] / found["bitnet"][k]
        for k in ("non_embedding_bytes", "total_bytes", "joules_7nm", "joules_45nm")
    ]
    rows.append(["FP16 ÷ BitNet", *(round(r, 2) for r in ratio)])
    page = [
        blocks.table(
            "크기와 산술 에너지, 계산한 값 (size and arithmetic energy, computed)",
            [
                "모델 (model)",
                "임베딩 제외, MB (non-embedding)",
                "전체, MB (total)",
                "에너지 7 nm, J (energy)",
                "에너지 45 nm, J (energy)",
            ],
            rows,
            note=f"토큰 {found['length']}개를 한 번 읽을 때 행렬곱의 덧셈과 곱셈에 드는 에너지만 셉니다 (arithmetic of the matrix products of one pass): "
            "BitNet 2310.11453 표 2의 pJ, 2504.12285와 같은 계산 (same count). 컴퓨터 전체의 소비 전력이 아닙니다 (not the energy of a computer).",
        )
    ]
    if found.get("measured"):
        rows = []
        for name, one in found["measured"].items():
            joules = one["package_joules_per_token"]
            rows.append(
                [name, one["prompt_tokens"], round(one["prompt_tokens_per_second"], 1), round(one["decode_ms"], 3),
                 round(one["decode_tokens_per_second"], 1), "CPU가 알려 주지 않음 (not exposed)" if joules is None else round(joules, 4)]
            )  # fmt: skip
        page.append(
            blocks.table(
                "속도, 이 컴퓨터에서 잰 값 (speed, measured on this machine)",
                [
                    "계산 (computation)",
                    "프롬프트 토큰 (prompt)",
                    "프롬프트, 토큰/초 (tokens/s)",
                    "생성, ms/토큰 (decode)",
                    "생성, 토큰/초 (tokens/s)",
                    "CPU 에너지, J/토큰 (package energy)",
                ],
                rows,
                note=f"{ROUNDS}번의 중앙값 (median). 다른 일이 도는 컴퓨터에서는 믿을 수 없습니다 (meaningless on a busy machine).",
            )
        )
    return page


def _digits(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


def _time_full_precision(model: Path) -> dict[str, Any]:
    from kobitnet.checkpoint import model_folder, read_config
    from kobitnet.evaluate.backend import TorchBackend
    from kobitnet.model import build_model
    from kotok.tokenizer import load

    folder = model_folder(model)
    architecture, _ = read_config(folder)
    return measure(TorchBackend(build_model(architecture, "none", seed=0).eval(), load(folder)))


if __name__ == "__main__":
    try:
        print(json.dumps(_time_full_precision(Path(sys.argv[1]))))
    except UserError:
        print("null")
