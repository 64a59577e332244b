"""Activations and weights kept as int8 codes: the bits of training do not change, and less is kept."""

import pytest
import torch
from torch.nn import functional as F
from transformers.models.bitnet.modeling_bitnet import BitNetMLP

from kobitnet import bitlinear
from kobitnet import quant as quant_module
from kobitnet.bitlinear import BitLinear, WeightCache, set_strength
from kobitnet.loss import summed_nll
from kobitnet.memory import activation_bytes
from kobitnet.model import build_model, hidden_states, model_config
from kobitnet.norm import QuantNorm
from kobitnet.optim import build_optimizer, set_rates
from kobitnet.quant import absmean_ternary

from . import toy


def model(quant: str, act: str = "relu2"):
    return build_model(model_config(toy.SMALL, vocab_size=320, act=act), quant, groups=2).train()


def losses(quant: str, *, cache: bool, act: str = "relu2", autocast: bool = False, recompute: bool = False):
    """Loss of each of five steps of two micro-batches, and the weights after them."""
    one = model(quant, act)
    if recompute:
        one.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    optimizer = build_optimizer(one, "adamw")
    data = torch.randint(0, 320, (2, 2, 24), generator=torch.Generator().manual_seed(3))
    told = []
    with WeightCache(one) as weights:
        if not cache:
            weights.__exit__()
        for step in range(5):
            set_rates(optimizer, 4e-3, 0.1)
            set_strength(one, 0.5 if step == 0 else 1.0)
            for ids in data:
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                    total = summed_nll(hidden_states(one, ids), one.lm_head.weight, ids.roll(-1, 1)) / 96
                total.backward()
                told.append(float(total.detach()))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            weights.invalidate()
    return told, one.state_dict()


@pytest.fixture(autouse=True)
def keep_all(monkeypatch):
    """Toys are smaller than what codes are worth keeping for."""
    monkeypatch.setattr(quant_module, "KEEP_FROM", 0)


@pytest.fixture
def floats(monkeypatch):
    """Forward products in fp32, as where integers are not faster: the same bits as without codes."""
    monkeypatch.setattr(bitlinear, "integers_are_fast", lambda: False)


@pytest.fixture
def plain(monkeypatch):
    """Make everything be kept in fp32, in separate nodes: F.linear over straight-through values, norm after the gate."""

    def make():
        monkeypatch.setattr(BitLinear, "codes", lambda self: None)
        acts = {"relu2": lambda x: x.relu().square(), "silu": F.silu}
        monkeypatch.setattr(QuantNorm, "gated", lambda self, gate, up, act: self(acts[act](gate) * up))

    return make


@pytest.mark.parametrize(
    ("quant", "options"),
    [
        ("b1.58", {}),
        ("b1.58", {"act": "silu"}),
        ("b1.58", {"autocast": True}),
        ("b1.58", {"recompute": True}),
        ("b1", {}),
        ("b1-alpha", {}),
        ("group", {}),
        ("none", {}),
    ],
    ids=str,
)
def test_codes_change_no_bit(quant, options, floats, plain):
    ours, weights = losses(quant, cache=True, **options)
    plain()
    expected, reference = losses(quant, cache=False, **options)
    assert ours == expected
    assert all(torch.equal(weights[name], reference[name]) for name in reference)
    assert ours[-1] < ours[0]


@pytest.mark.parametrize("quant", ["b1.58", "b1", "group"])
@pytest.mark.parametrize("group_dim", [0, 1])
def test_codes_give_the_weight_again(quant, group_dim):
    torch.manual_seed(0)
    layer = BitLinear(16, 8, quant, groups=4, group_dim=group_dim)
    with torch.no_grad():
        layer.weight[:, 4:8] = 1e-9  # a group that is all zeros
    codes = layer.codes()
    assert codes is not None and codes.values.dtype == torch.int8
    assert torch.equal(codes.decoded(), layer.quantised())


