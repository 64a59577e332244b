"""Settings of `kodata score`, `train-lm` and `train-quality`."""

from dataclasses import dataclass

from kodata.run.errors import UsageError


@dataclass(kw_only=True, slots=True)
class LmConfig:
    """How a language model is trained."""

    chars: int = 20_000_000
    """배울 글의 글자 수, 더 많으면 id 로 뽑음 (characters to learn from; more are sampled by id)"""
    prune: int = 1
    """이만큼만 나온 3~5-그램은 뺌 (leave out 3- to 5-grams seen this often or less)"""
    characters: int = 4094
    """글자 종류 수의 상한 (most characters in the vocabulary)"""

    def __post_init__(self) -> None:
        if self.chars < 1 or self.prune < 0:
            raise UsageError("--chars 는 1 이상, --prune 은 0 이상입니다 (chars 1 or more, prune 0 or more)")
        if not 1 <= self.characters <= 4094:
            raise UsageError(f"--characters 는 1에서 4094 사이입니다 (must be 1 to 4094): {self.characters}")


@dataclass(kw_only=True, slots=True)
class QualityConfig:
    """How a classifier is trained."""

    chars: int = 8_000_000
    """한쪽에서 배울 글의 글자 수 (characters to learn from, of each kind)"""

    def __post_init__(self) -> None:
        if self.chars < 1:
            raise UsageError(f"--chars 는 1 이상입니다 (must be 1 or more): {self.chars}")
