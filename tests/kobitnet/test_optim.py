"""Schedule values by hand, parameter groups, Muon against its definition."""

import math

import pytest
import torch

from kobitnet.model import build_model, model_config
from kobitnet.optim import Muon, build_optimizer, orthogonalise, schedule, set_rates

from .toy import SMALL


def rate(step, **changes):
    settings = {"kind": "two-stage", "warmup": 0, "peak": 1.0, "peak2": 0.5, "weight_decay": 0.1, **changes}
    return schedule(step, 100, **settings)


def test_two_stages():
    assert rate(0) == (1.0, 0.1)
    assert rate(49) == (pytest.approx(0.5 * (1 + math.cos(math.pi * 0.49))), 0.1)
    assert rate(50) == (pytest.approx(0.25), 0.0)  # half of the cosine, lower peak, no decay
    assert rate(99)[0] == pytest.approx(0.25 * (1 + math.cos(math.pi * 0.99)))


def test_other_schedules():
    assert rate(25, kind="linear") == (0.75, 0.1)
    assert rate(99, kind="constant") == (1.0, 0.1)
    assert rate(50, kind="cosine") == (pytest.approx(0.5), 0.1)
    assert [rate(s, kind="constant", warmup=4)[0] for s in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_groups():
    model = build_model(model_config(SMALL, vocab_size=64))
    optimizer = build_optimizer(model, "adamw")
    set_rates(optimizer, 0.5, 0.1)
    decays, plain = optimizer.param_groups
    assert (decays["lr"], decays["weight_decay"], plain["weight_decay"]) == (0.5, 0.1, 0.0)
    assert len(decays["params"]) == 2 * 7
    names = {id(p): n for n, p in model.named_parameters()}
    assert all("norm" in names[id(p)] or "embed" in names[id(p)] for p in plain["params"])
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(names)


@pytest.mark.parametrize("shape", [(16, 48), (48, 16), (32, 32)])
def test_orthogonalise(shape):
    update = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(update))
    assert values.min() > 0.3 and values.max() < 1.3
    # The singular vectors stay: U V^T of the input is close to the result's.
    u, _, v = torch.linalg.svd(update, full_matrices=False)
    assert float((orthogonalise(update) * (u @ v)).sum()) / min(shape) > 0.6


def test_muon_adamw_part_is_adamw():
    torch.manual_seed(0)
    a = torch.nn.Parameter(torch.randn(5))
    b = torch.nn.Parameter(a.detach().clone())
    ours = Muon([{"params": [a], "muon": False, "decays": False}], betas=(0.9, 0.95))
    theirs = torch.optim.AdamW([b], lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)
    for step in range(5):
        for group in ours.param_groups:
            group.update(lr=0.01, weight_decay=0.1)
        a.grad = torch.randn(5, generator=torch.Generator().manual_seed(step))
        b.grad = a.grad.clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(a, b)
