"""Latents in bf16: rounding by chance, exact resume, and a saved model whose codes are those of training."""

import json

import pytest
import torch
from safetensors.torch import load_file

from kobitnet import model as sizes
from kobitnet.bitlinear import BitLinear, keep_latents_in_bf16
from kobitnet.checkpoint import load_model
from kobitnet.model import build_model, hidden_states, model_config
from kobitnet.optim import build_optimizer, round_stochastically, set_rates
from kobitnet.train import TrainConfig, train
from kodata.run.errors import UsageError

from . import toy

CONFIG = {"batch_size": 4, "seq_len": 32, "eval_every": 6, "log_every": 1, "threads": 1, "latents": "bf16"}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(sizes.PRESETS, "tiny", toy.SMALL)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return toy.text_shards(tmp_path_factory.mktemp("latents") / "shards")


def test_rounding_takes_a_neighbour_and_keeps_the_mean():
    draw = torch.Generator().manual_seed(0)
    low, high = 1.0, 1.0 + 2.0**-7
    for sign in (1.0, -1.0):
        x = torch.full((20_000,), sign * (low + 0.3 * 2.0**-7))
        rounded = round_stochastically(x, draw).float()
        assert set(rounded.tolist()) == {sign * low, sign * high}
        assert float((rounded == sign * high).float().mean()) == pytest.approx(0.3, abs=0.02)
    exact = torch.randn(1000, generator=draw).bfloat16().float()
    assert torch.equal(round_stochastically(exact, draw).float(), exact)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_steps_below_half_a_digit_are_not_lost(kind):
    """Rounded to nearest, a latent of 1 would never leave it at this rate."""
    layer = torch.nn.Sequential(BitLinear(64, 64))
    torch.nn.init.ones_(layer[0].weight)
    keep_latents_in_bf16(layer)
    optimizer = build_optimizer(layer, kind)
    grad = torch.randn(64, 64, generator=torch.Generator().manual_seed(0)).abs() + 0.1
    exact = torch.nn.Parameter(torch.ones(64, 64))
    reference = build_optimizer(torch.nn.ParameterDict({"m": exact}), kind)
    for step in range(40):
        for one, p in ((optimizer, layer[0].weight), (reference, exact)):
            set_rates(one, 1e-4, 0.0, step)
            p.grad = grad.clone()
            one.step()
    moved, expected = layer[0].weight.detach().float() - 1, exact.detach() - 1
    assert float(expected.abs().mean()) > 1e-4 and float(expected.abs().max()) < 0.01
    assert float((moved * expected).sum() / expected.square().sum()) == pytest.approx(1, abs=0.2)


def test_gradients_stay_fp32():
    torch.manual_seed(0)
    layer = torch.nn.Sequential(BitLinear(16, 8))
    keep_latents_in_bf16(layer)
    x = torch.randn(5, 16)
    for _ in range(2):
        layer(x).sum().backward()
    twice = layer[0].weight.grad
    layer[0].weight.grad = None
    layer(x).sum().backward()
    assert twice.dtype == torch.float32 and torch.equal(twice, 2 * layer[0].weight.grad)
    assert not torch.equal(twice, twice.bfloat16().float())


@pytest.mark.parametrize("quant", ["b1.58", "b1-alpha"])
def test_resumed_run_is_undisturbed(shards, tmp_path, monkeypatch, quant):
    config = {"steps": 10, "save_every": 5, "quant": quant, **CONFIG}
    run = train(shards, output=tmp_path / "whole", config=TrainConfig(**config))
    assert run.summary["loss"] < run.summary["loss_first"] - 0.3
    import kobitnet.loop as loop

    real = loop.train_step

    def stops(job, optimizer, cache, step, *rest, **more):
        if step == 7:
            raise RuntimeError("power cut")
        return real(job, optimizer, cache, step, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", stops)
        with pytest.raises(RuntimeError):
            train(shards, output=tmp_path / "cut", config=TrainConfig(**config))
    train(shards, output=tmp_path / "cut", config=TrainConfig(**config))
    a, b = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "cut"))
    assert a == b


def test_saved_model_has_the_codes_of_training(shards, tmp_path):
    from transformers import AutoModelForCausalLM

    train(shards, output=tmp_path / "run", config=TrainConfig(steps=3, **CONFIG))
    saved = load_file(tmp_path / "run" / "model" / "model.safetensors")
    kinds = {name: t.dtype for name, t in saved.items()}
    assert kinds["model.layers.0.mlp.up_proj.weight"] == torch.bfloat16
    assert kinds["model.embed_tokens.weight"] == kinds["model.norm.weight"] == torch.float32
    trained = build_model(model_config(toy.SMALL, vocab_size=320))
    keep_latents_in_bf16(trained)
    trained.load_state_dict({**saved, "lm_head.weight": saved["model.embed_tokens.weight"]})
    loaded, _ = load_model(tmp_path / "run")
    ids = torch.randint(0, 320, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = hidden_states(trained.eval(), ids)
        assert torch.equal(hidden_states(loaded, ids), expected)
        stock = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model").eval()
        torch.testing.assert_close(
            stock(input_ids=ids).logits, expected @ trained.lm_head.weight.T, rtol=0, atol=1e-5
        )
    assert json.loads((tmp_path / "run" / "model" / "config.json").read_text())["dtype"] == "float32"


def test_not_for_sharded_models():
    with pytest.raises(UsageError, match="bf16 latents"):
        TrainConfig(latents="bf16", parallel="fsdp")
