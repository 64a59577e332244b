"""The engine end to end against llama.cpp and torch: `python tests/bench/engine.py --work DIR [--repeat 5] [--threads 2]`.

1. One random GGUF of the 2B4T shape (SiLU, tied, TQ2_0, F16 embedding whose values bf16 can hold), 1.3 GB in DIR, read by both
   llama.cpp (llama-cpp-python, KOBITNET_LLAMA_PYTHON names a Python that has it) and our engine: a prompt of 512 tokens and
   decoding after it, in turns; medians and ratios. Our bf16 head stands against its F16 embedding, our int8 head against the
   same file with a Q8_0 embedding.
2. Peak resident memory of loading and running that file in a process of its own, against packed weights + tables + cache.
3. A `100m` shape against stock transformers in bf16 without quantisation: `generate`, greedy, 64 tokens after a prompt of 32.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from kobitnet import _native as native
from kobitnet.bench import SHAPES, read_bandwidth, shape_config
from kobitnet.engine import Engine
from kobitnet.engine.config import ModelConfig
from kobitnet.engine.fresh import random_engine
from kobitnet.engine.ggml import BLOCK_NAMES, F16, F32, LINEAR_NAMES, Q8_0, TQ2_0
from kobitnet.engine.load import linear_shapes
from kobitnet.export.gguf_file import _write_header
from kobitnet.info import _cpu_name
from tests.kobitnet.llama_text import ask, clocks, python_with_llama


def config_of(shape: str) -> ModelConfig:
    return ModelConfig(
        **SHAPES[shape],  # type: ignore[arg-type]
        max_len=4096,
        eps=1e-5,
        act="silu",
        theta=500000.0,
        tied=True,
        bias=False,
        weights="multiply",
    )


def write_random(path: Path, config: ModelConfig, embedding: int) -> None:
    """A GGUF of random ternary weights; the vocabulary is bytes and unused tokens."""
    rng = np.random.default_rng(0)
    plan: list[tuple[str, str, tuple[int, ...], int]] = [
        ("token_embd.weight", "", (config.vocab, config.hidden), embedding),
        ("output_norm.weight", "", (config.hidden,), F32),
    ]
    for layer in range(config.layers):
        for ours, name in BLOCK_NAMES.items():
            size = config.inter if ours == "ffn_sub_norm" else config.hidden
            plan.append((f"blk.{layer}.{name}.weight", "", (size,), F32))
        for ours, shape in linear_shapes(config).items():
            plan.append((f"blk.{layer}.{LINEAR_NAMES[ours]}.weight", "", shape, TQ2_0))
    from kotok.pattern import printable

    tokens = [printable(bytes([b])) for b in range(256)] + [f"[PAD{i}]" for i in range(256, config.vocab)]
    fields = {
        "general.architecture": "bitnet",
        "general.file_type": 37,
        "bitnet.block_count": config.layers,
        "bitnet.embedding_length": config.hidden,
        "bitnet.feed_forward_length": config.inter,
        "bitnet.context_length": config.max_len,
        "bitnet.attention.head_count": config.heads,
        "bitnet.attention.head_count_kv": config.kv_heads,
        "bitnet.attention.layer_norm_rms_epsilon": 1e-5,
        "bitnet.rope.dimension_count": config.head_dim,
        "bitnet.rope.freq_base": config.theta,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * 256 + [5] * (config.vocab - 256),
        "tokenizer.ggml.merges": [f"{tokens[97]} {tokens[98]}"],
        "tokenizer.ggml.eos_token_id": 300,
    }
    fields["tokenizer.ggml.tokens"][256] = tokens[97] + tokens[98]  # type: ignore[index]
    codes = np.array(  # the 81 bytes of four codes 0..2
        [
            a | b << 2 | c << 4 | d << 6
            for a in range(3)
            for b in range(3)
            for c in range(3)
            for d in range(3)
        ],
        np.uint8,
    )
    with open(path, "wb") as out:
        _write_header(out, fields, plan)
        for _, _, shape, kind in plan:
            if kind == F32:
                data = np.ones(shape, "<f4").tobytes()
            elif kind == TQ2_0:
                blocks = np.empty((shape[0] * shape[1] // 256, 66), np.uint8)
                blocks[:, :64] = codes[rng.integers(0, 81, (len(blocks), 64), np.uint8)]
                blocks[:, 64:] = np.array([shape[1] ** -0.5], "<f2").view(np.uint8)
                data = blocks.tobytes()
            else:
                for first in range(0, shape[0], 8192):
                    rows = rng.standard_normal((min(8192, shape[0] - first), shape[1]), np.float32)
                    if kind == F16:
                        out.write(
                            (rows.view(np.uint32) & 0xFFFF0000).view(np.float32).astype("<f2").tobytes()
                        )
                    else:
                        groups = rows.reshape(-1, 32)
                        scales = (np.abs(groups).max(axis=1, keepdims=True) / 127).astype("<f2")
                        steps = np.rint(groups / scales.astype(np.float32)).astype(np.int8)
                        out.write(
                            np.concatenate([scales.view(np.uint8), steps.view(np.uint8)], axis=1).tobytes()
                        )
                data = b""
            out.write(data)
            out.write(bytes(-out.tell() % 32))


def run_ours(engine: Engine, ids: list[int], decode: int) -> tuple[list[float], list[float]]:
    """[wall, cpu] seconds of the prompt and its first token, and of a token after it, as llama_text measures."""
    start = clocks()
    steps = engine.steps(ids, decode)
    next(steps)
    first = clocks()
    count = sum(1 for _ in steps)
    return [b - a for a, b in zip(start, first, strict=True)], [
        (b - a) / count for a, b in zip(first, clocks(), strict=True)
    ]


def against_llama(options: argparse.Namespace, python: str, embedding: int, head: str) -> None:
    name = "F16" if embedding == F16 else "Q8_0"
    threads, decode_tokens = options.threads, options.decode
    path = options.work / f"2b4t-{name}.gguf"
    if not path.exists():
        write_random(path.with_suffix(".part"), config_of("2b4t"), embedding)
        path.with_suffix(".part").rename(path)
    ids = np.random.default_rng(1).integers(0, 256, options.prompt).tolist()
    times: dict[str, list[list[float]]] = {"ours": [], "llama.cpp": []}
    reads, size = [], 0
    for _ in range(options.repeat):
        engine = Engine.load(path, threads=threads, head=head)  # anew: only one of the two holds memory
        run_ours(engine, ids[:16], 2)
        prompt, decode = run_ours(engine, ids, decode_tokens)
        times["ours"].append([*prompt, *decode])
        reads.append(read_bandwidth(native))
        size = engine.model.nbytes() + engine.model.head_bytes()
        del engine
        request = {"file": str(path), "prompts": [ids[:16], ids], "tokens": decode_tokens, "threads": threads}
        answer = ask(python, request)
        times["llama.cpp"].append([*answer["prompt"], *answer["decode"]])
    told = {who: [median(column) for column in zip(*rows, strict=True)] for who, rows in times.items()}
    for who, (wall, cpu, token, token_cpu) in told.items():
        kind = f"{head} head" if who == "ours" else f"TQ2_0 + {name} embedding"
        print(
            f"  {who:10s} {kind:24s} prompt {options.prompt / wall:6.1f} tokens/s ({cpu:.2f} CPU-s)   "
            f"decode {token * 1e3:6.1f} ms ({token_cpu * 1e3:.1f} CPU-ms)"
        )
    wall = told["ours"][2]
    print(
        f"  ours reads {size / wall / 1e9:.1f} GB/s of weights and head while decoding; a plain read of 512 MB beside it "
        f"{', '.join(f'{gbps:.1f}' for gbps in reads)} GB/s"
    )
    ratios = [b / a for a, b in zip(told["ours"], told["llama.cpp"], strict=True)]
    print("  llama.cpp / ours: prompt {:.2f} (CPU {:.2f}), decode {:.2f} (CPU {:.2f})".format(*ratios))


MEMORY = """
import json, sys
from pathlib import Path
from kobitnet.engine import Engine
def read(key):
    return int(next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith(key)).split()[1]) / 1024
