"""The loop: cached = uncached, accumulation = one batch, resume and kill -9 bit for bit, clear refusals."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from kobitnet import model as sizes
from kobitnet.checkpoint import load_model
from kobitnet.config import LoopConfig, OptimConfig, resolve
from kobitnet.data import TextWindows
from kobitnet.loop import fit
from kobitnet.step import Job, backward, micro_batches, terms
from kobitnet.train import TrainConfig, causal_lm, train
from kobitnet.training_state import checkpoints
from kodata.run.errors import UsageError, UserError
from kotok.shards import open_shards

from . import toy


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(sizes.PRESETS, "tiny", toy.SMALL)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return toy.text_shards(tmp_path_factory.mktemp("shards"))


def settings(**changes):
    return TrainConfig(
        **{
            "steps": 12,
            "batch_size": 4,
            "seq_len": 32,
            "eval_every": 6,
            "log_every": 1,
            "threads": 1,
            **changes,
        }
    )


def job(shards, *, quant="b1.58", cache=True, **changes):
    config = settings(**changes)
    resolve(config, lr=4e-3, schedule="two-stage", weight_decay=0.1)
    model = sizes.build_model(sizes.model_config(toy.SMALL, vocab_size=320), quant, groups=2)
    return Job(
        model=model,
        source=TextWindows(open_shards(shards), 32, 0),
        objective=causal_lm,
        config=config,
        stage="pretrain",
        cache=cache,
    )


def losses(state):
    return [row["loss"] for row in state["curve"]]


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


# ---- the step -----------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_quantising_once_a_step_changes_nothing(shards, tmp_path, optimizer):
    curves = []
    for cache in (True, False):
        one = job(shards, cache=cache, accumulate=2, optim=OptimConfig(name=optimizer))
        run = tmp_path / f"{cache}"
        (run / "model").mkdir(parents=True)
        curves.append(losses(fit(one, run)))
    assert curves[0] == curves[1]
    assert curves[0][-1] < curves[0][0] - 0.3  # it learned, so stale weights would have shown


def test_weights_are_quantised_once_a_step(shards, tmp_path, monkeypatch):
    from kobitnet import bitlinear

    calls = []
    monkeypatch.setattr(
        bitlinear, "absmean_ternary", lambda w, f=bitlinear.absmean_ternary: (calls.append(1), f(w))[1]
    )
    one = job(shards, accumulate=4, steps=3, eval_every=0)
    one.config.eval_every = 0
    (tmp_path / "model").mkdir()
    fit(one, tmp_path)
    watched = 2 * 14  # codes before and after the last step, for the flips
    assert len(calls) == 3 * 14 + watched


def test_accumulation_is_one_big_batch(shards):
    grads = []
    for accumulate in (1, 4):
        one = job(shards, accumulate=accumulate)
        batches = micro_batches(one, 3)
        assert len(batches) == accumulate
        batches[0].targets = batches[0].targets.clone()
        batches[0].targets[0, :20] = -100  # unequal numbers of targets in the parts
        backward(one, batches, terms(batches))
        grads.append({n: p.grad for n, p in one.model.named_parameters()})
    for name in grads[0]:
        torch.testing.assert_close(grads[0][name], grads[1][name], rtol=2e-4, atol=2e-6)


def test_sum_reduction_is_count_times_mean(shards):
    grads = []
    for reduction in ("mean", "sum"):
        one = job(shards, reduction=reduction)
        batches = micro_batches(one, 0)
        backward(one, batches, terms(batches))
        grads.append(one.model.model.embed_tokens.weight.grad)
    torch.testing.assert_close(grads[0] * 4 * 32, grads[1])


# ---- the verb -----------------------------------------------------------------------------------


def test_run_folder(shards, tmp_path):
    result = train(shards, output=tmp_path / "run", config=settings())
    run = tmp_path / "run"
    assert {p.name for p in run.iterdir()} >= {
        "model",
        "checkpoints",
        "stats.json",
        "manifest.json",
        "report.html",
    }
    assert result.path == run and len(result.lines) == 4
    summary = json.loads((run / "stats.json").read_text())["summary"]
    assert summary["loss"] < summary["loss_first"]
    assert summary["loss_first"] == pytest.approx(np.log(320), abs=0.2)
    assert summary["val_bits_per_byte"] > 0
    assert [row["step"] for row in summary["validation"]] == [6, 12]
    shares = summary["codes"][-1]["layers"][0]
    assert shares["minus"] + shares["zero"] + shares["plus"] == pytest.approx(1)
    assert 0 < shares["flips"] < 0.2
    assert len(checkpoints(run)) == 1
    again = train(shards, output=run, config=settings())
    assert "already done" in again.lines[-1]


def test_stopped_and_resumed_is_undisturbed(shards, tmp_path, monkeypatch):
    train(shards, output=tmp_path / "whole", config=settings())
    import kobitnet.loop as loop

    real, seen = loop.train_step, []

    def stops(job, optimizer, cache, step, world, **more):
        seen.append(step)
        if step == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(job, optimizer, cache, step, world, **more)

    monkeypatch.setattr(loop, "train_step", stops)
    with pytest.raises(KeyboardInterrupt):
        train(shards, output=tmp_path / "stopped", config=settings())
    assert json.loads((tmp_path / "stopped" / "manifest.json").read_text())["status"] == "interrupted"
    assert seen[-1] == 7 and checkpoints(tmp_path / "stopped")[-1].name == "step-00000008"
    train(shards, output=tmp_path / "stopped", config=settings())
    assert seen == list(range(12))
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")
    a, b = (json.loads((tmp_path / n / "stats.json").read_text())["summary"] for n in ("whole", "stopped"))
    assert a["curve"] == b["curve"] and a["validation"] == b["validation"] and a["codes"] == b["codes"]


KILLED = """
import sys
sys.path.insert(0, {root!r})
from tests.kobitnet import toy
from kobitnet import model as sizes
from kobitnet.train import TrainConfig, train
sizes.PRESETS["tiny"] = toy.SMALL
train({shards!r}, output={run!r}, config=TrainConfig(steps=24, batch_size=4, seq_len=32, eval_every=6, log_every=1,
      threads=1, save_every=2))
