"""The CPU engine against stock transformers, against its numpy twin, and against itself cut in other ways."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from kobitnet.engine import Engine, cpu
from kobitnet.engine.reference import NumpyModel
from kodata.run.errors import UsageError, UserError
from tests.kobitnet.bitnet_models import edit_config, make_model, stock_model

VARIANTS = {
    "gqa-relu2-tied": {},
    "mha-silu-untied": {"num_key_value_heads": 4, "hidden_act": "silu", "tie_word_embeddings": False},
    "wide-theta": {
        "hidden_size": 256,
        "intermediate_size": 688,
        "num_key_value_heads": 1,
        "num_hidden_layers": 4,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    },
    "odd-sizes": {
        "hidden_size": 120,
        "intermediate_size": 206,
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
        "vocab_size": 331,
    },
    "bias": {"attention_bias": True},
    "bf16": {"dtype": torch.bfloat16},
}
IDS = np.random.default_rng(1).integers(0, 317, 150).tolist()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: make_model(tmp_path_factory.mktemp(name), **shape) for name, shape in VARIANTS.items()}


@pytest.fixture
def tiny(folders: dict[str, Path]) -> Path:
    return folders["gqa-relu2-tied"]


@pytest.fixture(autouse=True)
def one_torch_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def torch_logits(model: torch.nn.Module, ids: list[int]) -> np.ndarray:
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


def without_native(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Engine:
    monkeypatch.setenv("KOBITNET_ISA", "python")
    cpu.native.cache_clear()
    try:
        return Engine.load(folder)
    finally:
        monkeypatch.delenv("KOBITNET_ISA")
        cpu.native.cache_clear()


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_are_those_of_transformers(folders: dict[str, Path], variant: str) -> None:
    """Short sequences, so that int8 rounding flips (which torch has against itself) stay single events.

    A flip moves an activation by one code of 127, which shows at this size; without one the difference is fp32 noise.
    """
    engine, model = Engine.load(folders[variant]), stock_model(folders[variant])
    rng = np.random.default_rng(0)
    differences = []
    for _ in range(12):
        ids = rng.integers(0, 317, 10).tolist()
        differences.append(np.abs(engine.logits(ids) - torch_logits(model, ids)).max(axis=1))
    differences = np.concatenate(differences)
    assert np.median(differences) < 1e-5
    assert (differences > 1e-4).mean() < 0.15
    assert differences.max() < 0.3


def test_blocks_are_exact_for_the_same_codes(tiny: Path) -> None:
    """One block on its own input, flips made impossible by length 1: every output within 1e-5 of the largest."""
    edit_one = make_model(tiny.parent / "one-layer", num_hidden_layers=1)
    engine, model = Engine.load(edit_one), stock_model(edit_one)
    close = [np.abs(engine.logits([i]) - torch_logits(model, [i])).max() < 1e-5 for i in range(0, 317, 4)]
    assert np.mean(close) > 0.95  # the others are flips


@pytest.mark.parametrize("variant", ["gqa-relu2-tied", "mha-silu-untied", "odd-sizes"])
def test_numpy_twin_agrees(
    folders: dict[str, Path], variant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    cpu.warn_slow.cache_clear()
    slow = without_native(monkeypatch, folders[variant])
    assert isinstance(slow.model, NumpyModel) and slow.isa == "python"
    assert "numpy" in capsys.readouterr().err
    native = Engine.load(folders[variant])
    differences = np.concatenate(
        [
            np.abs(slow.logits(IDS[i : i + 8]) - native.logits(IDS[i : i + 8])).max(axis=1)
            for i in range(0, 96, 8)
        ]
    )
    assert np.median(differences) < 1e-5
    assert (differences > 1e-4).mean() < 0.15
    assert slow.generate(IDS[:5], 4) == native.generate(IDS[:5], 4)


def test_cutting_and_threads_do_not_change_a_bit(tiny: Path) -> None:
    whole = Engine.load(tiny, threads=1).logits(IDS)
    engine = Engine.load(tiny, threads=3)
    assert (engine.logits(IDS) == whole).all()
    cache = engine.model.cache()
    one_by_one = [engine.model.forward([cache], [1], np.array([i], np.int32), "last")[0] for i in IDS]
    assert (np.stack(one_by_one) == whole).all()
    cache = engine.model.cache()
    uneven = [
        engine.model.forward([cache], [len(part)], np.array(part, np.int32), "all")
        for part in (IDS[:13], IDS[13:14], IDS[14:90], IDS[90:])
    ]
    assert (np.concatenate(uneven) == whole).all()


@pytest.mark.parametrize("isa", cpu.native().isas() if cpu.native() else [])
def test_every_instruction_set_gives_the_model(tiny: Path, isa: str) -> None:
    native = cpu.native()
    best = Engine.load(tiny).logits(IDS[:20])
    native.choose_isa(isa)
    try:
        other = Engine.load(tiny).logits(IDS[:20])
    finally:
        native.choose_isa(native.isas()[0])
    assert np.median(np.abs(best - other).max(axis=1)) < 1e-4


def test_logprobs_and_scores(tiny: Path) -> None:
    engine = Engine.load(tiny)
    logits = torch.from_numpy(engine.logits(IDS))
    expected = torch.log_softmax(logits.double(), -1).numpy()[np.arange(len(IDS) - 1), IDS[1:]]
    got = engine.logprobs(IDS)
    assert got.dtype == np.float32 and got.shape == (len(IDS) - 1,)
    assert np.abs(got - expected).max() < 2e-6
    # choices after one context, then another context with a common prefix: the same bits as from scratch
    for context, choice in [
        (IDS[:60], IDS[60:64]),
        (IDS[:60], [5, 6]),
        (IDS[:40] + [7, 8], [9]),
        (IDS[:1], IDS[1:3]),
    ]:
        fresh = Engine.load(tiny).score(context, choice)
        assert (engine.score(context, choice) == fresh).all()
        assert (fresh == engine.logprobs([*context, *choice])[len(context) - 1 :]).all()
    assert engine.score([3], []).shape == (0,)


def test_loglikelihoods(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Choices of one context computed together are the sums of their scores, bit for bit, in native code and in numpy."""
    folder = folders["gqa-relu2-tied"]
    engine = Engine.load(folder, threads=2)
    choices = [IDS[60:63], [5], [], IDS[3:20], [5, 6], IDS[:150] + IDS[:120]]
    for context in (IDS[:60], IDS[:59] + [1], IDS[:1]):
        got = engine.loglikelihoods(context, choices)
        assert got == [float(Engine.load(folder).score(context, c).sum(dtype=np.float64)) for c in choices]
    assert engine.loglikelihoods(IDS[:9], []) == []
    slow = without_native(monkeypatch, folder)
    assert np.allclose(
        slow.loglikelihoods(IDS[:9], choices[:4]), engine.loglikelihoods(IDS[:9], choices[:4]), atol=0.5
    )
    for context, choice in (([], [1]), ([1], [320]), ([1] * 500, [1] * 20)):
        with pytest.raises(UserError):
            engine.loglikelihoods(context, [choice])


