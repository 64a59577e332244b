"""What a scoring run tells: quantiles, histograms, per-source medians, and documents at each tenth for the eye."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kodata.doc import Corpus, read_shard
from kodata.run.errors import UserError
from kodata.score.sidecar import Scores

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9)
SHOWN = (0.02, 0.1, 0.25, 0.5, 0.9)
"""Samples stand at these quantiles: what a cut there would take with it."""
EACH, EXCERPT, BINS = 3, 300, 50


def summary_of(folder: Path, corpus: Corpus) -> dict[str, Any]:
    """Documents, and for each score its quantiles, mean, documents without a score, and medians by source.

    Raises UserError for a score file whose documents are not the shard's.
    """
    scores = Scores(folder, corpus)
    values: dict[str, list[Any]] = {}
    sources: list[str] = []
    for index, shard in enumerate(corpus.shards()):
        ids, columns = scores.shard(index)
        own = [(d.id, d.source or shard.name) for d in read_shard(shard)]
        if [name for name, _ in own] != ids:
            raise UserError(
                "말뭉치가 바뀌었습니다 (the corpus changed while it was scored)",
                help="--fresh 로 다시 하십시오 (score again with --fresh)",
                file=shard,
            )
        sources += [source for _, source in own]
        for name, column in columns.items():
            values.setdefault(name, []).append(column)
    joined = {name: np.concatenate(parts) for name, parts in values.items()}
    groups = np.array(sources, dtype=object)
    summary: dict[str, Any] = {"documents": len(sources), "scores": {}, "sources": {}}
    for name, column in joined.items():
        there = column[~np.isnan(column)]
        summary["scores"][name] = {
            "without": int(np.isnan(column).sum()),
            "mean": float(there.mean()) if len(there) else None,
            "quantiles": {str(q): float(np.quantile(there, q)) for q in QUANTILES} if len(there) else {},
        }
    for source in sorted(set(sources)):
        mine = groups == source
        row: dict[str, Any] = {"documents": int(mine.sum())}
        for name, column in joined.items():
            some = column[mine & ~np.isnan(column)]
            row[name] = float(np.median(some)) if len(some) else None
        summary["sources"][source] = row
    return summary


def lines_of(summary: dict[str, Any]) -> list[str]:
    """A line for each score."""
    lines = [f"문서 (documents): {summary['documents']:,}"]
    for name, facts in summary["scores"].items():
        q = facts["quantiles"]
        if q:
            lines.append(
                f"{name}: 10 % {q['0.1']:.3f} · 중앙값 (median) {q['0.5']:.3f} · 90 % {q['0.9']:.3f}"
                + (f" · 점수 없음 (without) {facts['without']:,}" if facts["without"] else "")
            )
        else:
            lines.append(f"{name}: 점수 있는 문서가 없음 (no document has this score)")
    return lines


def report_of(folder: Path, corpus: Corpus, summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Quantiles, per-source medians, and for each score a histogram and documents around some cuts."""
    from kodata.report import blocks

    names = list(summary["scores"])
    report = [
        blocks.table(
            "점수 (scores)",
            ["점수 (score)", "평균 (mean)", *(f"{q:.0%}" for q in QUANTILES), "점수 없음 (without)"],
            [
                [
                    name,
                    _round(f["mean"]),
                    *(_round(f["quantiles"].get(str(q))) for q in QUANTILES),
                    f["without"],
                ]
                for name, f in summary["scores"].items()
            ],
            note="클수록 좋음; 하한은 kodata mix --min-score.이름 값 (more is better; cut with kodata mix --min-score.NAME)",
        ),
        blocks.table(
            "원천별 중앙값 (medians by source)",
            ["원천 (source)", "문서 (documents)", *names],
            [
                [s, row["documents"], *(_round(row[n]) for n in names)]
                for s, row in summary["sources"].items()
            ],
        ),
    ]
    scores = Scores(folder, corpus)
    parts = [scores.shard(i)[1] for i in range(len(corpus.shards()))]
    starts = np.cumsum([0, *(len(next(iter(p.values()))) for p in parts)])
    chosen: dict[str, list[tuple[float, int]]] = {}
    for name in names:
        column = np.concatenate([p[name] for p in parts])
        there = np.flatnonzero(~np.isnan(column))
        if not len(there):
            continue
        low, high = np.quantile(column[there], [0.005, 0.995])
        edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
        counts, _ = np.histogram(np.clip(column[there], edges[0], edges[-1]), edges)
        report.append(
            blocks.histogram(
                f"점수 {name}의 분포 (distribution of this score)", edges.tolist(), counts.tolist(),
                threshold=float(np.quantile(column[there], 0.1)), unit=f"점수 (score) {name}",
                note="세로줄: 아래 10 % 지점 (line: the lowest tenth). 양끝 0.5 %는 끝 칸에 모았습니다 (ends hold what lies beyond).",
            )
        )  # fmt: skip
        order = there[np.lexsort((there, column[there]))]
        chosen[name] = [
            (float(column[n]), int(n))
            for q in SHOWN
            for n in order[max(0, round(q * (len(order) - 1)) - EACH // 2) :][:EACH]
        ]
    texts = _texts(corpus, starts, {n for rows in chosen.values() for _, n in rows})
    for name, rows in chosen.items():
        items = [
            {"label": f"{name} {value:.3f}", "text": texts[n][0][:EXCERPT], "note": texts[n][1]}
            for value, n in rows
        ]
        report.append(
            blocks.samples(
                f"{name}: 낮은 것부터 (from low to high)", items,
                note="자리 (at) " + ", ".join(f"{q:.0%}" for q in SHOWN),
            )
        )  # fmt: skip
    return report


def _texts(corpus: Corpus, starts: Any, wanted: set[int]) -> dict[int, tuple[str, str]]:
    found = {}
    for index, shard in enumerate(corpus.shards()):
        mine = {n for n in wanted if starts[index] <= n < starts[index + 1]}
        if not mine:
            continue
        for number, document in enumerate(read_shard(shard), int(starts[index])):
            if number in mine:
                found[number] = (document.text, f"{document.source}/{document.id}")
            if number >= max(mine):
                break
    return found


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
