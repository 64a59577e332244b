"""Answers a model wrote, joined with the real ones by id: rejected answers, scored against the real answer where asked."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from kodata.chat.answers import Policy
from kodata.chat.forms import chat_of, message_list
from kodata.chat.records import Message, Pair, RecordError, check_chat, messages_hash
from kodata.chat.rows import BadRow, read_rows
from kodata.chat.shared import SharedConfig
from kodata.chat.sieve import Place, Sieve
from kodata.run.errors import UsageError, UserError

Scorer = Literal["none", "chrf", "answer"]

EXAMPLE = '{"id": "예1", "prompt": [{"role": "user", "content": "수도는?"}], "response": "부산입니다."}'
_NUMBER = re.compile(r"(?<!\d)-?\d+(?:,\d{3})*(?:\.\d+)?")  # the 15 of 2024-01-15 is not below 0


# No `from __future__ import annotations` here: a config that inherits these fields resolves their types in its own module.
@dataclass(kw_only=True, slots=True)
class RejectConfig(SharedConfig):
    """Which answers are rejected ones: those a model wrote, or the worse of several."""

    rejected: Path | None = None
    """거절 답으로 쓸 생성 JSONL, 입력은 대화 JSONL (generations to reject, joined by id; the input is then chat JSONL)"""
    scorer: Scorer = "none"
    """생성 답의 점수: chrf = 참된 답과 닮은 정도, answer = 마지막 수나 줄이 맞는지 (how generations are scored)"""
    max_score: float = 0.9
    """점수가 이보다 높은 생성 답은 거절 답이 못 됨 (a generation scored higher is not rejected)"""
    pairs: Policy = "best-worst"
    """답이 여럿일 때 쌍을 짓는 법 (how pairs are made of several answers)"""
    margin: float = 1.0
    """--pairs margin: 점수나 순위가 이만큼 벌어진 두 답 (least difference of scores or ranks)"""

    def __post_init__(self) -> None:
        SharedConfig.__post_init__(self)
        if not self.margin > 0:
            raise UsageError(f"--margin은 0보다 큽니다 (must be above 0): {self.margin}", "--margin 1")
        if not 0 <= self.max_score <= 1:
            raise UsageError(f"--max-score는 0과 1 사이입니다 (must be between 0 and 1): {self.max_score}")
        if self.scorer != "none" and not self.rejected:
            raise UsageError(
                "--scorer는 --rejected와 함께 씁니다 (needs --rejected)",
                f"{' | '.join(SCORERS)}: 생성 답을 잽니다",
            )


class Generation(NamedTuple):
    """One answer of a model; `asked` is the hash of the prompt it was given, or empty."""

    asked: str
    text: str
    model: str


def joined(
    rows: Iterator[tuple[Place, Any]], sieve: Sieve, config: RejectConfig, unused: list[int], *, whole: bool
) -> Iterator[tuple[Place, Pair]]:
    """Pairs of chats and the generations with the same id.

    Without a scorer every generation is a rejected answer of its own pair. With one, those at or above `max_score` are as
    good as the real answer and dropped, and `pairs` chooses among the others: best-worst the lowest, adjacent the highest,
    margin all that are at least `margin` below the real answer. `unused` gets the number of ids nobody asked for, if `whole`.
    """
    assert config.rejected is not None
    found = generations(config.rejected)
    used: set[str] = set()
    for place, row in rows:
        try:
            if not isinstance(row, dict):
                raise RecordError("", "대화 JSONL이어야 합니다 (must be a chat JSONL)", reason="other_task")
            chat = chat_of(row)
            check_chat(chat)
        except RecordError as error:
            sieve.drop_error(place, error)
            continue
        answers = found.get(chat.id, [])
        if not answers:
            sieve.drop(place, "no_generation", value=chat.id)
            continue
        used.add(chat.id)
        asked = messages_hash(chat.prompt)
        sieve.cleaner.messages(chat.messages)
        real = chat.answer
        fitting = []
        for one in answers:
            if one.asked and one.asked != asked:
                sieve.drop(place, "prompt_mismatch", value=chat.id)
            else:
                fitting.append(one)
        for one, more in _chosen(fitting, real, place, sieve, config):
            rejected = [Message("assistant", one.text)]
            sieve.cleaner.personal(rejected)
            by = {"rejected_by": one.model} if one.model else {}
            yield (
                place,
                Pair(
                    chat.id,
                    list(chat.prompt),
                    [Message("assistant", real)],
                    rejected,
                    chat.source,
                    {**chat.meta, **by, **more},
                ),
            )
    if whole:
        unused.append(len(found.keys() - used))


def _chosen(
    answers: list[Generation], real: str, place: Place, sieve: Sieve, config: RejectConfig
) -> Iterator[tuple[Generation, dict[str, Any]]]:
    """Generations to reject, with what the pair's meta says about their scores."""
    if config.scorer == "none":
        yield from ((one, {}) for one in answers)
        return
    worse: list[tuple[float, Generation]] = []
    for one in answers:
        score = round(SCORERS[config.scorer](one.text, real), 4)
        if score >= config.max_score:
            sieve.drop(place, "too_good", value=score, limit=config.max_score)
        else:
            worse.append((score, one))
    if not worse:
        return
    if config.pairs != "margin":
        pick = min if config.pairs == "best-worst" else max
        worse = [pick(worse, key=lambda x: x[0])]
    kept = [x for x in worse if config.pairs != "margin" or 1 - x[0] >= config.margin]
    for _ in range(len(worse) - len(kept)):
        sieve.drop(place, "tie")
    for score, one in kept:
        yield one, {"scores": [1.0, score], "scored_by": config.scorer}


