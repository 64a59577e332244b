"""One training step at the size of the issue: stock full precision, stock online BitNet, and ours, each in a process of its own.

    python tests/bench/train_step.py [--threads 1 2] [--steps 3] [--only ours-fp ours-b1.58] [--json out.json]

512 hidden, 8 layers, 32,000 vocabulary (tied), 8 sequences of 512 tokens, fp32, AdamW, gradient norm clipped at 1. One step
warms up, the others are counted, the least of them is printed: wall seconds and CPU seconds (user and system, all
threads). Memory is the largest resident size of the whole process, torch and transformers themselves included ("libraries" says
how much that was before the model was built). The stock arms get the same allocator settings as `kobitnet train`, but multiply by the
library torch chooses (on AMD processors MKL, see kobitnet/products.py). Wall
times mean something on an idle machine only; the load is printed beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

ARMS = {
    "stock-fp": "transformers BitNetForCausalLM as plain linears",
    "stock-online": "transformers BitNetForCausalLM, online autobitlinear",
    "ours-fp": "kobitnet --quant none (same SubLN, same code)",
    "ours-b1.58": "kobitnet --quant b1.58",
    "ours-fp-8": "ours-fp, 8 micro-batches",
    "ours-b1.58-8": "ours-b1.58, 8 micro-batches",
    "ours-fp-bf16": "ours-fp --precision bf16",
    "ours-b1.58-bf16": "ours-b1.58 --precision bf16",
    "ours-fp-recompute": "ours-fp --recompute",
    "ours-b1.58-recompute": "ours-b1.58 --recompute",
}
RATIOS = [
    ("ours-b1.58", "ours-fp", "b1.58 / FP with the same SubLN"),
    ("ours-b1.58-8", "ours-fp-8", "the same, 8 micro-batches"),
    ("ours-b1.58-bf16", "ours-fp-bf16", "the same, bf16"),
    ("ours-b1.58-recompute", "ours-b1.58", "what --recompute costs"),
    ("ours-b1.58-8", "ours-b1.58", "what 8 micro-batches cost"),
    ("ours-fp", "stock-fp", "ours FP / stock FP"),
    ("ours-b1.58", "stock-online", "ours b1.58 / stock online"),
]
SEQUENCES, LENGTH, VOCAB = 8, 512, 32_000


def used() -> tuple[float, float]:
    """(wall, CPU) seconds so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), usage.ru_utime + usage.ru_stime


def resident_gb() -> float:
    """Largest resident memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)


def stock(arm: str, steps: int) -> list[tuple[float, float]]:
    """Steps of transformers' own model and loss."""
    import torch
    from transformers import BitNetForCausalLM

    from kobitnet.model import PRESETS, model_config

    torch.manual_seed(0)
    model = BitNetForCausalLM(model_config(PRESETS["small"], vocab_size=VOCAB, seq_len=LENGTH))
    if arm == "stock-online":
        from transformers.integrations.bitnet import AutoBitLinear

        for layer in model.model.layers:
            for owner in (layer.self_attn, layer.mlp):
                for name, old in list(owner.named_children()):
                    if isinstance(old, torch.nn.Linear):
                        new = AutoBitLinear(old.in_features, old.out_features, bias=False, online_quant=True)
                        new.weight = old.weight
                        setattr(owner, name, new)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    ids = torch.randint(0, VOCAB, (SEQUENCES, LENGTH), generator=torch.Generator().manual_seed(1))
    out = []
    for _ in range(steps + 1):
        start = used()
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        out.append(tuple(b - a for a, b in zip(start, used())))
    return out


def ours(arm: str, steps: int) -> list[tuple[float, float]]:
    """Steps of kobitnet's loop on random tokens."""
    import torch

    from kobitnet.bitlinear import WeightCache
    from kobitnet.config import LoopConfig, resolve
    from kobitnet.data import Batch
    from kobitnet.model import PRESETS, build_model, model_config
    from kobitnet.step import Job, prepare, train_step
    from kobitnet.train import causal_lm

    class Random:
        """Random tokens by sample number."""

        def __len__(self) -> int:
            return 1_000_000

        def batch(self, first: int, count: int) -> Batch:
            draw = torch.Generator().manual_seed(first)
            ids = torch.randint(0, VOCAB, (count, LENGTH + 1), generator=draw)
            return Batch(input_ids=ids[:, :-1], targets=ids[:, 1:])

    config = LoopConfig(
        steps=1000,
        batch_size=SEQUENCES,
        seq_len=LENGTH,
        accumulate=8 if arm.endswith("-8") else 1,
        precision="bf16" if arm.endswith("-bf16") else "fp32",
        recompute=arm.endswith("-recompute"),
    )
    resolve(config, lr=1e-3)
    quant = "none" if "fp" in arm else "b1.58"
    model = build_model(model_config(PRESETS["small"], vocab_size=VOCAB, seq_len=LENGTH), quant)
    job = Job(model=model, source=Random(), objective=causal_lm, config=config, stage="bench")
    optimizer = prepare(job)
    out = []
    with WeightCache(model) as cache:
        for step in range(steps + 1):
            start = used()
            train_step(job, optimizer, cache, step)
            out.append(tuple(b - a for a, b in zip(start, used())))
    return out


def measure(arm: str, steps: int, threads: int) -> None:
    """In a process of its own: print one JSON line."""
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch
    import transformers.models.bitnet.modeling_bitnet  # noqa: F401  counted under libraries

    from kobitnet.memory import keep_memory
    from kobitnet.products import multiply_by_onednn

    torch.set_num_threads(threads)
    keep_memory()
    if not arm.startswith("stock"):
        multiply_by_onednn()
    base = resident_gb()
    times = (stock if arm.startswith("stock") else ours)(arm, steps)[1:]
    wall, cpu = (min(column) for column in zip(*times))
    load = os.getloadavg()[0]
    row = {
        "arm": arm,
        "threads": threads,
        "wall": wall,
        "cpu": cpu,
        "gb": resident_gb(),
        "libraries_gb": base,
        "load": load,
    }
    print(json.dumps(row))


def main() -> None:
    """All arms one after the other, then the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure, given.steps, given.threads[0])
        return
    rows = []
    for threads in given.threads:
        print(f"{threads} torch threads", flush=True)
        found = {}
        for arm in given.only:
            command = [sys.executable, __file__, "--measure", arm, "--threads", str(threads)]
            told = subprocess.run(
                [*command, "--steps", str(given.steps)], check=True, capture_output=True, text=True
            )
            row = found[arm] = json.loads(told.stdout.splitlines()[-1])
            rows.append(row)
            print(
                f"  {arm:21s} {row['wall']:6.2f} s  {row['cpu']:6.2f} CPU-s  {row['gb']:5.2f} GB "
                f"(libraries {row['libraries_gb']:.2f})  load {row['load']:.1f}  {ARMS[arm]}",
                flush=True,
            )
        for a, b, what in RATIOS:
            if a in found and b in found:
                wall, cpu, gb = (found[a][key] / found[b][key] for key in ("wall", "cpu", "gb"))
                print(f"  {what:34s} wall ×{wall:.2f}  CPU ×{cpu:.2f}  memory ×{gb:.2f}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
