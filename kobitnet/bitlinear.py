"""The linear layer of a BitNet, and the cache that quantises each weight once for every optimizer step."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn import functional as F

from kobitnet.norm import QuantNorm
from kobitnet.products import integers_are_fast, product_dtype
from kobitnet.quant import (
    QUANTS,
    ScaledSign,
    StraightThrough,
    absmax_int8,
    absmean_ternary,
    centred_sign,
    decoded,
    group_ternary,
    keeps,
)


class Codes(NamedTuple):
    """A quantised weight: W~ = values * scale."""

    values: Tensor
    """(out, in) int8 in -1, 0, 1."""
    scale: Tensor
    """fp32, (out, 1) or (1, in)."""

    def decoded(self) -> Tensor:
        """W~ (out, in) fp32, the bits it was made from."""
        return self.values.to(torch.float32).mul_(self.scale)


def integer_product(codes: tuple[Tensor, Tensor] | None, weight: Codes) -> Tensor | None:
    """x~ W~^T (..., out) fp32 from the int8 codes of both: an exact integer sum, as at inference, times the two scales.

    None where that is not possible (several scales within a row of W or x) or not faster (see `integers_are_fast`).
    """
    if codes is None or codes[0].device.type != "cpu" or not integers_are_fast():
        return None
    values, scale = codes  # (..., groups, n) and (..., groups, 1) or one for all
    if (scale.dim() and scale.shape[-2] > 1) or weight.scale.shape[0] != weight.values.shape[0]:
        return None
    shape = (*values.shape[:-2], len(weight.values))
    sums = torch._int_mm(values.view(-1, values.shape[-1]), weight.values.T)  # int32
    y = sums.view(torch.float32).copy_(sums).view(shape)  # converted where they lie
    return y.mul_(weight.scale[:, 0]).div_(scale.squeeze(-1) if scale.dim() else scale)


class _CodedLinear(torch.autograd.Function):
    """x~ W~^T, straight through to x and to the latent, keeping codes: as integers where that is faster, else the same
    products in the same order as F.linear."""

    @staticmethod
    def forward(
        ctx, x: Tensor, latent: Tensor, values: Tensor, scale: Tensor, codes: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        ctx.shape, ctx.dtype = x.shape, x.dtype
        ctx.save_for_backward(values, scale, *((x,) if codes is None else codes))
        weight = Codes(values, scale)
        y = integer_product(codes, weight)
        if y is None:
            return F.linear(x, weight.decoded())
        return y.to(product_dtype(x))

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        values, scale, *kept = ctx.saved_tensors
        rows = grad.reshape(-1, grad.shape[-1])
        grad_x = grad_latent = None
        if ctx.needs_input_grad[0]:
            weight = Codes(values, scale).decoded().to(rows.dtype)  # lower under autocast
            grad_x = (rows @ weight).view(ctx.shape).to(ctx.dtype)
        if ctx.needs_input_grad[1]:
            x = decoded(kept[0], kept[1], ctx.dtype) if len(kept) == 2 else kept[0]
            grad_latent = (rows.T @ x.reshape(-1, x.shape[-1]).to(rows.dtype)).float()
        return grad_x, grad_latent, None, None, None


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
        self.scale_dim = (
            0 if quant == "group" and group_dim == 1 else 1
        )  # W~ has one scale along this dimension
        self.strength = 1.0
        self.caching = False
        self.cached: Tensor | Codes | None = None
        if quant == "b1-alpha":
            self.alpha = nn.Parameter(self.weight.detach().abs().mean().reshape(1))

    def latent(self) -> Tensor:
        """The latent (out, in) as fp32, to be read: a gradient through it would be rounded to bf16 where the latent is."""
        return self.weight.float()

    def quantised(self) -> Tensor:
        """W~ (out, in) fp32 computed from the latent now, outside of autograd."""
        with torch.no_grad():
            if self.quant == "b1.58":
                return absmean_ternary(self.latent())
            if self.quant == "b1":
                return centred_sign(self.latent())
            if self.quant == "group":
                return group_ternary(self.latent(), self.groups, self.group_dim)
            if self.quant == "b1-alpha":
                return ScaledSign.apply(self.weight, self.alpha)
            return self.weight.detach()

    def effective_weight(self) -> Tensor:
        """W~ attached to the latent by the straight-through estimator."""
        if self.quant == "none":
            return self.weight
        if (
            self.quant == "b1-alpha"
        ):  # alpha learns from the codes, so there is nothing to keep between micro-batches
            scaled = ScaledSign.apply(self.weight, self.alpha)
            return scaled if self.strength == 1 else torch.lerp(self.latent(), scaled, self.strength)
        return StraightThrough.apply(self.weight, self._values())

    def _values(self) -> Tensor:
        """W~ as numbers, blended with the latent where lambda < 1; kept while a WeightCache holds the model."""
        if isinstance(self.cached, Codes):
            return self.cached.decoded()
        if self.cached is not None:
            return self.cached
        quantised = self.quantised()
        if self.strength != 1:
            quantised = torch.lerp(self.latent().detach(), quantised, self.strength)
        if self.caching:
            self.cached = quantised
        return quantised

    def codes(self) -> Codes | None:
        """W~ as int8 codes, kept likewise; None where it is not made of such codes or is not to be kept as them."""
        if self.quant in ("none", "b1-alpha") or self.strength != 1 or isinstance(self.weight, DTensor):
            return None
        if not isinstance(self.cached, Codes):
            values = self.cached if self.cached is not None else self.quantised()
            codes = Codes(
                values.sign().to(torch.int8), values.abs().amax(self.scale_dim, keepdim=True).float()
            )
            if not self.caching:
                return codes
            self.cached = codes
        return self.cached

    def forward(self, x: Tensor) -> Tensor:
        if self.quantise_input:
            groups = self.groups if self.quant == "group" and self.group_dim == 1 else 1
            per_tensor = self.quant == "b1" and self.training
            quantised = absmax_int8(x.detach(), groups, per_tensor)
            if self.strength != 1:
                quantised = torch.lerp(x.detach(), quantised, self.strength)
            x = StraightThrough.apply(x, quantised)
        codes = None
        if keeps(x):
            codes = self.codes()
        if codes is None:
            return F.linear(x, self.effective_weight())
        return _CodedLinear.apply(x, self.weight, *codes, getattr(x, "codes", None))

    def extra_repr(self) -> str:
        return f"{self.in_features} -> {self.out_features}, quant={self.quant}"


def keep_latents_in_bf16(model: nn.Module) -> None:
    """Store the latents of a model's quantised layers as bf16 from now on, rounded to nearest once; gradients stay fp32.

    What reads them sees the same numbers as fp32, so codes, exports and stock loading are those of the rounded latents. The
    optimizer of `build_optimizer` rounds its steps stochastically.
    """
    for module in model.modules():
        if isinstance(module, BitLinear) and module.quant != "none":
            module.weight = nn.Parameter(module.weight.detach().to(torch.bfloat16))
            module.weight.grad_dtype = torch.float32


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
