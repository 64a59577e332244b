"""Settings that both builders have, and the checks on text that follow from them: length, language, the cleaning rules."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from kodata.chat.records import Message
from kodata.pii import PiiConfig
from kodata.run.errors import UsageError
from kodata.run.flags import Parameter

Against = Annotated[
    list[Path] | None,
    Parameter(
        help="이 평가 자료가 든 것을 버림 (leave out what holds this evaluation data)",
        consume_multiple=True,
        negative=(),
    ),
]

# Of the document rules those that tell damage and noise: a chat answer may be short, a list, a number or a line of code.
LIMITS: dict[str, float] = {
    "lost_text": 0.005, "wrong_charset": 0.05, "odd_syllables": 0.35, "repeated_lines": 0.6, "repeated_5gram": 0.6,
}  # fmt: skip


@dataclass(kw_only=True, slots=True)
class SharedConfig:
    """What both builders check."""

    max_chars: int = 32_000
    """더 길면 버림, 글자, 0 = 한없이 (drop longer ones, characters, 0 = no limit)"""
    min_answer_chars: int = 1
    """답이 이보다 짧으면 버림, 글자 (drop shorter answers, characters)"""
    min_hangul: float = 0.0
    """글자 가운데 한글의 몫이 이보다 적으면 버림 0~1 (drop when less of the letters is Hangul)"""
    rules: bool = True
    """깨진 글·같은 말 되풀이·광고 답을 문서 규칙으로 버림 (drop damaged, repetitive and spam answers by the document rules)"""
    near: float = 0.8
    """질문이 이만큼 닮으면 같은 질문, 글자 5-그램의 자카드, 0 = 똑같을 때만 (prompts this alike are the same, 0 = only equal ones)"""
    against_ngram: int = 16
    """평가 자료와 겹침을 볼 글자 n-그램의 n (characters an n-gram when looking for evaluation data)"""
    against_overlap: float = 0.8
    """평가 글의 이 비율이 들어 있으면 버림 (share of an evaluation text that makes an example contaminated)"""
    normalise: bool = True
    """문서와 같은 규칙으로 글을 다듬음, 모델이 지은 답은 다듬지 않음 (normalise text; generated answers are not)"""
    pii: Annotated[PiiConfig, Parameter(name="*")] = field(default_factory=PiiConfig)
    """개인정보 (personal data)"""

    def __post_init__(self) -> None:
        for name in ("max_chars", "min_answer_chars"):
            if getattr(self, name) < 0:
                raise UsageError(
                    f"--{name.replace('_', '-')}는 0 이상입니다 (must be 0 or more): {getattr(self, name)}"
                )
        for name, least in (("min_hangul", 0.0), ("near", 0.0), ("against_overlap", 1e-9)):
            value = getattr(self, name)
            if not least <= value <= 1:
                raise UsageError(
                    f"--{name.replace('_', '-')}는 0과 1 사이입니다 (must be between 0 and 1): {value}"
                )
        if 0 < self.near < 0.5:
            raise UsageError(
                f"--near는 0이거나 0.5 이상입니다 (must be 0, or 0.5 and more): {self.near}", "--near 0.8"
            )
        if not 1 <= self.against_ngram <= 256:
            raise UsageError(
                f"--against-ngram은 1에서 256 사이입니다 (must be 1 to 256): {self.against_ngram}",
                "--against-ngram 16",
            )


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an example is dropped: reason, and the measured value with its limit."""

    reason: str
    value: Any
    limit: Any
    rule: str = ""


def judge_text(
    prompt: Sequence[Message], answers: Sequence[Sequence[Message]], config: SharedConfig
) -> Fault | None:
    """The first check on text that fails: length of all, of the answers, share of Hangul, the document rules on the answers."""
    everything = [*prompt, *(m for answer in answers for m in answer)]
    chars = sum(len(m.content) for m in everything)
    if config.max_chars and chars > config.max_chars:
        return Fault("too_long", chars, config.max_chars)
    shortest = min(len(answer[-1].content.strip()) for answer in answers[:1])
    if shortest < config.min_answer_chars:
        return Fault("too_short", shortest, config.min_answer_chars)
    if config.min_hangul:
        share = hangul_share("".join(m.content for m in everything))
        if share < config.min_hangul:
            return Fault("not_korean", round(share, 4), config.min_hangul)
    if config.rules:
        from kodata.rules import judge
        from kodata.text import measure

        text = answers[0][-1].content
        drop = judge(measure(text), text, LIMITS)
        if drop:
            return Fault("rules", round(drop.value, 4), drop.limit, drop.reason)
    return None


def hangul_share(text: str) -> float:
    """Share of Hangul syllables among the letters; 1 for a text without letters."""
    letters = sum(c.isalpha() for c in text)
    return sum("가" <= c <= "힣" for c in text) / letters if letters else 1.0
