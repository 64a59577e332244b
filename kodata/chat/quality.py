"""What kind of data this is: tasks, languages, repeated and refusing answers; verbs and objects of a sample by Kiwi."""

from __future__ import annotations

import hashlib
import heapq
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# The first pattern that is found in a prompt names its task; the order is from the most to the least telling.
TASKS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern, re.I))
    for name, pattern in (
        ("번역 (translation)", r"번역|(?:영어|한국어|일본어|중국어|프랑스어)로 (?:바꿔|옮겨|써)|translate"),
        ("요약 (summary)", r"요약|간추|줄여|정리해|한 문장으로|summari[sz]e"),
        ("코드 (code)", r"```|파이썬|자바스크립트|함수를|코드|SQL|알고리즘|python|javascript|def |class "),
        (
            "수학 (mathematics)",
            r"계산|방정식|확률|넓이|\d\s*[-+×*/÷=]\s*\d|몇 (?:개|명|원|cm|번|쪽|시간)|모두 몇",
        ),
        ("고쳐 쓰기 (rewriting)", r"고쳐|바로잡|맞춤법|다듬|다시 써|바꿔 (?:써|주)|교정"),
        ("뽑아내기 (extraction)", r"추출|뽑아|찾아|골라|나열된|키워드|핵심어"),
        ("분류 (classification)", r"분류|긍정|부정|감정을|어디에 해당|판단해|참인|거짓인"),
        (
            "글쓰기 (writing)",
            r"써\s?줘|써\s?주세요|쓰세요|작성|지어|시를|소설|편지|에세이|블로그|이야기를 (?:만들|써)|기획|문구",
        ),
        ("글 읽고 답하기 (reading)", r"다음 글|아래 글|위 글|지문|본문|읽고"),
        ("생각 내기 (ideas)", r"추천|제안|아이디어|목록|리스트|방법을? (?:알려|설명)|나열|\d\s?가지"),
        ("설명 (explanation)", r"설명|왜|이유|차이|어떻게|무엇|뭐[야예]|의미|정의"),
        ("묻고 답하기 (question)", r"[?？]\s*$|나요|까요|인가요|습니까|누구|언제|어디|얼마"),
    )
)
OTHER_TASK = "대화·기타 (talk, other)"
_REFUSAL = re.compile(
    r"(?:AI|인공지능)(?: 언어)? ?(?:모델|비서|어시스턴트)(?:로서|이기 때문|이므로|이라서)|도와드릴 수 없|답변(?:해 드릴|할) 수 없|"
    r"as an ai (?:language )?model|i(?:'m| am) sorry,? but",
    re.I,
)
_CLOSED = re.compile(
    r"[.!?。！？…\"'”’)\]}>:;~`|*0-9A-Za-z]\s*$|[다요죠까네라군걸나지음함됨임야어아자ㅋㅎㅠㅜ]\s*$"
)
SAMPLE = 300
LEAST_FOR_VERBS = 100
"""Below this many examples a table of verbs says nothing, and Kiwi is not loaded."""


