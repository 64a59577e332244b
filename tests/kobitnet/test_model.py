"""The model: equality with stock transformers, packing proved by logits, presets, initial values."""

import pytest
import torch

from kobitnet.bitlinear import BitLinear, WeightCache
from kobitnet.model import PRESETS, build_model, count_parameters, hidden_states, model_config
from kobitnet.norm import QuantNorm

from .toy import SMALL


@pytest.fixture(scope="module")
def model():
    return build_model(model_config(SMALL, vocab_size=320), seed=3).eval()


def logits(model, ids, **kwargs):
    with torch.no_grad():
        return hidden_states(model, ids, **kwargs) @ model.lm_head.weight.T


def test_only_projections_are_bitlinear(model):
    kinds = {name: type(m) for name, m in model.named_modules()}
    assert sum(kind is BitLinear for kind in kinds.values()) == 2 * 7
    assert sum(kind is QuantNorm for kind in kinds.values()) == 2 * 4
    assert kinds["lm_head"] is torch.nn.Linear
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_logits_of_stock_transformers(model):
    """The same weights in stock BitNetForCausalLM with AutoBitLinear give the same logits."""
    from transformers import BitNetForCausalLM
    from transformers.integrations.bitnet import replace_with_bitnet_linear
    from transformers.utils.quantization_config import BitNetQuantConfig

    stock = BitNetForCausalLM(model.config)
    replace_with_bitnet_linear(
        stock, ["lm_head"], BitNetQuantConfig(linear_class="autobitlinear", quantization_mode="online")
    )
    stock = stock.to_empty(device="cpu")
    stock.load_state_dict(model.state_dict())
    stock.model.rotary_emb = model.model.rotary_emb  # to_empty wiped its table
    ids = torch.randint(0, 320, (2, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs = stock.eval()(input_ids=ids).logits
    torch.testing.assert_close(logits(model, ids), theirs, rtol=0, atol=1e-5)


def test_packed_examples_do_not_see_each_other(model):
    generator = torch.Generator().manual_seed(1)
    parts = [torch.randint(0, 320, (n,), generator=generator) for n in (11, 5, 16)]
    packed = torch.cat(parts)[None]
    positions = torch.cat([torch.arange(len(p)) for p in parts])[None]
    segments = torch.cat([torch.full((len(p),), i) for i, p in enumerate(parts)])[None]
    together = logits(model, packed, position_ids=positions, segments=segments)[0]
    alone = torch.cat([logits(model, p[None])[0] for p in parts])
    torch.testing.assert_close(together, alone, rtol=0, atol=2e-5)
    # Without segments the later parts do change: the test can fail.
    assert float((logits(model, packed)[0] - alone).abs().max()) > 1e-2


def test_future_is_not_seen(model):
    ids = torch.randint(0, 320, (1, 20), generator=torch.Generator().manual_seed(2))
    changed = ids.clone()
    changed[0, 12] += 1
    a, b = logits(model, ids)[0], logits(model, changed)[0]
    torch.testing.assert_close(a[:12], b[:12], rtol=0, atol=2e-5)
    assert float((a[12:] - b[12:]).abs().max()) > 1e-3


@pytest.mark.parametrize("quant", ["b1", "b1-alpha", "group", "none"])
def test_every_variant_runs_and_learns(quant):
    model = build_model(model_config(SMALL, vocab_size=64), quant, groups=2)
    ids = torch.randint(0, 64, (2, 12), generator=torch.Generator().manual_seed(0))
    with WeightCache(model):
        hidden_states(model, ids).sum().backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None and "lm_head" not in n]
    assert not missing


def test_initial_values_follow_the_seed():
    config = model_config(SMALL, vocab_size=64, pad=5)
    a, b, c = (build_model(config, seed=s) for s in (1, 1, 2))
    assert torch.equal(a.model.layers[0].mlp.up_proj.weight, b.model.layers[0].mlp.up_proj.weight)
    assert not torch.equal(a.model.layers[0].mlp.up_proj.weight, c.model.layers[0].mlp.up_proj.weight)
    assert float(a.model.layers[0].mlp.up_proj.weight.std()) == pytest.approx(0.02, rel=0.05)
    assert float(a.model.layers[1].mlp.down_proj.weight.std()) == pytest.approx(0.02 / 2, rel=0.05)
    assert not a.model.embed_tokens.weight[5].any()


def test_presets_fit_packed_kernels():
    for name, preset in PRESETS.items():
        assert preset.hidden % 128 == 0 and preset.intermediate % 128 == 0, name
        assert preset.hidden % preset.heads == 0 and preset.heads % preset.kv_heads == 0, name
        assert preset.lr2 < preset.lr


def test_tiny_size():
    sizes = count_parameters(build_model(model_config(PRESETS["tiny"], vocab_size=4096)))
    assert sizes == {"total": 3_019_520, "embedding": 1_048_576, "non_embedding": 1_970_944}


def test_recomputation_gives_the_same_gradients():
    config = model_config(SMALL, vocab_size=64)
    ids = torch.randint(0, 64, (2, 16), generator=torch.Generator().manual_seed(0))
    grads = []
    for recompute in (False, True):
        model = build_model(config, seed=0).train()
        if recompute:
            model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        with WeightCache(model):
            hidden_states(model, ids).square().sum().backward()
        grads.append(model.model.layers[0].self_attn.q_proj.weight.grad)
    assert torch.equal(*grads)
