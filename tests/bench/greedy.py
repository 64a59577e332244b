"""Engine against torch on a trained model: `python -m tests.bench.greedy RUN SHARDS [--prompts 50] [--tokens 256]`.

Greedy texts after the first 12 tokens of random training documents, one thread each; where they part, torch's top-2 gap is told
beside torch's own spread over all of them (kobitnet.evaluate.compare). Then the bound on logits over every position of torch's
texts: the largest |engine - torch| against the larger of 1e-3 and three times the largest |torch on 1 thread - torch on 2
threads|. Where no int8 code flips, all three differ by fp32 noise; a flip moves logits by far more, in torch too, and
the bound asks whether it moves the engine's further than torch's. Then perplexity of the val split by both.
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


def bound(engine: Engine, reference: TorchBackend, texts: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """(largest |engine - torch|, largest |torch on 1 thread - torch on 2|) of the logits at each position of all texts."""
    mine, own = [], []
    for ids in texts:
        torch.set_num_threads(2)
        two = reference.logits(ids)
        torch.set_num_threads(1)
        one = reference.logits(ids)
        mine.append(np.abs(engine.logits(ids) - one).max(axis=1))
        own.append(np.abs(two - one).max(axis=1))
    return np.concatenate(mine), np.concatenate(own)


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
    mine, own = bound(
        engine, reference, [[*ids, *c.torch_ids] for (_, ids), c in zip(prompts, found, strict=True)]
    )
    limit = max(1e-3, 3 * own.max())
    print(
        f"logits at {len(mine)} positions: |engine - torch| median {np.median(mine):.1e}, {np.mean(mine <= 1e-3):.1%} within "
        f"1e-3, largest {mine.max():.4f}; torch 1 - 2 threads median {np.median(own):.1e}, {np.mean(own <= 1e-3):.1%}, largest "
        f"{own.max():.4f}; bound {limit:.4f}: {'kept' if mine.max() <= limit else 'not kept'}"
    )
    val = open_shards(options.shards, "val")
    ours, theirs = (
        combine(list(score_documents(backend, val, context=512, stride=256, max_tokens=0))).perplexity
        for backend in (engine, reference)
    )
    print(f"perplexity: engine {ours:.4f}, torch {theirs:.4f}, relative {ours / theirs - 1:.1e}")


if __name__ == "__main__":
    main()
