"""RMSNorm and the activation quantiser behind it as one node: in a BitNet every input of a BitLinear is a norm's output.

Shapes: x (..., n), gain (n,). Kept for backward: the input and one number a token; the int8 codes that come out are kept once, by
the linears that read them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kobitnet.quant import absmax_codes, keeps


def _normed(x: Tensor, gain: Tensor, eps: float, groups: int) -> tuple[Tensor, Tensor]:
    """(gain * x * rsqrt(mean x^2 + eps), the rsqrt), the mean within `groups` equal parts of the vector."""
    x32 = x.float().unflatten(-1, (groups, -1))
    rstd = x32.pow(2).mean(-1, keepdim=True).add_(eps).rsqrt_()
    return gain * (x32 * rstd).flatten(-2).to(x.dtype), rstd


def _normed_backward(grad: Tensor, x: Tensor, gain: Tensor, rstd: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `_normed` for x and gain."""
    grad32 = grad.float()
    h = x.float().unflatten(-1, (rstd.shape[-2], -1)) * rstd
    grad_gain = (grad32 * h.flatten(-2)).flatten(0, -2).sum(0)
    gg = (grad32 * gain).view_as(h)
    grad_x = gg.sub_(h.mul_((gg * h).mean(-1, keepdim=True))).mul_(rstd).flatten(-2)
    return grad_x.to(x.dtype), grad_gain.to(gain.dtype)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rounding:
    """How a norm's output is quantised."""

    eps: float
    groups: int
    """Parts of a token's vector with a maximum (and mean square) of their own."""
    on: bool
    """False: not at all."""
    per_tensor: bool
    strength: float
    keep: bool
    """Return the codes too."""


def _quantised(ctx: Any, out: Tensor, how: Rounding) -> Any:
    """A norm's output quantised; with `keep` the int8 codes and their scale beside it, which carry no gradient."""
    if not how.on:
        return out
    codes, scale = absmax_codes(out, how.groups, how.per_tensor)
    kept = codes.to(torch.int8) if how.keep else None
    quantised = codes.div_(scale).view(out.shape).to(out.dtype)
    if how.strength != 1:
        return torch.lerp(out, quantised, how.strength)
    if kept is None:
        return quantised
    ctx.mark_non_differentiable(kept, scale)
    return quantised, kept, scale


class _NormQuant(torch.autograd.Function):
    """RMSNorm, then activation quantisation, in one node: only the input and one number a token are kept for backward.

    n = gain * x * rsqrt(mean x^2 + eps); out = quantise(n); straight through, so d out = d n. Arithmetic and its order are
    those of BitNetRMSNorm followed by ActQuant. With `groups` > 1 mean and maximum are taken within equal parts of a token's
    vector.
    """

    @staticmethod
    def forward(ctx, x: Tensor, gain: Tensor, how: Rounding) -> Any:
        out, rstd = _normed(x, gain, how.eps, how.groups)
        ctx.save_for_backward(x, gain, rstd)
        return _quantised(ctx, out, how)

    @staticmethod
    def backward(ctx, grad: Tensor, *_: Any) -> tuple[Tensor, Tensor, None]:
        return *_normed_backward(grad, *ctx.saved_tensors), None


class _GatedNormQuant(torch.autograd.Function):
    """`_NormQuant` of act(gate) * up, which is computed again in backward: gate, up and one number a token are kept."""

    @staticmethod
    def forward(ctx, gate: Tensor, up: Tensor, gain: Tensor, act: str, how: Rounding) -> Any:
        out, rstd = _normed(ACTS[act](gate).mul_(up), gain, how.eps, how.groups)
        ctx.act = act
        ctx.save_for_backward(gate, up, gain, rstd)
        return _quantised(ctx, out, how)

    @staticmethod
    def backward(ctx, grad: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, None, None]:
        gate, up, gain, rstd = ctx.saved_tensors
        opened = ACTS[ctx.act](gate)
        grad, grad_gain = _normed_backward(grad, opened * up, gain, rstd)
        grad_up = opened.mul_(grad)
        grad = grad.mul_(up)
        if ctx.act == "relu2":
            return grad.mul_(gate.relu().mul_(2)), grad_up, grad_gain, None, None
        return torch.ops.aten.silu_backward(grad, gate), grad_up, grad_gain, None, None


ACTS: dict[str, Callable[[Tensor], Tensor]] = {"relu2": lambda x: x.relu().square_(), "silu": F.silu}
"""The gates of a BitNet, each giving a tensor of its own."""


class QuantNorm(nn.Module):
    """RMSNorm whose output is already int8-quantised: in a BitNet every input of a BitLinear is the output of a norm, and
    one quantisation serves q, k and v (or gate and up). x (..., n) -> (..., n); parameter `weight` (n,) as in BitNetRMSNorm.

    `quant` none leaves out the quantisation: the baseline keeps the same norm and the same code.
    """

    def __init__(self, weight: nn.Parameter, eps: float, quant: str = "b1.58", groups: int = 1) -> None:
        super().__init__()
        self.weight = weight
        self.eps = eps
        self.quant = quant
        self.groups = groups
        self.strength = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return _with_codes(_NormQuant.apply(x, self.weight, self._rounding(x)))

    def gated(self, gate: Tensor, up: Tensor, act: str) -> Tensor:
        """The norm of act(gate) * up, keeping less for backward than the two steps would."""
        return _with_codes(_GatedNormQuant.apply(gate, up, self.weight, act, self._rounding(gate)))

    def _rounding(self, x: Tensor) -> Rounding:
        return Rounding(
            eps=self.eps,
            groups=self.groups,
            on=self.quant != "none",
            per_tensor=self.quant == "b1" and self.training,
            strength=self.strength,
            keep=keeps(x),
        )

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, eps={self.eps}, quant={self.quant}"


def _with_codes(out: Any) -> Tensor:
    """Hang the codes of a quantised tensor on it, where the linear after the norm finds them (and does without if it
    gets another tensor, as under tensor parallelism)."""
    if isinstance(out, Tensor):
        return out
    values, codes, scale = out
    values.codes = (codes, scale)
    return values
