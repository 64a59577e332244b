"""What an inference backend can do, and the torch one. The native one is `kobitnet.engine.Engine`, without torch.

Shapes: ids is a sequence of n token ids; logits (n, vocab) float32; logprobs (n - 1,) float32 in nats.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from kobitnet.engine.reference import check_ids
from kodata.run.errors import UserError

if TYPE_CHECKING:
    from kotok.tokenizer import Tokenizer


class Backend(Protocol):
    """One loaded model. Both backends are deterministic: the same call gives the same result."""

    @property
    def tokenizer(self) -> Any:
        """The tokenizer that stands beside the model."""

    @property
    def positions(self) -> int:
        """The most tokens the model reads."""

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """(n, vocab) float32: row t scores the token after ids[:t + 1]."""

    def logprobs(self, ids: Sequence[int]) -> np.ndarray:
        """(n - 1,) float32: log p(ids[t + 1] | ids[:t + 1])."""

    def generate(
        self,
        ids: Sequence[int],
        max_new_tokens: int,
        *,
        stop_ids: Sequence[int],
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> list[int]:
        """New ids, the stop token not included; temperature 0 is greedy."""


def load_backend(path: str | Path, name: str) -> Backend:
    """The backend `torch` or `engine` for a run or model folder (the engine also takes its own file formats)."""
    if name == "torch":
        return TorchBackend.load(path)
    from kobitnet.engine import Engine

    return Engine.load(path)


def pick(
    logits: np.ndarray, *, temperature: float, top_k: int, top_p: float, generator: np.random.Generator
) -> int:
    """The next id from logits (vocab,): the largest at temperature 0 (lowest id on a tie), else drawn.

    top_k keeps the k likeliest (0 = all), then top_p the fewest whose probabilities reach p.
    """
    if temperature <= 0:
        return int(logits.argmax())
    scaled = logits.astype(np.float64) / temperature
    order = np.argsort(-scaled, kind="stable")
    if top_k:
        order = order[:top_k]
    weights = np.exp(scaled[order] - scaled[order[0]])
    weights /= weights.sum()
    if top_p < 1:
        keep = int(np.searchsorted(np.cumsum(weights), top_p)) + 1
        order, weights = order[:keep], weights[:keep] / weights[:keep].sum()
    return int(order[min(int(np.searchsorted(np.cumsum(weights), generator.random())), len(order) - 1)])


class TorchBackend:
    """The reference: our torch model, fp32, with a key-value cache for generation."""

    name = "torch"

    def __init__(self, model: Any, tokenizer: Tokenizer) -> None:
        self.model = model
        self.tokenizer = tokenizer

    @classmethod
    def load(cls, path: str | Path) -> TorchBackend:
        """Open a run or model folder. Raises UserError like `kobitnet.checkpoint.load_model`."""
        from kobitnet.checkpoint import load_model
        from kobitnet.quant import WeightCache

        model, tokenizer = load_model(path)
        WeightCache(model).__enter__()  # for good: nobody trains this copy
        return cls(model, tokenizer)

    @property
    def positions(self) -> int:
        return int(self.model.config.max_position_embeddings)

    def _check(self, ids: Sequence[int]) -> np.ndarray:
        return check_ids(ids, self.model.config.vocab_size, self.positions)

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        import torch

        tokens = torch.from_numpy(self._check(ids))[None]
        with torch.no_grad():
            return self.model(input_ids=tokens, use_cache=False).logits[0].float().numpy()

    def logprobs(self, ids: Sequence[int]) -> np.ndarray:
        import torch

        from kobitnet.loss import _TokenLogprobs
        from kobitnet.model import hidden_states

        tokens = torch.from_numpy(self._check(ids))[None]
        with torch.no_grad():
            hidden = hidden_states(self.model, tokens[:, :-1])[0]
            return _TokenLogprobs.apply(hidden, self.model.lm_head.weight, tokens[0, 1:]).numpy()

    def steps(
        self,
        ids: Sequence[int],
        max_new_tokens: int,
        *,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (next id, its logits (vocab,)) one by one, without end but for max_new_tokens and the model's positions."""
        import torch
        from transformers import DynamicCache

        tokens = torch.from_numpy(self._check(ids))[None]
        room = self.positions - len(ids)
        if room < 1:
            raise UserError(
                f"입력이 너무 깁니다 (prompt too long: {len(ids)} tokens, the model reads {len(ids) + room})",
                help="앞부분을 줄이세요 (shorten it)",
            )
        generator = np.random.default_rng(seed)
        past = DynamicCache(config=self.model.config)
        for _ in range(min(max_new_tokens, room)):
            with torch.no_grad():
                out = self.model(input_ids=tokens, past_key_values=past, use_cache=True, logits_to_keep=1)
            row = out.logits[0, -1].float().numpy()
            token = pick(row, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)
            yield token, row
            tokens = torch.tensor([[token]])

    def generate(
        self,
        ids: Sequence[int],
        max_new_tokens: int,
        *,
        stop_ids: Sequence[int],
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> list[int]:
        stop, new = set(stop_ids), []
        for token, _ in self.steps(
            ids, max_new_tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
        ):
            if token in stop:
                break
            new.append(token)
        return new
