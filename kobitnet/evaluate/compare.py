"""Do two backends write the same greedy text? Up to the first step that torch itself cannot decide.

int8 rounding makes logits of one and the same model differ by some 1e-4 with another number of threads or with a key-value
cache. Where torch's two best tokens lie closer than that, another token is not an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kobitnet.evaluate.backend import Backend, TorchBackend


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
    """Largest difference of torch's logits with itself (1 and 2 threads, with and without cache) on this text."""

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
    out = []
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
        out.append(
            Comparison(
                prompt=text,
                torch_ids=steps,
                other_ids=list(theirs),
                differs_at=at,
                gap=gap,
                spread=self_spread(reference, [*ids, *steps], len(ids), logits),
            )
        )
    return out


def _first_difference(a: Sequence[int], b: Sequence[int]) -> int | None:
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return None if len(a) == len(b) else min(len(a), len(b))


def self_spread(backend: TorchBackend, ids: Sequence[int], start: int, cached: Sequence[np.ndarray]) -> float:
    """Largest |logit difference| of torch with itself at the steps from `start` on: 1 thread, 2 threads, cached."""
    import torch

    before = torch.get_num_threads()
    try:
        full = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            full.append(backend.logits(ids)[start - 1 : start - 1 + len(cached)])
    finally:
        torch.set_num_threads(before)
    stepwise = np.stack(list(cached))
    return float(
        max(
            np.abs(full[0] - full[1]).max(),
            np.abs(full[0] - stepwise).max(),
            np.abs(full[1] - stepwise).max(),
        )
    )
