"""Optimizers and the two-stage schedule of b1.58.

Training Tips of BitNet b1.58: the peak learning rate is several times that of full precision; at half of training the
schedule drops to one with a lower peak and weight decay goes from 0.1 to 0 (latents then settle, fewer codes flip).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

Schedule = Literal["two-stage", "cosine", "linear", "constant"]


# ---- schedule -----------------------------------------------------------------------------------


def schedule(
    step: int, total: int, *, kind: Schedule, warmup: int, peak: float, peak2: float, weight_decay: float
) -> tuple[float, float]:
    """(learning rate, weight decay) of optimizer step `step` (0-based) of `total`.

    Linear warm-up over `warmup` steps, then peak * shape(step / total): cosine from 1 to 0, a straight line, or constant.
    two-stage: cosine with `peak` and `weight_decay` up to half, from there the same cosine with `peak2` and no weight decay.
    """
    progress = step / total
    second = kind == "two-stage" and progress >= 0.5
    top = peak2 if second else peak
    if kind == "constant":
        shape = 1.0
    elif kind == "linear":
        shape = 1.0 - progress
    else:
        shape = 0.5 * (1.0 + math.cos(math.pi * progress))
    warm = min(1.0, (step + 1) / warmup) if warmup else 1.0
    return top * shape * warm, 0.0 if second else weight_decay


# ---- parameter groups ---------------------------------------------------------------------------


def is_matrix(name: str, parameter: Tensor) -> bool:
    """The weights of the projections: everything 2-D but embedding and head. Only these decay; only these go to Muon."""
    return parameter.dim() == 2 and "embed_tokens" not in name and "lm_head" not in name


def build_optimizer(
    model: nn.Module, kind: Literal["adamw", "muon"], *, betas: tuple[float, float] = (0.9, 0.95)
) -> torch.optim.Optimizer:
    """AdamW on everything (weight decay on matrices only), or Muon on the matrices and AdamW on the rest.

    Every group says whether it `decays`; `set_rates` puts in the numbers before each step. bf16 latents, which torch's own
    AdamW would round to nearest, get ours.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [p for name, p in named if is_matrix(name, p)]
    rest = [p for name, p in named if not is_matrix(name, p)]
    if kind == "muon" or any(p.dtype == torch.bfloat16 for p in matrices):
        return Muon(
            [
                {"params": matrices, "muon": kind == "muon", "decays": True},
                {"params": rest, "muon": False, "decays": False},
            ],
            betas=betas,
        )
    return torch.optim.AdamW(
        [{"params": matrices, "decays": True}, {"params": rest, "decays": False}],
        lr=0.0,
        betas=betas,
        eps=1e-8,
        weight_decay=0.0,
        fused=True,
    )


def set_rates(optimizer: torch.optim.Optimizer, lr: float, weight_decay: float, step: int = 0) -> None:
    """Put the schedule's numbers into the groups; the rounding of bf16 latents is drawn from the step's number."""
    for group in optimizer.param_groups:
        group["lr"] = lr
        group["step"] = step
        group["weight_decay"] = weight_decay if group["decays"] else 0.0


# ---- latents in bf16 ----------------------------------------------------------------------------


def round_stochastically(x: Tensor, draw: torch.Generator) -> Tensor:
    """fp32 -> bf16, up or down with the probabilities that make the mean x itself; bf16 numbers stay as they are.

    A bf16 number has 8 bits: steps below 1/512 of a latent, as they are once the learning rate has fallen, vanish when rounded to
    nearest, and are taken now and then when rounded by chance.
    """
    chance = torch.randint(0, 1 << 16, x.shape, generator=draw, dtype=torch.int32, device=x.device)
    return ((x.view(torch.int32) + chance) & -(1 << 16)).view(torch.float32).to(torch.bfloat16)


# ---- Muon ---------------------------------------------------------------------------------------


def orthogonalise(update: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly: Newton-Schulz quintic of Muon (Jordan 2024; coefficients from there).

    (m, n) -> (m, n) with singular values pushed into about 0.7..1.2. fp32: bf16 products are slow on most CPUs.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = update.float()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum 0.95, orthogonalised, for matrices; AdamW for groups with muon=False. One `lr` drives both.

    The update of an (m, n) matrix is scaled by 0.2 * sqrt(max(m, n)), which gives it the root mean square of an AdamW update
    ("Muon is scalable", arXiv 2502.16982, eq. 4), so learning rate and weight decay mean what they mean for AdamW.

    The state is fp32 always. A bf16 latent is updated as fp32 and rounded stochastically; every process draws the same.
    """

    def __init__(
        self, groups: list[dict[str, object]], *, betas: tuple[float, float], momentum: float = 0.95
    ) -> None:
        super().__init__(
            groups, {"lr": 0.0, "weight_decay": 0.0, "betas": betas, "momentum": momentum, "eps": 1e-8}
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update from the gradients (no closure)."""
        draws: dict[torch.device, torch.Generator] = {}
        for group in self.param_groups:
            update = self._muon if group["muon"] else self._adamw
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                latent = parameter.float()  # the parameter itself where it is fp32
                latent.mul_(1.0 - group["lr"] * group["weight_decay"])
                update(latent, parameter.grad.float(), self.state[parameter], group)
                if latent.dtype != parameter.dtype:
                    at = parameter.device
                    if at not in draws:
                        draws[at] = torch.Generator(at).manual_seed(group["step"])
                    parameter.copy_(round_stochastically(latent, draws[at]))

    def _muon(self, parameter: Tensor, grad: Tensor, state: dict[str, Tensor], group: dict) -> None:
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(grad, 1.0 - group["momentum"])
        update = grad.lerp(momentum, group["momentum"])
        if isinstance(
            update, DTensor
        ):  # orthogonal as a whole: gathered, computed by every process, cut again
            whole = orthogonalise(update.full_tensor())
            update = distribute_tensor(whole, update.device_mesh, update.placements)
        else:
            update = orthogonalise(update)
        parameter.add_(update, alpha=-group["lr"] * 0.2 * math.sqrt(max(parameter.shape)))

    def _adamw(self, parameter: Tensor, grad: Tensor, state: dict[str, Tensor], group: dict) -> None:
        if "step" not in state:
            state.update(
                step=torch.zeros(()),
                exp_avg=torch.zeros_like(parameter),
                exp_avg_sq=torch.zeros_like(parameter),
            )
        beta1, beta2 = group["betas"]
        state["step"] += 1
        count = float(state["step"])
        state["exp_avg"].lerp_(grad, 1.0 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1.0 - beta2)
        denominator = (state["exp_avg_sq"] / (1.0 - beta2**count)).sqrt_().add_(group["eps"])
        parameter.addcdiv_(state["exp_avg"], denominator, value=-group["lr"] / (1.0 - beta1**count))
