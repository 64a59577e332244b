"""Made arithmetic: every problem checked, Korean that fits, the same for the same seed."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodata.chat import read_chats
from kodata.run.errors import UsageError
from kodata.synth.arithmetic import TEMPLATES, arithmetic, check, evaluate, read_answer
from kodata.synth.korean import josa, native, person
from kodata.synth.problem import Problem
from kodata.synth.verb import SynthConfig, synth


@pytest.mark.parametrize(
    ("word", "particle", "whole"),
    [
        ("사과", "을", "사과를"), ("귤", "를", "귤을"), ("연필", "으로", "연필로"), ("집", "로", "집으로"),
        ("나무", "으로", "나무로"), ("3", "은", "3은"), ("2", "은", "2는"), ("10", "이", "10이"), ("0", "이", "0이"),
        ("100", "으로", "100으로"), ("10000", "을", "10000을"), ("1", "으로", "1로"), ("7", "으로", "7로"),
        ("6", "으로", "6으로"), ("12,500", "은", "12,500은"), ("1.5", "을", "1.5를"), ("0.3", "을", "0.3을"),
        ("3/4", "을", "3/4을"), ("2/3", "를", "2/3를"), ("3개", "을", "3개를"), ("3장", "를", "3장을"),
        ("5cm", "을", "5cm를"), ("5kg", "는", "5kg은"), ("20%", "을", "20%를"), ("3:5", "로", "3:5로"),
        ("3:6", "로", "3:6으로"), ("민준이", "는", "민준이는"), ("abc", "은", "abc는"), ("", "이", "가"),
    ],
)  # fmt: skip
def test_particles_follow_the_last_sound(word, particle, whole):
    assert josa(word, particle) == whole


def test_counting_words():
    assert [native(n) for n in (1, 2, 3, 10, 11, 20, 21, 35, 99)] == [
        "한", "두", "세", "열", "열한", "스무", "스물한", "서른다섯", "아흔아홉",
    ]  # fmt: skip
    assert (person("민준"), person("지우")) == ("민준이", "지우")
    for bad in (0, 100):
        with pytest.raises(ValueError):
            native(bad)


@given(st.integers(0, 10**13))
def test_numbers_always_take_one_of_the_two_forms(number):
    assert josa(str(number), "은") in (f"{number}은", f"{number}는")


def test_evaluation_is_exact_and_takes_only_arithmetic():
    for text, value in [
        ("1 + 2 * 3", 7), ("0.1 + 0.2", Fraction(3, 10)), ("1/2 - 1/3", Fraction(1, 6)), ("17 // 5", 3), ("17 % 5", 2),
        ("gcd(12, 18)", 6), ("lcm(4, 6)", 12), ("(5 + 3) / (1 + 3)", 2),
    ]:  # fmt: skip
        assert evaluate(text) == value
    for bad in (
        "__import__('os')",
        "2 ** 9",
        "x",
        "[1]",
        "gcd(0.5, 1)",
        "lcm(a=1)",
        "1 if 2 else 3",
        "",
        "(" * 500,
        "1+" * 3000,
    ):
        with pytest.raises(ValueError):
            evaluate(bad)
    with pytest.raises(ZeroDivisionError):
        evaluate("1 / 0")


@pytest.mark.parametrize(
    ("text", "value"),
    [("12개", 12), ("3,500원", 3500), ("1.25m", Fraction(5, 4)), ("3/14L", Fraction(3, 14)), ("1과 3/4", Fraction(7, 4)),
     ("2와 1/3L", Fraction(7, 3)), ("2시간 5분", 125), ("7", 7)],
)  # fmt: skip
def test_answers_are_read_as_written(text, value):
    assert read_answer(text) == value


def test_wrong_problems_are_caught():
    good = Problem(
        template="x", grade=1, concepts=(), question="?", steps=("먼저: 3 + 4 = 7", "나눕니다: 17 ÷ 5 = 3 … 2", "7 × 2 = 14"),
        expression="(3 + 4) * 2", answer="14개",
    )  # fmt: skip
    assert check(good) == ""
    assert "answer" in check(replace(good, answer="15개"))
    assert "equation" in check(replace(good, steps=("3 + 4 = 8", "7 × 2 = 14")))
    assert "equation" in check(replace(good, steps=("17 ÷ 5 = 3 … 1", "7 × 2 = 14")))
    assert "equation" in check(replace(good, steps=("17 ÷ 5 = 2 … 7", "7 × 2 = 14")))
    assert "reaches" in check(replace(good, steps=("3 + 4 = 7",)))
    assert "no equation" in check(replace(good, steps=("열넷입니다.",)))
    assert "negative" in check(replace(good, expression="3 - 4"))


def test_problems_are_checked_distinct_and_the_same_again():
    made = list(arithmetic(400, seed=5))
    assert len(made) == 400 and len({c.messages[0].content for c in made}) == 400 == len({c.id for c in made})
    assert {c.meta["synth"]["template"] for c in made} == {t.__name__ for t in TEMPLATES}
    assert list(arithmetic(150, seed=5)) == made[:150]
    assert made[0] != next(arithmetic(1, seed=6))
    for chat in made:
        facts = chat.meta["synth"]
        stated = chat.answer.rpartition("답: ")[2]
        assert read_answer(stated) == evaluate(facts["expression"]) == Fraction(facts["answer"])
        text = chat.messages[0].content + chat.answer
        assert (
            "{" not in text
            and "  " not in text
            and not any(x in text for x in ("을(를)", "은(는)", "이(가)", "None"))
        )


@pytest.mark.slow
def test_many_problems_of_many_seeds():
    for seed in range(20):
        assert len(list(arithmetic(1300, seed))) == 1300


def test_the_verb_writes_chats(tmp_path):
    result = synth("arithmetic", output=tmp_path / "m.jsonl", config=SynthConfig(count=60), seed=1)
    assert result.summary["kept"] == 60
    chats = list(read_chats(tmp_path / "m.jsonl"))
    assert len(chats) == 60 and chats[0].meta["synth"]["seed"] == 1
    synth("arithmetic", output=tmp_path / "n.jsonl", config=SynthConfig(count=60), seed=1)
    assert (tmp_path / "m.jsonl").read_bytes() == (tmp_path / "n.jsonl").read_bytes()
    assert (
        synth("arithmetic", output=tmp_path / "m.jsonl", config=SynthConfig(count=60), seed=1)
        .lines[-1]
        .startswith("이미")
    )
    with pytest.raises(UsageError):
        synth("arithmetic", ["x.jsonl"], output=tmp_path / "o.jsonl")
