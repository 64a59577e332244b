"""What a mixture is made of."""

import math
from dataclasses import dataclass, field
from typing import Literal

from kodata.run.errors import UsageError


@dataclass(kw_only=True, slots=True)
class MixConfig:
    """What the mixture is made of."""

    weights: dict[str, float] = field(default_factory=dict)
    """묶음마다 글자 수의 몫, 없으면 있는 그대로: --weights.wiki 0.4 (share of characters of each group; none: as they are)"""
    by: Literal["input", "source", "kind"] = "input"
    """묶음: 입력 이름, 원천, 갈래 (groups: name of the input, source, or kind)"""
    chars: int = 0
    """모두 몇 글자, 0 = 몫이 허락하는 만큼 (characters in all, 0 = as many as the shares allow)"""
    repeat: float = 1.0
    """한 묶음을 많아야 몇 번 돌지 (most passes over a group)"""
    rehydrate: bool = False
    """kodata dedup --rehydrate 의 반복 수를 따름 (follow the repeats written by kodata dedup --rehydrate)"""
    min_score: dict[str, float] = field(default_factory=dict)
    """점수의 하한: --min-score.quality 0.5 (lowest score that is taken)"""

    def __post_init__(self) -> None:
        numbers = {**self.weights, "repeat": self.repeat, **self.min_score}
        if not all(map(math.isfinite, numbers.values())):
            raise UsageError(
                f"유한한 수여야 합니다 (numbers must be finite): {numbers}",
                help="--weights.wiki 0.4 --repeat 1",
            )
        if any(w < 0 for w in self.weights.values()) or (self.weights and not sum(self.weights.values())):
            raise UsageError(
                f"--weights 는 0 이상이고 모두 0일 수는 없습니다 (must be 0 or more, not all 0): {self.weights}",
                help="--weights.wiki 0.4 --weights.web 0.6",
            )
        if self.chars < 0:
            raise UsageError(f"--chars 는 0 이상입니다 (must be 0 or more): {self.chars}", help="--chars 0")
        if self.repeat <= 0:
            raise UsageError(
                f"--repeat 는 0보다 커야 합니다 (must be above 0): {self.repeat}", help="--repeat 1"
            )