"""


def test_kill_9_and_resume(shards, tmp_path):
    config = {"steps": 24, "save_every": 2}
    train(shards, output=tmp_path / "whole", config=settings(steps=24))
    run = tmp_path / "killed"
    code = textwrap.dedent(KILLED).format(
        root=str(Path(__file__).resolve().parents[2]), shards=str(shards), run=str(run)
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        found = checkpoints(run) if run.exists() else []
        if found and int(found[-1].name[5:]) >= 4:
            break
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL  # it was still at work
    train(shards, output=run, config=settings(**config))
    assert weights(run) == weights(tmp_path / "whole")
    assert not list((run / "checkpoints").glob(".*"))


def test_damaged_checkpoint_falls_back(shards, tmp_path, monkeypatch, capsys):
    import kobitnet.loop as loop

    real = loop.train_step

    def stops(job, optimizer, cache, step, world, **more):
        if step == 9:
            raise RuntimeError("power cut")
        return real(job, optimizer, cache, step, world, **more)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", stops)
        with pytest.raises(RuntimeError):
            train(shards, output=tmp_path / "run", config=settings(save_every=4))
    newest = checkpoints(tmp_path / "run")[-1]
    with open(newest / "optimizer.safetensors", "r+b") as handle:
        handle.seek(-3, os.SEEK_END)
        handle.write(b"xyz")
    train(shards, output=tmp_path / "run", config=settings(save_every=4))
    assert "skipping a damaged checkpoint" in capsys.readouterr().err
    train(shards, output=tmp_path / "whole", config=settings())
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_a_damaged_checkpoint_never_pushes_out_a_whole_one(shards, tmp_path, monkeypatch):
    import kobitnet.loop as loop

    real, stop = loop.train_step, [9]

    def stops(job, optimizer, cache, step, world, **more):
        if step == stop[0]:
            raise RuntimeError("power cut")
        return real(job, optimizer, cache, step, world, **more)

    monkeypatch.setattr(loop, "train_step", stops)
    run = tmp_path / "run"
    with pytest.raises(RuntimeError):
        train(shards, output=run, config=settings(save_every=4, keep=2))
    (run / "checkpoints" / "step-00000008" / "state.json").write_text("{")
    stop[0] = 6
    with pytest.raises(RuntimeError):
        train(shards, output=run, config=settings(save_every=1, keep=1))
    assert [p.name for p in checkpoints(run)] == ["step-00000006"]
    stop[0] = -1
    train(shards, output=run, config=settings(keep=1))
    train(shards, output=tmp_path / "whole", config=settings())
    assert weights(run) == weights(tmp_path / "whole")


def test_settings_of_the_caller_stay_as_they_are(shards, tmp_path):
    config = settings()
    before = repr(config)
    train(shards, output=tmp_path / "run", config=config, dry_run=True)
    assert repr(config) == before


def test_nan_stops(shards, tmp_path, monkeypatch):
    def poisoned(model, batch):
        loss = causal_lm(model, batch)
        loss.total = loss.total * float("nan")
        return loss

    monkeypatch.setattr(sys.modules["kobitnet.train"], "causal_lm", poisoned)
    with pytest.raises(UserError, match="NaN") as error:
        train(shards, output=tmp_path / "run", config=settings())
    assert "--lr" in error.value.help
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "failed"


def test_dry_run_writes_nothing(shards, tmp_path):
    result = train(shards, output=tmp_path / "run", config=settings(), dry_run=True)
    assert not (tmp_path / "run").exists()
    assert result.summary["steps"] == 12 and result.summary["seconds_per_step"] > 0
    assert "nothing was written" in result.lines[-1]


def test_wrong_shards(tmp_path):
    with pytest.raises(UserError, match="chat shards, text needed") as error:
        train(toy.chat_shards(tmp_path / "chat"), output=tmp_path / "run", config=settings())
    assert "kobitnet sft" in error.value.help
    shards = toy.text_shards(tmp_path / "text")
    meta = json.loads((shards / "meta.json").read_text())
    (shards / "meta.json").write_text(json.dumps({**meta, "tokenizer_fingerprint": "0" * 32}))
    with pytest.raises(UserError, match="another tokenizer"):
        train(shards, output=tmp_path / "run2", config=settings())


def test_changed_settings_are_refused_and_free_ones_not(shards, tmp_path):
    train(shards, output=tmp_path / "run", config=settings(steps=2))
    train(shards, output=tmp_path / "run", config=settings(steps=2, keep=5, save_every=1))
    with pytest.raises(UserError, match="steps 2 → 3"):
        train(shards, output=tmp_path / "run", config=settings(steps=3))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"batch_size": 0}, "--batch-size"),
        ({"batch_size": 4, "accumulate": 3}, "--accumulate"),
        ({"seq_len": 2}, "--seq-len"),
        ({"steps": 0, "epochs": 0.0}, "--epochs"),
        ({"keep": 0}, "--keep"),
    ],
)
def test_bad_settings(changes, word):
    with pytest.raises(UsageError, match=word):
        LoopConfig(**changes)


def test_bf16_autocast_runs(shards, tmp_path):
    result = train(
        shards, output=tmp_path / "run", config=settings(steps=3, precision="bf16", recompute=True)
    )
    assert result.summary["loss"] < 6.2
    assert load_model(tmp_path / "run")[0].lm_head.weight.dtype == torch.float32


@pytest.mark.parametrize("part", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_missing_part_of_the_only_checkpoint_is_named(shards, tmp_path, part):
    run = tmp_path / "run"
    train(shards, output=run, config=settings(steps=1))
    (checkpoints(run)[-1] / part).unlink()
    one = job(shards, steps=2)
    with pytest.raises(UserError, match=f"no whole checkpoint left.*step-00000001.*{part}"):
        fit(one, run)
