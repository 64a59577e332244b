"""What an inference backend can do, and the torch one. The native one is `kobitnet.engine.Engine`, without torch.

Shapes: ids is a sequence of n token ids; logits (n, vocab) float32; logprobs (n - 1,) float32 in nats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Unpack

import numpy as np

from kobitnet.engine.reference import check_context, check_ids
from kobitnet.engine.writer import Sampling, Writer

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

    def loglikelihoods(self, context: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[float]:
        """log p(continuation | context) in nats of each continuation; the context is computed once."""

    def generate(
        self,
        ids: Sequence[int],
        max_new_tokens: int,
        *,
        stop_ids: Sequence[int] = (),
        **sampling: Unpack[Sampling],
    ) -> list[int]:
        """New ids, the stop token not included; without sampling the likeliest each time."""

    def stream(
        self,
        ids: Sequence[int],
        max_new_tokens: int,
        *,
        stop_ids: Sequence[int] = (),
        **sampling: Unpack[Sampling],
    ) -> Iterator[int]:
        """generate(), one id at a time."""

    def steps(
        self, ids: Sequence[int], max_new_tokens: int, **sampling: Unpack[Sampling]
    ) -> Iterator[tuple[int, np.ndarray]]:
        """(next id, its logits (vocab,)) one at a time."""


def load_backend(path: str | Path, name: str, head: str = "auto") -> Backend:
    """The backend `torch` or `engine` for a run or model folder; the engine also takes GGUF files and a form of its head."""
    if name == "torch":
        return TorchBackend.load(path)
    from kobitnet.engine import Engine

    return Engine.load(path, head=head)


class TorchBackend(Writer):
    """The reference: our torch model, fp32, with a key-value cache for generation."""

    name = "torch"

    def __init__(self, model: Any, tokenizer: Tokenizer) -> None:
        self.model = model
        self.tokenizer = tokenizer

    @classmethod
    def load(cls, path: str | Path) -> TorchBackend:
        """Open a run or model folder. Raises UserError like `kobitnet.checkpoint.load_model`."""
        from kobitnet.bitlinear import WeightCache
        from kobitnet.checkpoint import load_model

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

    def loglikelihoods(self, context: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[float]:
        """log p(continuation | context) in nats of each continuation, 0.0 for an empty one; the context is computed once.

        Raises:
            UserError: an empty context, ids out of range, more tokens than the model reads.
        """
        import torch
        from transformers import DynamicCache

        known = check_context(context)
        past = DynamicCache(config=self.model.config)
        out = []
        with torch.no_grad():
            if len(known) > 1:
                self._check(known)
                self.model(
                    input_ids=torch.tensor([known[:-1]]),
                    past_key_values=past,
                    use_cache=True,
                    logits_to_keep=1,
                )
            for one in continuations:
                if not len(one):
                    out.append(0.0)
                    continue
                tokens = torch.from_numpy(self._check([*known, *one])[len(known) - 1 :])[None]
                logits = self.model(input_ids=tokens[:, :-1], past_key_values=past, use_cache=True).logits[0]
                logp = logits.float().log_softmax(-1).gather(1, tokens[0, 1:, None])
                out.append(float(logp.double().sum()))
                past.crop(-(tokens.shape[1] - 1))  # the choice leaves, the context stays
        return out

    def _reader(self, length: int) -> Callable[[np.ndarray], np.ndarray]:
        import torch
        from transformers import DynamicCache

        past = DynamicCache(config=self.model.config)

        def read(ids: np.ndarray) -> np.ndarray:
            tokens = torch.from_numpy(ids)[None]
            with torch.no_grad():
                out = self.model(input_ids=tokens, past_key_values=past, use_cache=True, logits_to_keep=1)
            return out.logits[0, -1].float().numpy()

        return read
