"""Ablation layers: what papers tried beside the quantisers of the core, as small changes to a finished model.

    row-scale     one mean|W| for each output row
    median        median |W| in the place of the mean (b1.58 Reloaded, arXiv 2407.09527)
    hadamard      inputs of o_proj and down_proj are rotated before int8 (BitNet v2, arXiv 2504.18415, eq. 3)
    int4          inputs of q, k, v, gate, up in int4 by their mean (BitNet a4.8, arXiv 2411.04965, eq. 3)
    pre-ln        no norm before o_proj and down_proj (Pre-LN of 2310.11453 table 4); their inputs are quantised all the same
    rescaled      SubLN, then its output divided by the root mean square it had: a norm that does not change the size

The learned scale ("elastic") of that table is `--quant b1-alpha`. Each function changes the model in place and works for
full precision models too (which then differ in the norm alone).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kobitnet.bitlinear import BitLinear
from kobitnet.model import Model
from kobitnet.norm import ACTS, QuantNorm
from kobitnet.quant import absmax_int8

# ---- weights ------------------------------------------------------------------------------------


class RowScale(BitLinear):
    """W~ = RoundClip(W / s, -1, 1) * s with s (out, 1) = mean |W| of the row."""

    def quantised(self) -> Tensor:
        with torch.no_grad():
            scale = self.weight.abs().mean(1, keepdim=True).clamp_(min=1e-5)
            return (self.weight / scale).round_().clamp_(-1, 1).mul_(scale)


class MedianScale(BitLinear):
    """The same with one s = median |W|: about half of the weights are above it, fewer zeros than with the mean."""

    def quantised(self) -> Tensor:
        with torch.no_grad():
            scale = self.weight.abs().median().clamp_(min=1e-5)
            return (self.weight / scale).round_().clamp_(-1, 1).mul_(scale)


# ---- activations --------------------------------------------------------------------------------


def hadamard(n: int) -> Tensor:
    """(n, n) orthogonal: Sylvester's matrix of the largest power of two that divides n, along the diagonal, / sqrt."""
    size = n & -n
    block = torch.ones(1, 1)
    while len(block) < size:
        block = torch.cat([torch.cat([block, block], 1), torch.cat([block, -block], 1)])
    return torch.block_diag(*[block / math.sqrt(size)] * (n // size))


def absmean_int4(x: Tensor) -> Tensor:
    """beta / sqrt 7 * RoundClip(sqrt 7 / beta * x, -8, 7), beta = mean |x| of the token."""
    scale = math.sqrt(7) / x.abs().mean(-1, keepdim=True).clamp(min=1e-5)
    return (x * scale).round().clamp(-8, 7) / scale


class OtherNorm(nn.Module):
    """A QuantNorm with another step before or in the place of its norm and rounding; straight through."""

    def __init__(
        self, old: QuantNorm, *, rotate: bool = False, int4: bool = False, norm: str = "rms"
    ) -> None:
        super().__init__()
        self.weight = old.weight
        self.plain = QuantNorm(old.weight, old.eps, "none")
        self.quant, self.int4, self.norm = old.quant, int4, norm
        self.rotation = hadamard(len(old.weight)) if rotate else None

    def forward(self, x: Tensor) -> Tensor:
        out = x * self.weight if self.norm == "none" else self.plain(x)
        if self.norm == "rescaled":
            out = out * x.detach().pow(2).mean(-1, keepdim=True).sqrt()
        if self.rotation is not None:
            out = out @ self.rotation
        if self.quant == "none":
            return out
        held = out.detach()
        return out + ((absmean_int4(held) if self.int4 else absmax_int8(held)) - held)

    def gated(self, gate: Tensor, up: Tensor, act: str) -> Tensor:
        """As QuantNorm.gated, in separate steps."""
        opened: Any = torch.relu(gate).square() if act == "relu2" else ACTS[act](gate)
        return self(opened * up)


def _weights(kind: type[BitLinear]) -> Callable[[Model], None]:
    def change(model: Model) -> None:
        for module in model.modules():
            if isinstance(module, BitLinear) and module.quant == "b1.58":
                module.__class__ = kind

    return change


def _norms(names: tuple[str, ...], **options: Any) -> Callable[[Model], None]:
    def change(model: Model) -> None:
        for layer in model.model.layers:
            for owner in (layer, layer.self_attn, layer.mlp):
                for name in names:
                    if hasattr(owner, name):
                        setattr(owner, name, OtherNorm(getattr(owner, name), **options))

    return change


SUB_NORMS = ("attn_sub_norm", "ffn_sub_norm")
VARIANTS: dict[str, Callable[[Model], None]] = {
    "row-scale": _weights(RowScale),
    "median": _weights(MedianScale),
    "hadamard": _norms(SUB_NORMS, rotate=True),
    "int4": _norms(("input_layernorm", "post_attention_layernorm"), int4=True),
    "pre-ln": _norms(SUB_NORMS, norm="none"),
    "rescaled": _norms(SUB_NORMS, norm="rescaled"),
}
