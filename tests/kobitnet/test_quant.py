"""Quantisers: hand-computed values, the transformers reference bit for bit, straight-through gradients, the cache."""

import pytest
import torch
from torch import nn

from kobitnet.bitlinear import BitLinear, WeightCache, code_shares
from kobitnet.norm import QuantNorm
from kobitnet.quant import (
    absmax_int8,
    absmean_ternary,
    centred_sign,
    group_ternary,
    ternary,
)


def test_ternary_by_hand():
    # mean |W| = (0.2 + 0.4 + 1.0 + 0.4) / 4 = 0.5
    weight = torch.tensor([[0.2, -0.4], [1.0, -0.4]])
    codes, inverse = ternary(weight)
    assert codes.tolist() == [[0.0, -1.0], [1.0, -1.0]]
    assert float(inverse) == pytest.approx(2.0)
    assert absmean_ternary(weight).flatten().tolist() == pytest.approx([0.0, -0.5, 0.5, -0.5])


def test_centred_sign_by_hand():
    # mean 0.25, mean |W| 0.5: only what is above the mean is +0.5, the mean itself is -0.5
    weight = torch.tensor([[0.25, 1.0], [-0.5, 0.25]])
    assert centred_sign(weight).flatten().tolist() == [-0.5, 0.5, -0.5, -0.5]


def test_int8_by_hand():
    x = torch.tensor([[1.27, -0.01, 0.004], [0.0, 0.0, 0.0]])
    quantised = absmax_int8(x)
    assert (quantised[0] * 100).tolist() == pytest.approx([127.0, -1.0, 0.0])
    assert quantised[1].tolist() == [0.0, 0.0, 0.0]
    # One maximum for the whole tensor: the small row loses its detail.
    both = absmax_int8(torch.tensor([[127.0, 1.0], [0.4, 0.6]]), per_tensor=True)
    assert both.tolist() == [[127.0, 1.0], [0.0, 1.0]]


def test_bits_of_transformers():
    from transformers.integrations.bitnet import ActQuant, WeightQuant

    generator = torch.Generator().manual_seed(1)
    for shape, scale in (((128, 256), 0.02), ((7, 33), 3.0), ((64, 64), 1e-7)):
        weight = torch.randn(shape, generator=generator) * scale
        x = torch.randn(5, shape[1], generator=generator) * scale
        assert torch.equal(absmean_ternary(weight), WeightQuant.apply(weight))
        assert torch.equal(absmax_int8(x), ActQuant.apply(x))


def test_groups_are_quantised_by_themselves():
    weight = torch.randn(8, 12, generator=torch.Generator().manual_seed(2))
    rows, columns = group_ternary(weight, 4, 0), group_ternary(weight, 3, 1)
    assert torch.equal(rows[2:4], absmean_ternary(weight[2:4]))
    assert torch.equal(columns[:, 4:8], absmean_ternary(weight[:, 4:8].contiguous()))
    x = torch.randn(3, 12, generator=torch.Generator().manual_seed(3))
    assert torch.equal(absmax_int8(x, groups=3)[:, 4:8], absmax_int8(x[:, 4:8]))


@pytest.mark.parametrize("quant", ["b1.58", "b1", "group"])
def test_straight_through_gradients(quant):
    """dL/dW is g^T x~ and dL/dx is g W~, as if quantisation were the identity."""
    torch.manual_seed(0)
    layer = BitLinear(16, 8, quant, groups=2)
    x = torch.randn(5, 16, requires_grad=True)
    grad = torch.randn(5, 8)
    layer(x).backward(grad)
    quantised_x = absmax_int8(x.detach(), per_tensor=quant == "b1")
    torch.testing.assert_close(layer.weight.grad, grad.T @ quantised_x)
    torch.testing.assert_close(x.grad, grad @ layer.quantised())


def test_learned_scale_gradient():
    torch.manual_seed(0)
    layer = BitLinear(16, 8, "b1-alpha", quantise_input=False)
    x, grad = torch.randn(5, 16), torch.randn(5, 8)
    layer(x).backward(grad)
    sign = torch.where(layer.weight > 0, 1.0, -1.0)
    torch.testing.assert_close(layer.alpha.grad[0], ((grad.T @ x) * sign).sum())
    assert float(layer.alpha) == pytest.approx(float(layer.weight.abs().mean()))


def test_norm_and_quantisation_in_one_node():
    """Forward: bits of BitNetRMSNorm + ActQuant. Backward: autograd of the plain formula, straight through the rounding."""
    from transformers.integrations.bitnet import ActQuant
    from transformers.models.bitnet.modeling_bitnet import BitNetRMSNorm

    torch.manual_seed(0)
    reference = BitNetRMSNorm(48, eps=1e-5)
    nn.init.normal_(reference.weight)
    ours = QuantNorm(nn.Parameter(reference.weight.detach().clone()), 1e-5)
    x = torch.randn(2, 6, 48) * 3
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected, got = ActQuant.apply(reference(a)), ours(b)
    assert torch.equal(got, expected)
    grad = torch.randn_like(x)
    expected.backward(grad)
    got.backward(grad)
    torch.testing.assert_close(b.grad, a.grad, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.weight.grad, reference.weight.grad, rtol=1e-5, atol=1e-5)


def test_cache_holds_until_told():
    torch.manual_seed(0)
    layer = BitLinear(8, 8)
    x = torch.randn(2, 8)
    before = layer(x)
    with WeightCache(nn.Sequential(layer)) as cache:
        first = layer(x)
        with torch.no_grad():
            layer.weight.neg_()
        assert torch.equal(layer(x), first)  # stale on purpose: nobody said so
        cache.invalidate()
        assert torch.equal(layer(x), -before)
    with torch.no_grad():
        layer.weight.neg_()
    assert torch.equal(layer(x), before)  # outside nothing is kept


def test_code_shares():
    layer = BitLinear(4, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -1.0, 0.0, 0.0], [1.0, 1.0, 0.01, -1.0]]))
    codes, shares = code_shares(layer)
    assert codes.tolist() == [[1, -1, 0, 0], [1, 1, 0, -1]]
    assert shares == (0.25, 0.375, 0.375)


def test_unknown_quantiser():
    with pytest.raises(ValueError, match=r"b1\.58"):
        BitLinear(4, 4, "int3")
