"""The tables, charts and lines of `kotok eval`: what was measured of several tokenizers, side by side."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kodata.run.result import Result
from kotok.judged import Judged
from kotok.measure import RATES, Measured, interval
from kotok.tokenizer import show
from kotok.vocabulary import KINDS, SYLLABLES

COLUMNS = {
    "chars_per_token": "글자/토큰 (chars per token)",
    "bytes_per_token": "바이트/토큰 (bytes per token)",
    "tokens_per_eojeol": "토큰/어절 (tokens per eojeol)",
    "whole_eojeols": "안 쪼개진 어절 (whole eojeols)",
    "boundary_precision": "경계 정밀도 (boundary P, Kiwi)",
    "boundary_recall": "경계 재현율 (R, Kiwi)",
    "boundary_f1": "F1 (Kiwi)",
}
SENTENCES = (
    "한국어 형태소의 경계를 되도록 지키면서도 길이는 거의 늘리지 않습니다.",
    "어제 도서관에서 빌린 책을 오늘까지 반납하셨어야 했다고 전해 들었습니다.",
    "ㅋㅋㅋ 뷁스러운 신조어랑 URL(https://example.kr/가나?b=2024)도 섞인 글 👍🏽",
)
COLOURS = ("\x1b[36m", "\x1b[33m", "\x1b[35m", "\x1b[34m")


@dataclass(kw_only=True, slots=True)
class Compared:
    """One tokenizer and everything measured of it."""

    name: str
    tokenizer: Judged
    measured: Measured
    people: Measured | None
    """On sentences whose morphemes people cut."""
    unplaced: float
    """Share of those sentences' eojeols whose morphemes have no place and are not judged."""
    speed: float
    """MB a CPU-second."""
    syllables: int
    suspicious: dict[str, list[int]]
    curve: list[tuple[int, float]]
    draws: dict[str, np.ndarray] = field(default_factory=dict)
    """Resampled rates, (times, len(RATES)), by group; "" all texts."""

    def between(self, rate: str, group: str = "") -> tuple[float, float] | None:
        """The 95 % interval of a rate, where documents were drawn anew."""
        made = self.draws.get(group)
        return None if made is None else interval(made[:, RATES.index(rate)])


def told(compared: Sequence[Compared]) -> Result:
    """Summary for JSON, blocks for HTML and Markdown, lines for the terminal."""
    from kodata.report import blocks

    summary: dict[str, Any] = {"tokenizers": {c.name: _facts(c, compared[0]) for c in compared}}
    first = compared[0].measured.total
    note = (
        f"글 (texts) {first.texts:,}, 글자 (characters) {first.chars:,}. "
        "Kiwi와의 일치도이며 정답은 아님 (agreement with Kiwi, not truth)."
    )
    report = [_main_table(compared, summary, note)]
    if compared[0].draws:
        report.append(_intervals(compared))
    if compared[0].people is not None:
        report.append(_people_table(compared))
    groups = sorted(compared[0].measured.groups)
    report.append(
        blocks.table(
            "종류·출처별 글자/토큰 (characters per token by kind or source)",
            ["종류 (kind)", *(c.name for c in compared)],
            [[g, *(_ranged(c, "chars_per_token", g) for c in compared)] for g in groups],
        )
    )
    if any(c.curve for c in compared):
        report.append(
            blocks.lines(
                "어휘 크기와 압축률 (vocabulary size and length)",
                {c.name: c.curve for c in compared},
                x="어휘 (vocabulary)",
                y="글자/토큰 (chars per token)",
                log_x=True,
                note="앞 순위 병합만 남긴 어휘이며, 그 크기로 따로 학습한 것은 아님 (first merges only, not trained at that size)",
            )
        )
    for n, sentence in enumerate(SENTENCES, 1):
        rows = [{"label": c.name, "tokens": _pieces(c.tokenizer, sentence)} for c in compared]
        report.append(blocks.tokens(f"같은 문장 {n} (the same sentence, {n})", rows))
    report += [_use_table(compared, summary), _vocabulary_table(compared), _odd_tokens(compared)]
    return Result(summary=summary, report=[b for b in report if b], lines=_lines(compared, summary, note))


