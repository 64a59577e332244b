"""Do two backends write the same greedy text? Up to the first step that torch itself cannot decide.

A b1.58 network rounds activations to int8 in every layer. A sum added in another order differs in its last bit, and where an
activation lies on the edge between two codes that bit moves it to the next code: a step of 1/127 that later layers carry
on. So torch differs from itself when its number of threads changes, when a key-value cache is used (other matrix shapes, other
kernels), or when an input moves by one bit. `self_spread` measures exactly that, on the very texts compared; the
largest value over all prompts and positions counts for every prompt, because flips are rare events and a prompt on which none was seen
proves nothing. A text that parts where torch's two best tokens lie closer than that spread is no error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kobitnet.evaluate.backend import Backend, TorchBackend
from kodata.run.errors import UserError

PROMPTS = ("대한민국은", "제1조", "이 법은")
QUESTION = "질문: 세금은 언제 내야 하나요?"
PERTURBATIONS = 2  # copies whose embeddings move by one bit


@dataclass(kw_only=True, slots=True)
class Comparison:
    """One prompt: the two continuations and where they part."""

    prompt: str
    torch_ids: list[int]
    other_ids: list[int]
    differs_at: int | None
    """First step with another token; None: the same to the end."""
    gap: float | None
    """torch's top-2 logit gap at that step."""
    spread: float
    """Largest difference of torch's logits with itself over all prompts compared together."""

    @property
    def agrees(self) -> bool:
        """Same text, or parted where torch itself is undecided."""
        return self.differs_at is None or (self.gap is not None and self.gap <= self.spread)


def compare(
    reference: TorchBackend,
    other: Backend,
    prompts: Sequence[tuple[str, Sequence[int]]],
    *,
    max_new_tokens: int,
    stop_ids: Sequence[int],
) -> list[Comparison]:
    """Greedy continuations of each (text, ids) by both backends, compared token by token."""
    out, spread = [], 0.0
    stop = set(stop_ids)
    for text, ids in prompts:
        steps, logits = [], []
        for token, row in reference.steps(ids, max_new_tokens):
            logits.append(row)
            if token in stop:
                break
            steps.append(token)
        theirs = other.generate(ids, max_new_tokens, stop_ids=stop_ids)
        at = _first_difference(steps, theirs)
        gap = None
        if at is not None:
            best = np.partition(logits[at], -2)[-2:]
            gap = float(best[1] - best[0])
        spread = max(spread, float(self_spread(reference, [*ids, *steps], len(ids), logits).max()))
        out.append(
            Comparison(
                prompt=text,
                torch_ids=steps,
                other_ids=list(theirs),
                differs_at=at,
                gap=gap,
                spread=0.0,
            )
        )
    for one in out:
        one.spread = spread
    return out


def _first_difference(a: Sequence[int], b: Sequence[int]) -> int | None:
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return None if len(a) == len(b) else min(len(a), len(b))


def self_spread(
    backend: TorchBackend, ids: Sequence[int], start: int, cached: Sequence[np.ndarray]
) -> np.ndarray:
    """(steps,) largest |logit difference| between two of torch's own computations of each step from `start` on.

    The computations: step by step with a key-value cache (`cached`, one row of logits a step), the whole text at once
    with 1 and with 2 threads, and the whole text with every embedding value moved by one bit up, down or not at all.
    """
    import torch

    before = torch.get_num_threads()
    rows = slice(start - 1, start - 1 + len(cached))
    versions = [np.stack(list(cached))]
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            versions.append(backend.logits(ids)[rows])
    finally:
        torch.set_num_threads(before)
    generator = torch.Generator().manual_seed(0)

    def move(module: Any, args: Any, output: Any) -> Any:
        way = torch.randint(-1, 2, output.shape, generator=generator).to(output.dtype)
        return torch.where(way == 0, output, torch.nextafter(output, way * torch.inf))

    handle = backend.model.get_input_embeddings().register_forward_hook(move)
    try:
        versions += [backend.logits(ids)[rows] for _ in range(PERTURBATIONS)]
    finally:
        handle.remove()
    stacked = np.stack(versions)
    return (stacked.max(axis=0) - stacked.min(axis=0)).max(axis=1)


# ---- a model with itself: torch against engine --------------------------------------------------


def compare_model(
    model: Path, max_new_tokens: int, reference: TorchBackend | None = None
) -> list[Comparison]:
    """The torch backend against the engine on a few Korean prompts, one through the chat template after SFT or DPO.

    Raises:
        UserError: what one of the two cannot open, e.g. packed weights (torch) or another quantiser (engine).
    """
    from kobitnet.engine import Engine
    from kobitnet.prompting import prompt_tokens, stage_of, stop_ids

    engine = Engine.load(model)
    reference = reference or TorchBackend.load(model)
    tokenizer = reference.tokenizer
    prompts = [(text, prompt_tokens(tokenizer, text, chat=False)) for text in PROMPTS]
    if stage_of(model) in ("sft", "dpo"):
        prompts.append((QUESTION, prompt_tokens(tokenizer, QUESTION, chat=True)))
    return compare(reference, engine, prompts, max_new_tokens=max_new_tokens, stop_ids=stop_ids(tokenizer))


def compare_apart(model: Path, max_new_tokens: int) -> list[Comparison]:
    """compare_model in a process of its own: an evaluation on the engine stays free of torch.

    Raises:
        UserError: as compare_model, or torch could not be started.
    """
    done = subprocess.run(
        [sys.executable, "-m", "kobitnet.evaluate.compare", str(model), str(max_new_tokens)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        encoding="utf-8",
    )
    try:
        answer = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        tail = done.stderr.strip().splitlines()[-1:] or ["?"]
        raise UserError(
            f"torch로 견주지 못했습니다 (comparison with torch failed): {tail[0]}",
            help="pip install 'kobitnet[train]', 또는 --no-compare (or --no-compare)",
        ) from None
    if "error" in answer:
        raise UserError(answer["error"])
    return [Comparison(**one) for one in answer["comparisons"]]


if __name__ == "__main__":
    try:
        found = compare_model(Path(sys.argv[1]), int(sys.argv[2]))
        print(json.dumps({"comparisons": [asdict(one) for one in found]}, ensure_ascii=False))
    except UserError as error:
        print(json.dumps({"error": str(error)}, ensure_ascii=False))