def generations(path: Path) -> dict[str, list[Generation]]:
    """id -> answers of a generations file, in order; a wrong row is an error that names file and line."""
    found: dict[str, list[Generation]] = {}
    for line, row in read_rows(path):
        wrong = row.message if isinstance(row, BadRow) else ""
        if not isinstance(row, BadRow):
            try:
                if not isinstance(row.get("response"), str):
                    raise RecordError("response", "문자열이 없습니다 (no string)")
                if row.get("id") is None:
                    raise RecordError("id", "키가 없습니다 (missing key)")
                prompt = message_list(row["prompt"], "prompt") if isinstance(row.get("prompt"), list) else []
                row["response"].encode()
            except (RecordError, UnicodeEncodeError) as error:
                wrong = str(error)
            else:
                model = row.get("model")
                entry = Generation(
                    messages_hash(prompt) if prompt else "",
                    row["response"],
                    model if isinstance(model, str) else "",
                )
                found.setdefault(str(row["id"]), []).append(entry)
        if wrong:
            raise UserError(wrong, help=f"올바른 예 (a right example): {EXAMPLE}", file=str(path), line=line)
    return found


# --- scorers: a generation and the real answer -> 0 … 1 -------------------------------------------


def bare(text: str) -> str:
    """Letters and digits only, small: what is left when punctuation and spacing do not count."""
    return "".join(c for c in text.casefold() if c.isalnum())


def chrf(text: str, real: str) -> float:
    """chrF2 (Popović 2015) of two texts, letters and digits only: character 1- to 6-grams, recall counted twice; 0 … 1."""
    one, other = bare(text), bare(real)
    if not one or not other:
        return float(one == other)
    precisions, recalls = [], []
    for n in range(1, 7):
        a = Counter(one[i : i + n] for i in range(len(one) - n + 1))
        b = Counter(other[i : i + n] for i in range(len(other) - n + 1))
        if not a or not b:
            continue
        shared = (a & b).total()
        precisions.append(shared / a.total())
        recalls.append(shared / b.total())
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return 5 * precision * recall / (4 * precision + recall) if precision + recall else 0.0


def same_end(text: str, real: str) -> float:
    """1 when the last number of both is the same (or, without numbers in the real answer, the last line), else 0."""
    numbers = _NUMBER.findall(real)
    if numbers:
        own = _NUMBER.findall(text)
        return float(bool(own) and float(own[-1].replace(",", "")) == float(numbers[-1].replace(",", "")))
    return float(bare(text.strip().split("\n")[-1]) == bare(real.strip().split("\n")[-1]))


SCORERS: dict[str, Callable[[str, str], float]] = {"chrf": chrf, "answer": same_end}