def test_backends_score_choices_alike(folders: dict[str, Path]) -> None:
    from kobitnet.evaluate.backend import TorchBackend

    model = stock_model(folders["gqa-relu2-tied"])
    backend, engine = TorchBackend(model, None), Engine.load(folders["gqa-relu2-tied"])
    choices = [IDS[9:12], [5], [], [5, 6]]
    got, ours = backend.loglikelihoods(IDS[:8], choices), engine.loglikelihoods(IDS[:8], choices)
    assert got[2] == ours[2] == 0.0 and np.allclose(got, ours, atol=0.2)
    with pytest.raises(UserError):
        backend.loglikelihoods([], [[1]])


def test_batches_are_the_texts_alone(tiny: Path) -> None:
    engine = Engine.load(tiny, threads=2)
    prompts = [IDS[:6], IDS[10:13], IDS[20:21], [1] * 508]
    for settings in ({}, {"temperature": 1.3, "top_k": 50, "repetition_penalty": 1.2}):
        alone = [engine.generate(p, 12, stop_ids=[3], seed=5 + i, **settings) for i, p in enumerate(prompts)]
        assert engine.generate_batch(prompts, 12, stop_ids=[3], seeds=[5, 6, 7, 8], **settings) == alone
    assert len(alone[3]) <= 4
    assert engine.generate_batch([], 5) == [] and engine.generate_batch([[1]], 0) == [[]]
    stop = engine.generate(IDS[:6], 12)[3]
    assert stop not in engine.generate_batch(prompts, 12, stop_ids=[stop])[0]
    cache = engine.model.cache()
    with pytest.raises(ValueError, match="twice"):
        engine.model.forward([cache, cache], [1, 1], np.array([1, 2], np.int32), "last")
    with pytest.raises(ValueError, match="add up"):
        engine.model.forward([cache], [1], np.array([1, 2], np.int32), "last")
    with pytest.raises(UserError):
        engine.generate_batch([[1], [1] * 512], 4)


