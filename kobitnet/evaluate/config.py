"""What an evaluation measures."""

from dataclasses import dataclass
from typing import Literal

from kodata.run.errors import UsageError


@dataclass(kw_only=True, slots=True)
class EvalConfig:
    """What is measured, and how much of it."""

    backend: Literal["torch", "engine"] = "torch"
    """계산 백엔드: torch 또는 engine, CPU 삼진 엔진 (backend: torch, or the native ternary engine)"""
    context: int = 512
    """창 길이(토큰), 모델이 읽는 길이를 넘으면 거기에 맞춤 (window, tokens; at most what the model reads)"""
    stride: int = 256
    """창을 옮기는 폭(토큰) (how far the window moves, tokens)"""
    max_tokens: int = 50_000
    """평가할 토큰 수, 0 = 전부 (tokens to score, 0 = all)"""
    compare: bool = True
    """torch와 엔진이 같은 글을 내는지 견줌 (compare greedy text of torch and engine)"""
    compare_tokens: int = 48
    """프롬프트마다 견줄 토큰 수 (tokens compared per prompt)"""
    fewshot: int = 0
    """문항마다 앞에 보여 줄 풀이 예의 수 (solved examples before each question)"""
    efficiency: bool = False
    """속도와 에너지를 재고 같은 크기의 온정밀도 모델과 견줌 (measure speed and energy, against full precision of the same shape)"""

    def __post_init__(self) -> None:
        if self.context < 2 or not 1 <= self.stride < self.context:
            raise UsageError(
                f"--context 는 2 이상, --stride 는 1 이상 --context 미만입니다 (bad windows): {self.context}, {self.stride}",
                help="기본값은 --help 에 있습니다 (defaults are in --help)",
            )
        if self.max_tokens < 0 or self.compare_tokens < 1 or not 0 <= self.fewshot <= 100:
            raise UsageError(
                f"값이 맞지 않습니다 (bad value), --max-tokens >= 0, --compare-tokens >= 1, 0 <= --fewshot <= 100: {self.max_tokens}, {self.compare_tokens}, {self.fewshot}",
                help="기본값은 --help 에 있습니다 (defaults are in --help)",
            )