@pytest.mark.parametrize("quant", ["b1.58", "b1", "group"])
@pytest.mark.parametrize("group_dim", [0, 1])
def test_integer_products_are_the_exact_ones(monkeypatch, quant, group_dim):
    """Nearer to the float64 product of the quantised values than fp32 is; the gradient does not change."""
    monkeypatch.setattr(bitlinear, "integers_are_fast", lambda: True)
    draw = torch.Generator().manual_seed(0)
    layer = BitLinear(64, 24, quant, groups=4, group_dim=group_dim, quantise_input=False).train()
    norm = QuantNorm(torch.nn.Parameter(torch.rand(64, generator=draw)), 1e-5, quant).train()
    x = norm(torch.randn(2, 9, 64, generator=draw))
    several_scales = quant == "group" and group_dim == 1
    assert (bitlinear.integer_product(x.codes, layer.codes()) is None) == several_scales
    y = layer(x)
    exact = x.double() @ layer.quantised().double().T
    assert float((y - exact).abs().max()) <= 1e-6 * float(exact.abs().max())
    grad = torch.autograd.grad(y.sum(), layer.weight, retain_graph=True)[0]
    monkeypatch.setattr(bitlinear, "integers_are_fast", lambda: False)
    assert torch.equal(torch.autograd.grad(layer(x).sum(), layer.weight)[0], grad)


def test_integer_products_train_as_floats_do(monkeypatch):
    told = {}
    for fast in (True, False):
        monkeypatch.setattr(bitlinear, "integers_are_fast", lambda fast=fast: fast)
        told[fast], _ = losses("b1.58", cache=True)
    assert told[True] == pytest.approx(told[False], abs=2e-3)


def kept_bytes(one, length: int = 24) -> int:
    """Bytes of distinct tensors kept for backward by one forward pass, parameters not counted."""
    own = {p.data_ptr() for p in one.parameters()}
    seen: dict[int, int] = {}

    def pack(tensor):
        if tensor.data_ptr() not in own:
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    ids = torch.zeros(2, length, dtype=torch.int64)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = hidden_states(one, ids)
    del out
    return sum(seen.values())


def test_less_is_kept(plain):
    ours, baseline = kept_bytes(model("b1.58")), kept_bytes(model("none"))
    plain()
    everything = kept_bytes(model("b1.58"))
    assert ours < 0.75 * everything
    assert ours < baseline


@pytest.mark.parametrize("low", [False, True])
def test_the_estimate_is_what_is_kept(low):
    one = model("b1.58")
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
        kept = kept_bytes(one, length=300)
    told = activation_bytes(one.config, 600, low=low)
    assert told <= kept <= 1.25 * told
    assert activation_bytes(one.config, 600, low=low, recompute=True) < told


def test_gated_block_is_that_of_transformers():
    one = model("none")
    block, config = one.model.layers[0].mlp, one.config
    reference = BitNetMLP(config)
    reference.load_state_dict(block.state_dict())
    a, b = (torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in "ab")
    expected, got = reference(a), block(b)
    torch.testing.assert_close(got, expected)
    expected.square().sum().backward()
    got.square().sum().backward()
    torch.testing.assert_close(b.grad, a.grad)
    torch.testing.assert_close(block.gate_proj.weight.grad, reference.gate_proj.weight.grad)


def test_validation_between_steps_leaves_the_cache_right():
    """No gradient: fp32 values are cached; with gradient: codes are made of them; the numbers are the same."""
    layer = BitLinear(8, 4, quantise_input=False)
    x = torch.randn(3, 8)
    with WeightCache(torch.nn.Sequential(layer)) as cache:
        with torch.no_grad():
            first = layer(x)
        assert torch.equal(layer(x), first)
        with torch.no_grad():
            assert torch.equal(layer(x), first)
        cache.invalidate()
    assert torch.equal(first, F.linear(x, absmean_ternary(layer.weight)))


def test_gradients_of_a_loss_are_given_once():
    hidden, head = torch.randn(4, 8, requires_grad=True), torch.randn(6, 8, requires_grad=True)
    total = summed_nll(hidden, head, torch.tensor([0, 1, 2, 3]))
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="earlier backward"):
        total.backward()


def test_small_activations_are_kept_as_they_are(monkeypatch):
    monkeypatch.setattr(quant_module, "KEEP_FROM", 1 << 20)
    norm = QuantNorm(torch.nn.Parameter(torch.ones(8)), 1e-5)
    assert not hasattr(norm(torch.randn(2, 8)), "codes")
    monkeypatch.setattr(quant_module, "KEEP_FROM", 16)
    assert hasattr(norm(torch.randn(2, 8)), "codes")
