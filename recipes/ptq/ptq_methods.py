"""Post-training quantisation of a full-precision model, the methods BitNet was compared with: plain references to be read.

    absmax       round to the nearest of 2^b - 1 levels up to max|w| of a row, activations up to max|x| of a token
    SmoothQuant  the same after moving the size of activation channels into the weights, alpha 0.5        arXiv 2211.10438
    GPTQ         columns one by one, each error made good in the columns not yet rounded                    arXiv 2210.17323
    QuIP         rotate weights and inputs so that no entry stands out, then the same rounding              arXiv 2307.13304

Quantisation is simulated: values lie on the grid, arithmetic stays fp32, so these tell quality and not speed. The libraries
of these methods pack weights for GPU kernels and know models by their class; ours, with its norms before o_proj and down_proj, is none of
them, and quality needs no packing. Embedding, norms and output head stay as they are, as in the papers.

Shapes: W (out, in), X (tokens, in), H = X^T X (in, in).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DAMPING = 0.01
"""Share of the mean of H's diagonal that is added to it (GPTQ section 3.3)."""
QUIP_RANGE = 2.4
"""Half-width of QuIP's grid in root mean squares of W, chosen there for few bits."""


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the table. `activation_bits` 16: activations are left alone."""

    label: str
    name: str
    weight_bits: int
    activation_bits: int


METHODS = (
    Method("W16A16", "none", 16, 16),
    Method("W8A8", "absmax", 8, 8),
    Method("W8A8", "smoothquant", 8, 8),
    Method("W4A16", "absmax", 4, 16),
    Method("W4A16", "gptq", 4, 16),
    Method("W4A4", "absmax", 4, 4),
    Method("W4A4", "smoothquant", 4, 4),
    Method("W2A16", "absmax", 2, 16),
    Method("W2A16", "gptq", 2, 16),
    Method("W2A16", "quip", 2, 16),
    Method("W1A8", "absmax", 1, 8),
    Method("W1A8", "smoothquant", 1, 8),
)


# ---- grids --------------------------------------------------------------------------------------


def absmax(x: Tensor, bits: int) -> Tensor:
    """Symmetric, one scale for the last dimension: (..., n) -> (..., n). One bit: sign times mean|x|, which is the best scale."""
    if bits >= 16:
        return x
    if bits == 1:
        return torch.where(x > 0, 1.0, -1.0) * x.abs().mean(-1, keepdim=True)
    most = 2 ** (bits - 1) - 1
    scale = x.abs().amax(-1, keepdim=True).clamp_(min=1e-8) / most
    return (x / scale).round_().clamp_(-most, most) * scale


def row_grid(weight: Tensor, bits: int) -> Callable[[Tensor], Tensor]:
    """GPTQ's grid: 2^bits levels from the smallest to the largest value of each row, zero among them."""
    low, high = weight.amin(1).clamp(max=0), weight.amax(1).clamp(min=0)
    step = ((high - low) / (2**bits - 1)).clamp_(min=1e-8)
    zero = (-low / step).round()
    return lambda column: (((column / step).round() + zero).clamp(0, 2**bits - 1) - zero) * step


def even_grid(weight: Tensor, bits: int) -> Callable[[Tensor], Tensor]:
    """QuIP's grid: 2^bits levels evenly over ±QUIP_RANGE root mean squares of the whole matrix."""
    half = QUIP_RANGE * weight.pow(2).mean().sqrt().clamp(min=1e-8)
    most = 2**bits - 1
    return lambda column: ((column / half + 1) / 2 * most).round().clamp(0, most) * (2 * half / most) - half


# ---- methods ------------------------------------------------------------------------------------


def round_columns(weight: Tensor, hessian: Tensor, grid: Callable[[Tensor], Tensor]) -> Tensor:
    """GPTQ: each column to the grid, its error spread over the later ones so that ||X W^T - X Q^T|| grows least.

    weight (out, in), hessian (in, in) -> (out, in). The rows of the Cholesky factor of H^-1 hold what every step
    needs (GPTQ equation 3 and section 3.3). An input that was never seen (zero on the diagonal) is rounded for itself.
    """
    weight = weight.clone()
    hessian = hessian.clone()
    dead = hessian.diagonal() == 0
    hessian.diagonal()[dead] = 1
    hessian.diagonal().add_(DAMPING * hessian.diagonal().mean())
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    upper = torch.linalg.cholesky(inverse, upper=True)
    out = torch.empty_like(weight)
    for i in range(weight.shape[1]):
        out[:, i] = grid(weight[:, i])
        error = (weight[:, i] - out[:, i]) / upper[i, i]
        weight[:, i + 1 :] -= error[:, None] * upper[i, i + 1 :]
    return out


