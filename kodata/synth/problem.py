"""What a made problem is, and the words its stories are told with."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from kodata.synth.korean import comma, josa, native, person

NAMES = (
    "민준", "서연", "지우", "하은", "도윤", "수아", "예준", "지호", "윤서", "은우", "다인", "현우", "나래", "보람",
    "슬기", "한별", "유진", "태오", "가온", "소율",
)  # fmt: skip
THINGS = (
    ("사과", "개"), ("귤", "개"), ("구슬", "개"), ("사탕", "개"), ("초콜릿", "개"), ("도토리", "개"), ("지우개", "개"),
    ("달걀", "개"), ("호두", "개"), ("단추", "개"), ("연필", "자루"), ("색연필", "자루"), ("공책", "권"), ("동화책", "권"),
    ("만화책", "권"), ("색종이", "장"), ("스티커", "장"), ("딱지", "장"), ("엽서", "장"), ("사진", "장"),
)  # fmt: skip
GOODS = (
    ("공책", 800, 2500), ("연필", 300, 900), ("지우개", 300, 1200), ("우유", 900, 1800), ("빵", 1200, 3500),
    ("김밥", 2500, 4500), ("음료수", 1000, 2000), ("색종이", 500, 1500), ("자", 600, 1500), ("사과", 800, 2000),
)  # fmt: skip
PLACES = ("교실", "도서관", "운동장", "체육관", "과수원", "시장", "문구점", "마을 회관", "박물관", "수목원")


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One problem with its solution."""

    template: str
    grade: int
    """School year, 1 to 6."""
    concepts: tuple[str, ...]
    question: str
    steps: tuple[str, ...]
    expression: str
    """The answer once more: + - * / // % gcd lcm and numbers."""
    answer: str
    """As it is written after `답: `."""


Template = Callable[[random.Random], Problem]


def much(rng: random.Random, number: int, counter: str) -> str:
    """3개, or 세 개."""
    if number <= 20 and rng.random() < 0.3:
        return f"{native(number)} {counter}"
    return f"{comma(number)}{counter}"


def two_people(rng: random.Random) -> tuple[str, str]:
    a, b = rng.sample(NAMES, 2)
    return person(a), person(b)


def fraction_text(value: Fraction) -> str:
    """3/4, 2, or 1과 3/4."""
    whole, rest = divmod(value.numerator, value.denominator)
    if not rest:
        return str(whole)
    part = f"{rest}/{value.denominator}"
    return f"{josa(str(whole), '과')} {part}" if whole else part


def decimal_text(tenths: int) -> str:
    """125 hundredths as 1.25."""
    return f"{tenths // 100}.{tenths % 100:02d}".rstrip("0").rstrip(".")
