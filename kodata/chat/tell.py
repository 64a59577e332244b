"""What both builders tell: the lines of a terminal and the blocks of the report."""

from __future__ import annotations

from typing import Any

from kodata.chat.build import Kept
from kodata.chat.sieve import REASONS, Sieve

_NOTES = {
    "id_changed": "겹친 id를 바꿈 (repeated ids changed)",
    "last_question_cut": "답 없는 끝 질문을 자름 (trailing question cut)",
    "rounds_cut": "주고받기 수를 줄임 (rounds cut)",
    "prompt_in_chosen": "chosen만 질문을 되풀이함 (prompt repeated in chosen only)",
    "prompt_in_rejected": "rejected만 질문을 되풀이함 (prompt repeated in rejected only)",
}


def dropped_lines(sieve: Sieve) -> list[str]:
    """How many were dropped for what, the first faults with their places, and how it would be right."""
    lines = [f"  {REASONS.get(reason, reason)}: {n:,}" for reason, n in sieve.reasons.most_common()]
    lines += [f"  {label}: {n:,}" for label, n in notes(sieve).items()]
    lines += [f"  예 (e.g.) {error}" for error in sieve.errors[:3]]
    return [*lines, f"  올바른 예 (a right example): {sieve.first_example}"] if sieve.errors else lines


def funnel(sieve: Sieve, title: str) -> dict[str, Any]:
    """From what was read to what is left."""
    from kodata.report import blocks

    left, stages = sieve.read, [("읽음 (read)", sieve.read)]
    for reason, n in sieve.reasons.most_common():
        left -= n
        stages.append((REASONS.get(reason, reason), left))
    return blocks.funnel(title, stages)


def notes(sieve: Sieve) -> dict[str, int]:
    """What was changed rather than dropped, with its words."""
    return {_NOTES[k]: n for k, n in sorted(sieve.notes.items())}


def lengths(title: str, values: list[int]) -> dict[str, Any]:
    """A histogram of lengths in characters, edges at powers of two."""
    from kodata.report import blocks

    edges = [0, 8]
    while edges[-1] <= max(values, default=0):
        edges.append(edges[-1] * 2)
    counts = [0] * (len(edges) - 1)
    for value in values:
        counts[max(0, value.bit_length() - 3)] += 1
    return blocks.histogram(title, edges, counts, unit="글자 (characters)")


def tail(sieve: Sieve, kept: Kept) -> list[dict[str, Any]]:
    """The end of both reports: quality, personal data, samples of both sides."""
    from kodata.pii import TAGS
    from kodata.report import blocks

    out = [
        blocks.table(
            "원천 (sources)", ["원천 (source)", "수 (count)"], [list(x) for x in kept.sources.most_common(50)]
        ),
        blocks.bars("입력 형식 (forms)", kept.forms.most_common()),
        *kept.quality.blocks(),
    ]
    found = sieve.cleaner.found
    if found:
        rows = [[TAGS.get(kind, kind), count] for kind, count in found.most_common()]
        out.append(
            blocks.table("바꾼 개인정보 (personal data replaced)", ["꼬리표 (tag)", "수 (count)"], rows)
        )
    out.append(blocks.samples("예 (samples)", kept.samples))
    if sieve.samples:
        out.append(blocks.samples("버린 것 (dropped)", sieve.samples))
    return out


def chat_report(sieve: Sieve, kept: Kept) -> list[dict[str, Any]]:
    """The report of `kodata sft`."""
    from kodata.report import blocks

    facts = {
        "대화 (chats)": sieve.kept,
        "질문 글자 (prompt characters)": sum(prompt for prompt, _ in kept.lengths),
        "답 글자 (answer characters)": sum(answer for _, answer in kept.lengths),
        "앞에 나온 질문과 같은 대화 (chats whose prompt came before)": kept.same_prompts,
        **notes(sieve),
    }
    return [
        blocks.facts("대화 자료 (chat data)", facts),
        funnel(sieve, "남은 대화 (what is left)"),
        blocks.bars("주고받은 횟수 (rounds)", [(str(k), n) for k, n in sorted(kept.rounds.items())[:30]]),
        lengths("질문 길이 (prompt length)", [prompt for prompt, _ in kept.lengths]),
        lengths("답 길이 (answer length)", [answer for _, answer in kept.lengths]),
        *tail(sieve, kept),
    ]