@dataclass(slots=True)
class Quality:
    """Counts over the examples that were kept; `add` is called for each, `blocks` tells."""

    tasks: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    answers: Counter[bytes] = field(default_factory=Counter)
    answer_texts: dict[bytes, str] = field(default_factory=dict)
    refusals: int = 0
    open_ended: int = 0
    learned: int = 0
    shown: int = 0
    count: int = 0
    _sample: list[tuple[int, int, str]] = field(default_factory=list)

    def add(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """One example: its messages, the answer last."""
        self.count += 1
        asked = next((str(m["content"]) for m in reversed(messages) if m["role"] == "user"), "")
        answer = str(messages[-1]["content"])
        self.tasks[task_of(asked)] += 1
        self.languages[language_of(answer)] += 1
        key = hashlib.blake2b(answer.strip().encode("utf-8", "surrogatepass"), digest_size=8).digest()
        self.answers[key] += 1
        if self.answers[key] == 2:
            self.answer_texts[key] = answer.strip()[:200]
        self.refusals += _REFUSAL.search(answer[:400]) is not None
        self.open_ended += len(answer) > 40 and _CLOSED.search(answer[-40:]) is None
        for message in messages:
            if message["role"] == "assistant":
                if message.get("train", True):
                    self.learned += 1
                else:
                    self.shown += 1
        # The SAMPLE prompts with the smallest hashes: a sample that depends on the texts alone.
        rank = -int.from_bytes(
            hashlib.blake2b(asked.encode("utf-8", "surrogatepass"), digest_size=6).digest(), "little"
        )
        if len(self._sample) < SAMPLE:
            heapq.heappush(self._sample, (rank, -self.count, asked[:500]))
        elif rank > self._sample[0][0]:
            heapq.heapreplace(self._sample, (rank, -self.count, asked[:500]))

    @property
    def repeated(self) -> list[tuple[str, int]]:
        """Answers that stand several times, the most frequent first."""
        found = [(self.answer_texts[k], n) for k, n in self.answers.items() if n > 1]
        return sorted(found, key=lambda x: (-x[1], x[0]))

    def summary(self) -> dict[str, Any]:
        """Numbers for stats.json."""
        return {
            "tasks": dict(self.tasks.most_common()),
            "languages": dict(self.languages.most_common()),
            "refusing_answers": self.refusals,
            "open_ended_answers": self.open_ended,
            "distinct_answers": len(self.answers),
            "learned_answers": self.learned,
            "shown_answers": self.shown,
        }

    def blocks(self) -> list[dict[str, Any]]:
        """Blocks for the report: tasks, verbs and objects, quality of the answers."""
        from kodata.report import blocks

        if not self.count:
            return []
        out = [
            blocks.bars(
                "과제 종류, 질문에서 짐작 (tasks, guessed from the prompts)", self.tasks.most_common()
            )
        ]
        verbs = self._verbs()
        if verbs:
            rows = [
                [verb, ", ".join(_counted(*pair) for pair in nouns.most_common(4)), sum(nouns.values())]
                for verb, nouns in verbs
            ]
            out.append(
                blocks.table(
                    "무엇을 시키는가 (verbs and their objects)",
                    ["동사 (verb)", "목적어 (objects)", "수 (count)"],
                    rows[:20],
                    note=f"질문 {len(self._sample)}개를 뽑아 Kiwi로 분석했습니다 (a sample of prompts).",
                )
            )
        out.append(
            blocks.facts(
                "답의 질 (quality of answers)",
                {
                    "배우는 답 (learned answers)": self.learned,
                    "보이기만 하는 답 (shown, not learned)": self.shown,
                    "서로 다른 답 (distinct answers)": f"{len(self.answers):,} ({len(self.answers) / self.count:.1%})",
                    "거절하는 답 (refusing answers)": f"{self.refusals:,} ({self.refusals / self.count:.1%})",
                    "끝맺지 않은 듯한 긴 답 (long answers that seem cut)": f"{self.open_ended:,} ({self.open_ended / self.count:.1%})",
                },
            )
        )
        out.append(blocks.bars("답의 언어 (language of answers)", self.languages.most_common()))
        if self.repeated:
            out.append(
                blocks.table(
                    "반복되는 답 (repeated answers)",
                    ["답 (answer)", "횟수 (times)"],
                    [list(x) for x in self.repeated[:10]],
                )
            )
        return out

    def _verbs(self) -> list[tuple[str, Counter[str]]]:
        if self.count < LEAST_FOR_VERBS:
            return []
        from kodata.morphemes import verb_objects

        found: dict[str, Counter[str]] = {}
        for verb, noun in verb_objects([text for _, _, text in sorted(self._sample, reverse=True)]):
            found.setdefault(verb, Counter())[noun] += 1
        return sorted(found.items(), key=lambda x: (-sum(x[1].values()), x[0]))


def _counted(noun: str, count: int) -> str:
    from kodata.morphemes import NO_OBJECT

    return f"{'(목적어 없음 none)' if noun == NO_OBJECT else noun} {count:,}"


def task_of(prompt: str) -> str:
    """A guess at the task of a prompt, from the words in its head and tail."""
    text = prompt if len(prompt) <= 400 else f"{prompt[:200]}\n{prompt[-200:]}"
    return next((name for name, pattern in TASKS if pattern.search(text)), OTHER_TASK)


def language_of(text: str) -> str:
    """한국어 when half of the letters are Hangul, 섞임 when a tenth, 다른 말 below, 글자 없음 without letters."""
    head = text[:1000]
    letters = sum(c.isalpha() for c in head)
    if not letters:
        return "글자 없음 (no letters)"
    share = sum("가" <= c <= "힣" for c in head) / letters
    return "한국어 (Korean)" if share >= 0.5 else "섞임 (mixed)" if share >= 0.1 else "다른 말 (other)"