def _facts(c: Compared, first: Compared) -> dict[str, Any]:
    m, total = c.measured, c.measured.total
    facts: dict[str, Any] = {
        "vocab_size": c.tokenizer.vocab_size,
        "kind": c.tokenizer.kind,
        "fingerprint": c.tokenizer.fingerprint,
        **total.rates(),
        "renyi": m.renyi(),
        "unused": int((m.uses == 0).sum()) - len(c.tokenizer.control),
        "suspicious": {kind: len(ids) for kind, ids in c.suspicious.items()},
        "syllables": c.syllables,
        "texts": total.texts,
        "round_trip_failures": total.lost,
        "encode_mb_per_cpu_second": c.speed,
        "groups": {
            g: {
                "texts": k.texts,
                "chars": k.chars,
                **k.rates(),
                "intervals": {r: c.between(r, g) for r in RATES},
            }
            for g, k in sorted(m.groups.items())
        },
        "intervals": {r: c.between(r) for r in RATES},
    }
    if c.draws and c is not first:
        base = first.measured.total.rates()
        length, cuts = RATES.index("chars_per_token"), RATES.index("boundary_precision")
        ratio = c.draws[""][:, length] / first.draws[""][:, length]
        apart = c.draws[""][:, cuts] - first.draws[""][:, cuts]
        facts["chars_per_token_over_first"] = [
            facts["chars_per_token"] / base["chars_per_token"],
            *(interval(ratio) or (None, None)),
        ]
        facts["boundary_precision_minus_first"] = [
            facts["boundary_precision"] - base["boundary_precision"],
            *(interval(apart) or (None, None)),
        ]
    if c.people is not None:
        rates = c.people.total.rates()
        facts["human"] = {
            **{r: rates[r] for r in RATES},
            "sentences": c.people.total.texts,
            "eojeols_not_judged": c.unplaced,
            "intervals": {r: c.between(r, "human gold") for r in RATES},
        }
    if c.curve:
        facts["curve"] = c.curve
    return facts


def _main_table(compared: Sequence[Compared], summary: dict[str, Any], note: str) -> dict[str, Any]:
    from kodata.report import blocks

    columns = [
        "토크나이저 (tokenizer)",
        "어휘 (vocabulary)",
        *COLUMNS.values(),
    ]
    rows = []
    for c in compared:
        facts = summary["tokenizers"][c.name]
        rows.append(
            [
                c.name,
                facts["vocab_size"],
                *(_round(facts[k], 3) for k in COLUMNS),
            ]
        )
    return blocks.table("비교 (comparison)", columns, rows, note)


def _use_table(compared: Sequence[Compared], summary: dict[str, Any]) -> dict[str, Any]:
    from kodata.report import blocks

    columns = [
        "토크나이저 (tokenizer)",
        "레니 효율 (Rényi efficiency)",
        "안 쓰인 토큰 (unused ids)",
        "복원 실패 (texts not given back)",
        "인코딩 속도, MB/CPU초 (MB per CPU-second)",
    ]
    rows = []
    for c in compared:
        facts = summary["tokenizers"][c.name]
        rows.append(
            [
                c.name,
                _round(facts["renyi"], 3),
                facts["unused"],
                facts["round_trip_failures"],
                round(c.speed, 1),
            ]
        )
    return blocks.table("쓰임, 복원, 속도 (use, round trip, speed)", columns, rows)


def _intervals(compared: Sequence[Compared]) -> dict[str, Any]:
    from kodata.report import blocks

    rows = []
    for c in compared:
        between = c.between("chars_per_token")
        if between:
            rows.append((c.name, c.measured.total.rates()["chars_per_token"], *between, None))
    top = max((r[3] for r in rows), default=1.0)
    return blocks.intervals(
        "글자/토큰과 95 % 구간 (characters per token, 95 % intervals over documents)",
        rows,
        0.0,
        math.ceil(top * 2) / 2,
    )


def _people_table(compared: Sequence[Compared]) -> dict[str, Any]:
    from kodata.report import blocks

    rates = ("boundary_precision", "boundary_recall", "boundary_f1", "chars_per_token", "whole_eojeols")
    rows = []
    for c in compared:
        assert c.people is not None
        rows.append([c.name, *(_ranged(c, r, "human gold") for r in rates)])
    people = compared[0].people
    assert people is not None
    note = (
        f"문장 (sentences) {people.total.texts:,}, 경계 (boundaries) {people.total.gold:,}. 축약된 어절 "
        f"{100 * compared[0].unplaced:.1f} %는 제외 (contracted eojeols are not judged)."
    )
    columns = [
        "토크나이저 (tokenizer)",
        "정밀도 (P)",
        "재현율 (R)",
        "F1",
        "글자/토큰 (c/t)",
        "안 쪼개진 어절 (whole)",
    ]
    return blocks.table("사람이 나눈 형태소와 비교 (against morphemes cut by people)", columns, rows, note)


