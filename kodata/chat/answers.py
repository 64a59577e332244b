"""Several answers to one question, ranked, scored, voted on or rated: read from any layout, made into pairs by a policy."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from kodata.chat.forms import message_list, question_of
from kodata.chat.layouts import TREE_EXAMPLE, rank_of, replies_of
from kodata.chat.records import Message, Pair, RecordError, messages_hash

Policy = Literal["best-worst", "adjacent", "margin"]

RANKED_EXAMPLE = (
    '{"id": "예1", "prompt": "수도는?", "responses": ["서울입니다.", "부산입니다."], "scores": [5, 1]}'
)
VOTE_EXAMPLE = (
    '{"prompt": "수도는?", "response_a": "서울입니다.", "response_b": "부산입니다.", "winner": "a"}'
)
RATED_EXAMPLE = '{"prompt": "수도는?", "response": "서울입니다.", "score": 5}'


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and how good it is: a larger score is better (a rank is stored with its sign turned)."""

    text: str
    score: float


@dataclass(slots=True)
class Ranked:
    """Answers to one prompt. `by` says what the scores are: score, rank, vote, rating."""

    id: str
    prompt: list[Message]
    answers: list[Answer]
    by: str
    source: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


def pairs_of(ranked: Ranked, policy: Policy, margin: float) -> list[Pair]:
    """Pairs of strictly better and worse answers, best first.

    best-worst: one pair. adjacent: each answer with the next one of a lower score. margin: all pairs whose scores differ by at
    least `margin`. Raises RecordError when there is one answer only (`one_answer`) or none is better (`tie`).
    """
    order = sorted(ranked.answers, key=lambda a: -a.score)
    if len(order) < 2:
        raise RecordError("", "견줄 답이 없습니다 (only one answer to this prompt)", reason="one_answer")
    if policy == "best-worst":
        chosen = [(order[0], order[-1])] if order[0].score > order[-1].score else []
    elif policy == "adjacent":
        chosen = [(a, b) for a, b in pairwise(order) if a.score > b.score]
    else:
        chosen = [
            (a, b)
            for i, a in enumerate(order)
            for b in order[i + 1 :]
            if a.score > b.score and a.score - b.score >= margin
        ]
    if not chosen:
        why = (
            f"점수 차이가 {margin:g}보다 작습니다 (scores too close)"
            if policy == "margin"
            else "더 나은 답이 없습니다 (a tie)"
        )
        raise RecordError("", why, reason="tie")
    return [
        Pair(
            ranked.id if len(chosen) == 1 else f"{ranked.id}-{i}",
            list(ranked.prompt),
            [Message("assistant", good.text)],
            [Message("assistant", bad.text)],
            ranked.source,
            {**ranked.meta, "scores": [good.score, bad.score], "scored_by": ranked.by},
        )
        for i, (good, bad) in enumerate(chosen, 1)
    ]


# --- one record with all its answers --------------------------------------------------------------


def ranked_of(record: Mapping[str, Any]) -> Ranked | None:
    """The ranked answers a record holds, None when it has no such layout. Raises RecordError naming the key at fault."""
    if sides := _votes(record):
        used, answers, by = _voted(record, sides)
    elif key := _list_key(record):
        used, answers, by = _listed(record, key)
    elif names := _numbered(record):
        used, answers, by = _from_numbered(record, names)
    else:
        return None
    prompt_keys, prompt = question_of(record, RANKED_EXAMPLE)
    meta = {k: v for k, v in record.items() if k not in used | prompt_keys | {"id", "source", "meta"}}
    if isinstance(record.get("meta"), Mapping):
        meta = {**record["meta"], **meta}
    source = record.get("source")
    id = record.get("id", record.get("data_id", record.get("question_id")))
    return Ranked(
        str(id) if id not in (None, "") else messages_hash(prompt),
        prompt,
        answers,
        by,
        source if isinstance(source, str) else "",
        meta,
    )


Built = tuple[set[str], list[Answer], str]
_LISTS = ("completions", "responses", "generations", "answers", "candidates", "outputs")
_SCORES = ("scores", "ratings", "overall_scores", "rewards", "rewards_armorm", "score", "rating")
_RANKS = ("ranks", "ranking", "rankings", "rank")
_ONE_SCORE = ("overall_score", "score", "rating", "reward", "fine-grained_score")
_ONE_RANK = ("rank", "ranking")
_TEXTS = ("response", "text", "contents", "content", "answer", "completion", "output", "generated_text")
_NUMBERED = re.compile(r"(answer|response|output)_?0*([1-9]\d?)")


def _list_key(record: Mapping[str, Any]) -> str:
    """The key of a list of answers that has scores or ranks, in it or beside it."""
    for key in _LISTS:
        value = record.get(key)
        if isinstance(value, list) and value:
            inside = isinstance(value[0], Mapping) and bool({*_ONE_SCORE, *_ONE_RANK} & value[0].keys())
            if inside or any(isinstance(record.get(k), list) for k in (*_SCORES, *_RANKS)):
                return key
    return ""


