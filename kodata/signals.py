"""Cues of machine translation and of broken spacing, counted over the eojeol of a text.

Translation: turns of phrase that translation machines (and hasty translators) copy from English, where Korean writers leave
the pronoun out or use another verb. One turn proves nothing; several kinds together, at a rate that no curated text
reaches, do. Spacing: particles that stand alone (나 는 학교 에 갔다), as old OCR and some tokenised corpora leave them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# kind -> substrings; counted with str.count, so they may not overlap within a kind.
TRANSLATED: dict[str, tuple[str, ...]] = {
    "you": ("당신",),
    "pronoun": ("그것은", "그것이", "그것을", "그것의", "그녀는", "그녀가", "그녀의", "그들은", "그들의", "그들이"),
    "passive": ("에 의해", "되어집", "되어진", "지어집", "보여집", "보여진", "여겨집"),
    "through": ("을 통하여", "로 하여금", "에도 불구하고", "에 대하여", "함에 있어"),
    "one_of": ("중 하나입니다", "중 하나이다", "가장 큰 것 중", "하는 것입니다", "하는 것이다", "할 수 있을 것입니다"),
    "having": ("을 가지고 있", "를 가지고 있", "을 갖는", "를 갖는", "필요로 합니다", "필요로 한다"),
    "please": ("부디", "제발", "확인하십시오", "하시기 바랍니다", "오신 것을 환영"),
}  # fmt: skip
PRONOUNS = ("당신", "그것", "그녀", "그들")
"""Without any of these, which Korean leaves out, a text is not looked at further."""
MIN_EOJEOL, MIN_KINDS = 30, 3
ROUGH = 0.05
_LONE = re.compile("(?<=[가-힣] )(?:은|는|을|를|의|에|에서|으로)(?= )")
LONE = (" 은 ", " 는 ", " 을 ", " 를 ", " 의 ", " 에 ", " 에서 ", " 으로 ")


class Signals(NamedTuple):
    """translated: cues of machine translation per eojeol, 0 with fewer than MIN_KINDS kinds; lone: share of eojeol that are a particle alone."""

    translated: float
    lone: float


def signals(text: str, eojeol: int) -> Signals:
    """Measure one normalised text of `eojeol` words. Short texts give zeros."""
    if eojeol < MIN_EOJEOL:
        return Signals(0.0, 0.0)
    lone = sum(map(text.count, LONE)) / eojeol
    if lone > ROUGH:  # `map` 는 is how one writes about code: only those after a Korean word count
        lone = len(_LONE.findall(text)) / eojeol
    if not any(word in text for word in PRONOUNS):
        return Signals(0.0, lone)
    hits = kinds = 0
    for phrases in TRANSLATED.values():
        n = sum(map(text.count, phrases))
        hits += n
        kinds += n > 0
    return Signals(hits / eojeol if kinds >= MIN_KINDS else 0.0, lone)
