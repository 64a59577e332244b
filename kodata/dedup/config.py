"""Settings of `kodata dedup`."""

from dataclasses import dataclass, field
from typing import Literal

from kodata.run.errors import UsageError


@dataclass(kw_only=True, slots=True)
class DedupConfig:
    """What counts as a duplicate and which copy stays."""

    threshold: float = 0.75
    """이 이상 닮으면 중복, 글자 n-그램의 자카드 0~1 (Jaccard of character n-grams from which documents are duplicates)"""
    ngram: int = 5
    """글자 n-그램의 n, 띄어쓰기 제외 (characters a shingle, white space left out)"""
    near: bool = True
    """거의 같은 문서도 찾음 (near duplicates too, not only exact ones)"""
    keep: Literal["longest", "first", "newest", "oldest"] = "longest"
    """묶음에서 남길 문서 (which copy of a cluster stays; newest and oldest by meta.date)"""
    priority: list[str] = field(default_factory=list)
    """남길 때 앞세울 원천 이름, 앞이 우선 (sources whose copies stay first, in this order)"""
    rehydrate: Literal[0, 3, 5, 10] = 0
    """FineWeb-2 한국어 표로 meta.repeat 를 적음, 많아야 이만큼, 0 = 안 함 (write repeats by cluster size, at most this many)"""
    paragraphs: int = 0
    """앞 문서에 있던 이 글자 수 이상의 문단을 지움, 0 = 안 함 (remove paragraphs this long that an earlier document has, 0 = no)"""
    lines: int = 0
    """앞 문서에 있던 이 글자 수 이상의 줄을 지움, 0 = 안 함 (remove lines this long that an earlier document has, 0 = no)"""
    substrings: int = 0
    """앞 문서에 있던 이 글자 수 이상의 토막을 지움, 0 = 안 함 (remove any run this long that an earlier document has, 0 = no)"""
    min_left: float = 0.3
    """지우고 남은 몫이 이보다 작은 문서는 버림 (drop documents of which a smaller share is left)"""
    against_ngram: int = 16
    """평가 자료와 겹침을 볼 글자 n-그램의 n (characters an n-gram when looking for evaluation data)"""
    against_overlap: float = 0.8
    """평가 글의 이 비율이 들어 있으면 버림 (share of an evaluation text that makes a document contaminated)"""

    def __post_init__(self) -> None:
        for name in ("threshold", "against_overlap"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                flag = name.replace("_", "-")
                raise UsageError(f"--{flag}는 0보다 크고 1 이하입니다 (must be in (0, 1]): {value}")
        if not 0 <= self.min_left <= 1:
            raise UsageError(f"--min-left 는 0에서 1 사이입니다 (must be 0 to 1): {self.min_left}")
        for name, least in (("paragraphs", 10), ("lines", 10), ("substrings", 20)):
            value = getattr(self, name)
            if value and not least <= value <= 100_000:
                raise UsageError(
                    f"--{name} 는 0이나 {least}에서 100000 사이입니다 (must be 0, or {least} to 100000): {value}"
                )
        for name, most in (("ngram", 64), ("against_ngram", 256)):
            value = getattr(self, name)
            if not 1 <= value <= most:
                flag = name.replace("_", "-")
                raise UsageError(f"--{flag}는 1에서 {most} 사이입니다 (must be 1 to {most}): {value}")