def _listed(record: Mapping[str, Any], key: str) -> Built:
    """UltraFeedback `completions`, MagPie-like `responses` with `rewards`, any list with `scores` or `ranks` beside it."""
    items = record[key]
    if isinstance(items[0], Mapping) and {*_ONE_SCORE, *_ONE_RANK} & items[0].keys():
        by = "rank" if not any(k in items[0] for k in _ONE_SCORE) else "score"
        return {key}, [_scored(item, f"{key}[{i}]", by) for i, item in enumerate(items)], by
    beside = next(k for k in (*_SCORES, *_RANKS) if isinstance(record.get(k), list))
    by = "rank" if beside in _RANKS else "score"
    values = record[beside]
    if len(values) != len(items):
        raise RecordError(
            beside, f"답 {len(items)}개에 점수 {len(values)}개입니다 (lengths differ)", example=RANKED_EXAMPLE
        )
    answers = []
    for i, (item, value) in enumerate(zip(items, values, strict=True)):
        score = number(value.get("score") if isinstance(value, Mapping) else value, f"{beside}[{i}]")
        answers.append(Answer(_answer_text(item, f"{key}[{i}]"), -score if by == "rank" else score))
    return {key, beside}, answers, by


def _scored(item: Any, at: str, by: str) -> Answer:
    if not isinstance(item, Mapping):
        raise RecordError(at, "객체가 아닙니다 (not an object)", example=RANKED_EXAMPLE)
    key = next((k for k in (_ONE_RANK if by == "rank" else _ONE_SCORE) if item.get(k) is not None), "")
    if not key:
        raise RecordError(at, "점수나 순위가 없습니다 (no score or rank)", example=RANKED_EXAMPLE)
    value = number(item[key], f"{at}.{key}")
    return Answer(_answer_text(item, at), -value if by == "rank" else value)


def _numbered(record: Mapping[str, Any]) -> list[str]:
    """`answer01` … `answer05` with a ranking in each (AI Hub 71748)."""
    found = [k for k, v in record.items() if _NUMBERED.fullmatch(str(k)) and isinstance(v, Mapping)]
    return sorted(found, key=lambda k: int(_NUMBERED.fullmatch(k)[2])) if len(found) > 1 else []  # type: ignore[index]


def _from_numbered(record: Mapping[str, Any], keys: list[str]) -> Built:
    by = "rank" if any(k in record[keys[0]] for k in _ONE_RANK) else "score"
    return set(keys), [_scored(record[k], k, by) for k in keys], by


_SIDES = (
    ("conversation_a", "conversation_b"),
    ("response_a", "response_b"),
    ("answer_a", "answer_b"),
    ("output_1", "output_2"),
    ("response_1", "response_2"),
    ("human_ref_A", "human_ref_B"),
)
_VOTES = ("winner", "preference", "preference_strength", "preferred", "labels", "vote", "votes")


def _votes(record: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """(first side, second side, vote) of a comparison of two answers by people."""
    for one, other in _SIDES:
        if one in record and other in record:
            vote = next((k for k in (*_VOTES, "winner_model_a") if k in record), "")
            if not vote:
                raise RecordError("winner", "키가 없습니다 (missing key)", example=VOTE_EXAMPLE)
            return one, other, vote
    return None


def _voted(record: Mapping[str, Any], keys: tuple[str, str, str]) -> Built:
    """Arena-like `winner`, HelpSteer `preference_strength` (below 0: the first), SHP `labels` (1: the first), vote counts."""
    one, other, vote = keys
    value = record[vote]
    used = {one, other, vote, "winner_model_b", "winner_tie"}
    if vote == "winner_model_a":
        ahead = number(value, vote) - number(record.get("winner_model_b", 0), "winner_model_b")
    elif isinstance(value, str):
        word = value.strip().lower().replace("model", "").replace("response", "").strip(" _-")
        if word in ("a", "1", "first", "앞"):
            ahead = 1.0
        elif word in ("b", "2", "second", "뒤"):
            ahead = -1.0
        elif "tie" in word or "bad" in word or word in ("", "비김", "같음"):
            ahead = 0.0
        else:
            raise RecordError(vote, f"모르는 값 {value!r} (unknown; a, b or tie)", example=VOTE_EXAMPLE)
    elif isinstance(value, list) and len(value) == 2:
        ahead = number(value[0], f"{vote}[0]") - number(value[1], f"{vote}[1]")
    elif vote == "preference_strength":
        ahead = -number(value, vote)
    elif vote == "labels":
        ahead = 2 * number(value, vote) - 1
    else:  # 1 or 2: which of the two
        ahead = {1.0: 1.0, 2.0: -1.0}.get(number(value, vote), 0.0)
    texts = [_side_text(record[k], k) for k in (one, other)]
    return used, [Answer(texts[0], ahead), Answer(texts[1], 0.0)], "vote"


def _side_text(value: Any, key: str) -> str:
    if isinstance(value, list):
        messages = message_list(value, key)
        if not messages or messages[-1].role != "assistant":
            raise RecordError(
                key, "답으로 끝나지 않습니다 (does not end with an answer)", example=VOTE_EXAMPLE
            )
        return messages[-1].content
    return _answer_text(value, key)


def _answer_text(item: Any, key: str) -> str:
    if isinstance(item, Mapping):
        name = next((k for k in _TEXTS if isinstance(item.get(k), str)), "")
        if not name:
            raise RecordError(key, "답이 없습니다 (no text)", example=RANKED_EXAMPLE)
        return str(item[name])
    if not isinstance(item, str):
        raise RecordError(
            key, f"문자열이 아닙니다: {type(item).__name__} (not a string)", example=RANKED_EXAMPLE
        )
    return item


def number(value: Any, key: str) -> float:
    """A finite number; yes/no, true/false and numbers in strings count. Raises RecordError."""
    if isinstance(value, str):
        word = value.strip().lower()
        value = {"yes": 1, "no": 0, "true": 1, "false": 0, "예": 1, "아니오": 0}.get(word, value)
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):  # an integer of hundreds of digits
        found = math.nan
    if not math.isfinite(found):
        raise RecordError(key, f"수가 아닙니다: {str(value)[:60]!r} (not a number)", example=RANKED_EXAMPLE)
    return found


