"""Attention of training against torch's own: values, gradients, shared key heads, what is left to torch."""

import pytest
import torch
from torch.nn import functional as F

from kobitnet import attention as module
from kobitnet.attention import attention
from kobitnet.model import build_model, hidden_states, model_config

from .toy import SMALL


class Shared:
    """What the function asks of a transformers attention module."""

    def __init__(self, groups: int) -> None:
        self.num_key_value_groups = groups
        self.is_causal = True


def case(length: int, heads: int, key_heads: int, dtype: torch.dtype = torch.float32):
    draw = torch.Generator().manual_seed(0)
    return [
        torch.randn(3, n, length, 16, generator=draw).to(dtype).requires_grad_()
        for n in (heads, key_heads, key_heads)
    ]


@pytest.mark.parametrize(("length", "heads", "key_heads"), [(8, 2, 2), (37, 4, 2), (50, 4, 1)])
@pytest.mark.parametrize("scores", [1, 1 << 20], ids=["one sequence at a time", "all at once"])
def test_values_and_gradients_of_torch(monkeypatch, length, heads, key_heads, scores):
    monkeypatch.setattr(module, "ROWS", 16)  # several blocks, the last one shorter
    monkeypatch.setattr(module, "SCORES", scores)
    q, k, v = case(length, heads, key_heads)
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.3, enable_gqa=True)
    got, _ = attention(Shared(heads // key_heads), q, k, v, None, scaling=0.3)
    torch.testing.assert_close(got, expected.transpose(1, 2))
    grad = torch.randn(got.shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        torch.autograd.grad(got, [q, k, v], grad),
        torch.autograd.grad(expected, [q, k, v], grad.transpose(1, 2)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_autocast_computes_in_bf16():
    q, k, v = case(40, 4, 2)
    exact, _ = attention(Shared(2), q, k, v, None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low, _ = attention(Shared(2), q, k, v, None)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), exact, rtol=0.03, atol=0.03)
    grads = torch.autograd.grad(low.float().sum(), [q, k, v])
    assert [g.dtype for g in grads] == [torch.float32] * 3


def test_masks_inference_and_long_sequences_are_torchs(monkeypatch):
    monkeypatch.setattr(module._Causal, "apply", lambda *_: pytest.fail("not for this one"))
    q, k, v = case(20, 2, 2)
    mask = torch.ones(1, 1, 20, 20, dtype=torch.bool)
    got, _ = attention(Shared(1), q, k, v, mask)
    torch.testing.assert_close(got.transpose(1, 2), F.scaled_dot_product_attention(q, k, v))
    with torch.no_grad():
        attention(Shared(1), q, k, v, None)
    monkeypatch.setattr(module, "LONGEST", 19)
    attention(Shared(1), q, k, v, None)


def test_the_model_trains_with_it(monkeypatch):
    seen = []
    real = module._Causal.apply
    monkeypatch.setattr(module._Causal, "apply", lambda *given: (seen.append(1), real(*given))[1])
    model = build_model(model_config(SMALL, vocab_size=320)).train()
    ids = torch.randint(0, 320, (2, 24), generator=torch.Generator().manual_seed(3))
    ours = hidden_states(model, ids)
    assert len(seen) == SMALL.layers
    with torch.no_grad():
        torch.testing.assert_close(ours, hidden_states(model, ids), rtol=1e-4, atol=1e-4)
    assert len(seen) == SMALL.layers
