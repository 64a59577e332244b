"""The cleaning rules: (measures, text) -> None (keep) or a Drop with reason, value and limit.

A profile is a table of limits, one per rule; a rule a profile does not name is not applied. Default profiles are made to
keep curated Korean (statutes, verse, dialogue, headlines) and to drop what nobody wants to read: menus, broken text,
repetition, spam, other languages. Limits were set by reading what fell on both sides of them in Korean text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from kodata.run.errors import UsageError, did_you_mean
from kodata.text.fast import signals, spam
from kodata.text.measure import DUP_N, Measures

Profile = Literal[
    "auto", "web", "news", "book", "academic", "dialogue", "law", "verse", "fineweb2", "foreign", "unspaced", "code", "none"
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drop:
    """Why a document was dropped: the rule, the measured value, the limit it broke."""

    reason: str
    value: float
    limit: float
    step: str = "rules"

    def to_dict(self) -> dict[str, object]:
        """The `drop` object written with the document."""
        return {"step": self.step, "reason": self.reason, "value": round(self.value, 6), "limit": self.limit}


class Rule(NamedTuple):
    """One limit on one measure. `least`: the value must be at least the limit; otherwise at most."""

    reason: str
    measure: str
    least: bool
    label: str


RULES = (
    Rule("empty", "chars", True, "빈 글 (empty)"),
    Rule("lost_text", "lost", False, "깨진 글자 (characters lost in decoding)"),
    Rule("wrong_charset", "rare", False, "문자셋이 틀린 글 (read with a wrong charset)"),
    Rule("odd_syllables", "common", True, "한국어에 없는 음절 배열 (syllables no Korean text has)"),
    Rule("language", "korean", True, "바라지 않은 언어 (another language)"),
    Rule("kana", "kana", False, "일본어 (Japanese)"),
    Rule("too_little_korean", "korean_chars", True, "한국어 글자가 모자람 (too few Korean letters)"),
    Rule("too_short", "eojeol", True, "너무 짧음 (too short, eojeol)"),
    Rule("stray_jamo", "jamo", False, "낱자 잡음 (stray jamo)"),
    Rule("symbols", "symbols", False, "기호 범벅 (mostly symbols)"),
    Rule("numbers", "digits", False, "숫자 범벅 (mostly digits)"),
    Rule("spaced_letters", "mean_eojeol", True, "낱글자 띄어쓰기 (spaced letters)"),
    Rule("no_spaces", "mean_eojeol", False, "띄어쓰기 없음 (no spaces)"),
    Rule("repeated_lines", "dup_line_chars", False, "같은 줄 반복 (repeated lines)"),
    Rule("repeated_lines_count", "dup_lines", False, "같은 줄 반복, 줄 수 (repeated lines, by count)"),
    Rule("top_2gram", "top_2", False, "같은 두 어절 반복 (one 2-gram everywhere)"),
    Rule("top_3gram", "top_3", False, "같은 세 어절 반복 (one 3-gram everywhere)"),
    Rule("top_4gram", "top_4", False, "같은 네 어절 반복 (one 4-gram everywhere)"),
    *(Rule(f"repeated_{n}gram", f"dup_{n}", False, f"{n}어절 반복 (repeated {n}-grams)") for n in DUP_N),
    Rule("repeated_characters", "char_repeat", False, "글자열 반복 (repeated characters)"),
    Rule("menu", "prose", True, "문장이 아닌 목록·메뉴 (menus and lists, no sentences)"),
    Rule("few_sentences", "line_punct", True, "문장으로 끝나는 줄이 적음 (few lines end like sentences)"),
    Rule("many_newlines", "newlines", False, "줄바꿈이 많음 (many newlines)"),
    Rule("cut_off", "ellipsis", False, "잘린 줄 (lines cut off by an ellipsis)"),
    Rule("few_particles", "particles", True, "조사·어미가 거의 없음 (hardly any particles)"),
)  # fmt: skip

LEAST_SYLLABLES = 50
"""Hangul syllables below which their frequencies say nothing."""

LANGUAGE_RULES = frozenset(("language", "kana"))
"""Reasons that a document is in another language: it may be routed to an output of its own."""

LABELS: dict[str, str] = {rule.reason: rule.label for rule in RULES} | {
    "spam": "도박·성인·대출 광고 (spam)",
    "translated": "기계 번역투 (turns of machine translation)",
    "lone_particles": "떨어진 조사 (particles torn off their words)",
    "no_licence": "라이선스를 모름 (licence unknown)",
    "too_long_value": "값이 너무 큼 (value too large)",
    "chat_material": "대화·선호 자료: kodata sft, dpo 로 (chat and preference material, for kodata sft and dpo)",
}

_BASE = {
    "empty": 1, "lost_text": 0.005, "wrong_charset": 0.05, "odd_syllables": 0.35, "language": 0.3, "kana": 0.2,
    "too_little_korean": 2, "stray_jamo": 0.5, "no_spaces": 30.0, "repeated_lines": 0.6, "repeated_5gram": 0.6,
    "repeated_characters": 0.6,
}  # fmt: skip
PROFILES: dict[str, dict[str, float]] = {
    "web": _BASE | {
        "too_little_korean": 20, "too_short": 8, "stray_jamo": 0.25, "symbols": 0.45, "numbers": 0.4, "spaced_letters": 1.5,
        "no_spaces": 15.0, "repeated_lines": 0.5, "top_2gram": 0.3, "top_3gram": 0.28, "top_4gram": 0.26,
        "repeated_5gram": 0.5, "repeated_10gram": 0.4, "repeated_characters": 0.4, "menu": 0.15, "cut_off": 0.5,
        "translated": 0.06, "lone_particles": 0.1,
    },
    "news": _BASE | {
        "too_short": 2, "stray_jamo": 0.25, "symbols": 0.45, "numbers": 0.5, "repeated_lines": 0.3, "top_3gram": 0.3,
        "repeated_5gram": 0.35, "repeated_characters": 0.4, "translated": 0.06, "lone_particles": 0.1,
    },
    "book": _BASE | {
        "too_little_korean": 20, "too_short": 5, "stray_jamo": 0.25, "symbols": 0.45, "spaced_letters": 1.5, "repeated_lines": 0.4,
        "repeated_5gram": 0.75, "repeated_characters": 0.6, "lone_particles": 0.15,
    },
    "academic": _BASE | {
        "language": 0.2, "too_little_korean": 20, "too_short": 8, "symbols": 0.6, "numbers": 0.6, "repeated_lines": 0.4,
        "repeated_5gram": 0.5, "repeated_10gram": 0.4, "repeated_characters": 0.5,
    },
    "dialogue": {k: v for k, v in _BASE.items() if k != "no_spaces"} | {"stray_jamo": 0.8, "symbols": 0.8},
    "law": _BASE | {"language": 0.2, "too_little_korean": 20, "too_short": 5, "repeated_lines": 0.7, "repeated_5gram": 0.85},
    "verse": _BASE | {"too_short": 3, "repeated_lines": 0.8, "repeated_5gram": 0.8},
    # kor_Hang.yml of FineWeb-2 (commit d331bee), measured in eojeol instead of morphemes; its own top n-grams count
    # from one occurrence, ours from MIN_TOP.
    "fineweb2": {
        "empty": 1, "language": 0.3, "too_short": 50, "repeated_lines_count": 0.374, "top_2gram": 0.282, "top_3gram": 0.228, "top_4gram": 0.185,
        "repeated_5gram": 0.201, "repeated_6gram": 0.184, "repeated_7gram": 0.168, "repeated_8gram": 0.154, "repeated_9gram": 0.14,
        "repeated_10gram": 0.127, "few_sentences": 0.062, "many_newlines": 0.196, "few_particles": 2, "spaced_letters": 1, "no_spaces": 6,
    },
    # For documents of other languages that were asked for: no rule here looks at Korean.
    "foreign": {
        "empty": 1, "lost_text": 0.005, "too_short": 20, "symbols": 0.4, "numbers": 0.4, "no_spaces": 30.0, "repeated_lines": 0.3,
        "top_2gram": 0.2, "top_3gram": 0.18, "top_4gram": 0.16, "repeated_5gram": 0.3, "repeated_10gram": 0.2, "menu": 0.15, "cut_off": 0.5,
    },
    "unspaced": {"empty": 20, "lost_text": 0.005, "symbols": 0.4, "numbers": 0.4, "repeated_lines": 0.3, "repeated_characters": 0.3, "cut_off": 0.5},
    "code": {"empty": 1, "lost_text": 0.005, "too_short": 5, "numbers": 0.6, "no_spaces": 60.0, "repeated_lines": 0.8},
    "none": {"empty": 1},
}  # fmt: skip

KINDS = {
    "web": "web", "html": "web", "blog": "web", "wiki": "academic", "news": "news", "newspaper": "news", "headline": "news",
    "book": "book", "books": "book", "novel": "book", "fiction": "book", "academic": "academic", "paper": "academic",
    "science": "academic", "law": "law", "legal": "law", "statute": "law", "judgment": "law", "precedent": "law",
    "dialogue": "dialogue", "chat": "dialogue", "spoken": "dialogue", "messenger": "dialogue", "review": "dialogue",
    "comment": "dialogue", "qa": "dialogue", "verse": "verse", "poem": "verse", "poetry": "verse", "lyrics": "verse",
}  # fmt: skip
"""Which profile `auto` takes for a document's `kind`; without a known kind it takes web."""


