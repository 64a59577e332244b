"""Windows and scores against a plain loop, sampling by hand, engine and torch, the verb."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kobitnet.engine.sampling import pick
from kobitnet.evaluate.backend import TorchBackend
from kobitnet.evaluate.compare import Comparison, compare
from kobitnet.evaluate.held_out import fitted
from kobitnet.evaluate.perplexity import DocumentScore, combine, document_nats, score_documents, windows
from kobitnet.evaluate.verb import EvalConfig, evaluate
from kodata.run.errors import UsageError, UserError
from kotok.shards import open_shards

from . import toy


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return toy.pretrained(tmp_path_factory.mktemp("run"), steps=25, batch_size=8)


@pytest.fixture(scope="module")
def shards(run):
    return run.parent / "text"


@pytest.fixture(scope="module")
def backend(run):
    return TorchBackend.load(run)


@given(st.integers(2, 90), st.integers(2, 20), st.integers(1, 19))
def test_every_target_once(length, context, stride):
    stride = min(stride, context - 1)
    counted = []
    for begin, end, first in windows(length, context, stride):
        assert end - begin <= context and begin < first < end + 1
        assert begin == 0 or first - begin >= context - stride  # enough text before the first one counted
        counted += range(first, end)
    assert counted == list(range(1, length))


def test_document_nats_is_the_plain_sum(backend):
    ids = [backend.tokenizer.eot_id, *backend.tokenizer.encode(toy.SENTENCES[0] + toy.SENTENCES[1])]
    logp = torch.from_numpy(backend.logits(ids)).log_softmax(-1)
    expected = -sum(float(logp[t - 1, ids[t]]) for t in range(1, len(ids)))
    assert document_nats(backend, ids, 512, 256) == pytest.approx(expected, abs=1e-2)
    short = document_nats(backend, ids, 16, 8)
    by_hand = 0.0
    for begin, end, first in windows(len(ids), 16, 8):
        rows = torch.from_numpy(backend.logits(ids[begin:end])).log_softmax(-1)
        by_hand -= sum(float(rows[t - begin - 1, ids[t]]) for t in range(first, end))
    assert short == pytest.approx(by_hand, abs=1e-2)


def test_scores(backend, shards):
    val = open_shards(shards, "val")
    scores = list(score_documents(backend, val, context=128, stride=64, max_tokens=0))
    assert len(scores) == len(val)
    assert sum(s.tokens for s in scores) == val.num_tokens
    assert sum(s.bytes for s in scores) == val.bytes  # bytes of the ids are the bytes of the text
    limited = list(score_documents(backend, val, context=128, stride=64, max_tokens=1))
    assert limited == scores[:1]


def test_combine_by_hand():
    score = combine(
        [
            DocumentScore(nats=2 * math.log(2), tokens=2, bytes=4),
            DocumentScore(nats=6 * math.log(2), tokens=2, bytes=4),
        ]
    )
    assert score.bits_per_byte == pytest.approx(1.0)
    assert score.perplexity == pytest.approx(4.0)
    assert score.stderr == pytest.approx(math.sqrt((4 + 4) * 2) / 8)


def test_pick():
    logits = np.array([1.0, 3.0, 3.0, -2.0], dtype=np.float32)

    def draws(**settings):
        return {
            pick(
                logits,
                generator=np.random.default_rng(s),
                **{"temperature": 1.0, "top_k": 0, "top_p": 1.0, **settings},
            )
            for s in range(60)
        }

    assert draws(temperature=0.0) == draws(temperature=1e-300) == {1}
    assert draws(top_k=1) == {1}
    assert draws(top_k=2) == {1, 2}
    assert draws(top_p=0.5) == {1, 2}
    assert draws(temperature=100.0) == {0, 1, 2, 3}


def test_a_model_that_computes_nan_is_told():
    for value in (np.nan, np.inf):
        logits = np.array([1.0, value, 0.0], np.float32)
        for temperature in (0.0, 1.0):
            with pytest.raises(UserError, match="NaN or infinity"):
                pick(logits, temperature=temperature, top_k=0, top_p=1.0, generator=np.random.default_rng(0))

    class Broken:
        def logprobs(self, ids):
            return np.full(len(ids) - 1, np.nan, np.float32)

    with pytest.raises(UserError, match="NaN or infinity"):
        document_nats(Broken(), [1, 2, 3], 8, 4)


def test_windows_fit_the_model():
    config = fitted(EvalConfig(), 100)
    assert (config.context, config.stride) == (100, 50)
    assert fitted(EvalConfig(), 4096) == EvalConfig()


def test_cached_generation_is_plain_generation(backend):
    ids = backend.tokenizer.encode("기차는")
    new = backend.generate(ids, 20, stop_ids=[])
    for n, token in enumerate(new):
        row = backend.logits([*ids, *new[:n]])[-1]
        best = np.sort(row)[-2:]
        assert token == row.argmax() or best[1] - best[0] < 1e-3
    assert backend.generate(ids, 20, stop_ids=[new[3]]) == new[: new.index(new[3])]
    sampled = [backend.generate(ids, 8, stop_ids=[], temperature=1.0, seed=s) for s in (1, 1, 2)]
    assert sampled[0] == sampled[1] != sampled[2]


def test_prompts_that_do_not_fit(backend):
    with pytest.raises(UserError, match="nothing"):
        backend.generate([], 4, stop_ids=[])
    with pytest.raises(UserError, match="too long"):
        backend.generate([1] * 2048, 4, stop_ids=[])
    assert len(backend.generate([1] * 2045, 40, stop_ids=[])) == 3


class Other:
    """A backend that writes what it is told."""

    def __init__(self, ids):
        self.ids = ids

    def generate(self, ids, max_new_tokens, **kwargs):
        return self.ids


def test_comparison_sees_differences(backend):
    ids = backend.tokenizer.encode("비가")
    right = backend.generate(ids, 12, stop_ids=[])
    [same] = compare(backend, Other(right), [("비가", ids)], max_new_tokens=12, stop_ids=[])
    assert same.differs_at is None and same.agrees and same.spread < 1e-2
    row = backend.logits([*ids, *right[:5]])[-1]
    worst = int(row.argmin())
    [other] = compare(
        backend, Other([*right[:5], worst, 1, 2]), [("비가", ids)], max_new_tokens=12, stop_ids=[]
    )
    assert other.differs_at == 5 and not other.agrees and other.gap > other.spread
    assert Comparison(prompt="", torch_ids=[1], other_ids=[2], differs_at=0, gap=1e-5, spread=1e-4).agrees


def test_verb(run, shards, tmp_path):
    pytest.importorskip("kobitnet.engine")
    result = evaluate(run, on=shards, output=tmp_path / "eval", config=EvalConfig(compare_tokens=16))
    summary = json.loads((tmp_path / "eval" / "stats.json").read_text())["summary"]
    assert summary["perplexity"] < 0.5 * summary["untrained_perplexity"]
    assert summary["untrained_perplexity"] == pytest.approx(320, rel=0.25)
    assert summary["compared"] == summary["agree"] == 3
    assert len(result.lines) == 4
    engine = evaluate(run, on=shards, config=EvalConfig(backend="engine", compare=False))
    assert engine.path is None and engine.summary["bits_per_byte"] == pytest.approx(
        summary["bits_per_byte"], abs=1e-3
    )


def test_refusals(run, shards, tmp_path):
    with pytest.raises(UsageError, match="nothing to evaluate"):
        evaluate(run)
    with pytest.raises(UserError, match="chat"):
        evaluate(run, on=toy.chat_shards(tmp_path / "chat"))
    with pytest.raises(UsageError):
        EvalConfig(context=16, stride=16)
    meta = json.loads((shards / "meta.json").read_text())
    import shutil

    shutil.copytree(shards, tmp_path / "other")
    (tmp_path / "other" / "meta.json").write_text(json.dumps({**meta, "tokenizer_fingerprint": "f" * 32}))
    with pytest.raises(UserError, match="different tokenizers"):
        evaluate(run, on=tmp_path / "other")
