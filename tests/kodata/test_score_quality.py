"""The quality classifier: what it tells apart, its file, its calibration, and labels from outside."""

import random

import numpy as np
import pytest

from kodata.doc import Document
from kodata.run.errors import UsageError, UserError
from kodata.score import classifier
from kodata.score.classifier import Classifier, auc, bag, calibration, pieces, quantised, sigmoid
from kodata.score.labels import labelled
from kodata.score.sample import held_out, sampled
from kodata.score.spoil import WAYS, spoiled
from kodata.score.train import learnt, spoil, train_lm, train_quality
from tests.kodata.dedup_made import corpus

NOUNS = (
    "아침 도서관 바다 나무 선생님 학생 시장 겨울 편지 기차 마을 음악 약속 창문 저녁 노래 친구 골목".split()
)
VERBS = "읽었다 걸었다 만났다 들었다 기다렸다 노래했다 떠났다 돌아왔다 웃었다 배웠다".split()


def prose(rng: random.Random, sentences: int = 8) -> str:
    parts = []
    for _ in range(sentences):
        a, b = rng.choice(NOUNS), rng.choice(NOUNS)
        parts.append(
            f"{a}에서 {b}{'을' if (ord(b[-1]) - 0xAC00) % 28 else '를'} 생각하며 {rng.choice(VERBS)}."
        )
    return " ".join(parts)


def documents(count: int, seed: int = 0) -> list[Document]:
    rng = random.Random(seed)
    return [Document(f"{seed}-{i}", prose(rng), "글") for i in range(count)]


def test_whole_text_is_told_from_spoiled_text_of_other_documents():
    good = documents(120)
    model = learnt([*((d, 1.0) for d in good), *spoil(good)], 0, degree=False)
    fresh = documents(40, seed=1)
    p = model.probability([d.text for d in fresh] + [t.text for t, _ in spoil(fresh)])
    assert auc(p, np.arange(80) < 40) > 0.97
    assert model.facts["auc"] > 0.97 and model.facts["calibration_error"] < 0.2
    assert ((p > 0) & (p < 1)).all()


def test_each_way_of_spoiling_changes_the_text_and_is_seeded():
    text = prose(random.Random(3), 12)
    for way in WAYS:
        assert way(text, random.Random(1)) == way(text, random.Random(1)) != text
        way("", random.Random(1))
    assert spoiled(text, "a") == spoiled(text, "a")


def test_file_is_small_the_same_for_a_seed_and_checked(tmp_path):
    good = documents(40)
    pairs = [*((d, 1.0) for d in good), *spoil(good)]
    for name in "ab":
        learnt(pairs, 5, degree=False).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").stat().st_size < 1_000_000
    loaded = Classifier.load(tmp_path / "a")
    texts = [d.text for d in good[:5]]
    assert loaded.probability(texts).tolist() == learnt(pairs, 5, degree=False).probability(texts).tolist()
    whole = (tmp_path / "a").read_bytes()
    for broken in (
        b"",
        b"PK\x03\x04 not a model",
        whole[:50],
        whole[:-3],
        whole.replace(b'"slope": ', b'"slope": x'),
    ):
        (tmp_path / "c").write_bytes(broken)
        with pytest.raises(UserError, match="damaged"):
            Classifier.load(tmp_path / "c")
    with pytest.raises(UserError, match="no such model"):
        Classifier.load(tmp_path / "없음")


def test_empty_and_blank_documents_have_no_score_and_giant_ones_have():
    good = documents(20)
    model = learnt([*((d, 1.0) for d in good), *spoil(good)], 0, degree=False)
    p = model.probability(["", " \n\t", good[0].text * 500])
    assert np.isnan(p[:2]).all() and 0 < p[2] < 1


def test_bags_have_length_one_and_do_not_see_digits_or_blanks():
    places, weights = bag("2024년 봄")
    assert (np.diff(places) > 0).all() and float(weights @ weights) == pytest.approx(1.0, rel=1e-5)
    for other in ("1999년 봄", "2024년   봄 ", "\t2024년 봄"):
        assert bag(other)[0].tolist() == places.tolist()
    assert bag("2024년 밤")[0].tolist() != places.tolist()
    assert len(bag("")[0]) == len(bag("  \n ")[0]) == 0
    assert "".join(pieces("가" * 3333)) == "가" * 3333 and max(map(len, pieces("가" * 3333))) <= 1500


def test_auc_calibration_and_quantisation_by_hand():
    assert auc(np.array([0.9, 0.8, 0.3, 0.1]), np.array([True, False, True, False])) == 0.75
    assert auc(np.array([1.0, 1.0]), np.array([True, False])) == 0.5
    rng = np.random.default_rng(0)
    raw = rng.normal(size=4000)
    labels = (rng.random(4000) < sigmoid(2 * raw - 1)).astype(float)
    a, b = calibration(raw, labels, np.ones(4000))
    assert a == pytest.approx(2, abs=0.25) and b == pytest.approx(-1, abs=0.2)
    w = rng.normal(size=100).astype(np.float32)
    q, scale = quantised(w)
    assert np.abs(q * scale - w).max() <= scale / 2 * 1.0001 and np.abs(q).max() == 127
    assert quantised(np.zeros(3, np.float32))[1] == 1.0