def test_int8_head(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for variant in ("mha-silu-untied", "gqa-relu2-tied"):
        exact, rounded = Engine.load(folders[variant]), Engine.load(folders[variant], head="int8")
        assert rounded.head == "int8" and rounded.model.head_bytes() < 0.3 * exact.model.head_bytes()
        a, b = exact.logits(IDS[:20]), rounded.logits(IDS[:20])
        assert 0 < np.abs(a - b).max() < 0.05 * np.abs(a).max()
    monkeypatch.setattr("kobitnet.engine.engine.cpu.native", lambda: None)
    monkeypatch.setattr("kobitnet.engine.engine.cpu.set_threads", lambda threads: 1)
    slow = Engine.load(folders["gqa-relu2-tied"], head="int8")
    assert np.median(np.abs(slow.logits(IDS[:20]) - b).max(axis=1)) < 1e-4


def greedy_until_tie(model: torch.nn.Module, engine: Engine, prompt: list[int], steps: int) -> int:
    """Steps that agree; stops where torch's two best logits are closer than twice the logits' difference."""
    ids = list(prompt)
    for step in range(steps):
        row, mine = torch_logits(model, ids)[-1], engine.logits(ids)[-1]
        best = np.sort(row)[-2:]
        if best[1] - best[0] < 2 * np.abs(row - mine).max():
            return step
        assert row.argmax() == mine.argmax()
        ids.append(int(row.argmax()))
    return steps


def test_greedy_text_is_that_of_torch(folders: dict[str, Path]) -> None:
    model, engine = stock_model(folders["wide-theta"]), Engine.load(folders["wide-theta"])
    assert sum(greedy_until_tie(model, engine, IDS[i : i + 6], 12) for i in range(0, 30, 6)) >= 30
    ids = engine.generate(IDS[:6], 12)
    assert ids == list(engine.stream(IDS[:6], 12)) == [t for t, _ in engine.steps(IDS[:6], 12)]
    assert ids[0] == engine.logits(IDS[:6])[-1].argmax()


def test_sampling(tiny: Path) -> None:
    engine = Engine.load(tiny)
    draw = engine.generate(IDS[:6], 20, temperature=1.5, top_k=40, top_p=0.9, seed=3)
    assert draw == engine.generate(IDS[:6], 20, temperature=1.5, top_k=40, top_p=0.9, seed=3)
    assert draw != engine.generate(IDS[:6], 20, temperature=1.5, top_k=40, top_p=0.9, seed=4)
    greedy = engine.generate(IDS[:6], 20)
    assert engine.generate(IDS[:6], 20, temperature=1.0, top_k=1) == greedy
    stop = greedy[4]
    assert engine.generate(IDS[:6], 20, stop_ids=[stop]) == greedy[: greedy.index(stop)]
    assert len(set(engine.generate(IDS[:6], 40, repetition_penalty=1e6))) == 40  # nothing twice
    assert engine.generate(IDS[:6], 0) == []
    with pytest.raises(UsageError):
        engine.generate(IDS[:6], 3, repetition_penalty=0.0)


def test_generation_ends_at_the_last_position(tiny: Path) -> None:
    engine = Engine.load(tiny)
    prompt = [1] * 505
    assert len(engine.generate(prompt, 100)) == 7
    with pytest.raises(UserError, match="너무 깁니다"):
        engine.generate([1] * 512, 1)
    with pytest.raises(UserError):
        engine.logits([1] * 513)


def test_bad_tokens_are_refused(tiny: Path) -> None:
    engine = Engine.load(tiny)
    for ids in ([], [320], [-1], [1 << 40]):
        with pytest.raises(UserError):
            engine.logits(ids)
    with pytest.raises(UserError):
        engine.score([], [1])
    with pytest.raises(ValueError, match="out of range"):
        engine.model.forward([engine.model.cache()], [1], np.array([99999], np.int32), "last")


def test_two_threads_of_python_at_once(tiny: Path) -> None:
    engine = Engine.load(tiny, threads=2)
    expected = engine.generate(IDS[:9], 30)
    results: list[list[int]] = []
    workers = [
        threading.Thread(target=lambda: results.append(engine.generate(IDS[:9], 30))) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [expected] * 4


def test_scores_from_two_threads_share_the_context(tiny: Path) -> None:
    engine = Engine.load(tiny, threads=2)
    asked = [(list(IDS[:n]), list(IDS[n : n + 6])) for n in (3, 9, 20, 11)]
    expected = [engine.score(*one).tolist() for one in asked]
    results: list[bool] = []

    def work() -> None:
        for _ in range(10):
            results.append([engine.score(*one).tolist() for one in asked] == expected)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [True] * 40


def test_bf16_head(folders: dict[str, Path]) -> None:
    exact, rounded = (
        Engine.load(folders["mha-silu-untied"]),
        Engine.load(folders["mha-silu-untied"], head="bf16"),
    )
    assert rounded.head == "bf16" and exact.head == "fp32"
    a, b = exact.logits(IDS[:20]), rounded.logits(IDS[:20])
    assert 0 < np.abs(a - b).max() < 0.02 * np.abs(a).max()
    with pytest.raises(UsageError):
        Engine.load(folders["mha-silu-untied"], head="int4")


def test_both_spellings_of_rope(folders: dict[str, Path], tmp_path: Path) -> None:
    import shutil

    old = shutil.copytree(folders["wide-theta"], tmp_path / "old")
    edit_config(old, rope_parameters=None, rope_theta=10000.0)
    assert (Engine.load(old).logits(IDS) == Engine.load(folders["wide-theta"]).logits(IDS)).all()
    edit_config(old, rope_theta=None, rope_scaling={"rope_type": "linear", "factor": 2.0})
    with pytest.raises(UserError, match="rope_type"):
        Engine.load(old)


def test_rope_frequencies_are_those_of_torch() -> None:
    from kobitnet.engine.config import ModelConfig

    for theta in (10000.0, 500000.0):
        for dim in (16, 64, 128):
            config = ModelConfig(
                vocab=8,
                hidden=dim,
                inter=8,
                layers=1,
                heads=1,
                kv_heads=1,
                max_len=8,
                eps=1e-5,
                act="relu2",
                theta=theta,
                tied=True,
                bias=False,
                weights="online",
            )
            expected = 1.0 / (theta ** (torch.arange(0, dim, 2, dtype=torch.float) / dim))
            assert np.abs(config.inv_freq() / expected.numpy() - 1).max() < 1.3e-7