def _vocabulary_table(compared: Sequence[Compared]) -> dict[str, Any]:
    from kodata.report import blocks

    rows = [
        [c.name, c.syllables, round(100 * c.syllables / SYLLABLES, 1)]
        + [
            None if kind == "unreachable" and not c.tokenizer.byte_exact else len(c.suspicious[kind])
            for kind in KINDS
        ]
        for c in compared
    ]
    columns = ["토크나이저 (tokenizer)", f"한 토큰인 음절 (syllables of {SYLLABLES:,})", "%", *KINDS.values()]
    return blocks.table("어휘 점검 (the vocabulary itself)", columns, rows)


def _odd_tokens(compared: Sequence[Compared]) -> dict[str, Any]:
    from kodata.report import blocks

    items = []
    for c in compared:
        for kind in KINDS:
            ids = c.suspicious[kind][:24]
            if ids and kind != "part":
                shown = " ".join(f"[{_short(show(c.tokenizer.token(i)))}]" for i in ids)
                items.append({"label": f"{c.name}: {KINDS[kind]}", "text": shown})
    return blocks.samples("의심스러운 토큰 (suspicious tokens)", items) if items else {}


def _short(text: str) -> str:
    """Long runs as `-×64`."""
    return re.sub(r"(.)\1{7,}", lambda run: f"{run[1].replace(' ', '␣')}×{len(run[0])}", text)


def _pieces(tokenizer: Judged, sentence: str) -> list[tuple[str, int]]:
    return [(show(tokenizer.token(i)), n % 6) for n, i in enumerate(tokenizer.encode(sentence))]


def _lines(compared: Sequence[Compared], summary: dict[str, Any], note: str) -> list[str]:
    width = max(len(c.name) for c in compared)
    short = [
        "vocab",
        "c/t",
        "95 %",
        "B/t",
        "t/eoj",
        "whole",
        "P",
        "R",
        "F1",
        "Rényi",
        "unused",
        "lost",
        "MB/cpu-s",
    ]
    people = compared[0].people is not None
    sizes = [9, 7, 12, 7, 7, 7, 7, 7, 7, 7, 8, 6, 9, *([7, 7, 7] if people else [])]
    heads = [*short, *(["gold P", "R", "F1"] if people else [])]
    best = max(compared, key=lambda c: summary["tokenizers"][c.name]["chars_per_token"])
    lines = [
        f"토크나이저 (tokenizers) {len(compared)}, {note.split('. ')[0]}, "
        f"가장 짧게 (fewest tokens) {best.name} {summary['tokenizers'][best.name]['chars_per_token']:.3f} 글자/토큰 (characters per token)",
        " " * width + "".join(f"{h:>{s}}" for h, s in zip(heads, sizes, strict=True)),
    ]
    for c in compared:
        facts = summary["tokenizers"][c.name]
        between = c.between("chars_per_token")
        cells = [
            facts["vocab_size"],
            _round(facts["chars_per_token"], 3),
            f"{between[0]:.2f}-{between[1]:.2f}" if between else "-",
            *(_round(facts[k], 3) for k in list(COLUMNS)[1:]),
            _round(facts["renyi"], 3),
            facts["unused"],
            facts["round_trip_failures"],
            round(c.speed, 2),
        ]
        if people:
            cells += [_round(facts["human"][r], 3) for r in RATES[4:]]
        lines.append(
            f"{c.name:<{width}}"
            + "".join(f"{'-' if v is None else v:>{s}}" for v, s in zip(cells, sizes, strict=True))
        )
    lines.append(note)
    colour = sys.stdout.isatty()
    for c in compared:
        pieces = [p for p, _ in _pieces(c.tokenizer, SENTENCES[0])]
        cut = (
            "".join(f"{COLOURS[n % len(COLOURS)]}{p}" for n, p in enumerate(pieces)) + "\x1b[0m"
            if colour
            else "|".join(pieces)
        )
        lines.append(f"{c.name:<{width}}  {cut}")
    return lines


def _ranged(c: Compared, rate: str, group: str) -> str:
    counts = c.people.total if group == "human gold" and c.people else c.measured.groups[group]
    value, between = counts.rates()[rate], c.between(rate, group)
    if value != value:
        return "–"
    return f"{value:.3f}" + (f" ({between[0]:.3f}–{between[1]:.3f})" if between else "")


def _round(value: float, digits: int = 4) -> float | None:
    return None if value != value else round(value, digits)
