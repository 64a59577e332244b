"""Losses over the vocabulary that never hold all logits: computed a block of rows at a time from the hidden states.

Shapes: hidden (N, H) final hidden states, head (V, H) output matrix, targets (N,) int64 with IGNORE where nothing is learned.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kobitnet.products import product_dtype

IGNORE = -100
BLOCK_FLOATS = 1 << 23  # logits held at a time: 32 MB in fp32


def _rows(vocab: int) -> int:
    return max(64, BLOCK_FLOATS // vocab)


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += a @ b, without a second matrix of that size where the precision is the same."""
    if total.dtype == b.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b


class _SummedNLL(torch.autograd.Function):
    """sum_i -log p(target_i) + z * lse_i^2. The gradients are made in forward, block by block, while the logits are at hand;
    backward only scales them by the one number that arrives. The second output is the sum without the z term.

    A block of logits l becomes e = exp(l - max l) where it lies and is never divided by its row sums s: with c = 1 + 2 z lse
    the gradient of a row is (e - (s / c) onehot) * c / s, and the factor c / s goes into the narrow matrices beside it. What e
    holds for the target is summed into s, so e - s there is minus the sum of the others however e was rounded.
    """

    @staticmethod
    def forward(ctx, hidden: Tensor, head: Tensor, targets: Tensor, z: float) -> tuple[Tensor, Tensor]:
        learn = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        dtype = product_dtype(hidden)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        squares = torch.zeros_like(total)
        grad_hidden = torch.empty_like(hidden) if learn else None
        grad_head = torch.zeros_like(head) if learn else None
        step = _rows(head.shape[0])
        with torch.autocast(hidden.device.type, enabled=False):
            low_hidden, low_head = hidden.to(dtype), head.to(dtype)
            for start in range(0, hidden.shape[0], step):
                rows = slice(start, start + step)
                target, states = targets[rows, None], low_hidden[rows]
                logits = states @ low_head.T  # (rows, V)
                largest, picked = logits.amax(-1, keepdim=True), logits.gather(-1, target).float()
                e = logits.sub_(largest).exp_()
                s = e.sum(-1, keepdim=True, dtype=torch.float32)
                lse = s.log() + largest
                total += (lse - picked).sum()
                if z:
                    squares += lse.square().sum()
                if grad_hidden is not None and grad_head is not None:
                    c = 1 + 2 * z * lse if z else torch.ones_like(lse)
                    e.scatter_(-1, target, (e.gather(-1, target) - s / c).to(dtype))
                    factor = c / s
                    grad_hidden[rows] = (e @ low_head) * factor
                    _add_product(grad_head, e.T, (states * factor).to(dtype))
        ctx.grads = grad_hidden, grad_head  # not saved tensors: backward scales them where they lie
        ctx.mark_non_differentiable(nll := total.clone())
        return total + z * squares, nll

    @staticmethod
    def backward(ctx, upstream: Tensor, _: Tensor) -> tuple[Tensor, Tensor, None, None]:
        if ctx.grads is None:
            raise RuntimeError("the gradients of this loss were given away by an earlier backward")
        (grad_hidden, grad_head), ctx.grads = ctx.grads, None
        return grad_hidden.mul_(upstream), grad_head.mul_(upstream), None, None


def summed_nll(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Sum over all rows with a target of -log softmax(hidden @ head.T)[target], a scalar in nats.

    Rows whose target is IGNORE are left out before anything is multiplied: in SFT logits exist for answer tokens only.
    """
    return summed_nll_and_z(hidden, head, targets, 0.0)[0]


def summed_nll_and_z(hidden: Tensor, head: Tensor, targets: Tensor, z: float) -> tuple[Tensor, Tensor]:
    """(sum of nll + z * logsumexp(logits)^2, the nll alone without gradient): z-loss of PaLM (arXiv 2204.02311, section 5)
    keeps the normaliser near 1. The z term is 0 where nothing is to be differentiated."""
    hidden, targets = hidden.reshape(-1, hidden.shape[-1]), targets.reshape(-1)
    kept = targets != IGNORE
    if not bool(kept.all()):
        hidden, targets = hidden[kept], targets[kept]
    return _SummedNLL.apply(hidden, head, targets, z)


class _TokenLogprobs(torch.autograd.Function):
    """log p(target_i) for each row. Logits are computed again in backward: the gradient needs a weight per row."""

    @staticmethod
    def forward(ctx, hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
        ctx.save_for_backward(hidden, head, targets)
        out = torch.empty(hidden.shape[0], dtype=torch.float32, device=hidden.device)
        step = _rows(head.shape[0])
        for start in range(0, hidden.shape[0], step):
            rows = slice(start, start + step)
            logits = (hidden[rows] @ head.T).float()
            out[rows] = logits.gather(-1, targets[rows, None])[:, 0] - logits.logsumexp(-1)
        return out

    @staticmethod
    def backward(ctx, upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        hidden, head, targets = ctx.saved_tensors
        grad_hidden, grad_head = torch.empty_like(hidden), torch.zeros_like(head)
        step = _rows(head.shape[0])
        for start in range(0, hidden.shape[0], step):
            rows = slice(start, start + step)
            weight = upstream[rows, None]
            grad = (hidden[rows] @ head.T).float().softmax(-1).mul_(-weight)
            grad.scatter_add_(-1, targets[rows, None], weight)
            grad = grad.to(hidden.dtype)
            grad_hidden[rows] = grad @ head
            _add_product(grad_head, grad.T, hidden[rows])
        return grad_hidden, grad_head, None


def sequence_logprobs(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Sum of log p(target) over each sequence: hidden (B, T, H), targets (B, T) with IGNORE -> (B,) in nats."""
    batch, length = targets.shape
    kept = (targets != IGNORE).reshape(-1)
    rows = torch.arange(batch, device=targets.device).repeat_interleave(length)[kept]
    logp = _TokenLogprobs.apply(hidden.reshape(batch * length, -1)[kept], head, targets.reshape(-1)[kept])
    return torch.zeros(batch, dtype=torch.float32, device=targets.device).index_add(0, rows, logp)
