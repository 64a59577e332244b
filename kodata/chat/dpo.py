"""`kodata dpo`: preference sources, or real answers against a model's own, into one checked pair JSONL."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from kodata.chat.answers import (
    Answer,
    Ranked,
    Ratings,
    pairs_of,
    ranked_of,
    rated_keys,
    rated_of,
    tree_ranked,
)
from kodata.chat.balance import LONGER_SHARE_WARNING, balanced, length_bias
from kodata.chat.build import Builder, Kept, build
from kodata.chat.forms import pair_keys, pair_of
from kodata.chat.generations import RejectConfig, bare, joined
from kodata.chat.inputs import rows_of
from kodata.chat.layouts import layout_of, trees_of
from kodata.chat.records import Message, Pair, RecordError, check_pair, messages_hash, pair_to_json
from kodata.chat.shared import Against
from kodata.chat.sieve import Place, Sieve
from kodata.chat.tasks import OtherTask, translation_prompt, turn_roles
from kodata.chat.tell import dropped_lines, funnel, lengths, notes, tail
from kodata.run.errors import UsageError, UserError
from kodata.run.flags import DryRun, Flat, Fresh, Inputs, Limit, Output, Seed
from kodata.run.inputs import expand
from kodata.run.result import Result


@dataclass(kw_only=True, slots=True)
class DpoConfig(RejectConfig):
    """What becomes a preference pair."""

    empty_rejected: Literal["drop", "keep"] = "drop"
    """거절 답이 비었을 때 (pairs whose rejected answer is empty)"""
    balance_length: bool = False
    """chosen이 더 긴 쌍과 더 짧은 쌍의 수를 맞춤 (as many pairs with a longer as with a shorter chosen answer)"""
    per_prompt: int = 0
    """같거나 거의 같은 질문 하나에 남길 쌍, 0 = 모두 (pairs kept for one prompt, 0 = all)"""

    def __post_init__(self) -> None:
        RejectConfig.__post_init__(self)
        if self.per_prompt < 0:
            raise UsageError(f"--per-prompt는 0 이상입니다 (must be 0 or more): {self.per_prompt}")


def dpo(
    inputs: Inputs,
    /,
    *,
    output: Output,
    against: Against = None,
    config: Annotated[DpoConfig | None, Flat] = None,
    limit: Limit = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    fresh: Fresh = False,
) -> Result:
    """선호 자료를 chosen/rejected JSONL로 (build DPO pair JSONL).

    Without `rejected` the inputs are preference files: pairs (`kodata.chat.forms`), or several answers that are scored,
    ranked, voted on or rated (`kodata.chat.answers`), of which `pairs` chooses. With it they are chat files: chosen is the
    real last answer, rejected what the model wrote for the same id (`kobitnet generate`), if `scorer` finds it worse.
    A pair whose answers are equal is dropped, an empty rejected answer too unless `empty_rejected` is "keep"
    (against nothing a model only learns to write longer). Writes `{"id", "prompt", "chosen", "rejected",
    "source", "meta"}` lines and `dropped.jsonl` in the run folder.
    Raises UserError when a file is missing, nothing is usable or no generation fits.
    """
    config = config or DpoConfig()
    extra = expand([config.rejected]) if config.rejected else []
    unused: list[int] = []
    builder = Builder(
        verb="dpo",
        title="선호 쌍 만들기 (dpo)",
        unit="쌍",
        config=config,
        seed=seed,
        per_prompt=config.per_prompt,
        read=lambda sources, sieve: _pairs(sources, sieve, config, seed, limit, unused),
        check=lambda pair, place, sieve: _passes(pair, place, sieve, config),
        to_json=pair_to_json,
        texts=lambda pair: (pair.prompt, pair.chosen, pair.rejected),
        choose=lambda found: balanced(found, seed) if config.balance_length else {},
        tell=lambda sieve, kept: _told(sieve, kept, sum(unused)),
        refuse=lambda sieve: _refuse_empty(sieve, config),
        extra_inputs=extra,
    )
    settings = {"rejected": bool(config.rejected)}
    return build(
        builder,
        inputs,
        output,
        settings,
        against=list(against or []),
        limit=limit,
        dry_run=dry_run,
        fresh=fresh,
    )


def _pairs(
    sources: Sequence[Path | str],
    sieve: Sieve,
    config: DpoConfig,
    seed: int,
    limit: int | None,
    unused: list[int],
) -> Iterator[tuple[Place, str, Pair]]:
    """Cleaned pairs in input order; rows of which none can be made are dropped."""
    if config.rejected:
        for place, pair in joined(rows_of(sources, sieve), sieve, config, unused, whole=limit is None):
            yield place, "generated", pair
        return
    ratings = Ratings()
    for place, row in trees_of(rows_of(sources, sieve)):
        for form, found in _found(row, place, ratings, config, seed):
            if isinstance(found, RecordError):
                sieve.drop_error(place, found)
            else:
                yield _clean(place, form, found, sieve)
    for place, ranked in ratings.groups():
        try:
            for pair in pairs_of(ranked, config.pairs, config.margin):
                yield _clean(place, "rated", pair, sieve)
        except RecordError as error:
            sieve.drop_error(place, error)


def _clean(place: Place, form: str, pair: Pair, sieve: Sieve) -> tuple[Place, str, Pair]:
    sieve.cleaner.messages([*pair.prompt, *pair.chosen, *pair.rejected])
    return place, form, pair


def _found(
    row: Any, place: Place, ratings: Ratings, config: DpoConfig, seed: int
) -> Iterator[tuple[str, Pair | RecordError]]:
    """(form, pair or what is wrong) for everything a row holds; single rated answers are gathered first."""
    try:
        if not isinstance(row, dict):
            found = _task_ranked(row, seed)
            if found.by == "rating":
                ratings.add(place, found)
                return
            yield from (
                (str(row.meta.get("layout") or row.kind), p)
                for p in pairs_of(found, config.pairs, config.margin)
            )
        elif layout_of(row) == "tree":
            for one in tree_ranked(row):
                if isinstance(one, RecordError):
                    yield "tree", one
                else:
                    yield from _pairs_or_error(one, "tree", config)
        elif {"chosen", "rejected", "chosen_response", "rejected_response"} & row.keys():
            yield "pair", pair_of(row)
        elif (ranked := ranked_of(row)) is not None:
            yield from _pairs_or_error(ranked, ranked.by, config)
        elif (keys := rated_keys(row)) is not None:
            ratings.add(place, rated_of(row, keys))
        else:
            pair_keys(row)  # raises, naming the keys seen
    except RecordError as error:
        yield "", error


def _pairs_or_error(ranked: Ranked, form: str, config: DpoConfig) -> Iterator[tuple[str, Pair | RecordError]]:
    try:
        yield from ((form, pair) for pair in pairs_of(ranked, config.pairs, config.margin))
    except RecordError as error:
        yield form, error


def _task_ranked(task: Any, seed: int) -> Ranked:
    """Preference tasks of AI Hub: rankings (71748), rated bot turns (021), a translation over its machine draft."""
    fields, source = task.fields, str(task.meta.get("dataset") or "")
    meta = {**task.meta, "task": task.kind}
    if task.kind == "ranking":
        answers = [
            Answer(text, -float(rank)) for text, rank in zip(fields["answers"], fields["ranks"], strict=True)
        ]
        prompt = turn_roles(fields["prompt"])
        return Ranked(str(task.id) or messages_hash(prompt), prompt, answers, "rank", source, meta)
    if task.kind == "rating":
        marks = list(fields["marks"].values())
        score = sum(map(bool, marks)) / len(marks) if marks else 0.0
        prompt = turn_roles(fields["prompt"])
        answers = [Answer(str(fields["answer"]), score)]
        return Ranked(str(task.id) or messages_hash(prompt), prompt, answers, "rating", source, meta)
    if task.kind == "translation" and str(fields.get("draft") or "").strip():
        prompt = [Message("user", translation_prompt(fields, str(task.id), seed))]
        answers = [Answer(str(fields["target"]), 1.0), Answer(str(fields["draft"]), 0.0)]
        return Ranked(str(task.id) or messages_hash(prompt), prompt, answers, "post-editing", source, meta)
    raise OtherTask(task.kind, "견줄 답이 없는 과제 (no answers to compare)")


def _passes(pair: Pair, place: Place, sieve: Sieve, config: DpoConfig) -> bool:
    """Whether the pair passes every check; otherwise it is dropped with the first reason that holds."""
    try:
        check_pair(pair)
    except RecordError as error:
        sieve.drop_error(place, error)
        return False
    chosen, rejected = pair.chosen[0].content.strip(), pair.rejected[0].content.strip()
    question = pair.prompt[-1].content.strip()
    if not question:
        sieve.drop(place, "empty_prompt")
    elif chosen == rejected:
        sieve.drop(place, "identical")
    elif not rejected and config.empty_rejected == "drop":
        sieve.drop(place, "empty_rejected")
    elif bare(chosen) == bare(rejected) and bare(chosen):
        sieve.drop(place, "same_answer", value=chosen[:200])
    else:
        for name, answer, other in (("chosen", chosen, rejected), ("rejected", rejected, chosen)):
            if len(question) > 8 and answer.startswith(question) and not other.startswith(question):
                sieve.notes[f"prompt_in_{name}"] += 1
        return True
    return False


def _refuse_empty(sieve: Sieve, config: DpoConfig) -> None:
    if not sieve.kept and sieve.read and sieve.reasons["no_generation"] == sieve.read:
        raise UserError(
            f"생성 파일의 id가 대화의 id와 하나도 맞지 않습니다 (no id of the generations fits a chat): {config.rejected}",
            help="같은 대화 파일로 다시 만드세요: kobitnet generate RUN --prompts chat.jsonl -o answers.jsonl",
        )
    sieve.refuse_empty()


def _told(sieve: Sieve, kept: Kept, unused: int) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    from kodata.report import blocks

    bias = length_bias(kept.lengths)
    summary = {
        **sieve.summary(),
        **bias,
        "unused_generations": unused,
        "forms": dict(kept.forms),
        "sources": dict(kept.sources),
        "same_prompts": kept.same_prompts,
    }
    gone = sieve.read - sieve.kept
    lines = [
        f"선호 쌍 {sieve.kept:,}개 (pairs), 버림 {gone:,}개 (dropped), 읽음 {sieve.read:,}개 (read)",
        *dropped_lines(sieve),
    ]
    if unused:
        lines.append(f"  쓰이지 않은 생성 {unused:,}개 (generations without a chat)")
    lines.append(
        f"평균 길이 (mean length): chosen {bias['mean_chosen_chars']:.0f}자, "
        f"rejected {bias['mean_rejected_chars']:.0f}자"
    )
    if max(bias["chosen_longer"], bias["chosen_shorter"]) >= LONGER_SHARE_WARNING and sieve.kept >= 20:
        lines.append(
            f"주의: chosen이 더 긴 쌍 {bias['chosen_longer']:.0%}, 더 짧은 쌍 {bias['chosen_shorter']:.0%}: "
            "길이만으로도 갈립니다, --balance-length 로 맞춥니다 (length bias; --balance-length evens it out)"
        )
    facts = {
        "쌍 (pairs)": sieve.kept,
        "chosen 평균 글자 (mean characters)": bias["mean_chosen_chars"],
        "rejected 평균 글자 (mean characters)": bias["mean_rejected_chars"],
        "chosen이 더 긴 비율 (share where chosen is longer)": f"{bias['chosen_longer']:.1%}",
        "chosen이 더 짧은 비율 (share where chosen is shorter)": f"{bias['chosen_shorter']:.1%}",
        "앞에 나온 질문과 같은 쌍 (pairs whose prompt came before)": kept.same_prompts,
        "쓰이지 않은 생성 답 (generations without a chat)": unused,
        **notes(sieve),
    }
    report = [
        blocks.facts("선호 자료 (preference data)", facts),
        funnel(sieve, "남은 쌍 (what is left)"),
        lengths("chosen 길이 (length)", [chosen for _, chosen, _ in kept.lengths]),
        lengths("rejected 길이 (length)", [rejected for _, _, rejected in kept.lengths]),
        *tail(sieve, kept),
    ]
    return summary, report, lines
