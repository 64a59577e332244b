"""Ternary kernels at 2B4T shapes: `python tests/bench/kernels.py [--threads 1 2] [--repeat 9]`, on a quiet machine.

M = 1: copies of a matrix lie in one store of memory as in a model, 400 MB of them (from DRAM) or 16 MB (from the last cache), and are read
by turns with a plain read of as many bytes by the same threads: the share is that of the plain read. M > 1 against torch's
`_int_mm` (oneDNN) and bf16 product by turns, and against the most that vpdpbusd can do on registers (vnni_peak.cpp, where g++ is).
Medians of wall time; ours include nothing but the product, the same holds for torch.
"""

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # else torch's threads spin through our turn

import torch

from kobitnet import _native as native
from kobitnet.info import _cpu_name

SHAPES = [(2560, 2560), (640, 2560), (6912, 2560), (2560, 6912)]
POOLS = {"DRAM": 400 << 20, "L3": 16 << 20}


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def gemv(rows: int, cols: int, place: str, repeat: int) -> float:
    """Prints and returns the share of the plain read."""
    rng = np.random.default_rng(0)
    w = native.Ternary.from_values(rng.integers(-1, 2, (rows, cols)).astype(np.int8))
    x = rng.integers(-128, 128, (1, cols)).astype(np.int8)
    copies = POOLS[place] // w.nbytes
    plain = np.ones(copies * w.nbytes, np.uint8)
    native.read_bandwidth(plain)
    turns = range(repeat if place == "DRAM" else 5 * repeat)
    ours, read = [], []
    for _ in turns:
        ours.append(median(w.time_matmul(x, copies, 3)) / copies)
        native.read_bandwidth(plain)  # back in the cache where it fits
        read.append(seconds(lambda: native.read_bandwidth(plain)))
    t, plain_gbps = median(ours), plain.nbytes / median(read) / 1e9
    gbps = w.nbytes / t / 1e9
    print(
        f"{rows}x{cols} M=1 {place:4s} {t * 1e6:7.1f} us {gbps:6.1f} GB/s of {plain_gbps:5.1f} read: {gbps / plain_gbps:4.0%}"
    )
    return gbps / plain_gbps


def gemm(rows: int, cols: int, tokens: int, repeat: int, peak: float | None) -> None:
    rng = np.random.default_rng(0)
    w = rng.integers(-1, 2, (rows, cols)).astype(np.int8)
    x = rng.integers(-128, 128, (tokens, cols)).astype(np.int8)
    ours = native.Ternary.from_values(w)
    w8, x8 = torch.from_numpy(w).t().contiguous(), torch.from_numpy(x)
    wb, xb = torch.from_numpy(w).to(torch.bfloat16), torch.from_numpy(x).to(torch.bfloat16)
    assert (ours.matmul(x) == torch._int_mm(x8, w8).numpy()).all()
    times: dict[str, list[float]] = {"ours": [], "int_mm": [], "bf16": []}
    for _ in range(repeat):
        times["ours"].append(min(ours.time_matmul(x, 1, 2)))
        times["int_mm"].append(min(seconds(lambda: torch._int_mm(x8, w8)) for _ in range(2)))
        times["bf16"].append(min(seconds(lambda: torch.nn.functional.linear(xb, wb)) for _ in range(2)))
    t = median(times["ours"])
    gops = 2 * rows * cols * tokens / t / 1e9
    share = f" {gops / peak:4.0%} of peak" if peak else ""
    print(
        f"{rows}x{cols} M={tokens:<4d} {t * 1e6:8.0f} us {gops:5.0f} GOP/s{share}   "
        f"_int_mm/ours {median(times['int_mm']) / t:5.2f}   bf16/ours {median(times['bf16']) / t:5.2f}"
    )


def vnni_peaks() -> list[float]:
    """GOP/s of one and of two threads; empty without g++ or on another processor."""
    if not native.isa().startswith("avx512"):
        return []
    source = Path(__file__).with_name("vnni_peak.cpp")
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run(
                ["g++", "-O2", "-mavx512f", "-mavx512vnni", "-pthread", str(source), "-o", f"{folder}/peak"],
                check=True,
            )
        except (OSError, subprocess.CalledProcessError):
            return []
        done = subprocess.run([f"{folder}/peak"], capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeat", type=int, default=9)
    options = parser.parse_args()
    peaks = vnni_peaks()
    for threads in options.threads:
        native.set_threads(threads)
        torch.set_num_threads(threads)
        peak = peaks[threads - 1] if threads <= len(peaks) else None
        print(
            f"{_cpu_name()} · {native.isa()} · {native.compiler} · torch {torch.__version__} · {threads} threads · "
            f"VNNI peak {peak or 0:.0f} GOP/s · load {os.getloadavg()[0]:.1f}"
        )
        for place in POOLS:
            for rows, cols in SHAPES:
                gemv(rows, cols, place, options.repeat)
        for rows, cols in SHAPES[::2]:
            for tokens in (32, 128, 512):
                gemm(rows, cols, tokens, options.repeat, peak)


if __name__ == "__main__":
    main()
