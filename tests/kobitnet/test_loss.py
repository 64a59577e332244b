"""Chunked losses against plain torch."""

import torch
from torch.nn import functional as F

from kobitnet import loss as module
from kobitnet.loss import IGNORE, sequence_logprobs, summed_nll


def case(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_FLOATS", 1)  # 64 rows at a time: several blocks
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(2, 75, 16, generator=generator, requires_grad=True)
    head = torch.randn(40, 16, generator=generator, requires_grad=True)
    targets = torch.randint(0, 40, (2, 75), generator=generator)
    targets[0, :20] = IGNORE
    targets[1, 70:] = IGNORE
    return hidden, head, targets


def test_summed_nll(monkeypatch):
    hidden, head, targets = case(monkeypatch)
    expected = F.cross_entropy(
        (hidden @ head.T).flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum"
    )
    expected_grads = torch.autograd.grad(expected * 0.3, [hidden, head])
    got = summed_nll(hidden, head, targets)
    grads = torch.autograd.grad(got * 0.3, [hidden, head])
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(grads, expected_grads, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(summed_nll(hidden, head, targets), expected)


def test_sequence_logprobs(monkeypatch):
    hidden, head, targets = case(monkeypatch)
    logp = (hidden @ head.T).log_softmax(-1)
    kept = targets != IGNORE
    expected = (logp.gather(-1, targets.clamp(min=0)[..., None])[..., 0] * kept).sum(-1)
    weights = torch.tensor([0.7, -2.0])
    expected_grads = torch.autograd.grad((expected * weights).sum(), [hidden, head])
    got = sequence_logprobs(hidden, head, targets)
    grads = torch.autograd.grad((got * weights).sum(), [hidden, head])
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(grads, expected_grads, rtol=1e-5, atol=1e-5)


def test_nothing_to_learn_is_zero():
    hidden, head = torch.randn(1, 4, 8, requires_grad=True), torch.randn(10, 8, requires_grad=True)
    total = summed_nll(hidden, head, torch.full((1, 4), IGNORE))
    total.backward()
    assert float(total) == 0 and not hidden.grad.any()