import kobitnet.engine.gguf_source, kobitnet.engine.load
before = read("VmRSS")
engine = Engine.load(sys.argv[1], threads=int(sys.argv[2]), head=sys.argv[3])
loaded = read("VmHWM")
ids = list(range(1, 256)) * 3
for token, _ in engine.steps(ids[:512], 32):
    pass
kv = engine.config.layers * engine.config.kv_heads * engine.config.head_dim * 8 * (512 + 32)
print(json.dumps({"before": before, "after_load": loaded, "peak": read("VmHWM"),
  "weights": engine.model.nbytes() / 2**20, "head": engine.model.head_bytes() / 2**20, "kv": kv / 2**20}))
"""


def memory(path: Path, threads: int, head: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(path), str(threads), head],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def against_torch(repeat: int, threads: int) -> None:
    """The same shape in transformers, bf16, plain linears."""
    import torch
    from transformers import BitNetConfig, BitNetForCausalLM

    torch.set_num_threads(threads)
    shape = SHAPES["100m"]
    model = BitNetForCausalLM(
        BitNetConfig(
            vocab_size=shape["vocab"],
            hidden_size=shape["hidden"],
            intermediate_size=shape["inter"],
            num_hidden_layers=shape["layers"],
            num_attention_heads=shape["heads"],
            num_key_value_heads=shape["kv_heads"],
            tie_word_embeddings=True,
            eos_token_id=None,
            pad_token_id=0,
            max_position_embeddings=512,
        )
    )
    model = model.to(torch.bfloat16).eval()
    engine = random_engine(shape_config("100m", 512), threads=threads, head="bf16")
    ids = np.random.default_rng(1).integers(0, shape["vocab"], 32).tolist()
    tokens = torch.tensor([ids])
    times: dict[str, list[float]] = {"ours": [], "torch": []}
    with torch.no_grad():
        for turn in range(repeat + 1):
            start = time.perf_counter()
            assert len(engine.generate(ids, 64)) == 64
            ours = time.perf_counter() - start
            start = time.perf_counter()
            model.generate(tokens, max_new_tokens=64, min_new_tokens=64, do_sample=False)
            theirs = time.perf_counter() - start
            if turn:  # the first warms up
                times["ours"].append(ours)
                times["torch"].append(theirs)
    a, b = median(times["ours"]), median(times["torch"])
    print(
        f"  100m, 32 + 64 tokens: ours {64 / a:.0f} tokens/s, torch bf16 generate {64 / b:.0f}, ratio {b / a:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--decode", type=int, default=32)
    parser.add_argument("--parts", default="llama,int8,memory,torch")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    print(f"{_cpu_name()} · {options.threads} threads · load {os.getloadavg()[0]:.1f}")
    python = python_with_llama()
    parts = options.parts.split(",")
    if python is None:
        print("llama_cpp is missing (KOBITNET_LLAMA_PYTHON): not compared")
    elif "llama" in parts:
        against_llama(options, python, F16, "bf16")
    if python and "int8" in parts:
        against_llama(options, python, Q8_0, "int8")
    if "memory" in parts:
        path = options.work / "2b4t-F16.gguf"
        if not path.exists():
            write_random(path, config_of("2b4t"), F16)
        for head in ("bf16",):
            found = memory(path, options.threads, head)
            room = found["peak"] - found["weights"] - found["head"] - found["kv"]
            print(
                f"  memory, {head} head (MB): { ({k: round(v) for k, v in found.items()}) }, beside them {room:.0f}"
            )
    if "torch" in parts:
        against_torch(options.repeat, options.threads)


if __name__ == "__main__":
    main()
