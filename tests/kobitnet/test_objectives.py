"""What --z-loss, --quant-warmup, --objective mlm, --stage2, --device, --track and --compile do."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from kobitnet import loss as loss_module
from kobitnet.bitlinear import BitLinear, WeightCache, set_strength
from kobitnet.checkpoint import load_model
from kobitnet.data import Switched, TextWindows
from kobitnet.device import pick_device
from kobitnet.generate import generate
from kobitnet.loss import IGNORE, summed_nll_and_z
from kobitnet.mlm import MASK, MaskedWindows, fill
from kobitnet.model import build_model, hidden_states, model_config
from kobitnet.quant import absmean_ternary
from kobitnet.step import strength
from kobitnet.train import TrainConfig, train
from kodata.run.errors import UsageError, UserError
from kotok.shards import open_shards

from . import toy

CONFIG = {"steps": 4, "batch_size": 4, "seq_len": 16, "eval_every": 2, "log_every": 1, "threads": 1}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return toy.text_shards(tmp_path_factory.mktemp("objectives") / "shards")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    from kobitnet import model

    monkeypatch.setitem(model.PRESETS, "tiny", toy.SMALL)


def model(quant="b1.58"):
    return build_model(model_config(toy.SMALL, vocab_size=320), quant, seed=0)


# ---- z-loss -------------------------------------------------------------------------------------


def test_z_loss_is_the_formula(monkeypatch):
    monkeypatch.setattr(loss_module, "BLOCK_FLOATS", 1)
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(150, 16, generator=draw, requires_grad=True)
    head = torch.randn(40, 16, generator=draw, requires_grad=True)
    targets = torch.randint(0, 40, (150,), generator=draw)
    targets[:30] = IGNORE
    logits = hidden @ head.T
    nll = F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum")
    expected = nll + 0.3 * logits[30:].logsumexp(-1).square().sum()
    got, alone = summed_nll_and_z(hidden, head, targets, 0.3)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(alone, nll.detach())
    torch.testing.assert_close(
        torch.autograd.grad(got * 2, [hidden, head]),
        torch.autograd.grad(expected * 2, [hidden, head]),
        rtol=1e-5,
        atol=1e-4,
    )


def test_z_loss_in_a_run(shards, tmp_path):
    run = train(shards, output=tmp_path / "z", config=TrainConfig(z_loss=1e-3, **CONFIG))
    for row in run.summary["curve"]:
        assert row["loss"] > row["nll"] > 0
    with pytest.raises(UsageError, match="z-loss"):
        train(shards, output=tmp_path / "bad", config=TrainConfig(z_loss=1e-3, objective="mlm", **CONFIG))


# ---- annealed quantisation ----------------------------------------------------------------------


def test_strength_goes_up_to_one():
    assert [strength(s, 100, 4) for s in range(6)] == [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]
    assert strength(0, 100, 0) == 1.0 and strength(9, 100, 0.1) == pytest.approx(10 / 11)


def test_strength_blends_latent_and_code():
    layer = BitLinear(8, 4, quantise_input=False)
    x = torch.eye(8)
    codes = absmean_ternary(layer.weight.detach())
    with WeightCache(layer):
        layer(x)
        set_strength(layer, 0.25)  # drops what was cached at full strength
        torch.testing.assert_close(layer(x).T, 0.75 * layer.weight + 0.25 * codes)
        set_strength(layer, 0.0)
        torch.testing.assert_close(layer(x).T, layer.weight)
        set_strength(layer, 1.0)
        assert torch.equal(layer(x).T, codes)


def test_no_strength_is_full_precision():
    ternary, plain = model(), model("none")
    set_strength(ternary, 0.0)
    ids = torch.arange(20)[None]
    torch.testing.assert_close(hidden_states(ternary, ids), hidden_states(plain, ids))


def test_warmup_run_ends_fully_quantised(shards, tmp_path):
    warm = train(shards, output=tmp_path / "warm", config=TrainConfig(quant_warmup=2, **CONFIG))
    cold = train(shards, output=tmp_path / "cold", config=TrainConfig(**CONFIG))
    assert warm.summary["loss_first"] != cold.summary["loss_first"]
    opened, _ = load_model(warm.path)
    assert all(m.strength == 1 for m in opened.modules() if isinstance(m, BitLinear))


# ---- masked language modelling ------------------------------------------------------------------


def test_masked_windows(shards):
    split = open_shards(shards, "train")
    made = toy.tokenizer()
    mask = made.control[MASK]
    ordinary = np.arange(300)
    source = MaskedWindows(split, 40, 3, mask=mask, ordinary=ordinary)
    batch = source.batch(0, len(source))
    plain = TextWindows(split, 40, 3).batch(0, len(source)).input_ids
    chosen = batch.targets != IGNORE
    assert (chosen.sum(1) == 6).all()  # 15 % of 40
    assert torch.equal(batch.targets[chosen], plain[chosen])
    assert torch.equal(batch.input_ids[~chosen], plain[~chosen])
    share = float((batch.input_ids[chosen] == mask).float().mean())
    assert 0.7 < share < 0.9
    again = MaskedWindows(split, 40, 3, mask=mask, ordinary=ordinary).batch(2, 1)
    assert torch.equal(again.input_ids[0], batch.input_ids[2])


def test_masked_model_sees_both_ways():
    net = model("none").eval()
    ids = torch.arange(12)[None]
    other = ids.clone()
    other[0, -1] = 99
    with torch.no_grad():
        assert torch.equal(hidden_states(net, ids)[0, 0], hidden_states(net, other)[0, 0])
        both = [hidden_states(net, x, causal=False)[0, 0] for x in (ids, other)]
    assert not torch.equal(*both)


def test_masked_run(shards, tmp_path):
    result = train(shards, output=tmp_path / "mlm", config=TrainConfig(objective="mlm", **CONFIG))
    assert "val_loss" in result.summary and "val_bits_per_byte" not in result.summary
    net, made = load_model(result.path, masked=True)
    text = fill(net, made, "봄이 오면 [가림] 버드나무가")
    assert text.startswith("봄이 오면 ") and text.endswith(" 버드나무가")
    with pytest.raises(UserError, match="gap"):
        fill(net, made, "빈칸 없음")
    with pytest.raises(UserError, match="masked"):
        load_model(result.path)
    with pytest.raises(UserError):
        generate(result.path, "봄이")
    config = json.loads((result.path / "model" / "config.json").read_text())
    assert config["model_type"] == "kobitnet_mlm" and "quantization_config" not in config


# ---- the data switch ----------------------------------------------------------------------------


def test_second_half_reads_the_second_folder(shards, tmp_path):
    late = toy.text_shards(tmp_path / "late", documents=30)
    config = TrainConfig(stage2=late, **CONFIG)
    result = train(shards, output=tmp_path / "run", config=config)
    plain = train(shards, output=tmp_path / "plain", config=TrainConfig(**CONFIG))
    ours, theirs = ([r["loss"] for r in x.summary["curve"]] for x in (result, plain))
    assert ours[:2] == theirs[:2] and ours[2] != theirs[2]
    assert train(shards, output=tmp_path / "run", config=config).path == result.path  # done already


def test_switch_is_at_a_sample(shards):
    one = TextWindows(open_shards(shards, "train"), 16, 0)
    two = TextWindows(open_shards(shards, "val"), 16, 0)
    both = Switched(one, two, 8)
    assert torch.equal(both.batch(4, 4).input_ids, one.batch(4, 4).input_ids)
    assert torch.equal(both.batch(8, 2).input_ids, two.batch(0, 2).input_ids)
    assert len(both) == len(one) + len(two)


def test_second_folder_of_another_tokenizer_is_refused(shards, tmp_path):
    from kotok.shards import ShardWriter
    from kotok.tokenizer import build

    made = build([(0xEA, 0xB0, 256)], "llama-bpe")
    folder = tmp_path / "other"
    with ShardWriter(
        folder, kind="text", vocab_size=made.vocab_size, tokenizer_fingerprint=made.fingerprint
    ) as writer:
        writer.write(made.encode("다른 토크나이저의 글입니다. " * 20), split="train", nbytes=700)
    made.save(folder / "tokenizer")
    with pytest.raises(UserError, match="tokenizers"):
        train(shards, output=tmp_path / "run", config=TrainConfig(stage2=folder, **CONFIG))
    assert not (tmp_path / "run").exists()


# ---- devices, trackers, compilation ---------------------------------------------------------------


def test_devices():
    assert pick_device("cpu") == torch.device("cpu")
    for name in ("tpu", "gpu", "cuda:x", "mps"):
        with pytest.raises(UsageError, match="device"):
            pick_device(name)
    if not torch.cuda.is_available():
        assert pick_device("auto").type == "cpu"
        with pytest.raises(UsageError, match="CUDA"):
            pick_device("cuda")


def test_missing_tracker_is_told(shards, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="wandb"):
        train(shards, output=tmp_path / "run", config=TrainConfig(track="wandb", **CONFIG))


def test_tensorboard_gets_the_curve(shards, tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tracked = train(shards, output=tmp_path / "run", config=TrainConfig(track="tensorboard", **CONFIG))
    events = reader.EventAccumulator(str(tracked.path / "tensorboard")).Reload()
    got = [(e.step, e.value) for e in events.Scalars("loss")]
    expected = [(r["step"], pytest.approx(r["loss"], rel=1e-6)) for r in tracked.summary["curve"]]
    assert got == expected and events.Scalars("val_loss")


def test_runs_of_one_name_are_two_in_a_tracker(shards, tmp_path, monkeypatch):
    seen = []
    fake = SimpleNamespace(init=lambda **k: seen.append(k), log=lambda *a, **k: None, finish=lambda: None)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for folder in ("a", "b"):
        train(shards, output=tmp_path / folder / "run", config=TrainConfig(track="wandb", **CONFIG))
    with monkeypatch.context() as patch:  # an unfinished run goes on under its own name
        patch.setattr(sys.modules["kobitnet.stage"], "_finished", lambda *a: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(shards, output=tmp_path / "c" / "run", config=TrainConfig(track="wandb", **CONFIG))
    train(shards, output=tmp_path / "c" / "run", config=TrainConfig(track="wandb", **CONFIG))
    names = [k["id"] for k in seen]
    assert all(n.startswith("run-") for n in names) and len(names) == 4
    assert len(set(names)) == 3 and names[2] == names[3]


@pytest.mark.slow
def test_compiled_layers_give_the_same_curve(shards, tmp_path):
    plain = train(shards, output=tmp_path / "plain", config=TrainConfig(**CONFIG))
    compiled = train(shards, output=tmp_path / "compiled", config=TrainConfig(compile=True, **CONFIG))
    for a, b in zip(plain.summary["curve"], compiled.summary["curve"], strict=True):
        assert b["loss"] == pytest.approx(a["loss"], abs=2e-2)  # int8 codes flip where sums are ordered anew
    assert load_model(compiled.path)[0] is not None


# ---- spikes and memory ----------------------------------------------------------------------------


def test_a_spike_is_skipped(shards, tmp_path, monkeypatch):
    from kobitnet import loop
    from kobitnet.config import OptimConfig

    assert loop.spike_limit({"norms": [2.0] * 50}, 3) == 6.0
    assert loop.spike_limit({"norms": [2.0] * 49}, 3) == loop.spike_limit({"norms": [2.0] * 50}, 0) == np.inf
    monkeypatch.setattr(loop, "SPIKE_STEPS", 2)
    module = sys.modules["kobitnet.train"]
    plain, calls = module.causal_lm, []

    def spiky(model, batch):
        loss = plain(model, batch)
        calls.append(model.training)
        if sum(calls) == 3:
            loss.total = loss.total * 1000
        return loss

    monkeypatch.setattr(module, "causal_lm", spiky)
    config = TrainConfig(
        optim=OptimConfig(spike=10.0), **{**CONFIG, "eval_every": 0, "save_every": 1, "keep": 9}
    )
    result = train(shards, output=tmp_path / "run", config=config)
    assert result.summary["skipped_steps"] == [3]
    from safetensors.torch import load_file

    second, third, fourth = (
        load_file(tmp_path / "run" / "checkpoints" / f"step-0000000{n}" / "model.safetensors")
        for n in (2, 3, 4)
    )
    assert all(torch.equal(second[n], third[n]) for n in second)
    assert not all(torch.equal(third[n], fourth[n]) for n in third)


def test_gradients_that_stay_large_are_met_after_a_while(shards, tmp_path, monkeypatch):
    from kobitnet import loop
    from kobitnet.config import OptimConfig

    monkeypatch.setattr(loop, "SPIKE_STEPS", 2)
    module = sys.modules["kobitnet.train"]
    plain, calls = module.causal_lm, []

    def louder(model, batch):
        loss = plain(model, batch)
        calls.append(model.training)
        if sum(calls) >= 3:
            loss.total = loss.total * 1000
        return loss

    monkeypatch.setattr(module, "causal_lm", louder)
    config = TrainConfig(optim=OptimConfig(spike=10.0), **{**CONFIG, "eval_every": 0, "steps": 9})
    skipped = train(shards, output=tmp_path / "run", config=config).summary["skipped_steps"]
    assert skipped and skipped[0] == 3 and skipped[-1] < 8


def test_a_model_too_large_is_refused_before_it_is_built(shards, tmp_path, monkeypatch):
    from kobitnet import memory
    from kobitnet.model import count_parameters

    net = model()
    assert memory.weight_count(net.config) == count_parameters(net)["total"]
    monkeypatch.setattr(memory, "available_bytes", lambda: 1_000_000)
    for dry_run in (True, False):
        with pytest.raises(UserError, match="not enough memory"):
            train(shards, output=tmp_path / "run", config=TrainConfig(**CONFIG), dry_run=dry_run)
    needed = memory.weight_count(net.config) * 20
    monkeypatch.setattr(memory, "available_bytes", lambda: needed)
    memory.check_memory(net.config, TrainConfig())
    with pytest.raises(
        UserError, match="not enough memory"
    ) as error:  # the weights fit, their activations do not
        memory.check_memory(net.config, TrainConfig(), 10_000)
    assert "--recompute" in error.value.help
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(UserError, match="not enough memory"):
        memory.check_memory(net.config, TrainConfig())  # two whole copies on this machine
    memory.check_memory(net.config, TrainConfig(parallel="fsdp"))  # half of one


def test_a_starting_model_too_large_is_refused_before_it_is_read(shards, tmp_path, monkeypatch):
    from kobitnet import memory

    train(shards, output=tmp_path / "base", config=TrainConfig(**CONFIG))
    monkeypatch.setattr(memory, "available_bytes", lambda: 1_000_000)
    module = sys.modules["kobitnet.train"]
    monkeypatch.setattr(module, "load_model", lambda *_: pytest.fail("read all the same"))
    with pytest.raises(UserError, match="not enough memory"):
        train(shards, source=tmp_path / "base", output=tmp_path / "more", config=TrainConfig(**CONFIG))
