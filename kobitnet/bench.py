"""kobitnet bench: how fast the CPU engine runs a model, against what this machine's memory can deliver."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np

from kobitnet.engine.config import ModelConfig
from kodata.report import blocks
from kodata.run.errors import UsageError
from kodata.run.flags import Flat, Parameter, Seed
from kodata.run.result import Result

# vocab, hidden, inter, layers, heads, kv_heads, head type: shapes of random-weight models
SHAPES: dict[str, dict[str, int]] = {
    "small": {"vocab": 32000, "hidden": 512, "inter": 1376, "layers": 8, "heads": 8, "kv_heads": 4},
    "100m": {"vocab": 32000, "hidden": 768, "inter": 2048, "layers": 12, "heads": 12, "kv_heads": 4},
    "700m": {"vocab": 32000, "hidden": 1536, "inter": 4096, "layers": 24, "heads": 24, "kv_heads": 8},
    "2b4t": {"vocab": 128256, "hidden": 2560, "inter": 6912, "layers": 30, "heads": 20, "kv_heads": 5},
}


@dataclass(kw_only=True, slots=True)
class BenchConfig:
    """What is measured."""

    shape: str = "100m"
    """파일이 없을 때 모델 크기: small 100m 700m 2b4t (size of the random model when no file is given)"""
    prompt: int = 512
    """프롬프트 길이 (prompt length, tokens)"""
    decode: int = 64
    """생성할 토큰 수 (tokens to generate)"""
    repeat: int = 3
    """반복 횟수, 중앙값을 냄 (repetitions; the median is told)"""
    threads: int = 0
    """스레드 수, 0 = 물리 코어 (threads, 0 = physical cores)"""
    head: str = "auto"
    """출력층 정밀도: auto fp32 bf16 int8; 무작위 모델의 auto는 bf16 (precision of the output head; auto of a random model: bf16)"""

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise UsageError(
                f"모르는 크기 (unknown shape): {self.shape}",
                help=f"다음 중 하나 (one of): {', '.join(SHAPES)}",
            )
        if self.prompt < 2 or self.decode < 1 or self.repeat < 1 or self.threads < 0:
            raise UsageError(
                "--prompt 2 이상, --decode 1 이상, --repeat 1 이상, --threads 0 이상이어야 합니다 (value too small)"
            )


def bench(
    model: Annotated[
        Path | None,
        Parameter(
            help="run 폴더나 모델 폴더, 없으면 무작위 모델 (run or model folder; none: random weights)"
        ),
    ] = None,
    /,
    *,
    config: Annotated[BenchConfig | None, Flat] = None,
    seed: Seed = 0,
) -> Result:
    """엔진 속도를 잽니다: 프롬프트와 생성 토큰/초, GB/s, GOP/s, 메모리 (measure the engine's speed)

    Decode reads every packed weight and the head once a token; "share of bandwidth" compares that with a plain read of
    512 MB by the same threads, measured just before. Timings on a shared machine vary.
    """
    from kobitnet.engine import Engine, cpu
    from kobitnet.engine.fresh import random_engine

    config = config or BenchConfig()
    engine = (
        random_engine(
            shape_config(config.shape, config.prompt + config.decode),
            threads=config.threads or None,
            head="bf16" if config.head == "auto" else config.head,
            seed=seed,
        )
        if model is None
        else Engine.load(model, threads=config.threads or None, head=config.head)
    )
    native = cpu.native()
    c = engine.config
    prompt = min(config.prompt, c.max_len - config.decode)
    if prompt < 2:
        raise UsageError(
            f"모델 길이 {c.max_len} 보다 깁니다 (longer than the model reads)",
            help="--prompt, --decode 를 줄이세요 (lower them)",
        )
    bandwidth = read_bandwidth(native)
    ids = np.random.default_rng(seed).integers(0, c.vocab, prompt).tolist()

    prompt_seconds = [
        _time(lambda: engine._prefill(engine.model.cache(), np.asarray(ids, np.int32)))
        for _ in range(config.repeat)
    ]
    decode_seconds = []
    for _ in range(config.repeat):
        steps = engine.steps(ids[:16], config.decode + 1)
        next(steps)  # the prompt
        decode_seconds.append(_time(lambda steps=steps: [0 for _ in steps]) / config.decode)  # type: ignore[misc]
    parts = {} if native is None else decode_parts(engine, ids[:16], config.decode)
    weights = engine.model.nbytes()
    head = engine.model.head_bytes()
    macs = c.layers * (
        2 * c.hidden * c.hidden + 2 * c.kv_heads * c.head_dim * c.hidden + 3 * c.hidden * c.inter
    )
    decode, whole = median(decode_seconds), median(prompt_seconds)
    summary: dict[str, Any] = {
        "model": str(model) if model else f"random {config.shape}",
        "parameters": c.parameters,
        "head": engine.head,
        "isa": engine.isa,
        "threads": engine.threads,
        "prompt_tokens": prompt,
        "prompt_tokens_per_second": prompt / whole,
        "prompt_gops": 2 * macs * prompt / whole / 1e9,
        "decode_tokens_per_second": 1 / decode,
        "decode_ms": decode * 1e3,
        "decode_gbps": (weights + head) / decode / 1e9,
        "decode_parts_ms": parts,
        "read_bandwidth_gbps": bandwidth,
        "bandwidth_share": (weights + head) / decode / 1e9 / bandwidth if bandwidth else None,
        "weight_mb": weights / 1e6,
        "head_mb": head / 1e6,
        "resident_mb": resident_mb(),
    }
    share = f"{summary['bandwidth_share']:.0%}" if bandwidth else "–"
    lines = [
        f"모델        {summary['model']} · {summary['parameters'] / 1e6:.1f} M · 3진 가중치 {weights / 1e6:.0f} MB · 출력층 {engine.head} {head / 1e6:.0f} MB (ternary weights, head)",
        f"CPU         {engine.isa} · 스레드 (threads) {engine.threads} · 읽기 대역폭 (read bandwidth) {bandwidth or 0:.1f} GB/s",
        f"프롬프트    {summary['prompt_tokens_per_second']:.1f} 토큰/초 · {summary['prompt_gops']:.0f} GOP/s (prompt of {prompt} tokens)",
        f"생성        {summary['decode_tokens_per_second']:.1f} 토큰/초 · {summary['decode_ms']:.2f} ms/토큰 · {summary['decode_gbps']:.1f} GB/s · 대역폭의 {share} (decode, share of bandwidth)",
        *(
            [f"그중        {' · '.join(f'{_PARTS[k]} {v:.2f}' for k, v in parts.items())} ms"]
            if parts
            else []
        ),
        f"메모리      {summary['resident_mb']:.0f} MB (resident)",
    ]
    return Result(
        summary=summary,
        lines=lines,
        report=[
            blocks.facts(
                "kobitnet bench", {k: _show(v) for k, v in (summary | parts).items() if v is not parts}
            )
        ],
    )


_PARTS = {
    "linear": "삼진 행렬 (linears)",
    "head": "출력층 (head)",
    "attention": "어텐션 (attention)",
    "norm": "정규화와 양자화 (norms)",
    "rest": "나머지 (rest)",
}


def decode_parts(engine: Any, ids: list[int], tokens: int) -> dict[str, float]:
    """Median milliseconds that each part of decoding one token takes, after the prompt `ids`."""
    cache = engine.model.cache(len(ids) + tokens)
    engine._prefill(cache, np.asarray(ids, np.int32))
    steps = [engine.model.profile(cache, np.asarray(ids[-1:], np.int32)) for _ in range(tokens)]
    return {name: median(step[name] for step in steps) * 1e3 for name in _PARTS}


def shape_config(shape: str, max_len: int) -> ModelConfig:
    """The configuration of a random-weight model of this name in SHAPES."""
    return ModelConfig(
        **SHAPES[shape],  # type: ignore[arg-type]
        max_len=max_len,
        eps=1e-5,
        act="relu2",
        theta=500000.0,
        tied=True,
        bias=False,
        weights="online",
    )


def read_bandwidth(native: Any, size: int = 512 << 20) -> float | None:
    """GB/s of reading a fresh block with the engine's threads (best of 5), None without native code."""
    if native is None:
        return None
    block = np.ones(size, np.uint8)
    return size / min(_time(lambda: native.read_bandwidth(block)) for _ in range(5)) / 1e9


def resident_mb() -> float:
    """Resident memory of this process now, MB (0 where the system does not tell)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * 4096 / 1e6


def _time(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _show(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value
