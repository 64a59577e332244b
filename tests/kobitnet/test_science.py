"""The studies of recipes/science: laws found again, layers as their papers say, toy runs recorded and resumed."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from kobitnet.bitlinear import BitLinear, WeightCache
from kobitnet.model import build_model, hidden_states, model_config

from . import toy

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "recipes" / "science"))
import ablation
import lr_stability
import quality
import scaling
import study
import variants

TOY = ["--steps", "2", "--batch-size", "2", "--seq-len", "16"]


# ---- laws ---------------------------------------------------------------------------------------


def test_a_law_is_found_again():
    sizes = [1e5, 3e5, 1e6, 3e6, 1e7]
    law = study.fit_law(sizes, [80 * n**-0.3 + 2.5 for n in sizes])
    assert (
        law.b == pytest.approx(-0.3) and law.a == pytest.approx(80, rel=1e-6) and law.c == pytest.approx(2.5)
    )
    assert law.error < 1e-9
    rng = np.random.default_rng(0)
    noisy = [80 * n**-0.3 + 2.5 + rng.normal(0, 0.01) for n in sizes]
    _, told, error = study.predict_largest(sizes, noisy)
    assert abs(error) < 0.02 and told == pytest.approx(noisy[-1] * (1 + error))


def test_a_law_that_does_not_bend():
    flat = study.fit_law([1.0, 10.0, 100.0], [3.0, 3.0, 3.0])
    assert flat(1e6) == pytest.approx(3.0)
    rising = study.fit_law([1.0, 10.0, 100.0], [1.0, 2.0, 3.0])  # no falling power fits: a stays 0
    assert rising.a == 0 and rising.c == pytest.approx(2.0)
    with pytest.raises(ValueError, match="three"):
        study.fit_law([1, 1, 2], [3, 3, 2])


# ---- layers -------------------------------------------------------------------------------------


def test_row_and_median_scale_by_hand():
    layer = BitLinear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.2, -0.4], [4.0, -8.0]]))
    layer.__class__ = variants.RowScale
    assert layer.quantised().flatten().tolist() == pytest.approx([0.3, -0.3, 6.0, -6.0])
    layer.__class__ = variants.MedianScale  # the lower median of 0.2 0.4 4 8
    assert layer.quantised().flatten().tolist() == pytest.approx([0.0, -0.4, 0.4, -0.4])


def test_hadamard_is_orthogonal():
    for n, block in ((8, 8), (12, 4), (384, 128)):
        matrix = variants.hadamard(n)
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(n))
        assert matrix[0, :block].tolist() == pytest.approx([1 / math.sqrt(block)] * block)
        assert not matrix[0, block:].any()


def test_int4_by_hand():
    x = torch.tensor([[1.0, -1.0, 0.1, 1.9]])  # mean |x| = 1: codes round(sqrt 7 x)
    expected = torch.tensor([3.0, -3.0, 0.0, 5.0]) / math.sqrt(7)
    torch.testing.assert_close(variants.absmean_int4(x)[0], expected)
    assert float(variants.absmean_int4(torch.tensor([[100.0, 0.0, 0.0, 0.0]])).max()) < 100  # cut at 7


@pytest.mark.parametrize("name", list(variants.VARIANTS))
@pytest.mark.parametrize("quant", ["b1.58", "none"])
def test_every_variant_computes_and_has_gradients(name, quant):
    ids = torch.randint(0, 320, (2, 12), generator=torch.Generator().manual_seed(0))
    one = build_model(model_config(toy.SMALL, vocab_size=320), quant, seed=0).train()
    before = hidden_states(one, ids).detach()
    variants.VARIANTS[name](one)
    with WeightCache(one):
        out = hidden_states(one, ids)
        torch.testing.assert_close(hidden_states(one, ids), out)
    changed = quant == "b1.58" or name in ("pre-ln", "rescaled")
    assert torch.equal(out, before) != changed or name == "hadamard"
    out.square().sum().backward()
    missing = [n for n, p in one.named_parameters() if "layers" in n and p.grad is None]
    assert not missing


# ---- runs ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return toy.text_shards(tmp_path_factory.mktemp("science") / "shards")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for i, name in enumerate(study.SIZES):
        size = study.Size(hidden=16 * (i + 1), intermediate=32, layers=1, heads=2, kv_heads=1)
        monkeypatch.setitem(study.SIZES, name, size)


def summary(folder: Path) -> dict:
    assert (folder / "report.html").stat().st_size > 1000
    return json.loads((folder / "stats.json").read_text())["summary"]


def test_a_study_goes_on_where_it_stopped(shards, tmp_path, monkeypatch, capsys):
    command = [str(shards), "-o", str(tmp_path / "lr"), *TOY, "--lrs", "0.001", "0.01"]
    real, done = study.measure, []

    def stumbling(arm, *rest):
        if len(done) == 3:
            done.append("stop")
            raise KeyboardInterrupt
        done.append(arm.name)
        return real(arm, *rest)

    monkeypatch.setattr(study, "measure", stumbling)
    assert lr_stability.main(command) == 130
    kept = sorted(p.name for p in (tmp_path / "lr" / "runs").iterdir())
    assert len(kept) == 3
    times = [(tmp_path / "lr" / "runs" / name).stat().st_mtime_ns for name in kept]
    assert lr_stability.main(command) == 0
    assert [(tmp_path / "lr" / "runs" / name).stat().st_mtime_ns for name in kept] == times
    found = summary(tmp_path / "lr")
    assert set(found["best"]) == {"b1.58", "none"} and found["best"]["none"]["at_edge"]
    assert not any((tmp_path / "lr" / "work").iterdir())
    assert lr_stability.main(command) == 0  # done: the same lines again
    assert "끝값" in capsys.readouterr().out
    assert lr_stability.main([*command[:-1], "0.02"]) == 1  # other settings in the same folder


def test_a_killed_run_ends_with_the_same_numbers(shards, tmp_path, monkeypatch):
    arm, budget = study.Arm(name="x", size=study.SIZES["2m"]), study.Budget(steps=4, batch_size=2, seq_len=16)
    whole = study.measure(arm, budget, shards, tmp_path / "a")
    from kobitnet import loop

    real = loop.train_step

    def dying(job, optimizer, cache, step, *rest, **more):
        if step == 2:
            loop.save_checkpoint(
                tmp_path / "b" / "work" / "x", 2, job.model, optimizer, {**states[0]}, keep=1
            )
            raise KeyboardInterrupt
        return real(job, optimizer, cache, step, *rest, **more)

    states = []
    real_limit = loop.spike_limit
    monkeypatch.setattr(
        loop, "spike_limit", lambda state, factor: (states.insert(0, state), real_limit(state, factor))[1]
    )
    monkeypatch.setattr(loop, "train_step", dying)
    with pytest.raises(KeyboardInterrupt):
        study.measure(arm, budget, shards, tmp_path / "b")
    monkeypatch.setattr(loop, "train_step", real)
    again = study.measure(arm, budget, shards, tmp_path / "b")
    assert again["loss"] == whole["loss"] and again["curve"] == whole["curve"]


def test_a_diverged_run_is_a_result(shards, tmp_path, monkeypatch):
    from kodata.run.errors import UserError

    def fit(*_):
        raise UserError("손실이 NaN (loss is NaN)")

    monkeypatch.setattr(study, "fit", fit)
    budget = study.Budget(steps=2, batch_size=2, seq_len=16)
    row = study.measure(study.Arm(name="x", size=study.SIZES["2m"]), budget, shards, tmp_path)
    assert row["loss"] is None and "NaN" in row["failed"]
    with pytest.raises(UserError, match="diverged"):
        study.best({"x": row})


def test_scaling(shards, tmp_path, capsys):
    command = [str(shards), "-o", str(tmp_path / "s"), *TOY, "--quants", "b1.58"]
    assert scaling.main([*command, "--sizes", "0.1m", "0.3m"]) == 2
    assert scaling.main([*command, "--dry-run"]) == 0 and not (tmp_path / "s").exists()
    assert scaling.main([*command, "--sizes", "0.1m", "0.3m", "0.7m", "2m"]) == 0
    told = summary(tmp_path / "s")["laws"]["b1.58"]
    assert told["predicted"] == pytest.approx(told["measured"] * (1 + told["relative_error"]))
    assert "L(N)" in capsys.readouterr().out


@pytest.mark.slow
def test_ablation(shards, tmp_path, capsys):
    assert ablation.main([str(shards), "-o", str(tmp_path / "a"), *TOY, "--seeds", "2"]) == 0
    found = summary(tmp_path / "a")
    assert len(found["loss"]) == 18 and all(v is not None for v in found["stdev"].values())


@pytest.mark.slow
def test_quality(shards, tmp_path, capsys):
    command = [str(shards), "-o", str(tmp_path / "q"), *TOY, "--seeds", "2", "--lrs", "0.001", "0.01"]
    assert quality.main(command) == 0
    found = summary(tmp_path / "q")
    assert set(found["mean"]) == {"FP", "b1.58", "b1.58, cosine", "b1.58, flat init", "b1"}
    assert len(found["runs"]) == 3 * 2 + 5 * 2 - 2  # the bracket's best FP and b1.58 are seed 0 of their arms
    assert "FP" in capsys.readouterr().out
