"""Engine against torch on a trained model: `python -m tests.bench.greedy RUN SHARDS [--prompts 50] [--tokens 256]`.

Greedy texts after the first 12 tokens of random training documents, one thread each; where they part, torch's top-2 gap is told
beside torch's own spread over all of them (kobitnet.evaluate.compare). Then perplexity of the val split by both.
"""

import argparse
import os
from pathlib import Path

import numpy as np

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")

import torch

from kobitnet.engine import Engine
from kobitnet.evaluate.backend import TorchBackend
from kobitnet.evaluate.compare import compare
from kobitnet.evaluate.perplexity import combine, score_documents
from kotok.shards import open_shards


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(1)
    engine, reference = Engine.load(options.run, threads=1), TorchBackend.load(options.run)
    shards = open_shards(options.shards, "train")
    chosen = np.random.default_rng(5).choice(len(shards), options.prompts, replace=False)
    prompts = [(str(d), [engine.tokenizer.eot_id, *shards.tokens(int(d))[:12].tolist()]) for d in chosen]
    found = compare(reference, engine, prompts, max_new_tokens=options.tokens, stop_ids=[])
    parted = sorted(c.gap for c in found if c.gap is not None)
    print(
        f"{len(found)} prompts x {options.tokens}: {len(found) - len(parted)} identical, "
        f"{sum(c.agrees for c in found)} agree; torch's own spread {found[0].spread:.3f}; "
        f"gaps where they part: {', '.join(f'{gap:.4f}' for gap in parted)}"
    )
    val = open_shards(options.shards, "val")
    ours, theirs = (
        combine(list(score_documents(backend, val, context=512, stride=256, max_tokens=0))).perplexity
        for backend in (engine, reference)
    )
    print(f"perplexity: engine {ours:.4f}, torch {theirs:.4f}, relative {ours / theirs - 1:.1e}")


if __name__ == "__main__":
    main()
