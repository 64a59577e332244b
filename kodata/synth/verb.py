"""`kodata synth`: made chats and answers, each with where it comes from."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from kodata.chat.records import Chat, chat_to_json, dump_line
from kodata.chat.rows import ROW_SUFFIXES, check_output
from kodata.run.errors import UsageError, UserError
from kodata.run.files import atomic_open
from kodata.run.flags import DryRun, Flat, Fresh, Limit, Output, Parameter, Seed
from kodata.run.folder import RunFolder, open_run
from kodata.run.inputs import expand
from kodata.run.progress import progress
from kodata.run.result import Result
from kodata.synth import selfinstruct, taxonomy
from kodata.synth.answers import prompts_of, response_row
from kodata.synth.client import Answer, Ask, Client, EndpointConfig
from kodata.synth.instructions import Made, from_seeds, from_taxonomy

Kind = Literal["arithmetic", "taxonomy", "self-instruct", "answers"]
REASONS = {
    "refused": "엔드포인트가 거절 (refused by the endpoint)",
    "no_list": "과목이나 차시의 목록이 없음 (no list of subjects or sessions)",
    "empty_prompt": "빈 질문 (empty question)",
    "too_long": "너무 긴 질문 (question too long)",
    "not_korean": "한국어가 아님 (not Korean)",
    "impossible": "글로 할 수 없는 과제 (not a task for text)",
    "near": "있는 질문과 거의 같음 (nearly a question that is there)",
    "empty_answer": "빈 답 (empty answer)",
    "cut": "길이에서 잘린 답 (answer cut at the limit)",
    "echo": "답이 질문과 같음 (answer equals question)",
}


@dataclass(kw_only=True, slots=True)
class SynthConfig:
    """How much to make."""

    count: int = 100
    """만들 대화의 수 (chats to make)"""
    samples: int = 1
    """answers: 한 질문에 만들 답의 수 (answers for each question)"""

    def __post_init__(self) -> None:
        for name, most in (("count", 10_000_000), ("samples", 64)):
            if not 1 <= getattr(self, name) <= most:
                raise UsageError(
                    f"--{name} 은 1에서 {most} 사이입니다 (must be 1 to {most}): {getattr(self, name)}"
                )


@dataclass(slots=True)
class Told:
    """Counts and samples for the report, and the file of what was not kept."""

    dropped: Any = None
    reasons: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    samples: list[dict[str, str]] = field(default_factory=list)
    kept: int = 0

    def drop(self, reason: str, value: str, facts: dict[str, Any]) -> None:
        self.reasons[reason] += 1
        if self.dropped is not None:
            drop = {"step": "synth", "reason": reason, "value": value, "limit": None}
            self.dropped.write(dump_line({**facts, "drop": drop}))

    def keep(self, label: str, text: str, kind: str) -> None:
        self.kept += 1
        self.kinds[kind] += 1
        if len(self.samples) < 8:
            self.samples.append({"label": label[:400], "text": text[:1200], "note": kind})


def synth(
    kind: Annotated[Kind, Parameter(help="무엇을: 산수, 분류 체계, 자기 지시, 답 (what to make)")],
    inputs: Annotated[
        list[str] | None,
        Parameter(
            help="taxonomy: YAML, self-instruct: 씨앗 대화, answers: 대화·쌍 JSONL (taxonomy, seed chats, or chats to answer)",
            negative=(),
        ),
    ] = None,
    /,
    *,
    output: Output,
    config: Annotated[SynthConfig | None, Flat] = None,
    ask: Annotated[EndpointConfig | None, Flat] = None,
    limit: Limit = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    fresh: Fresh = False,
) -> Result:
    """지시 자료를 만듭니다: 검산한 산수, 엔드포인트로 분류 체계·자기 지시·답 (make instruction data)

    arithmetic: Korean grade-school problems, checked by evaluation, no model. taxonomy: questions from a tree of what
    people learn (GLAN), answered by the endpoint. self-instruct: new instructions from seed tasks. answers: answers to
    the questions of a chat file, as generations JSONL for `kodata dpo --rejected`. Answers are kept in <output>.cache/ by
    the hash of their request: nothing is paid for twice, not after a kill and not with --fresh (delete that folder to ask
    anew, for example after training the served model on). The key is read from an
    environment variable (--key-variable) and never written.
    Raises UserError when the endpoint refuses or does not answer, or nothing usable came.
    """
    config, ask = config or SynthConfig(), ask or EndpointConfig()
    check_output(output)
    files = _files(kind, inputs or [])
    if kind != "arithmetic":
        ask.needed()
    if kind == "answers" and not files:
        raise UsageError(
            "답할 대화 JSONL이 빠졌습니다 (chats to answer are missing)",
            "kodata synth answers chat.jsonl -o answers.jsonl",
        )
    if dry_run:
        return _plan(kind, files, config, ask, limit, seed)
    settings = {**asdict(config), "kind": kind, "limit": limit, **_asking(kind, ask)}
    with open_run(
        output,
        tool="kodata",
        verb="synth",
        config=settings,
        inputs=files,
        seed=seed,
        fresh=fresh,
        kind="file",
    ) as run:
        if run.done:
            return run.result()
        with ExitStack() as stack:
            told = Told(stack.enter_context(atomic_open(run.path / "dropped.jsonl", "wb")))
            out = stack.enter_context(atomic_open(output, "wb"))
            client = None
            if kind != "arithmetic":
                client = stack.enter_context(Client(ask, _cache(run)))
            for row in _rows(kind, files, config, client, limit, seed, told):
                out.write(dump_line(row))
            _refuse_empty(told)
        return run.finish(**_outcome(kind, told, client, ask))


def _rows(
    kind: Kind,
    files: list[Path],
    config: SynthConfig,
    client: Client | None,
    limit: int | None,
    seed: int,
    told: Told,
) -> Iterator[dict[str, Any]]:
    """The lines of the output, in order."""
    if client is None:
        from kodata.synth.arithmetic import arithmetic

        count = min(config.count, limit or config.count)
        with progress("산수 문제 (arithmetic)", total=count, unit="문제") as bar:
            for chat in arithmetic(count, seed):
                bar.advance(1)
                yield _kept(chat, chat.meta["synth"]["template"], told)
        return
    if kind == "answers":
        yield from _answers(files, config, client, limit, seed, told)
        return
    count = min(config.count, limit or config.count)
    if kind == "taxonomy":
        tree = taxonomy.read_taxonomy(files[0] if files else None)
        chats: Iterable[Made] = from_taxonomy(tree, count, seed, client, _stage)
    else:
        chats = from_seeds(_seeds(files), count, seed, client, _stage)
    for made in chats:
        if made.reason:
            told.drop(made.reason, made.value, made.facts)
        else:
            assert made.chat is not None
            yield _kept(made.chat, made.label, told)


def _stage(label: str, client: Client, asks: list[Ask]) -> Iterator[Answer]:
    """The answers of one stage, with its progress."""
    with progress(label, total=len(asks), unit="요청") as bar:
        for answer in client.answers(asks):
            bar.advance(1, 재사용=client.reused)
            yield answer


def _answers(
    files: list[Path], config: SynthConfig, client: Client, limit: int | None, seed: int, told: Told
) -> Iterator[dict[str, Any]]:
    asked = list(prompts_of(files, limit))
    asks = [
        Ask(tuple((m.role, m.content) for m in prompt), seed + sample)
        for _, prompt in asked
        for sample in range(config.samples)
    ]
    answers = _stage("답 만들기 (answering)", client, asks)
    for i, answer in enumerate(answers):
        identity, prompt = asked[i // config.samples]
        if answer.problem:
            told.drop("refused", answer.problem, {"id": identity})
            continue
        told.keep(prompt[-1].content, answer.text or "(빈 답, empty)", "answers")
        yield response_row(identity, prompt, answer, client.config, asks[i].seed)


def _kept(chat: Chat, kind: str, told: Told) -> dict[str, Any]:
    told.keep(chat.messages[0].content, chat.answer, kind)
    return chat_to_json(chat)


# ---- before and after -----------------------------------------------------------------------------


def _files(kind: Kind, inputs: list[str]) -> list[Path]:
    if not inputs:
        return []
    files = [] if kind == "arithmetic" else expand(inputs, () if kind == "taxonomy" else ROW_SUFFIXES)
    if kind == "arithmetic" or (kind == "taxonomy" and len(files) > 1):
        raise UsageError(
            f"{kind} 에는 이 입력을 쓰지 않습니다 (takes no such input): {' '.join(inputs)}",
            "taxonomy 는 YAML 파일 하나, arithmetic 은 입력 없이 (one YAML file for taxonomy, none for arithmetic)",
        )
    return files


def _seeds(files: list[Path]) -> list[str]:
    """The first question of each chat, or the built-in tasks."""
    if not files:
        return selfinstruct.seed_tasks()
    firsts = (
        next((m.content for m in prompt if m.role == "user"), "") for _, prompt in prompts_of(files, None)
    )
    seeds = list(dict.fromkeys(" ".join(q.split()) for q in firsts if q.strip()))
    if len(seeds) < selfinstruct.SHOWN_SEEDS:
        raise UserError(
            f"씨앗 질문이 모자랍니다 (too few seed questions): {len(seeds)}",
            "5개 이상 주십시오 (give 5 or more)",
        )
    return seeds


def _asking(kind: Kind, ask: EndpointConfig) -> dict[str, Any]:
    """What of the endpoint's settings changes the output."""
    if kind == "arithmetic":
        return {}
    names = ("endpoint", "model", "temperature", "top_p", "max_tokens")
    return {name: getattr(ask, name) for name in names}


