"""Causal attention of training on the CPU: whole rows of probabilities, a few sequences and a block of rows at a time.

torch's flash kernel for the CPU cuts sequences below 768 into tiles of 32 to 64 rows, too small for its products: at 256 tokens it took
28 % of a bf16 step of the tiny preset. Here a block of query rows meets all keys before it in one batched product, heads that share a
key head stand in the same matrix, and what lies above the diagonal blocks is never computed. Nothing of the size of the scores is
kept for backward: the probabilities are computed again, the same bits.

    p = softmax(scale q k^T),  o = p v;      dv = p^T do,  ds = p (do v^T - sum(p do v^T)),  dq = scale ds k,  dk = scale ds^T q

Shapes: q (B, heads, T, D), k and v (B, key heads, T, D), o (B, T, heads, D). Everything else (masks, long sequences, inference,
other devices) goes to torch's scaled_dot_product_attention.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from kobitnet.products import product_dtype

NAME = "kobitnet"
"""What the configuration calls this attention."""
LONGEST = 1024
"""Tokens from which the flash kernel's tiles are large enough."""
ROWS = 128
"""Query rows of a block."""
SCORES = 1 << 20
"""Scores at a time, about: they stay in the cache."""


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The attention function of a transformers model: (B, T, heads, D) and no weights."""
    ours = (
        query.device.type == "cpu"
        and attention_mask is None
        and not dropout
        and query.shape[2] == key.shape[2] <= LONGEST
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    )
    if not ours:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    dtype = product_dtype(query)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return _Causal.apply(query.to(dtype), key.to(dtype), value.to(dtype), scale), None


def register() -> str:
    """Make the function known to transformers; returns its name for a configuration."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    return NAME


def _blocks(q: Tensor) -> Iterator[tuple[slice, slice]]:
    """(sequences, query rows) of each block."""
    batch, heads, length, _ = q.shape
    rows = min(ROWS, length)
    several = max(1, SCORES // (heads * rows * length))
    for first in range(0, batch, several):
        for start in range(0, length, rows):
            yield slice(first, min(first + several, batch)), slice(start, min(start + rows, length))


def _probabilities(q: Tensor, k: Tensor, rows: int) -> Tensor:
    """(n, shared * rows, keys): softmax of scaled queries (n, shared * rows, D) with keys (n, keys, D), the last `rows` of
    which are those of the queries themselves: each query sees its own and what comes before it."""
    scores = torch.bmm(q, k.transpose(1, 2))
    later = torch.ones(rows, rows, dtype=torch.bool).triu_(1)
    scores.unflatten(1, (-1, rows))[..., -rows:].masked_fill_(later, -torch.inf)
    return scores.softmax(-1)


class _Causal(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        ctx.save_for_backward(q, k, v)
        ctx.scale = scale
        out = q.new_empty(q.shape[0], q.shape[2], q.shape[1], q.shape[3])
        with torch.autocast("cpu", enabled=False):
            for batch, rows in _blocks(q):
                queries, keys, values = (
                    _of(q, batch, rows, k) * scale,
                    _till(k, batch, rows),
                    _till(v, batch, rows),
                )
                p = _probabilities(queries, keys, rows.stop - rows.start)
                out[batch, rows] = _heads(torch.bmm(p, values), q, rows).transpose(1, 2)
        return out

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v = ctx.saved_tensors
        grad = grad.to(q.dtype).transpose(1, 2).contiguous()
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        with torch.autocast("cpu", enabled=False):
            for batch, rows in _blocks(q):
                queries, keys, values = (
                    _of(q, batch, rows, k) * ctx.scale,
                    _till(k, batch, rows),
                    _till(v, batch, rows),
                )
                given = _of(grad, batch, rows, k)
                p = _probabilities(queries, keys, rows.stop - rows.start)
                _till(grad_v, batch, rows).baddbmm_(p.transpose(1, 2), given)
                grad_p = torch.bmm(given, values.transpose(1, 2))
                grad_s = torch.ops.aten._softmax_backward_data(grad_p, p, -1, p.dtype)
                grad_q[batch, :, rows] = _heads(torch.bmm(grad_s, keys).mul_(ctx.scale), q, rows)
                _till(grad_k, batch, rows).baddbmm_(grad_s.transpose(1, 2), queries)
        return grad_q, grad_k, grad_v, None


def _of(x: Tensor, batch: slice, rows: slice, k: Tensor) -> Tensor:
    """Rows of x (B, heads, T, D) with the heads of one key head in one matrix: (n * key heads, shared * rows, D)."""
    return x[batch, :, rows].reshape(-1, x.shape[1] // k.shape[1] * (rows.stop - rows.start), x.shape[3])


def _till(x: Tensor, batch: slice, rows: slice) -> Tensor:
    """A view of keys or values up to the last of the rows: (n * key heads, keys, D)."""
    return x[batch].flatten(0, 1)[:, : rows.stop]


def _heads(x: Tensor, q: Tensor, rows: slice) -> Tensor:
    """`_of` undone: (n, heads, rows, D)."""
    return x.reshape(-1, q.shape[1], rows.stop - rows.start, q.shape[3])
