"""`kodata dpo`: preference sources, or real answers against a model's own, into one checked pair JSONL."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from kodata.chat.clean import Cleaner
from kodata.chat.forms import chat_of, message_list, pair_of
from kodata.chat.records import (
    Message,
    Pair,
    RecordError,
    check_chat,
    check_pair,
    dump_line,
    messages_hash,
    pair_to_json,
)
from kodata.chat.rows import ROW_SUFFIXES, BadRow, read_rows
from kodata.chat.sft import DRY_RUN_RECORDS
from kodata.chat.sieve import REASONS, Place, Sieve, length_edges, pii_block, rows_of, source_name
from kodata.pii import PiiConfig
from kodata.run.errors import UsageError, UserError
from kodata.run.files import atomic_open
from kodata.run.flags import DryRun, Flat, Fresh, Inputs, Limit, Output
from kodata.run.folder import open_run
from kodata.run.inputs import expand
from kodata.run.progress import progress
from kodata.run.result import Result

GENERATION_EXAMPLE = (
    '{"id": "예1", "prompt": [{"role": "user", "content": "수도는?"}], "response": "부산입니다."}'
)
LONGER_SHARE_WARNING = 0.7
"""When chosen is longer in this share of pairs (or shorter in as many), length alone tells them apart."""


@dataclass(kw_only=True, slots=True)
class DpoConfig:
    """What becomes a preference pair."""

    rejected: Path | None = None
    """거절 답으로 쓸 생성 JSONL, 입력은 대화 JSONL (generations to reject, joined by id; the input is then chat JSONL)"""
    empty_rejected: Literal["drop", "keep"] = "drop"
    """거절 답이 비었을 때 (pairs whose rejected answer is empty)"""
    max_chars: int = 32_000
    """질문과 두 답이 더 길면 버림, 글자 (drop longer pairs, characters)"""
    normalise: bool = True
    """문서와 같은 규칙으로 글을 다듬음, 생성된 답은 다듬지 않음 (normalise text; generations are not)"""
    pii: PiiConfig = field(default_factory=PiiConfig)
    """개인정보 (personal data)"""

    def __post_init__(self) -> None:
        if self.max_chars < 0:
            raise UsageError(f"--max-chars는 0 이상입니다 (must be 0 or more): {self.max_chars}")


@dataclass(slots=True)
class _Seen:
    """What the report needs to know about the pairs that were kept."""

    chosen: list[int] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    samples: list[dict[str, str]] = field(default_factory=list)
    unused: int = 0


def dpo(
    inputs: Inputs,
    /,
    *,
    output: Output,
    config: Annotated[DpoConfig | None, Flat] = None,
    limit: Limit = None,
    dry_run: DryRun = False,
    fresh: Fresh = False,
) -> Result:
    """선호 자료를 chosen/rejected JSONL로 (build DPO pair JSONL).

    Without `rejected` the inputs are preference files in the forms of `kodata.chat.forms`. With it they are chat
    files: chosen is the real last answer, rejected what the model wrote for the same id (`kobitnet generate`).
    A pair whose answers are equal is dropped, an empty rejected answer too unless `empty_rejected` is "keep"
    (against nothing a model only learns to write longer). Writes `{"id", "prompt", "chosen", "rejected",
    "source", "meta"}` lines and `dropped.jsonl` in the run folder.
    Raises UserError when a file is missing, nothing is usable or no generation fits.
    """
    config = config or DpoConfig()
    files = expand(inputs, ROW_SUFFIXES)
    extra = expand([config.rejected]) if config.rejected else []
    if dry_run:
        sieve, seen = Sieve("dpo", None, Cleaner(config.normalise, config.pii)), _Seen()
        for _ in _pairs(files, config, sieve, seen, limit=min(limit or DRY_RUN_RECORDS, DRY_RUN_RECORDS)):
            pass
        _refuse_empty(sieve, config)
        lines = ["시험 실행: 아무것도 쓰지 않았습니다 (dry run, nothing written)", *_lines(sieve, seen)]
        return Result(path=None, summary=_summary(sieve, seen), report=_report(sieve, seen), lines=lines)

    settings = {**asdict(config), "rejected": bool(config.rejected), "limit": limit}
    with open_run(
        output, tool="kodata", verb="dpo", config=settings, inputs=[*files, *extra], fresh=fresh, kind="file"
    ) as run:
        if run.done:
            return run.result()
        with ExitStack() as stack:
            dropped = stack.enter_context(atomic_open(run.path / "dropped.jsonl", "wb"))
            out = stack.enter_context(atomic_open(output, "wb"))
            bar = stack.enter_context(progress("선호 쌍 만들기 (dpo)", unit="쌍"))
            sieve, seen = Sieve("dpo", dropped, Cleaner(config.normalise, config.pii)), _Seen()
            for pair in _pairs(files, config, sieve, seen, limit=limit):
                out.write(dump_line(pair_to_json(pair)))
                bar.advance(1)
            _refuse_empty(sieve, config)
        return run.finish(
            summary=_summary(sieve, seen), report=_report(sieve, seen), lines=_lines(sieve, seen)
        )


def _pairs(
    files: list[Path], config: DpoConfig, sieve: Sieve, seen: _Seen, limit: int | None
) -> Iterator[Pair]:
    """Checked pairs in input order; everything else is dropped into the sieve."""
    found = _joined(files, config, sieve, seen, limit) if config.rejected else _read(files, sieve, limit)
    for place, pair in found:
        if not _kept(pair, place, config, sieve):
            continue
        pair.id = sieve.unique_id(pair.id, [*pair.prompt, *pair.chosen, *pair.rejected])
        pair.source = pair.source or source_name(place.file)
        pair.meta = sieve.cleaner.values(pair.meta)
        cluster = sieve.cluster(pair.id, pair.prompt, pair.meta)
        if cluster != pair.id:
            pair.meta["cluster"] = cluster
        seen.chosen.append(len(pair.chosen[0].content))
        seen.rejected.append(len(pair.rejected[0].content))
        if len(seen.samples) < 6:
            seen.samples.append({"label": pair.id, "text": _shown(pair), "note": pair.source})
        sieve.kept += 1
        yield pair


def _read(files: list[Path], sieve: Sieve, limit: int | None) -> Iterator[tuple[Place, Pair]]:
    """Pairs of preference files."""
    for place, row in rows_of(files, sieve, limit):
        try:
            pair = pair_of(row)
        except RecordError as error:
            sieve.drop_error(place, error)
            continue
        sieve.cleaner.messages([*pair.prompt, *pair.chosen, *pair.rejected])
        yield place, pair


def _joined(
    files: list[Path], config: DpoConfig, sieve: Sieve, seen: _Seen, limit: int | None
) -> Iterator[tuple[Place, Pair]]:
    """Pairs of chats and the generations with the same id; one for each generation."""
    assert config.rejected is not None
    generations = _generations(config.rejected)
    used: set[str] = set()
    for place, row in rows_of(files, sieve, limit):
        try:
            chat = chat_of(row)
            check_chat(chat)
        except RecordError as error:
            sieve.drop_error(place, error)
            continue
        answers = generations.get(chat.id, [])
        if not answers:
            sieve.drop(place, "no_generation", value=chat.id)
            continue
        used.add(chat.id)
        sieve.read += len(answers) - 1  # one row in, one pair or drop out for each generation
        prompt = chat.prompt
        asked = messages_hash(prompt)
        sieve.cleaner.messages(chat.messages)
        cluster = sieve.cluster(chat.id, prompt, chat.meta)
        for prompt_hash, response, model in answers:
            if prompt_hash and prompt_hash != asked:
                sieve.drop(place, "prompt_mismatch", value=chat.id)
                continue
            # All pairs of one chat are held out together, as the chat itself is.
            meta = {**chat.meta, "rejected_by": model} if model else dict(chat.meta)
            meta["cluster"] = cluster
            chosen, rejected = [Message("assistant", chat.answer)], [Message("assistant", response)]
            sieve.cleaner.personal(rejected)
            yield place, Pair(chat.id, prompt, chosen, rejected, chat.source, meta)
    if limit is None:
        seen.unused = len(generations.keys() - used)


def _generations(path: Path) -> dict[str, list[tuple[str, str, str]]]:
    """id -> (hash of the prompt or "", response, model) of a generations file; a wrong row is an error."""
    found: dict[str, list[tuple[str, str, str]]] = {}
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
                prompt_hash = messages_hash(prompt) if prompt else ""
                model = row.get("model")
                entry = (prompt_hash, row["response"], model if isinstance(model, str) else "")
                found.setdefault(str(row["id"]), []).append(entry)
        if wrong:
            raise UserError(
                wrong, help=f"올바른 예 (a right example): {GENERATION_EXAMPLE}", file=str(path), line=line
            )
    return found


def _kept(pair: Pair, place: Place, config: DpoConfig, sieve: Sieve) -> bool:
    """Whether the pair passes every check; otherwise it is dropped with the first reason that holds."""
    try:
        check_pair(pair)
    except RecordError as error:
        sieve.drop_error(place, error)
        return False
    chosen, rejected = pair.chosen[0].content.strip(), pair.rejected[0].content.strip()
    chars = sum(len(m.content) for m in (*pair.prompt, *pair.chosen, *pair.rejected))
    if not pair.prompt[-1].content.strip():
        sieve.drop(place, "empty_prompt")
    elif chosen == rejected:
        sieve.drop(place, "identical")
    elif not rejected and config.empty_rejected == "drop":
        sieve.drop(place, "empty_rejected")
    elif config.max_chars and chars > config.max_chars:
        sieve.drop(place, "too_long", value=chars, limit=config.max_chars)
    elif sieve.seen([*pair.prompt, *pair.chosen, *pair.rejected]):
        sieve.drop(place, "duplicate", value=pair.id)
    else:
        return True
    return False


def _refuse_empty(sieve: Sieve, config: DpoConfig) -> None:
    if not sieve.kept and sieve.read and sieve.reasons["no_generation"] == sieve.read:
        raise UserError(
            f"생성 파일의 id가 대화의 id와 하나도 맞지 않습니다 (no id of the generations fits a chat): {config.rejected}",
            help="같은 대화 파일로 다시 만드세요: kobitnet generate RUN --prompts chat.jsonl -o answers.jsonl",
        )
    sieve.refuse_empty()


def _shown(pair: Pair) -> str:
    prompt = "\n".join(f"{m.role}: {m.content}" for m in pair.prompt)
    return f"{prompt}\n\n[chosen] {pair.chosen[0].content}\n\n[rejected] {pair.rejected[0].content}"


def _bias(seen: _Seen) -> dict[str, float]:
    """Mean lengths and how often chosen is the longer one."""
    n = len(seen.chosen)
    longer = sum(c > r for c, r in zip(seen.chosen, seen.rejected, strict=True))
    shorter = sum(c < r for c, r in zip(seen.chosen, seen.rejected, strict=True))
    return {
        "mean_chosen_chars": round(sum(seen.chosen) / n, 2) if n else 0.0,
        "mean_rejected_chars": round(sum(seen.rejected) / n, 2) if n else 0.0,
        "chosen_longer": round(longer / n, 4) if n else 0.0,
        "chosen_shorter": round(shorter / n, 4) if n else 0.0,
    }


def _summary(sieve: Sieve, seen: _Seen) -> dict[str, Any]:
    return {**sieve.summary(), **_bias(seen), "unused_generations": seen.unused}


def _lines(sieve: Sieve, seen: _Seen) -> list[str]:
    gone, bias = sieve.read - sieve.kept, _bias(seen)
    lines = [f"선호 쌍 {sieve.kept:,}개 (pairs), 버림 {gone:,}개 (dropped), 읽음 {sieve.read:,}개 (read)"]
    lines += [f"  {REASONS.get(reason, reason)}: {n:,}" for reason, n in sieve.reasons.most_common()]
    lines += [f"  예 (e.g.) {error}" for error in sieve.errors[:3]]
    if seen.unused:
        lines.append(f"  쓰이지 않은 생성 {seen.unused:,}개 (generations without a chat)")
    lines.append(
        f"평균 길이 (mean length): chosen {bias['mean_chosen_chars']:.0f}자, "
        f"rejected {bias['mean_rejected_chars']:.0f}자"
    )
    if max(bias["chosen_longer"], bias["chosen_shorter"]) >= LONGER_SHARE_WARNING and sieve.kept >= 20:
        lines.append(
            f"주의: chosen이 더 긴 쌍 {bias['chosen_longer']:.0%}, 더 짧은 쌍 {bias['chosen_shorter']:.0%}: "
            "길이만으로도 갈립니다 (length bias)"
        )
    return lines


def _report(sieve: Sieve, seen: _Seen) -> list[dict[str, Any]]:
    from kodata.report import blocks

    left, stages = sieve.read, [("읽음 (read)", sieve.read)]
    for reason, n in sieve.reasons.most_common():
        left -= n
        stages.append((REASONS.get(reason, reason), left))
    bias = _bias(seen)
    report = [
        blocks.facts(
            "선호 자료 (preference data)",
            {
                "쌍 (pairs)": sieve.kept,
                "chosen 평균 글자 (mean characters)": bias["mean_chosen_chars"],
                "rejected 평균 글자 (mean characters)": bias["mean_rejected_chars"],
                "chosen이 더 긴 비율 (share where chosen is longer)": bias["chosen_longer"],
                "chosen이 더 짧은 비율 (share where chosen is shorter)": bias["chosen_shorter"],
                "쓰이지 않은 생성 (generations without a chat)": seen.unused,
            },
        ),
        blocks.funnel("남은 쌍 (what is left)", stages),
    ]
    for title, lengths in (("chosen 길이 (length)", seen.chosen), ("rejected 길이 (length)", seen.rejected)):
        edges, counts = length_edges(lengths)
        report.append(blocks.histogram(title, edges, counts, unit="글자 (characters)"))
    report += pii_block(sieve.cleaner)
    report.append(blocks.samples("보기 (samples)", seen.samples))
    if sieve.samples:
        report.append(blocks.samples("버린 것 (dropped)", sieve.samples))
    return report