def check_profile(name: str) -> str:
    """The name, if it is a profile. Raises UsageError."""
    if name != "auto" and name not in PROFILES:
        known = ["auto", *PROFILES]
        raise UsageError(
            f"모르는 프로파일 (unknown profile): {name}", did_you_mean(name, known) or f"{' | '.join(known)}"
        )
    return name


def profile_of(kind: str | None, profile: str = "auto") -> str:
    """The profile for a document: the one asked for, or by its kind under auto."""
    if profile != "auto":
        return profile
    return KINDS.get((kind or "").strip().lower(), "web")


_applied: dict[int, tuple[Mapping[str, float], tuple[tuple[str, str, bool, float], ...]]] = {}


def applied(limits: Mapping[str, float]) -> tuple[tuple[str, str, bool, float], ...]:
    """(reason, measure, least?, limit) of the rules that are applied, in their order; kept for the tables last used."""
    known = _applied.get(id(limits))
    if known is None or known[0] is not limits:
        if len(_applied) >= 64:
            _applied.clear()
        rules = tuple((r.reason, r.measure, r.least, limits[r.reason]) for r in RULES if r.reason in limits)
        known = _applied[id(limits)] = (limits, rules)
    return known[1]


def judge(found: Measures, text: str, limits: Mapping[str, float]) -> Drop | None:
    """The first rule the document breaks, or None when it may stay. `limits`: one of PROFILES."""
    for reason, measure, least, limit in applied(limits):
        value = getattr(found, measure)
        if value < limit if least else value > limit:
            if measure == "common" and found.hangul_chars < LEAST_SYLLABLES:
                continue
            return Drop(reason, float(value), float(limit))
    if "translated" in limits or "lone_particles" in limits:
        cues = signals(text, found.eojeol)
        if cues.translated > limits.get("translated", 1.0):
            return Drop("translated", cues.translated, limits["translated"])
        if cues.lone > limits.get("lone_particles", 1.0):
            return Drop("lone_particles", cues.lone, limits["lone_particles"])
    if len(limits) > 1:
        advert = spam(text, found.eojeol)
        if advert.found:
            return Drop("spam", advert.score, advert.limit)
    return None
