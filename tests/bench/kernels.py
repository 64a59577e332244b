"""Ternary kernels against torch at 2B4T shapes: `python tests/bench/kernels.py [--threads 2] [--repeat 15]`.

All contenders take turns (interleaved); medians and ratios are printed. Our figures include nothing but the product, the
same holds for torch. With one thread the clock is processor time. M = 1 walks over a pool of matrices larger than the last cache, so weights come from memory.
"""

import argparse
import os
import time
from collections.abc import Callable
from statistics import median

import numpy as np

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # else torch's threads spin through our turn

import torch

from kobitnet import _native as native
from kobitnet.bench import read_bandwidth
from kobitnet.info import _cpu_name

SHAPES = [(2560, 2560), (640, 2560), (6912, 2560), (2560, 6912)]
POOL_BYTES = 400 << 20


clock = time.perf_counter


def seconds(call: Callable[[], object], calls: int) -> float:
    start = clock()
    for _ in range(calls):
        call()
    return (clock() - start) / calls


def gemv(rows: int, cols: int, repeat: int, bandwidth: float) -> None:
    rng = np.random.default_rng(0)
    w = rng.integers(-1, 2, (rows, cols)).astype(np.int8)
    x = rng.integers(-128, 128, (1, cols)).astype(np.int8)
    ours = [native.Ternary.from_values(w) for _ in range(max(2, POOL_BYTES // (rows * cols // 4)))]
    bf16 = [
        torch.randn(rows, cols, dtype=torch.bfloat16) for _ in range(max(2, POOL_BYTES // (rows * cols * 2)))
    ]
    xb, turn = torch.randn(1, cols, dtype=torch.bfloat16), iter(range(1 << 60))
    calls = min(len(ours), 64)
    times: dict[str, list[float]] = {"ours": [], "bf16": []}
    for _ in range(repeat):
        times["ours"].append(seconds(lambda: ours[0].time_matmul(x, calls, ours), 1) / calls)
        times["bf16"].append(
            seconds(lambda: torch.nn.functional.linear(xb, bf16[next(turn) % len(bf16)]), len(bf16))
        )
    t = median(times["ours"])
    gbps = ours[0].nbytes / t / 1e9
    print(
        f"{rows}x{cols} M=1    ours {t * 1e6:8.0f} us {gbps:5.1f} GB/s ({gbps / bandwidth:.0%} of read)   "
        f"bf16/ours {median(times['bf16']) / t:5.2f}"
    )


def gemm(rows: int, cols: int, tokens: int, repeat: int) -> None:
    rng = np.random.default_rng(0)
    w = rng.integers(-1, 2, (rows, cols)).astype(np.int8)
    x = rng.integers(-128, 128, (tokens, cols)).astype(np.int8)
    ours = native.Ternary.from_values(w)
    w8, x8 = torch.from_numpy(w).t().contiguous(), torch.from_numpy(x)
    wb, xb = torch.from_numpy(w).to(torch.bfloat16), torch.from_numpy(x).to(torch.bfloat16)
    assert (ours.matmul(x) == torch._int_mm(x8, w8).numpy()).all()
    times: dict[str, list[float]] = {"ours": [], "int_mm": [], "bf16": []}
    for _ in range(repeat):
        times["ours"].append(seconds(lambda: ours.time_matmul(x, 1, []), 1))
        times["int_mm"].append(seconds(lambda: torch._int_mm(x8, w8), 1))
        times["bf16"].append(seconds(lambda: torch.nn.functional.linear(xb, wb), 1))
    t = median(times["ours"])
    print(
        f"{rows}x{cols} M={tokens:<4d} ours {t * 1e6:8.0f} us {2 * rows * cols * tokens / t / 1e9:5.0f} GOP/s   "
        f"_int_mm/ours {median(times['int_mm']) / t:5.2f}   bf16/ours {median(times['bf16']) / t:5.2f}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=15)
    options = parser.parse_args()
    if options.threads == 1:
        clock = time.thread_time  # processor time: other processes disturb less
    native.set_threads(options.threads)
    torch.set_num_threads(options.threads)
    bandwidth = read_bandwidth(native) or 1.0
    print(
        f"{_cpu_name()} · {native.isa()} · {native.compiler} · torch {torch.__version__} · {options.threads} threads · "
        f"read {bandwidth:.1f} GB/s · load {os.getloadavg()[0]:.1f}"
    )
    for rows, cols in SHAPES:
        gemv(rows, cols, options.repeat, bandwidth)
    for rows, cols in SHAPES[::2]:
        for tokens in (32, 128, 512):
            gemm(rows, cols, tokens, options.repeat)