# --- one record for each answer -------------------------------------------------------------------

_RATED_ANSWER = ("response", "answer", "output", "completion")
_RATING = ("score", "rating", "acceptable?", "acceptable", "label", "reward", "is_correct", "correct")


def rated_keys(record: Mapping[str, Any]) -> tuple[str, str] | None:
    """(answer, rating) of a record that holds one rated answer (SQuARe, correctness labels), else None."""
    answer = next((k for k in _RATED_ANSWER if isinstance(record.get(k), str)), "")
    rating = next((k for k in _RATING if isinstance(record.get(k), int | float | str)), "")
    if not answer or not rating or not {"prompt", "question", "instruction"} & record.keys():
        return None
    return answer, rating


class Ratings:
    """Rated answers of one input, gathered under their prompts; `groups()` gives them in the order the prompts came."""

    def __init__(self) -> None:
        self._groups: dict[str, tuple[Any, Ranked]] = {}

    def add(self, place: Any, ranked: Ranked) -> None:
        """Add the answers to those of the same prompt."""
        key = messages_hash(ranked.prompt)
        if key in self._groups:
            self._groups[key][1].answers.extend(ranked.answers)
        else:
            self._groups[key] = (place, ranked)

    def groups(self) -> Iterator[tuple[Any, Ranked]]:
        """(place of the first answer, all answers) for each prompt."""
        yield from self._groups.values()


def rated_of(record: Mapping[str, Any], keys: tuple[str, str]) -> Ranked:
    """One rated answer. Raises RecordError naming the key at fault."""
    answer, rating = keys
    bare = {k: v for k, v in record.items() if k != answer}
    prompt_keys, prompt = question_of(bare, RATED_EXAMPLE)
    source, id = record.get("source"), record.get("id")
    return Ranked(
        str(id) if id not in (None, "") else messages_hash(prompt),
        prompt,
        [Answer(str(record[answer]), number(record[rating], rating))],
        "rating",
        source if isinstance(source, str) else "",
        {k: v for k, v in record.items() if k not in {answer, rating, "id", "source", "meta"} | prompt_keys},
    )


# --- trees ----------------------------------------------------------------------------------------


def tree_ranked(record: Mapping[str, Any]) -> Iterator[Ranked | RecordError]:
    """Each question of an OpenAssistant tree whose answers people ranked; what went before is the prompt."""
    root = record["prompt"]
    tree = str(record.get("message_tree_id") or root.get("message_id") or "")
    stack: list[tuple[dict[str, Any], list[Message]]] = [(root, [])]
    count = 0
    while stack:
        node, before = stack.pop()
        text = node.get("text")
        if not isinstance(text, str):
            yield RecordError("prompt…text", "문자열이 없습니다 (no string)", example=TREE_EXAMPLE)
            continue
        role = "assistant" if node.get("role") == "assistant" else "user"
        prompt = [*before, Message(role, text)]
        replies = [r for r in replies_of(node) if isinstance(r.get("text"), str)]
        ranked = [(r, rank) for r in replies if role == "user" and (rank := rank_of(r)) is not None]
        if len(ranked) > 1:
            count += 1
            answers = [Answer(r["text"], -rank) for r, rank in ranked]
            name = f"{tree}-{count}" if count > 1 else tree
            yield Ranked(name or messages_hash(prompt), prompt, answers, "rank")
        if len(prompt) < 64:
            stack.extend((reply, prompt) for reply in reversed(replies))
    if not count:
        yield RecordError(
            "prompt.replies", "순위가 있는 답이 둘 이상 없습니다 (no ranked answers)", reason="one_answer"
        )