def _cache(run: RunFolder) -> Path:
    """Beside the run folder, which --fresh empties: answers were paid for."""
    return run.path.with_suffix(".cache")


def _plan(
    kind: Kind, files: list[Path], config: SynthConfig, ask: EndpointConfig, limit: int | None, seed: int
) -> Result:
    """What would be asked, without asking."""
    count = min(config.count, limit or config.count)
    most: int | None = None
    if kind == "arithmetic":
        stages: dict[str, int] = {}
    elif kind == "taxonomy":
        tree = taxonomy.read_taxonomy(files[0] if files else None)
        stages = taxonomy.requests_for(taxonomy.leaves(tree, count, seed))
    elif kind == "self-instruct":
        _seeds(files)
        rounds = math.ceil(count / (selfinstruct.ROUND * selfinstruct.NEW))
        stages = {"instructions": rounds * selfinstruct.ROUND, "answers": count}
        most = selfinstruct.most_rounds(count) * selfinstruct.ROUND + count
    else:
        stages = {"answers": sum(1 for _ in prompts_of(files, limit)) * config.samples}
    total = sum(stages.values())
    lines = ["시험 실행: 묻지도 쓰지도 않았습니다 (dry run, nothing asked, nothing written)"]
    lines += [f"  {stage}: {n:,}" for stage, n in stages.items()]
    lines.append(
        f"요청 {total:,}개"
        + (f"에서 {most:,}개" if most else "")
        + f" (requests), 답의 토큰 최대 {(most or total) * ask.max_tokens:,}개 (tokens at most)"
    )
    return Result(
        summary={"requests": total, "requests_at_most": most or total, "stages": stages}, lines=lines
    )


