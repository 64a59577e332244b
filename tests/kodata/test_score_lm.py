"""The character language model: against its plain reference, as a distribution, as a file."""

import contextlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kodata import native
from kodata.run.errors import UserError
from kodata.score import charlm
from kodata.score.charlm import CharLM, train
from kodata.score.charlm_reference import UNKNOWN, ReferenceLM

BOOK = [
    "도서관은 누구나 책을 읽고 배울 수 있는 곳이다.",
    "책을 빌리려면 회원증이 있어야 한다.",
    "도서관은 책을 읽는 곳이고 배우는 곳이다.",
    "회원증이 있으면 책을 빌려 읽을 수 있다.",
] * 2 + ["곳간에는 쌀이 있다."]
ASKED = [
    "책을 읽고 배우는 곳",
    "뷁이라는 글자",
    "도",
    "도서관은 누구나 책을 읽고 배울 수 있는 곳이다.",
    "ab\n가",
]
WORDS = st.lists(st.sampled_from(["가", "나", "다라", " ", "마바", "사\n"]), min_size=1, max_size=12).map(
    "".join
)


@settings(max_examples=25)
@given(texts=st.lists(WORDS, min_size=1, max_size=8), asked=WORDS, prune=st.sampled_from([0, 1]))
def test_bits_are_those_of_the_formula(texts, asked, prune):
    plain, fast = ReferenceLM(texts, prune), train(texts, prune)
    assert fast.bits([asked])[0] == pytest.approx(plain.bits(asked), rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("prune", [0, 1, 2])
def test_on_sentences_too(prune):
    plain, fast = ReferenceLM(BOOK, prune), train(BOOK, prune)
    assert fast.bits(ASKED) == pytest.approx([plain.bits(t) for t in ASKED], rel=1e-3)


@pytest.mark.parametrize("prune", [0, 1])
@pytest.mark.parametrize("history", ["", "책을 ", "도서관은", "뷁뷁"])
def test_probabilities_of_all_characters_sum_to_one(history, prune):
    plain, fast = ReferenceLM(BOOK, prune), train(BOOK, prune)
    word = plain.word(history)[-4:]
    assert sum(plain.p((*word, c)) for c in [*plain.vocabulary, UNKNOWN]) == pytest.approx(1.0, abs=1e-9)
    numbers = np.concatenate([np.zeros(4, np.uint16), fast.numbers(history)])[-4:]
    total = 0.0
    for c in range(1, fast.size + 1):
        cost = fast.costs(np.append(numbers, np.uint16(c)))[0]
        total += 2.0 ** -(cost - charlm.UNKNOWN_BITS * (c == charlm.UNKNOWN))
    assert total == pytest.approx(1.0, abs=2e-3)


def test_native_and_numpy_agree():
    if native.core() is None:
        pytest.skip("no native core")
    model = train(BOOK)
    numbers = np.concatenate([model.numbers(t) for t in ASKED])
    assert model.costs(numbers) == pytest.approx(model.costs_numpy(numbers), abs=1e-9)


def test_batches_and_giant_documents_change_nothing(monkeypatch):
    model = train(BOOK)
    texts = [*BOOK, "", "가" * 50, "".join(BOOK)]
    whole = model.bits(texts)
    monkeypatch.setattr(charlm, "BATCH", 17)
    assert np.allclose(model.bits(texts), whole, equal_nan=True)
    assert [i for i, b in enumerate(whole) if math.isnan(b)] == [len(BOOK)]


def test_order_of_texts_and_batches_of_training_change_nothing(monkeypatch, tmp_path):
    train(BOOK).save(tmp_path / "a")
    monkeypatch.setattr(charlm, "BATCH", 30)
    train(BOOK[::-1]).save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_clean_text_costs_less_than_shuffled_or_foreign_text():
    model = train(BOOK)
    good, shuffled, foreign = model.bits(
        ["책을 읽고 배울 수 있는 곳", "고책 읽을울 배 수는있 곳", "qué será"]
    )
    assert good < shuffled < foreign


def test_file_gives_the_same_scores_and_damage_is_told(tmp_path):
    model = train(BOOK)
    path = tmp_path / "a.lm"
    model.save(path)
    assert CharLM.load(path).bits(ASKED).tolist() == model.bits(ASKED).tolist()
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in [*rng.integers(0, len(whole), 60).tolist(), 0, 9, 13, len(whole) - 1]:
        broken = bytearray(whole)
        broken[at] ^= 0x41
        path.write_bytes(broken)
        with contextlib.suppress(UserError):  # a changed number of characters seen is no damage that matters
            CharLM.load(path)
    for cut in (0, 5, 11, 100, len(whole) - 7):
        path.write_bytes(whole[:cut])
        with pytest.raises(UserError, match="damaged"):
            CharLM.load(path)
    head = whole.index(b'"shape": [') + len(b'"shape": [')
    path.write_bytes(whole[:head] + b"9" + whole[head + 1 :])
    with pytest.raises(UserError, match="damaged"):
        CharLM.load(path)


def test_nothing_to_learn_from_is_an_error():
    with pytest.raises(UserError, match="no text"):
        train(["", ""])
