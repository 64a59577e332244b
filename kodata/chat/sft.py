"""`kodata sft`: instruction and dialogue sources of any known form into one checked chat JSONL."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from kodata.chat.clean import Cleaner
from kodata.chat.forms import chat_form, chat_of
from kodata.chat.records import Chat, Message, RecordError, chat_to_json, check_chat, dump_line
from kodata.chat.rows import ROW_SUFFIXES
from kodata.chat.sieve import REASONS, Place, Sieve, length_edges, pii_block, rows_of, source_name
from kodata.pii import PiiConfig
from kodata.run.errors import UsageError
from kodata.run.files import atomic_open
from kodata.run.flags import DryRun, Flat, Fresh, Inputs, Limit, Output
from kodata.run.folder import open_run
from kodata.run.inputs import expand
from kodata.run.progress import progress
from kodata.run.result import Result

DRY_RUN_RECORDS = 200


@dataclass(kw_only=True, slots=True)
class SftConfig:
    """What becomes a training conversation."""

    prompt_field: str = ""
    """질문이 든 키나 틀, 예: 사건명, '{제목}\\n{본문}' (key or template of the prompt)"""
    response_field: str = ""
    """답이 든 키나 틀 (key or template of the answer)"""
    system: str = ""
    """시스템 메시지가 없는 대화에 붙일 글 (system message for chats without one)"""
    max_turns: int = 0
    """앞의 이만큼 주고받기만, 0 = 모두 (keep the first N rounds, 0 = all)"""
    max_chars: int = 32_000
    """더 긴 대화는 버림, 글자 (drop longer chats, characters)"""
    normalise: bool = True
    """문서와 같은 규칙으로 글을 다듬음 (normalise text as documents are)"""
    pii: PiiConfig = field(default_factory=PiiConfig)
    """개인정보 (personal data)"""

    def __post_init__(self) -> None:
        if bool(self.prompt_field) != bool(self.response_field):
            raise UsageError(
                "--prompt-field와 --response-field는 함께 씁니다 (give both)",
                help="예: --prompt-field 사건명 --response-field 재결요지",
            )
        for name in ("max_turns", "max_chars"):
            if getattr(self, name) < 0:
                raise UsageError(
                    f"--{name.replace('_', '-')}는 0 이상입니다 (must be 0 or more): {getattr(self, name)}"
                )


@dataclass(slots=True)
class _Seen:
    """What the report needs to know about the chats that were kept."""

    forms: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    rounds: Counter[int] = field(default_factory=Counter)
    prompt_chars: list[int] = field(default_factory=list)
    answer_chars: list[int] = field(default_factory=list)
    samples: list[dict[str, str]] = field(default_factory=list)


def sft(
    inputs: Inputs,
    /,
    *,
    output: Output,
    config: Annotated[SftConfig | None, Flat] = None,
    limit: Limit = None,
    dry_run: DryRun = False,
    fresh: Fresh = False,
) -> Result:
    """지시·대화 자료를 학습용 대화 JSONL로 (build SFT chat JSONL).

    Reads JSONL, JSON, CSV, TSV and Parquet (also .gz, .zst) in the forms of `kodata.chat.forms`, writes
    `{"id", "messages", "source", "meta"}` lines to OUTPUT and everything not kept, with its reason, to
    `dropped.jsonl` in the run folder beside it. Deterministic; a run that was killed starts again from nothing.
    Raises UserError when a file is missing or no record is usable.
    """
    config = config or SftConfig()
    files = expand(inputs, ROW_SUFFIXES)
    if dry_run:
        sieve, seen = Sieve("sft", None, Cleaner(config.normalise, config.pii)), _Seen()
        for _ in _chats(files, config, sieve, seen, limit=min(limit or DRY_RUN_RECORDS, DRY_RUN_RECORDS)):
            pass
        sieve.refuse_empty()
        lines = ["시험 실행: 아무것도 쓰지 않았습니다 (dry run, nothing written)", *_lines(sieve)]
        return Result(path=None, summary=_summary(sieve, seen), report=_report(sieve, seen), lines=lines)

    settings = {**asdict(config), "limit": limit}
    with open_run(
        output, tool="kodata", verb="sft", config=settings, inputs=files, fresh=fresh, kind="file"
    ) as run:
        if run.done:
            return run.result()
        with ExitStack() as stack:
            dropped = stack.enter_context(atomic_open(run.path / "dropped.jsonl", "wb"))
            out = stack.enter_context(atomic_open(output, "wb"))
            bar = stack.enter_context(progress("대화 만들기 (sft)", unit="대화"))
            sieve, seen = Sieve("sft", dropped, Cleaner(config.normalise, config.pii)), _Seen()
            for chat in _chats(files, config, sieve, seen, limit=limit):
                out.write(dump_line(chat_to_json(chat)))
                bar.advance(1)
            sieve.refuse_empty()
        return run.finish(summary=_summary(sieve, seen), report=_report(sieve, seen), lines=_lines(sieve))


def _chats(
    files: list[Path], config: SftConfig, sieve: Sieve, seen: _Seen, limit: int | None
) -> Iterator[Chat]:
    """Checked chats in input order; everything else is dropped into the sieve."""
    for place, row in rows_of(files, sieve, limit):
        try:
            form = "fields" if config.prompt_field else chat_form(row)[0]
            chat = chat_of(row, prompt_field=config.prompt_field, response_field=config.response_field)
        except RecordError as error:
            sieve.drop_error(place, error)
            continue
        sieve.cleaner.messages(chat.messages)
        _shorten(chat, config.max_turns, sieve)
        if not _kept(chat, place, config, sieve):
            continue
        chat.id = sieve.unique_id(chat.id, chat.messages)
        chat.source = chat.source or source_name(place.file)
        chat.meta = sieve.cleaner.values(chat.meta)
        cluster = sieve.cluster(chat.id, chat.prompt, chat.meta)
        if cluster != chat.id:
            chat.meta["cluster"] = cluster
        if config.system and chat.messages[0].role != "system":
            chat.messages.insert(0, Message("system", config.system))
        _remember(chat, form, seen)
        sieve.kept += 1
        yield chat


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


def _kept(chat: Chat, place: Place, config: SftConfig, sieve: Sieve) -> bool:
    """Whether the chat passes every check; otherwise it is dropped with the first reason that holds."""
    try:
        check_chat(chat)
    except RecordError as error:
        sieve.drop_error(place, error)
        return False
    users = [m.content for m in chat.messages if m.role == "user"]
    if not users[-1].strip():
        sieve.drop(place, "empty_prompt")
        return False
    if chat.answer.strip() == users[-1].strip():
        sieve.drop(place, "echo")
        return False
    chars = sum(len(m.content) for m in chat.messages)
    if config.max_chars and chars > config.max_chars:
        sieve.drop(place, "too_long", value=chars, limit=config.max_chars)
        return False
    if sieve.seen(chat.messages):
        sieve.drop(place, "duplicate", value=chat.id)
        return False
    return True


def _remember(chat: Chat, form: str, seen: _Seen) -> None:
    seen.forms[form] += 1
    seen.sources[chat.source] += 1
    seen.rounds[sum(m.role == "assistant" for m in chat.messages)] += 1
    seen.prompt_chars.append(sum(len(m.content) for m in chat.prompt))
    seen.answer_chars.append(len(chat.answer))
    if len(seen.samples) < 6:
        text = "\n".join(f"{m.role}: {m.content}" for m in chat.messages)
        seen.samples.append({"label": chat.id, "text": text, "note": chat.source})


def _summary(sieve: Sieve, seen: _Seen) -> dict[str, Any]:
    return {
        **sieve.summary(),
        "forms": dict(seen.forms),
        "sources": dict(seen.sources),
        "prompt_chars": sum(seen.prompt_chars),
        "answer_chars": sum(seen.answer_chars),
    }


def _lines(sieve: Sieve) -> list[str]:
    gone = sieve.read - sieve.kept
    lines = [f"대화 {sieve.kept:,}개 (chats), 버림 {gone:,}개 (dropped), 읽음 {sieve.read:,}개 (read)"]
    lines += [f"  {REASONS.get(reason, reason)}: {n:,}" for reason, n in sieve.reasons.most_common()]
    return lines + [f"  예 (e.g.) {error}" for error in sieve.errors[:3]]


def _report(sieve: Sieve, seen: _Seen) -> list[dict[str, Any]]:
    from kodata.report import blocks

    left, stages = sieve.read, [("읽음 (read)", sieve.read)]
    for reason, n in sieve.reasons.most_common():
        left -= n
        stages.append((REASONS.get(reason, reason), left))
    notes = {
        "id_changed": "겹친 id를 바꿈 (repeated ids changed)",
        "last_question_cut": "답 없는 끝 질문을 자름 (trailing question cut)",
        "rounds_cut": "주고받기 수를 줄임 (rounds cut)",
    }
    report = [
        blocks.facts(
            "대화 자료 (chat data)",
            {
                "대화 (chats)": sieve.kept,
                "질문 글자 (prompt characters)": sum(seen.prompt_chars),
                "답 글자 (answer characters)": sum(seen.answer_chars),
                **{notes[k]: n for k, n in sorted(sieve.notes.items())},
            },
        ),
        blocks.funnel("남은 대화 (what is left)", stages),
        blocks.table(
            "원천 (sources)",
            ["원천 (source)", "대화 (chats)"],
            [list(x) for x in seen.sources.most_common(50)],
        ),
        blocks.bars("모양 (forms)", seen.forms.most_common()),
        blocks.bars("주고받기 수 (rounds)", [(str(k), n) for k, n in sorted(seen.rounds.items())[:30]]),
    ]
    for title, lengths in (
        ("질문 길이 (prompt length)", seen.prompt_chars),
        ("답 길이 (answer length)", seen.answer_chars),
    ):
        edges, counts = length_edges(lengths)
        report.append(blocks.histogram(title, edges, counts, unit="글자 (characters)"))
    report += pii_block(sieve.cleaner)
    report.append(blocks.samples("보기 (samples)", seen.samples))
    if sieve.samples:
        report.append(blocks.samples("버린 것 (dropped)", sieve.samples))
    return report
