"""Kernels and loaders under the sanitizers, in one command: `python -m tests.kobitnet.sanitize [address,undefined] [thread]`.

Builds kobitnet/csrc once per sanitizer into a temporary folder (needs cmake, nanobind and gcc or clang), then runs `exercise` in a
process of its own with that module: every instruction set of this CPU, several threads, the engine from two Python threads,
batches, forks of a cache, GGUF files whole and damaged. No torch: its threads are not instrumented.
"""

import contextlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = {"address,undefined": "libasan.so", "thread": "libtsan.so"}


def build(sanitizer: str, folder: Path) -> Path:
    """The module built with a sanitizer."""
    nanobind = subprocess.run(
        [sys.executable, "-m", "nanobind", "--cmake_dir"], capture_output=True, text=True, check=True
    ).stdout.strip()
    configure = [
        "cmake",
        *("-S", str(ROOT / "kobitnet" / "csrc"), "-B", str(folder)),
        "-DCMAKE_BUILD_TYPE=Debug",  # the kernels are optimised all the same
        f"-DKOBITNET_SANITIZE={sanitizer}",
        f"-DPython_EXECUTABLE={sys.executable}",
        f"-Dnanobind_DIR={nanobind}",
    ]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", str(folder), "-j2"], check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("_native*.so"))


def _library(name: str) -> str:
    found = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return found.stdout.strip()


def run(sanitizer: str) -> bool:
    """Build and exercise; True when the sanitizer had nothing to say."""
    with tempfile.TemporaryDirectory() as folder:
        module = build(sanitizer, Path(folder))
        # the first wraps what the second throws
        libraries = [_library(RUNTIME[sanitizer]), _library("libstdc++.so")]
        env = {
            **os.environ,
            "LD_PRELOAD": " ".join(libraries),
            "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1",
            "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
            "TSAN_OPTIONS": "halt_on_error=1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        done = subprocess.run(
            [sys.executable, "-m", "tests.kobitnet.sanitize", "--exercise", str(module)],
            env=env,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    clean = done.returncode == 0 and "Sanitizer" not in done.stderr and "runtime error" not in done.stderr
    print(f"{sanitizer}: {'clean' if clean else 'FAILED'} {done.stdout.strip()}", flush=True)
    if not clean:
        print(done.stderr[-4000:])
    return clean


def exercise(path: Path) -> None:
    import kobitnet

    spec = importlib.util.spec_from_file_location("kobitnet._native", path)
    assert spec and spec.loader
    native = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(native)
    sys.modules["kobitnet._native"] = native
    kobitnet._native = native  # type: ignore[attr-defined]

    import numpy as np

    from kobitnet.engine import Engine, ggml
    from kobitnet.engine.config import ModelConfig
    from kodata.run.errors import UserError
    from tests.bench.engine import write_random

    rng = np.random.default_rng(0)
    products = 0
    for isa in native.isas():
        native.choose_isa(isa)
        for threads in (1, 3):
            native.set_threads(threads)
            for rows, cols in ((1, 1), (31, 17), (97, 67), (40, 513), (640, 256)):
                w = rng.integers(-1, 2, (rows, cols)).astype(np.int8)
                packed = native.Ternary.from_values(w)
                for tokens in (1, 2, 5, 13, 25):
                    x = rng.integers(-128, 128, (tokens, cols)).astype(np.int8)
                    assert (packed.matmul(x) == x.astype(np.int32) @ w.astype(np.int32).T).all()
                    products += 1
            native.quantize(np.array([[np.nan, np.inf, -1.0]], np.float32))
            native.rms_norm(rng.standard_normal((3, 77), np.float32), np.ones(77, np.float32), 1e-5)
    native.choose_isa(native.isas()[0])
    w = rng.integers(-1, 2, (4, 512)).astype(np.int8)
    for kind, pack in ggml.PACK.items():
        assert (
            native.Ternary.from_ggml(np.frombuffer(pack(w, 1.0), np.uint8), 4, 512, kind).values() == w
        ).all()
    small = ModelConfig(
        vocab=320,
        hidden=256,
        inter=512,
        layers=2,
        heads=4,
        kv_heads=2,
        max_len=256,
        eps=1e-5,
        act="silu",
        theta=1e4,
        tied=True,
        bias=False,
        weights="multiply",
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.gguf"
        write_random(file, small, ggml.F16)
        for head in ("auto", "fp32", "bf16", "int8"):
            engine = Engine.load(file, threads=3, head=head)
            ids = rng.integers(0, 320, 40).tolist()
            assert engine.generate_batch([ids, ids[:3], ids[:1]], 6)[0] == engine.generate(ids, 6)
            engine.loglikelihoods(ids, [[1, 2], [3], list(range(60))])
            engine.logprobs(ids)
        workers = [threading.Thread(target=engine.generate, args=(ids, 20)) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        whole, opened = file.read_bytes(), 0
        for turn in range(60):
            content = np.frombuffer(whole, np.uint8).copy()
            top = len(whole) if turn % 2 else 12_000
            content[rng.integers(0, top, 1 + turn % 4)] = rng.integers(0, 256, 1 + turn % 4)
            file.write_bytes(
                content.tobytes()[: len(whole) if turn % 3 else int(rng.integers(1, len(whole)))]
            )
            with contextlib.suppress(UserError):
                Engine.load(file, threads=2).logits([1, 2, 3])
                opened += 1
    print(f"({products} products, 60 damaged files of which {opened} opened)")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--exercise"]:
        exercise(Path(sys.argv[2]))
    else:
        results = [run(sanitizer) for sanitizer in sys.argv[1:] or RUNTIME]
        sys.exit(not all(results))
