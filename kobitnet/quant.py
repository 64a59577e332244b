"""Quantisers of 1-bit and 1.58-bit training, as straight-through estimators over full precision latents.

Shapes: W (out, in) latent weight, x (..., in) activations. Every quantiser returns a tensor of the input's shape and dtype
that holds only the quantised values ("fake quantisation"), which is what training multiplies with; `ternary` gives the codes.

    b1.58     W~ = RoundClip(W / mean|W|, -1, 1) * mean|W|                   BitNet b1.58, arXiv 2402.17764 eq. 1-3
    b1        W~ = Sign(W - mean W) * mean|W|, Sign(0) = -1                  BitNet, arXiv 2310.11453 eq. 1-3, 12
    b1-alpha  W~ = alpha * Sign(W), alpha one learned number a matrix        BitNet ablation "elastic", 2310.11453 table 4
    group     b1.58 with one mean|W| for each of G parts of the matrix       BitNet group quantisation, 2310.11453 eq. 13-14
    none      W~ = W                                                         the full precision baseline

Activations: absmax int8, x~ = RoundClip(x * s, -128, 127) / s with s = 127 / max|x|, the maximum per token (b1.58, b1-alpha),
per token and group (group, on the inputs of row-parallel matrices; the norm before them takes its mean square per group too,
eq. 15-16, so tensor parallelism exchanges no scales), per tensor in training and per token at inference (b1, as its section
2.1 says). The [0, Qb] form of b1 for inputs of a plain ReLU has no place in a gated network and is not here.

Annealed quantisation: with `strength` lambda < 1 a layer computes with x + lambda (x~ - x), for weights and activations
alike; lambda goes from 0 to 1 at the start of training (`--quant-warmup`) and is 1 ever after and in every saved model.

What is kept for backward: of a quantised activation its int8 codes and one scale a token, of a quantised weight its int8 codes and
scale, a quarter of the fp32 values; both give the same bits again. Where the processor is fast at integers the forward product is
made of the codes themselves (`bitlinear`).

Latents are fp32, or bf16 (`--latents bf16`): then quantised as the fp32 numbers they stand for, with fp32 gradients and optimizer state,
and each step rounded to bf16 stochastically (`optim.round_stochastically`). The papers only say that latents, gradients and
optimizer states are kept "in high precision" (2310.11453 section 2.2); the released 2B4T latents are bf16.

The order of operations is that of transformers' AutoBitLinear (WeightQuant, ActQuant), so that stock loading of a b1.58
checkpoint computes the same bits: the scale is 1 / mean and values are divided by it, not multiplied by the mean.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from kobitnet.products import integers_are_fast

Quant = Literal["b1.58", "b1", "b1-alpha", "group", "none"]
QUANTS: tuple[str, ...] = ("b1.58", "b1", "b1-alpha", "group", "none")
EPS = 1e-5  # floor of mean|W| and max|x|, as in transformers


# ---- weights ------------------------------------------------------------------------------------


def ternary(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Codes (out, in) float in {-1, 0, 1} and the number `inverse` = 1 / mean|W|: W~ = codes / inverse."""
    weight = weight.float()
    inverse = 1.0 / weight.abs().mean().clamp_(min=EPS)
    return (weight * inverse).round_().clamp_(-1, 1), inverse


def absmean_ternary(weight: Tensor) -> Tensor:
    """b1.58: (out, in) -> (out, in), values -s, 0, s with one s a matrix; bit-identical to AutoBitLinear's WeightQuant."""
    codes, inverse = ternary(weight)
    return codes.div_(inverse).to(weight.dtype)


def centred_sign(weight: Tensor) -> Tensor:
    """b1: (out, in) -> (out, in), values -beta and beta with beta = mean|W| of the weight before centring."""
    w = weight.float()
    beta = w.abs().mean().clamp_(min=EPS)
    return torch.where(w > w.mean(), beta, -beta).to(weight.dtype)


def group_ternary(weight: Tensor, groups: int, dim: int) -> Tensor:
    """b1.58 on each of `groups` equal parts along `dim` (0 rows: column-parallel matrices, 1 columns: row-parallel).

    A matrix that tensor parallelism has cut along `dim` holds groups / processes of them, so nothing is gathered.
    """
    if isinstance(weight, DTensor):
        mesh, placements = weight.device_mesh, weight.placements
        local = group_ternary(weight.to_local(), groups // mesh.size(), dim)
        return DTensor.from_local(local, mesh, placements, run_check=False)
    return torch.cat([absmean_ternary(part) for part in weight.chunk(groups, dim=dim)], dim=dim)


class StraightThrough(torch.autograd.Function):
    """Forward the quantised tensor, give the gradient to the latent unchanged: dL/dW := dL/dW~."""

    @staticmethod
    def forward(ctx, latent: Tensor, quantised: Tensor) -> Tensor:
        return quantised

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


class ScaledSign(torch.autograd.Function):
    """alpha * Sign(W): dL/dW := dL/dW~ (straight through), dL/dalpha = sum(dL/dW~ * Sign(W))."""

    @staticmethod
    def forward(ctx, weight: Tensor, alpha: Tensor) -> Tensor:
        sign = torch.where(weight > 0, 1.0, -1.0)
        ctx.save_for_backward(sign.to(torch.int8), alpha)
        return sign.mul_(alpha)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        sign, alpha = ctx.saved_tensors
        return grad, (grad * sign).sum().reshape(alpha.shape)


# ---- activations --------------------------------------------------------------------------------


def absmax_codes(x: Tensor, groups: int = 1, per_tensor: bool = False) -> tuple[Tensor, Tensor]:
    """Integers in -127..127 as floats (..., groups, n / groups) and the scale s they are divided by, (..., groups, 1) or ().

    No clamp is needed: |x| * fl(127 / max|x|) rounds to at most 127.
    """
    y = x.float().unflatten(-1, (groups, -1))
    largest = (
        y.abs().max() if per_tensor else y.abs().amax(dim=-1, keepdim=True)
    )  # aminmax is ten times slower
    scale = 127 / largest.clamp_(min=EPS)
    return (y * scale).round_(), scale


def absmax_int8(x: Tensor, groups: int = 1, per_tensor: bool = False) -> Tensor:
    """Per-token int8 (..., in) -> (..., in); `groups` > 1 takes the maximum within equal parts of a token's vector.

    Bit-identical to AutoBitLinear's ActQuant for groups = 1, per_tensor = False. Not differentiable by itself.
    """
    codes, scale = absmax_codes(x, groups, per_tensor)
    return codes.div_(scale).view(x.shape).to(x.dtype)


def decoded(codes: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """The values again, (..., in), of int8 codes (..., groups, n / groups) and their scale: the bits `absmax_int8` gave."""
    return codes.to(torch.float32).div_(scale).flatten(-2).to(dtype)


# ---- what is kept for backward ------------------------------------------------------------------

KEEP_FROM = 1 << 20
"""Numbers in an activation from which codes are kept for backward instead of it: below this the memory is small and the extra
conversions cost a fifth of a step (tiny preset, two threads)."""
INTEGERS_FROM = 1 << 14
"""The same where codes are multiplied as integers, which saves more than the conversions cost."""


def keeps(x: Tensor) -> bool:
    """Whether codes of an activation like x (and of the weight it meets) are to be made for products and kept for backward."""
    integers = x.device.type == "cpu" and integers_are_fast()
    least = min(KEEP_FROM, INTEGERS_FROM) if integers else KEEP_FROM
    return x.numel() >= least and torch.is_grad_enabled() and not torch.compiler.is_compiling()
