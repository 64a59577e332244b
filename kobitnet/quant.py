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

The order of operations is that of transformers' AutoBitLinear (WeightQuant, ActQuant), so that stock loading of a b1.58
checkpoint computes the same bits: the scale is 1 / mean and values are divided by it, not multiplied by the mean.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn import functional as F

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


class _StraightThrough(torch.autograd.Function):
    """Forward the quantised tensor, give the gradient to the latent unchanged: dL/dW := dL/dW~."""

    @staticmethod
    def forward(ctx, latent: Tensor, quantised: Tensor) -> Tensor:
        return quantised

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


class _ScaledSign(torch.autograd.Function):
    """alpha * Sign(W): dL/dW := dL/dW~ (straight through), dL/dalpha = sum(dL/dW~ * Sign(W))."""

    @staticmethod
    def forward(ctx, weight: Tensor, alpha: Tensor) -> Tensor:
        sign = torch.where(weight > 0, 1.0, -1.0).to(weight.dtype)
        ctx.save_for_backward(sign.to(torch.int8), alpha)
        return sign.mul_(alpha)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        sign, alpha = ctx.saved_tensors
        return grad, (grad * sign).sum().reshape(alpha.shape)


# ---- activations --------------------------------------------------------------------------------


def absmax_int8(x: Tensor, groups: int = 1, per_tensor: bool = False) -> Tensor:
    """Per-token int8 (..., in) -> (..., in); `groups` > 1 takes the maximum within equal parts of a token's vector.

    Bit-identical to AutoBitLinear's ActQuant for groups = 1, per_tensor = False. Not differentiable by itself.
    """
    shape = x.shape
    y = x.float().view(*shape[:-1], groups, -1) if groups > 1 else x.float()
    largest = y.abs().max() if per_tensor else y.abs().amax(dim=-1, keepdim=True)
    scale = 127 / largest.clamp_(min=EPS)
    return (y * scale).round_().clamp_(-128, 127).div_(scale).view(shape).to(x.dtype)


class _NormQuant(torch.autograd.Function):
    """RMSNorm, then activation quantisation, in one node: only the input and one number a token are kept for backward.

    n = gain * x * rsqrt(mean x^2 + eps); out = quantise(n); straight through, so d out = d n. Arithmetic and its order are
    those of BitNetRMSNorm followed by ActQuant. With `groups` > 1 mean and maximum are taken within equal parts of a token's
    vector. groups = 0: no quantisation.
    """

    @staticmethod
    def forward(
        ctx, x: Tensor, gain: Tensor, eps: float, groups: int, per_tensor: bool, strength: float
    ) -> Tensor:
        x32 = x.float().unflatten(-1, (max(groups, 1), -1))
        rstd = x32.pow(2).mean(-1, keepdim=True).add_(eps).rsqrt_()
        ctx.save_for_backward(x, gain, rstd)
        out = gain * (x32 * rstd).flatten(-2).to(x.dtype)
        if not groups:
            return out
        quantised = absmax_int8(out, groups, per_tensor)
        return quantised if strength == 1 else torch.lerp(out, quantised, strength)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        x, gain, rstd = ctx.saved_tensors
        grad32 = grad.float()
        h = x.float().unflatten(-1, (rstd.shape[-2], -1)) * rstd
        grad_gain = (grad32 * h.flatten(-2)).flatten(0, -2).sum(0)
        gg = (grad32 * gain).view_as(h)
        grad_x = gg.sub_(h.mul_((gg * h).mean(-1, keepdim=True))).mul_(rstd).flatten(-2)
        return grad_x.to(x.dtype), grad_gain.to(gain.dtype), None, None, None, None


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
        groups = 0 if self.quant == "none" else self.groups
        per_tensor = self.quant == "b1" and self.training
        return _NormQuant.apply(x, self.weight, self.eps, groups, per_tensor, self.strength)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, eps={self.eps}, quant={self.quant}"


# ---- the layer ----------------------------------------------------------------------------------


