"""Metrics by hand and against scikit-learn, SciPy and the libraries of record, where they are installed."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobitnet.evaluate import metrics as m

LABELS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=2, max_size=40)


def test_a_share_with_wilsons_interval():
    e = m.share([1, 1, 1, 0], 0.5)
    assert e.value == 0.75 and e.stderr == pytest.approx(0.25)  # sqrt(.75 * .25 / 3)
    assert (e.low, e.high) == pytest.approx((0.3006, 0.9544), abs=1e-4)  # Wilson for 3 of 4
    assert e.verdict == "우연과 다르지 않음 (not different from chance)"
    assert m.share([1] * 50, 0.5).verdict.endswith("(better than chance)")
    assert m.share([0] * 50, 0.5).verdict.endswith("(worse than chance)")
    assert m.share([1] * 50).verdict == "" and m.share([1] * 9).high == pytest.approx(1.0)
    assert math.isnan(m.share([]).value) and math.isnan(m.share([1]).stderr)


def test_wilsons_interval_covers_the_truth():
    rng = np.random.default_rng(0)
    for p in (0.03, 0.25, 0.5):
        inside = sum((e := m.share(list(rng.random(60) < p))).low <= p <= e.high for _ in range(400))
        assert 0.92 <= inside / 400 <= 0.99


def test_groups_are_pooled_like_the_harness():
    a, b = m.share([1, 0, 1, 1], 0.5), m.share([0, 0, 1, 0, 1, 0], 0.25)
    both = m.pooled([a, b])
    assert both.value == pytest.approx(0.5) and both.n == 10 and both.chance == pytest.approx(0.35)
    variance = (3 * a.stderr**2 * 4 + 5 * b.stderr**2 * 6) / 8
    assert both.stderr == pytest.approx(math.sqrt(variance / 10))


def test_macro_by_hand():
    gold, said = [0, 0, 1, 1, 1], [0, 1, 1, 1, 2]
    assert m.macro(gold, said, 0).value == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert m.macro(gold, said, 1).value == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert m.macro(gold, said, 2).value == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    scores = m.class_scores(np.array(gold), np.array(said))
    assert scores[1] == pytest.approx((2 / 3, 2 / 3, 2 / 3, 3)) and scores[2] == (0.0, 0.0, 0.0, 0)


@pytest.mark.slow
@given(LABELS)
def test_macro_equals_scikit_learn(pairs):
    sklearn = pytest.importorskip("sklearn.metrics")
    gold, said = zip(*pairs, strict=True)
    expected = sklearn.precision_recall_fscore_support(gold, said, average="macro", zero_division=0)
    for what in range(3):
        g, s = np.asarray(gold), np.asarray(said)
        scores = m.class_scores(g, s)
        assert np.mean([v[what] for v in scores.values()]) == pytest.approx(expected[what])


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=4, max_size=30))
def test_correlations_equal_scipy(pairs):
    stats = pytest.importorskip("scipy.stats")
    x, y = (list(map(float, column)) for column in zip(*pairs, strict=True))
    if len(set(x)) < 2 or len(set(y)) < 2:
        assert math.isnan(m.pearson(x, y).value)
        return
    assert m.pearson(x, y).value == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
    assert m.spearman(x, y).value == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)
    low, high = stats.pearsonr(x, y).confidence_interval()
    if abs(m.pearson(x, y).value) < 0.999:
        assert (m.pearson(x, y).low, m.pearson(x, y).high) == pytest.approx((low, high), abs=1e-9)


def test_korquads_normalisation():
    assert m.korquad_normalise(" 《 겨울 (나그네) 》, 'A.B'! ") == "겨울 나그네 ab"
    assert m.exact_match("1902 년.", ["1902 년"]) == 1.0 and m.exact_match("1902년", ["1902 년"]) == 0.0
    assert m.character_f1("1902년에", ["1902년"]) == pytest.approx(2 * 5 / 11)
    assert m.character_f1("", ["가"]) == 0.0 and m.character_f1("나", ["가"]) == 0.0
    assert m.character_f1("가 나", ["다", "나가"]) == 1.0  # best answer, spaces and order do not count
    assert m.exact_match("가", []) == 0.0 == m.character_f1("가", [])


def test_bootstrap_is_repeatable():
    values = np.arange(50.0)
    a, b = (m.resampled(lambda rows: float(values[rows].mean()), 50) for _ in range(2))
    assert a == b and a.low < 24.5 < a.high
    assert a.stderr == pytest.approx(m.mean(values.tolist()).stderr, rel=0.1)


def test_words_are_compared_by_morphemes():
    pytest.importorskip("rouge_score")
    pytest.importorskip("sacrebleu")
    from kobitnet.evaluate import text_metrics as t

    t.require()
    assert t.morphemes("학교에 갔다.") == ["학교", "에", "가", "었", "다", "."]
    same = t.item_scores("학교에 갔다.", ["학교에 갔다."])
    assert same["rouge1"] == same["rouge2"] == same["rougeL"] == same["chrf"] == 1.0 and same["meteor"] > 0.99
    other = t.item_scores("학교를 갔다.", ["학교에 갔다."])
    assert other["rouge1"] == pytest.approx(5 / 6) and other["rouge2"] == pytest.approx(3 / 5)  # 를 for 에
    assert t.item_scores("", ["학교"])["rouge1"] == 0.0 and t.item_scores("학교", [])["chrf"] == 0.0
    best = t.item_scores("비가 온다", ["눈이 왔다", "비가 온다"])
    assert best["rougeL"] == 1.0
    assert t.corpus_bleu(["학교에 갔다. 밥을 먹었다."], [["학교에 갔다. 밥을 먹었다."]]) == pytest.approx(1.0)
    assert 0 < t.corpus_bleu(["학교에 갔다. 밥을 먹는다."], [["학교에 갔다. 밥을 먹었다.", "집에 갔다."]]) < 1
    assert t.corpus_bleu([], []) == 0.0


def test_missing_libraries_are_said_before_the_work(monkeypatch):
    import importlib.util

    from kobitnet.evaluate.text_metrics import require
    from kodata.run.errors import UserError

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="rouge_score") as caught:
        require()
    assert "kobitnet[eval]" in caught.value.help