def test_fit_agrees_with_plain_gradient_descent_in_sign_and_order():
    rng = np.random.default_rng(1)
    bags = [
        (np.array(sorted(rng.choice(50, 5, replace=False)), np.int32), np.full(5, 0.4472, np.float32))
        for _ in range(300)
    ]
    truth = rng.normal(size=50)
    labels = np.array([float(truth[p].sum() > 0) for p, _ in bags])
    w, b = classifier.fit(bags, labels, np.ones(300), 0)
    score = np.array([w[p] @ v + b for p, v in bags])
    assert auc(score, labels > 0.5) > 0.95


def test_sample_does_not_depend_on_order_and_keeps_its_bound():
    made = documents(200)
    one = sampled(made, 5000, 3, 10_000)
    other = sampled(made[::-1], 5000, 3, 10_000)
    assert [d.id for d in one] == [d.id for d in other] and 5000 <= sum(len(d.text) for d in one) < 5600
    assert [d.id for d in sampled(made, 5000, 4, 10_000)] != [d.id for d in one]
    assert 0.1 < sum(held_out(d.id) for d in made) / 200 < 0.3


# --- labels ---------------------------------------------------------------------------------------------


def test_labels_from_a_function_and_from_a_file(tmp_path, monkeypatch):
    (tmp_path / "my_labels.py").write_text(
        "def school(text):\n    return None if len(text) < 5 else float(text.count('배웠다'))\n"
        "def bad(text):\n    return 'high'\ndef fails(text):\n    raise RuntimeError('no')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    made = [Document("a", "학생은 배웠다. 또 배웠다."), Document("b", "짧다"), Document("c", "그는 걸었다.")]
    assert [(d.id, v) for d, v in labelled(made, "my_labels:school")] == [("a", 2.0), ("c", 0.0)]
    (tmp_path / "l.jsonl").write_text('{"id": "c", "label": 3}\n{"id": "a", "label": 0.5}\n')
    assert [(d.id, v) for d, v in labelled(made, str(tmp_path / "l.jsonl"))] == [("a", 0.5), ("c", 3.0)]
    for wrong in ("my_labels:bad", "my_labels:fails"):
        with pytest.raises(UserError):
            list(labelled(made, wrong))
    for missing in ("my_labels:none", "no_such_module:f", "words"):
        with pytest.raises(UsageError):
            list(labelled(made, missing))
    (tmp_path / "l.jsonl").write_text('{"id": "c", "label": 3}\n{"id": "a"}\n')
    with pytest.raises(UserError, match=":2"):
        list(labelled(made, str(tmp_path / "l.jsonl")))


def test_a_degree_is_learnt_from_labels(tmp_path):
    source = corpus(tmp_path / "in", documents(250))
    lines = [f'{{"id": "{d.id}", "label": {d.text.count("배웠다")}}}' for d in documents(250)]
    (tmp_path / "l.jsonl").write_text("\n".join(lines) + "\n")
    result = train_quality([str(source)], output=tmp_path / "edu.model", label=str(tmp_path / "l.jsonl"))
    assert result.summary["correlation"] > 0.5 and result.summary["label_high"] >= 3
    again = train_quality([str(source)], output=tmp_path / "edu.model", label=str(tmp_path / "l.jsonl"))
    assert again.summary == result.summary


def test_training_verbs_write_models_and_refuse_what_cannot_be_learnt(tmp_path):
    source = str(corpus(tmp_path / "in", documents(60)))
    lm = train_lm([source], output=tmp_path / "a.lm")
    assert (
        0 < lm.summary["held_out_bits_per_character"] < 4 and (tmp_path / "a.lm.run" / "report.html").exists()
    )
    bad = str(corpus(tmp_path / "bad", [Document(f"b{i}", "클릭 무료 상담 이벤트 " * 9) for i in range(30)]))
    made = train_quality(output=tmp_path / "q.model", good=[source], bad=[bad])
    assert made.summary["auc"] == 1.0 and made.summary["file_bytes"] < 1_000_000
    for wrong in ({}, {"bad": [bad]}, {"good": [source], "label": "a:b"}):
        with pytest.raises(UsageError):
            train_quality(output=tmp_path / "x.model", **wrong)
    one = str(corpus(tmp_path / "one", [Document("a", "하나")]))
    with pytest.raises(UserError, match="too few"):
        train_quality(output=tmp_path / "y.model", good=[one], bad=[one])
    none = str(corpus(tmp_path / "none", [Document("a", " ")]))
    with pytest.raises(UserError, match="no document with text"):
        train_lm([none], output=tmp_path / "z.lm")
