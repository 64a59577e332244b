"""`kodata sft`: instruction, dialogue and task sources of any known form into one checked chat JSONL."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from kodata.chat.build import Builder, Kept, build
from kodata.chat.forms import chat_form, chat_of
from kodata.chat.inputs import rows_of
from kodata.chat.layouts import layout_of, tasks_of, tree_chats, trees_of
from kodata.chat.records import Chat, Message, RecordError, chat_to_json, check_chat, messages_hash
from kodata.chat.shared import Against, SharedConfig
from kodata.chat.sieve import Place, Sieve
from kodata.chat.tasks import OtherTask, Task, messages_of, turn_roles
from kodata.chat.tell import chat_report, dropped_lines
from kodata.run.errors import UsageError
from kodata.run.flags import DryRun, Flat, Fresh, Inputs, Limit, Output, Seed
from kodata.run.result import Result

RATED = "aihub.rated_dialogue"
"""The layout whose dialogues come again as rated answers, bad ones among them."""


@dataclass(kw_only=True, slots=True)
class SftConfig(SharedConfig):
    """What becomes a training conversation."""

    prompt_field: str = ""
    """질문이 든 키나 틀, 예: 사건명, '{제목}\\n{본문}' (key or template of the prompt)"""
    response_field: str = ""
    """답이 든 키나 틀 (key or template of the answer)"""
    system: str = ""
    """시스템 메시지가 없는 대화에 붙일 글 (system message for chats without one)"""
    max_turns: int = 0
    """앞의 이만큼 주고받기만, 0 = 모두 (keep the first N rounds, 0 = all)"""
    per_prompt: int = 1
    """같거나 거의 같은 질문 하나에 남길 대화, 0 = 모두 (chats kept for one prompt, 0 = all)"""

    def __post_init__(self) -> None:
        SharedConfig.__post_init__(self)
        if bool(self.prompt_field) != bool(self.response_field):
            raise UsageError(
                "--prompt-field와 --response-field는 함께 씁니다 (give both)",
                help="예: --prompt-field 사건명 --response-field 재결요지",
            )
        for name in ("max_turns", "per_prompt"):
            if getattr(self, name) < 0:
                raise UsageError(
                    f"--{name.replace('_', '-')}는 0 이상입니다 (must be 0 or more): {getattr(self, name)}"
                )


def sft(
    inputs: Inputs,
    /,
    *,
    output: Output,
    against: Against = None,
    config: Annotated[SftConfig | None, Flat] = None,
    limit: Limit = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    fresh: Fresh = False,
) -> Result:
    """지시·대화·과제 자료를 학습용 대화 JSONL로 (build SFT chat JSONL).

    Reads JSONL, JSON, CSV, TSV and Parquet (also .gz, .zst), AI Hub deliveries and `hf:owner/name[:config[:split]]`: the
    conversation forms of `kodata.chat.forms`, the layouts of `kodata.chat.layouts` (KorQuAD, OpenAssistant trees, summaries,
    translations), tasks worded by `kodata.chat.tasks`. Writes `{"id", "messages", "source", "meta"}` lines to OUTPUT
    and everything not kept, with its reason, to `dropped.jsonl` in the run folder beside it. Deterministic by `seed`; a run
    that was killed starts again from nothing. Raises UserError when a file is missing or no record is usable.
    """
    config = config or SftConfig()
    builder = Builder(
        verb="sft",
        title="대화 만들기 (sft)",
        unit="대화",
        config=config,
        seed=seed,
        per_prompt=config.per_prompt,
        read=lambda sources, sieve: _chats(sources, sieve, config, seed),
        check=_passes,
        to_json=chat_to_json,
        texts=lambda chat: (chat.prompt, [chat.messages[-1]]),
        tell=_told,
    )
    return build(
        builder, inputs, output, {}, against=list(against or []), limit=limit, dry_run=dry_run, fresh=fresh
    )


def _chats(
    sources: Sequence[Path | str], sieve: Sieve, config: SftConfig, seed: int
) -> Iterator[tuple[Place, str, Chat]]:
    """Cleaned chats in input order; rows of which none can be made are dropped."""
    for place, row in trees_of(rows_of(sources, sieve)):
        for form, found in _found(row, config, seed):
            if isinstance(found, RecordError):
                sieve.drop_error(place, found)
                continue
            sieve.cleaner.messages(found.messages)
            _shorten(found, config.max_turns, sieve)
            if config.system and found.messages and found.messages[0].role != "system":
                found.messages.insert(0, Message("system", config.system))
            yield place, form, found


def _found(row: Any, config: SftConfig, seed: int) -> Iterator[tuple[str, Chat | RecordError]]:
    """(form, chat or what is wrong) for everything a row holds."""
    try:
        if not isinstance(row, dict):
            yield str(row.meta.get("layout") or row.kind), _task_chat(row, seed)
        elif config.prompt_field:
            yield (
                "fields",
                chat_of(row, prompt_field=config.prompt_field, response_field=config.response_field),
            )
        elif "context" in row and layout_of(row) == "mrc":  # question and answer, but about a passage
            yield from _task_chats(row, "mrc", seed)
        else:
            try:
                form = chat_form(row)[0]
            except RecordError:
                layout = layout_of(row)
                if layout == "tree":
                    yield from (("tree", chat) for chat in tree_chats(row))
                elif layout:
                    yield from _task_chats(row, layout, seed)
                else:
                    raise
            else:
                yield form, chat_of(row, form=form)
    except RecordError as error:
        yield "", error


def _task_chats(row: dict[str, Any], layout: str, seed: int) -> Iterator[tuple[str, Chat | RecordError]]:
    source = row.get("source")
    for task in tasks_of(row):
        try:
            if isinstance(task, RecordError):
                raise task
            chat = _task_chat(task, seed)
        except RecordError as error:
            yield layout, error
            continue
        if isinstance(source, str) and layout != "translation":
            chat.source = source
        yield layout, chat


def _task_chat(task: Any, seed: int) -> Chat:
    """The chat of a task record; of rated answers only the good ones are learned, and what bots said before is shown."""
    meta = {**task.meta, "task": task.kind}
    if task.kind == "rating":
        bad = [name for name, good in task.fields["marks"].items() if not good]
        if bad:
            raise RecordError("", f"나쁜 점: {', '.join(bad)} (rated bad)", reason="rated_bad")
        messages = turn_roles(task.fields["prompt"])
        for message in messages:
            message.train = message.role != "assistant"
        messages.append(Message("assistant", str(task.fields["answer"])))
    elif task.kind == "ranking":
        best = Task("instruction", task.id, {"prompt": "", "answer": str(task.fields["answers"][0])})
        messages = [*turn_roles(task.fields["prompt"]), messages_of(best, seed)[-1]]
    elif task.kind in ("question", "answer"):
        raise OtherTask(task.kind, "짝이 되는 질문이나 답이 없습니다 (its other half is missing)")
    elif task.kind == "dialogue" and task.meta.get("layout") == RATED:
        raise OtherTask(task.kind, "평가된 답만 배웁니다 (of rated dialogues the rated answers are learned)")
    else:
        messages = messages_of(task, seed)
    source = str(task.meta.get("dataset") or "")
    return Chat(str(task.id) or messages_hash(messages), messages, source, meta)


def _shorten(chat: Chat, max_turns: int, sieve: Sieve) -> None:
    """Cut a question nobody answers off the end, and rounds beyond `max_turns`; both are counted."""
    messages = chat.messages
    if len(messages) > 2 and messages[-1].role == "user" and messages[-2].role == "assistant":
        messages.pop()
        sieve.notes["last_question_cut"] += 1
    head = 1 if messages and messages[0].role == "system" else 0
    if max_turns and len(messages) > head + 2 * max_turns:
        del messages[head + 2 * max_turns :]
        sieve.notes["rounds_cut"] += 1


def _passes(chat: Chat, place: Place, sieve: Sieve) -> bool:
    """Whether the chat passes every check; otherwise it is dropped with the first reason that holds."""
    try:
        check_chat(chat)
    except RecordError as error:
        sieve.drop_error(place, error)
        return False
    asked = next(m.content for m in reversed(chat.messages) if m.role == "user")
    if not asked.strip():
        sieve.drop(place, "empty_prompt")
    elif chat.answer.strip() == asked.strip():
        sieve.drop(place, "echo")
    elif not any(m.train for m in chat.messages if m.role == "assistant"):
        sieve.drop(place, "nothing_to_learn")
    else:
        return True
    return False


def _told(sieve: Sieve, kept: Kept) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    summary = {
        **sieve.summary(),
        "forms": dict(kept.forms),
        "sources": dict(kept.sources),
        "prompt_chars": sum(prompt for prompt, _ in kept.lengths),
        "answer_chars": sum(answer for _, answer in kept.lengths),
        **kept.quality.summary(),
    }
    gone = sieve.read - sieve.kept
    lines = [
        f"대화 {sieve.kept:,}개 (chats), 버림 {gone:,}개 (dropped), 읽음 {sieve.read:,}개 (read)",
        *dropped_lines(sieve),
    ]
    return summary, chat_report(sieve, kept), lines
