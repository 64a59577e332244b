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
scale, a quarter of the fp32 values; both give the same bits again (`_CodedLinear`). The values themselves live as long as
one matrix product.

The order of operations is that of transformers' AutoBitLinear (WeightQuant, ActQuant), so that stock loading of a b1.58
checkpoint computes the same bits: the scale is 1 / mean and values are divided by it, not multiplied by the mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

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


KEEP_FROM = 1 << 20
"""Numbers in an activation from which codes are kept for backward instead of it. The bits are the same either way: below
this the memory is small and the extra conversions cost a fifth of a step (tiny preset, two threads)."""


def _keeps(x: Tensor) -> bool:
    return x.numel() >= KEEP_FROM and torch.is_grad_enabled() and not torch.compiler.is_compiling()


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
            keep=_keeps(x),
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


# ---- the layer ----------------------------------------------------------------------------------


class Codes(NamedTuple):
    """A quantised weight: W~ = values * scale."""

    values: Tensor
    """(out, in) int8 in -1, 0, 1."""
    scale: Tensor
    """fp32, (out, 1) or (1, in)."""

    def decoded(self, dtype: torch.dtype) -> Tensor:
        """W~ (out, in), the bits it was made from."""
        return self.values.to(torch.float32).mul_(self.scale).to(dtype)


class _CodedLinear(torch.autograd.Function):
    """x~ W~^T, straight through to x and to the latent, keeping codes. The same products in the same order as F.linear."""

    @staticmethod
    def forward(
        ctx, x: Tensor, latent: Tensor, values: Tensor, scale: Tensor, codes: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        ctx.shape, ctx.dtype, ctx.latent = x.shape, x.dtype, latent.dtype
        ctx.save_for_backward(values, scale, *((x,) if codes is None else codes))
        return F.linear(x, Codes(values, scale).decoded(latent.dtype))

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        values, scale, *kept = ctx.saved_tensors
        rows = grad.reshape(-1, grad.shape[-1])
        grad_x = grad_latent = None
        if ctx.needs_input_grad[0]:
            weight = Codes(values, scale).decoded(ctx.latent).to(rows.dtype)  # lower under autocast
            grad_x = (rows @ weight).view(ctx.shape).to(ctx.dtype)
        if ctx.needs_input_grad[1]:
            x = decoded(kept[0], kept[1], ctx.dtype) if len(kept) == 2 else kept[0]
            grad_latent = (rows.T @ x.reshape(-1, x.shape[-1]).to(rows.dtype)).to(ctx.latent)
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
        return _StraightThrough.apply(self.weight, self._values())

    def _values(self) -> Tensor:
        """W~ as numbers, blended with the latent where lambda < 1; kept while a WeightCache holds the model."""
        if isinstance(self.cached, Codes):
            return self.cached.decoded(self.weight.dtype)
        if self.cached is not None:
            return self.cached
        quantised = self.quantised()
        if self.strength != 1:
            quantised = torch.lerp(self.weight.detach(), quantised, self.strength)
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
            x = _StraightThrough.apply(x, quantised)
        codes = None
        if _keeps(x):
            codes = self.codes()
        if codes is None:
            return F.linear(x, self.effective_weight())
        return _CodedLinear.apply(x, self.weight, *codes, getattr(x, "codes", None))

    def extra_repr(self) -> str:
        return f"{self.in_features} -> {self.out_features}, quant={self.quant}"


class GatedMLP(nn.Module):
    """The feed-forward block of transformers' BitNetMLP, taken over with its parts and their names:
    down(norm(act(gate(x)) * up(x))), with gate, norm and quantisation in one node."""

    def __init__(self, old: Any, act: str) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = old.gate_proj, old.up_proj, old.down_proj
        self.ffn_sub_norm: QuantNorm = old.ffn_sub_norm
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.ffn_sub_norm.gated(self.gate_proj(x), self.up_proj(x), self.act))


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
