"""Masked language modelling with a bidirectional BitNet: BERT's objective (Devlin et al. 2018, section 3.1).

Of every window 15 % of the places are chosen; of these 80 % read the mask token, 10 % a random token, 10 % themselves. The
loss is over the chosen places alone and every place sees all others. Such a model fills gaps and scores texts; it
does not generate, so its `model_type` is one no stock tool computes as a causal model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from kobitnet.data import Batch, TextWindows
from kobitnet.loss import IGNORE, summed_nll
from kobitnet.model import Model, hidden_states
from kobitnet.step import Loss
from kodata.run.errors import UserError

if TYPE_CHECKING:
    from kotok.shards import Shards
    from kotok.tokenizer import Tokenizer

SHARE = 0.15
"""Share of the places that are predicted."""
MASK = "<|reserved_0|>"
"""The reserved control token that stands for a gap."""


def mask_id(tokenizer: Tokenizer) -> int:
    """Id of the mask token. Raises UserError when the tokenizer keeps no reserved tokens."""
    if MASK not in tokenizer.control:
        raise UserError(
            f"가림 토큰이 없는 토크나이저입니다 (tokenizer without the mask token {MASK})",
            help="kotok train 으로 만든 토크나이저를 쓰세요 (use a tokenizer made by kotok train)",
        )
    return tokenizer.control[MASK]


class MaskedWindows(TextWindows):
    """Windows of seq_len tokens with gaps; which places, and what they read, follows from (seed, sample number)."""

    def __init__(self, shards: Shards, seq_len: int, seed: int, *, mask: int, ordinary: np.ndarray) -> None:
        """`ordinary`: ids a random replacement may be (no control tokens)."""
        super().__init__(shards, seq_len, seed)
        self.mask = mask
        self.ordinary = ordinary

    def batch(self, first: int, count: int) -> Batch:
        ids = super().batch(first, count).input_ids.clone()
        targets = torch.full_like(ids, IGNORE)
        for row, sample in enumerate(range(first, first + count)):
            rng = np.random.default_rng([self._epochs.seed, sample, 2])
            chosen = rng.permutation(self.seq_len)[: max(1, round(SHARE * self.seq_len))]
            targets[row, chosen] = ids[row, chosen]
            fate = rng.random(len(chosen))
            random = rng.choice(self.ordinary, len(chosen))
            new = np.where(fate < 0.8, self.mask, np.where(fate < 0.9, random, ids[row, chosen].numpy()))
            ids[row, chosen] = torch.from_numpy(new.astype(np.int64))
        return Batch(input_ids=ids, targets=targets)


def masked_lm(model: Model, batch: Batch) -> Loss:
    """Loss over the gaps, with attention in both directions."""
    hidden = hidden_states(model, batch.input_ids, causal=False)
    return Loss(total=summed_nll(hidden, model.lm_head.weight, batch.targets), count=batch.count)


@torch.no_grad()
def fill(model: Model, tokenizer: Tokenizer, text: str, gap: str = "[가림]") -> str:
    """`text` with every `gap` (one token each) filled by the likeliest token, all at once.

    Raises:
        UserError: no gap in the text.
    """
    pieces = text.split(gap)
    if len(pieces) < 2:
        raise UserError(f"빈칸이 없습니다 (no gap {gap} in the text): {text[:60]}", help=f"오늘은 {gap} 좋다")
    mask = mask_id(tokenizer)
    ids: list[int] = []
    for number, piece in enumerate(pieces):
        ids += ([mask] if number else []) + tokenizer.encode(piece)
    tokens = torch.tensor([ids], device=model.lm_head.weight.device)
    logits = hidden_states(model, tokens, causal=False)[0] @ model.lm_head.weight.T
    logits[:, list(tokenizer.control.values())] = -torch.inf
    best = logits.argmax(-1).tolist()
    return tokenizer.decode([best[i] if token == mask else token for i, token in enumerate(ids)])
