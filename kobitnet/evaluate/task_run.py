"""Asking a model the questions of a task: requests as lm-evaluation-harness makes them, results recorded as they come."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kobitnet.engine.sampling import finite
from kobitnet.evaluate.task_files import Loaded
from kobitnet.evaluate.tasks import Item, Task
from kodata.run.errors import UserError

if TYPE_CHECKING:
    from kobitnet.evaluate.backend import Backend

FEWSHOT_SEED = 1234  # lm-evaluation-harness's default
BETWEEN = "\n\n"


@dataclass(kw_only=True, slots=True)
class Answered:
    """A task with what the model said to each question: {"lls": […]}, {"text"} or {"responses"} a question."""

    loaded: Loaded
    rows: list[dict[str, Any]]

    @property
    def items(self) -> list[Item]:
        return self.loaded.items[: len(self.rows)]


# ---- prompts ------------------------------------------------------------------------------------


def contexts(loaded: Loaded, shots: int, limit: int | None) -> Iterator[tuple[Item, str]]:
    """Each question with its context: `shots` solved examples before it, drawn as lm-evaluation-harness draws them."""
    draw = random.Random(FEWSHOT_SEED)
    for item in loaded.items[:limit]:
        examples: Sequence[Item] = ()
        if shots:
            examples = draw.sample(loaded.pool, min(shots + loaded.own_pool, len(loaded.pool)))
            if loaded.own_pool:
                examples = [other for other in examples if other != item][:shots]
        yield item, "".join(solved(one) for one in examples) + item.context


def solved(item: Item) -> str:
    """A question with its right answer, as an example."""
    answer = item.choices[item.gold] if item.choices else item.answers[0]
    return f"{item.context} {answer}{BETWEEN}"


def encode_pair(tokenizer: Any, context: str, continuation: str) -> tuple[list[int], list[int]]:
    """Ids of context and continuation, cut as lm-evaluation-harness cuts: spaces at the end of the context belong to the
    continuation, and both are encoded together. An empty context is end-of-text, which stands before a document."""
    if not context.rstrip():
        return [tokenizer.eot_id], list(tokenizer.encode(context + continuation))
    spaces = len(context) - len(context.rstrip())
    if spaces:
        context, continuation = context[:-spaces], context[-spaces:] + continuation
    head = list(tokenizer.encode(context))
    return head, list(tokenizer.encode(context + continuation))[len(head) :]


def choice_scores(backend: Backend, context: str, choices: Sequence[str]) -> list[float]:
    """log p(" " + choice | context) for each choice. A context that is too long loses its beginning.

    Raises UserError when a choice alone is longer than the model reads, or the model computes NaN.
    """
    pairs = [encode_pair(backend.tokenizer, context, f" {choice}") for choice in choices]
    room = backend.positions
    longest = max(len(tail) for _, tail in pairs)
    if longest >= room:
        raise UserError(
            f"보기가 모델이 읽는 {room} 토큰보다 깁니다 (a choice is longer than the model reads): {longest}",
            "더 긴 글을 읽는 모델로 하십시오 (use a model with more positions)",
        )
    if all(head == pairs[0][0] for head, _ in pairs) and len(pairs[0][0]) + longest <= room:
        found = backend.loglikelihoods(pairs[0][0], [tail for _, tail in pairs])
    else:
        found = [backend.loglikelihoods(head[-(room - len(tail)) :], [tail])[0] for head, tail in pairs]
    return [finite(one) for one in found]


def written_answer(backend: Backend, context: str, task: Task) -> str:
    """The greedy continuation up to one of `task.until`, at most `task.max_new_tokens` tokens."""
    tokenizer = backend.tokenizer
    new_tokens = min(task.max_new_tokens, backend.positions // 2)
    ids = (list(tokenizer.encode(context)) or [tokenizer.eot_id])[-(backend.positions - new_tokens) :]
    new: list[int] = []
    text = ""
    for token in backend.stream(ids, new_tokens, stop_ids=[tokenizer.eot_id, tokenizer.end_of_turn_id]):
        new.append(token)
        text = tokenizer.decode(new, skip_special=True)
        if text.strip() and any(mark in text.lstrip() for mark in task.until):
            break
    text = text.lstrip()
    for mark in task.until:
        text = text.split(mark)[0]
    return text.strip()


def responses(backend: Backend, turns: Sequence[str], task: Task) -> list[str | None]:
    """The model's greedy answer to each turn through its chat template; None once the conversation fills the model."""
    from kodata.chat import Message
    from kotok.chat import prompt_ids, template_of

    tokenizer = backend.tokenizer
    messages: list[Message] = []
    out: list[str | None] = []
    for turn in turns:
        messages.append(Message(role="user", content=turn))
        ids = list(prompt_ids(tokenizer, messages, template_of(tokenizer)))
        if len(ids) >= backend.positions:
            return [*out, *[None] * (len(turns) - len(out))]
        new = backend.generate(
            ids, task.max_new_tokens, stop_ids=[tokenizer.eot_id, tokenizer.end_of_turn_id]
        )
        answer = tokenizer.decode(list(new), skip_special=True).strip()
        out.append(answer)
        messages.append(Message(role="assistant", content=answer))
    return out


# ---- a task -------------------------------------------------------------------------------------


def answer(
    backend: Backend, loaded: Loaded, *, shots: int, limit: int | None, record: Path | None
) -> Answered:
    """Every question asked. With `record` each result is a line of that file at once, and what stands there is not asked again."""
    from kodata.run.progress import progress

    task = loaded.task
    rows = _recorded(record)
    total = len(loaded.items[:limit])
    asked = contexts(loaded, shots if task.kind != "judge" else 0, limit)
    if record is not None:
        record.parent.mkdir(parents=True, exist_ok=True)
    with (
        open(record, "ab") if record is not None else nullcontext() as handle,
        progress(task.title, total=total, unit="문항", done=len(rows)) as bar,
    ):
        for number, (item, context) in enumerate(asked):
            if number < len(rows):  # drawn all the same, so that the examples of the others stay the same
                continue
            row: dict[str, Any]
            if task.kind == "choice":
                row = {"lls": choice_scores(backend, context, item.choices)}
            elif task.kind == "answer":
                row = {"text": written_answer(backend, context, task)}
            else:
                row = {"label": item.label, "turns": list(item.turns)}
                row["responses"] = responses(backend, item.turns, task)
            rows.append(row)
            if handle is not None:
                handle.write((json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "replace"))
                handle.flush()
            bar.advance(1)
    return Answered(loaded=loaded, rows=rows)


def _recorded(record: Path | None) -> list[dict[str, Any]]:
    """Results of an interrupted run; half a last line is cut off."""
    if record is None or not record.exists():
        return []
    data = record.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) != len(data):
        with open(record, "r+b") as handle:
            handle.truncate(len(whole))
    rows = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise UserError(
                "기록이 깨졌습니다 (broken record)",
                "--fresh 로 다시 하십시오 (again with --fresh)",
                file=record,
                line=number,
            )
        rows.append(row)
    return rows
