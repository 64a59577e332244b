"""DPO: starts at ln 2, hand-computed loss, the margin grows, the reference is kept."""

import json
import math

import numpy as np
import pytest
import torch

from kobitnet.checkpoint import load_model
from kobitnet.data import Pairs
from kobitnet.dpo import DpoConfig, dpo, preference, reference_logprobs
from kobitnet.sft import SftConfig, sft
from kodata.run.errors import UsageError
from kotok.shards import open_shards

from . import toy


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    sft(
        toy.chat_shards(folder / "chat"),
        source=toy.pretrained(folder, steps=15),
        output=folder / "sft",
        config=SftConfig(steps=5, batch_size=2, seq_len=192, lr=2e-3, threads=1, eval_every=0),
    )
    return folder / "sft"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return toy.pair_shards(tmp_path_factory.mktemp("pairs"))


def settings(**changes):
    return DpoConfig(
        **{"steps": 12, "batch_size": 3, "lr": 1e-3, "threads": 1, "eval_every": 0, "log_every": 1, **changes}
    )


def test_first_loss_is_ln_2_and_the_margin_grows(tuned, pairs, tmp_path):
    result = dpo(pairs, source=tuned, output=tmp_path / "run", config=settings())
    curve = result.summary["curve"]
    assert curve[0]["loss"] == pytest.approx(math.log(2), abs=1e-3)
    assert abs(curve[0]["margin"]) < 1e-2
    assert curve[-1]["margin"] > 0.1 and curve[-1]["loss"] < curve[0]["loss"]
    assert load_model(tmp_path / "run")[0].kobitnet["stage"] == "dpo"
    kept = np.load(tmp_path / "run" / "reference.train.npy")
    assert kept.shape == (6, 2) and (kept < 0).all()


def test_reference_is_the_sum_over_answer_tokens(tuned, pairs):
    model, tokenizer = load_model(tuned)
    shards = open_shards(pairs)
    source = Pairs(shards, 256, 0, pad_id=tokenizer.pad_id)
    reference = reference_logprobs(model, source, settings(), "test")
    for number in range(len(source)):
        for side in (0, 1):
            ids = torch.from_numpy(shards.tokens(2 * number + side).astype(np.int64))
            mask = torch.from_numpy(shards.mask(2 * number + side)[1:] == 1)
            with torch.no_grad():
                logp = (
                    model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1).gather(-1, ids[1:, None])[:, 0]
                )
            assert reference[number, side] == pytest.approx(float(logp[mask].sum()), abs=1e-2)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_by_hand(tuned, pairs, smoothing):
    model, tokenizer = load_model(tuned)
    source = Pairs(open_shards(pairs), 256, 0, pad_id=tokenizer.pad_id)
    policy = reference_logprobs(model, source, settings(), "test")
    source.reference = policy - np.array(
        [[2.0, 0.5]], dtype=np.float32
    )  # as if the policy had gained 2 and 0.5 nats
    with torch.no_grad():
        loss = preference(0.1, smoothing)(model, source.of(np.arange(6)))
    margin = 0.1 * (2.0 - 0.5)
    one = -(1 - smoothing) * math.log(1 / (1 + math.exp(-margin))) - smoothing * math.log(
        1 / (1 + math.exp(margin))
    )
    assert float(loss.total) / loss.count == pytest.approx(one, abs=1e-3)
    assert loss.metrics["margin"] / 6 == pytest.approx(margin, abs=1e-3)
    assert loss.metrics["accuracy"] == 6


def test_damaged_reference_is_made_again(tuned, pairs, tmp_path):
    from kobitnet.dpo import _kept

    model, tokenizer = load_model(tuned)
    source = Pairs(open_shards(pairs), 256, 0, pad_id=tokenizer.pad_id)
    whole = _kept(tmp_path / "r.npy", model, source, settings(), "train")
    (tmp_path / "r.npy").write_bytes((tmp_path / "r.npy").read_bytes()[:-7])
    assert np.array_equal(_kept(tmp_path / "r.npy", model, source, settings(), "train"), whole)


def test_interrupted_dpo_keeps_its_reference(tuned, pairs, tmp_path, monkeypatch):
    import kobitnet.loop as loop

    dpo(pairs, source=tuned, output=tmp_path / "whole", config=settings(save_every=3))
    real = loop.train_step

    def stops(job, optimizer, cache, step, world, **more):
        if step == 7:
            raise RuntimeError("power cut")
        return real(job, optimizer, cache, step, world, **more)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", stops)
        with pytest.raises(RuntimeError):
            dpo(pairs, source=tuned, output=tmp_path / "cut", config=settings(save_every=3))
    dpo(pairs, source=tuned, output=tmp_path / "cut", config=settings(save_every=3))
    a, b = ((tmp_path / n / "model" / "model.safetensors").read_bytes() for n in ("whole", "cut"))
    assert a == b
    curves = [
        json.loads((tmp_path / n / "stats.json").read_text())["summary"]["curve"] for n in ("whole", "cut")
    ]
    assert curves[0] == curves[1]


@pytest.mark.parametrize("changes", [{"beta": 0.0}, {"label_smoothing": 0.5}])
def test_bad_settings(changes):
    with pytest.raises(UsageError):
        DpoConfig(**changes)