def _refuse_empty(told: Told) -> None:
    if told.kept:
        return
    why = "; ".join(f"{REASONS.get(r, r)} {n}" for r, n in told.reasons.most_common())
    raise UserError(
        f"쓸 수 있는 것이 하나도 나오지 않았습니다 (nothing usable came): {why or '질문 없음 (no question)'}",
        "더 큰 모델을 쓰거나 --max-tokens 를 늘리십시오 (use a larger model, or more --max-tokens)",
    )


def _outcome(kind: Kind, told: Told, client: Client | None, ask: EndpointConfig) -> dict[str, Any]:
    """summary, report and lines of RunFolder.finish."""
    from kodata.report import blocks

    requests = {"asked": client.asked, "reused": client.reused} if client else {}
    gone = sum(told.reasons.values())
    lines = [f"만든 것 {told.kept:,}개 (made), 버림 {gone:,}개 (dropped)"]
    lines += [f"  {REASONS.get(r, r)}: {n:,}" for r, n in told.reasons.most_common()]
    if client:
        lines.append(
            f"요청 {client.asked:,}개 (requests), 저장된 답 {client.reused:,}개 다시 씀 (kept answers used again)"
        )
    facts: dict[str, Any] = {"만든 것 (made)": told.kept, "버림 (dropped)": gone}
    if client:
        facts |= {
            "모델 (model)": ask.model,
            "엔드포인트 (endpoint)": ask.host,
            "요청 (requests)": client.asked,
        }
    report = [
        blocks.facts(f"만든 자료: {kind} (made data)", facts),
        blocks.bars("갈래 (kinds)", told.kinds.most_common(40)),
        blocks.samples("보기 (samples)", told.samples),
    ]
    if told.reasons:
        rows = [[REASONS.get(r, r), n] for r, n in told.reasons.most_common()]
        report.append(blocks.table("버린 까닭 (why dropped)", ["까닭 (reason)", "수 (count)"], rows))
    summary = {"kept": told.kept, "dropped": dict(sorted(told.reasons.items())), **requests}
    return {"summary": summary, "report": report, "lines": lines}