class BitLinear(nn.Linear):
    """y = x~ W~^T without bias: x (..., in) -> (..., out), W latent (out, in).

    `quantise_input=False` when the norm before it has done so (QuantNorm). Weights are quantised in every forward unless
    a `WeightCache` holds the model: then once until `cache.invalidate()`, which the training loop calls after each
    optimizer step. The cache is never keyed on `weight._version`: fused AdamW does not change it on the CPU.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        quant: str = "b1.58",
        *,
        groups: int = 1,
        group_dim: int = 0,
        quantise_input: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias=False, device=device, dtype=dtype)
        if quant not in QUANTS:
            raise ValueError(f"quant must be one of {QUANTS}, got {quant!r}")
        self.quant = quant
        self.groups = groups
        self.group_dim = group_dim
        self.quantise_input = quantise_input and quant != "none"
        self.strength = 1.0
        self.caching = False
        self.cached: Tensor | None = None
        if quant == "b1-alpha":
            self.alpha = nn.Parameter(self.weight.detach().abs().mean().reshape(1))

    def quantised(self) -> Tensor:
        """W~ (out, in) computed from the latent now, outside of autograd."""
        with torch.no_grad():
            if self.quant == "b1.58":
                return absmean_ternary(self.weight)
            if self.quant == "b1":
                return centred_sign(self.weight)
            if self.quant == "group":
                return group_ternary(self.weight, self.groups, self.group_dim)
            if self.quant == "b1-alpha":
                return _ScaledSign.apply(self.weight, self.alpha)
            return self.weight.detach()

    def effective_weight(self) -> Tensor:
        """W~ attached to the latent by the straight-through estimator."""
        if self.quant == "none":
            return self.weight
        if (
            self.quant == "b1-alpha"
        ):  # alpha learns from the codes, so there is nothing to keep between micro-batches
            scaled = _ScaledSign.apply(self.weight, self.alpha)
            return scaled if self.strength == 1 else torch.lerp(self.weight, scaled, self.strength)
        quantised = self.cached if self.caching else None
        if quantised is None:
            quantised = self.quantised()
            if self.strength != 1:
                quantised = torch.lerp(self.weight.detach(), quantised, self.strength)
            if self.caching:
                self.cached = quantised
        return _StraightThrough.apply(self.weight, quantised)

    def forward(self, x: Tensor) -> Tensor:
        if self.quantise_input:
            groups = self.groups if self.quant == "group" and self.group_dim == 1 else 1
            per_tensor = self.quant == "b1" and self.training
            quantised = absmax_int8(x.detach(), groups, per_tensor)
            if self.strength != 1:
                quantised = torch.lerp(x.detach(), quantised, self.strength)
            x = _StraightThrough.apply(x, quantised)
        return F.linear(x, self.effective_weight())

    def extra_repr(self) -> str:
        return f"{self.in_features} -> {self.out_features}, quant={self.quant}"


class WeightCache:
    """Context in which each BitLinear of a model quantises its weight once until `invalidate()`.

    Whoever changes latents inside the context must call `invalidate()`: the optimizer step, loading, averaging.
    """

    def __init__(self, model: nn.Module) -> None:
        self.layers = [m for m in model.modules() if isinstance(m, BitLinear)]

    def __enter__(self) -> WeightCache:
        for layer in self.layers:
            layer.caching = True
        return self

    def invalidate(self) -> None:
        """Forget the quantised weights; the next forward quantises the latents as they are then."""
        for layer in self.layers:
            layer.cached = None

    def __exit__(self, *exc: object) -> None:
        self.invalidate()
        for layer in self.layers:
            layer.caching = False


def set_strength(model: nn.Module, strength: float) -> None:
    """Set lambda of every quantised layer and norm and forget cached weights made with another one."""
    for module in model.modules():
        if isinstance(module, BitLinear | QuantNorm) and module.strength != strength:
            module.strength = strength
            if isinstance(module, BitLinear):
                module.cached = None


def code_shares(layer: BitLinear) -> tuple[Tensor, tuple[float, float, float]]:
    """int8 codes (out, in) of a layer's quantised weight and the shares of -1, 0 and +1 among them."""
    codes = layer.quantised().sign().to(torch.int8)
    n = codes.numel()
    minus, plus = int((codes < 0).sum()), int((codes > 0).sum())
    return codes, (minus / n, (n - minus - plus) / n, plus / n)