def rotation(size: int, seed: int) -> Tensor:
    """A random orthogonal matrix (size, size)."""
    generator = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return (q * r.diagonal().sign()).float()


def quip(weight: Tensor, hessian: Tensor, bits: int, seed: int) -> Tensor:
    """Rotate (W' = U W V^T, H' = V H V^T), round with feedback, rotate back."""
    u, v = rotation(weight.shape[0], seed), rotation(weight.shape[1], seed + 1)
    turned = u @ weight @ v.T
    return u.T @ round_columns(turned, v @ hessian @ v.T, even_grid(turned, bits)) @ v


def smoothing(weight: Tensor, largest: Tensor, alpha: float = 0.5) -> Tensor:
    """SmoothQuant's factor of every input channel (in,): max|X_j|^alpha / max|W_j|^(1 - alpha)."""
    return (largest.clamp(min=1e-5) ** alpha / weight.abs().amax(0).clamp(min=1e-5) ** (1 - alpha)).clamp(
        min=1e-5
    )


class Quantised(nn.Module):
    """A linear layer whose weight lies on a grid and whose input is rounded a token at a time."""

    def __init__(self, weight: Tensor, activation_bits: int, smooth: Tensor | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.activation_bits = activation_bits
        self.smooth = smooth

    def forward(self, x: Tensor) -> Tensor:
        if self.smooth is not None:
            x = x / self.smooth
        return F.linear(absmax(x, self.activation_bits), self.weight)


# ---- a model ------------------------------------------------------------------------------------


def linears(layer: nn.Module) -> dict[str, nn.Linear]:
    """The projections of one decoder layer by name."""
    return {name: module for name, module in layer.named_modules() if isinstance(module, nn.Linear)}


def quantise(model: Any, method: Method, samples: Sequence[Tensor], seed: int = 0) -> None:
    """Replace the projections of every decoder layer in place, the first layer first: each is calibrated on what the layers
    before it, already quantised, hand on. samples: token ids (n,) each."""
    if method.name == "none":
        return
    for number, layer in enumerate(model.model.layers):
        found = linears(layer)
        seen = observe(model, found, samples) if method.name != "absmax" else {}
        for index, (name, old) in enumerate(found.items()):
            weight = old.weight.detach().float()
            smooth = None
            if method.name == "gptq":
                new = round_columns(weight, seen[name][0], row_grid(weight, method.weight_bits))
            elif method.name == "quip":
                new = quip(weight, seen[name][0], method.weight_bits, seed + 100 * number + 2 * index)
            else:
                if method.name == "smoothquant":
                    smooth = smoothing(weight, seen[name][1])
                    weight = weight * smooth
                new = absmax(weight, method.weight_bits)
            owner, _, last = name.rpartition(".")
            setattr(layer.get_submodule(owner), last, Quantised(new, method.activation_bits, smooth))


def observe(
    model: Any, found: dict[str, nn.Linear], samples: Sequence[Tensor]
) -> dict[str, tuple[Tensor, Tensor]]:
    """For every projection X^T X (in, in) and max|X_j| (in,) over the inputs it gets from the samples."""
    seen = {
        name: (torch.zeros(m.in_features, m.in_features), torch.zeros(m.in_features))
        for name, m in found.items()
    }

    def watch(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            x = args[0].detach().float().flatten(0, -2)
            total, largest = seen[name]
            total.addmm_(x.T, x)
            torch.maximum(largest, x.abs().amax(0), out=largest)

        return hook

    handles = [module.register_forward_pre_hook(watch(name)) for name, module in found.items()]
    try:
        with torch.no_grad():
            for ids in samples:
                model.model(input_ids=ids[None], use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return seen
