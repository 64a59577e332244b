"""What a dedup run tells: numbers, and blocks for the report."""

from __future__ import annotations

from collections import Counter
from typing import Any

from kodata.dedup.cluster import AGAINST, EXACT, NEAR, Catalogue, Outcome, cross_sources, sources_table
from kodata.dedup.config import DedupConfig
from kodata.dedup.stages import Plan
from kodata.doc import read_shard

_SIZES = ((2, 2), (3, 3), (4, 5), (6, 10), (11, 100), (101, 1000), (1001, 10**18))
_SAMPLES = 12
_EXCERPT = 160


def summary_of(whole: Catalogue, outcome: Outcome, config: DedupConfig) -> dict[str, Any]:
    """Counts that add up: documents = kept + exact + near + against."""
    actions = Counter(outcome.action.tolist())
    near = outcome.value[outcome.action == NEAR]
    return {
        "documents": len(whole.ids),
        "kept": actions[0],
        "exact": actions[EXACT],
        "near": actions[NEAR],
        "against": actions[AGAINST],
        "clusters": len(outcome.clusters),
        "largest_cluster": max((len(c.members) for c in outcome.clusters), default=0),
        "chained": int((near < config.threshold).sum()),
        "sources": sources_table(whole, outcome),
        "work": outcome.counts,
    }


def lines_of(summary: dict[str, Any], against: bool) -> list[str]:
    """A few lines for the terminal."""
    lines = [
        f"문서 {summary['documents']:,} → {summary['kept']:,} (documents in, kept)",
        f"  똑같음 (exact) {summary['exact']:,} · 거의 같음 (near) {summary['near']:,} · "
        f"묶음 (clusters) {summary['clusters']:,}, 가장 큰 묶음 (largest) {summary['largest_cluster']:,}",
    ]
    if against:
        lines.append(f"  평가 자료가 든 문서 (contaminated): {summary['against']:,} → against.jsonl")
    if summary["chained"]:
        lines.append(f"  다른 사본을 거쳐 이어진 문서 (joined through another copy): {summary['chained']:,}")
    return lines


def report_of(
    plan: Plan, whole: Catalogue, outcome: Outcome, summary: dict[str, Any]
) -> list[dict[str, Any]]:
    """Funnel, per-source table, cluster sizes, cross-source matrix, Jaccard histogram and pairs to look at."""
    from kodata.report import blocks

    left = summary["documents"]
    stages = [("들어옴 (in)", left)]
    for key, label in (
        ("against", "평가 자료 누출 (evaluation data)"),
        ("exact", "똑같음 (exact)"),
        ("near", "거의 같음 (near)"),
    ):
        left -= summary[key]
        stages.append((label, left))
    report = [blocks.funnel("중복 제거 (dedup)", stages)]
    columns = [
        "원천 (source)",
        "들어옴 (in)",
        "남음 (kept)",
        "똑같음 (exact)",
        "거의 같음 (near)",
        "누출 (against)",
        "남은 글자 (chars kept)",
    ]
    rows = [
        [
            name,
            r["in"],
            r["kept"],
            r["exact"],
            r["near"],
            r["against"],
            f"{r['chars_kept'] / max(r['chars_in'], 1):.1%}",
        ]
        for name, r in summary["sources"].items()
    ]
    report.append(blocks.table("원천별 (by source)", columns, rows))
    sizes = Counter(len(c.members) for c in outcome.clusters)
    table = []
    for low, high in _SIZES:
        number = sum(n for size, n in sizes.items() if low <= size <= high)
        documents = sum(n * size for size, n in sizes.items() if low <= size <= high)
        if number:
            table.append(
                [f"{low}" if low == high else f"{low}–{high if high < 10**9 else ''}", number, documents]
            )
    report.append(
        blocks.table(
            "묶음 크기 (cluster sizes)", ["크기 (size)", "묶음 (clusters)", "문서 (documents)"], table
        )
    )
    crossings = cross_sources(whole, outcome.clusters)
    report.append(
        blocks.table(
            "어느 원천이 어느 원천과 겹치나 (cross-source)",
            ["남은 원천 (kept)", "지운 원천 (removed)", "문서 (documents)"],
            [[kept, gone, n] for (kept, gone), n in sorted(crossings.items(), key=lambda x: (-x[1], x[0]))],
        )
    )
    near = [v for c in outcome.clusters for v, e in zip(c.jaccards, c.exact, strict=True) if not e]
    counts = [0] * 50
    for value in near:
        counts[min(int(value * 50), 49)] += 1
    report.append(
        blocks.histogram(
            "거의 같은 문서의 자카드 (Jaccard of near duplicates with the kept copy)",
            [i / 50 for i in range(51)],
            counts,
            threshold=plan.config.threshold,
        )
    )
    report.append(blocks.samples("짝 보기 (pairs to look at)", _pairs(plan, whole, outcome)))
    if plan.against:
        hits = [
            {"label": whole.ids[n], "text": f"{hit['overlap']:.3f}", "note": whole.sources[n]}
            for n, hit in sorted(whole.hits.items())[:50]
        ]
        report.append(
            blocks.samples(
                "평가 자료와 겹침 (evaluation data found)", hits, note="모두: against.jsonl (all of them)"
            )
        )
    report.append(blocks.facts("찾은 과정 (how they were found)", outcome.counts))
    return report


def _pairs(plan: Plan, whole: Catalogue, outcome: Outcome) -> list[dict[str, str]]:
    """Near pairs spread over the whole range of Jaccard, each shown where its texts part."""
    found: list[tuple[float, int, int]] = []
    for cluster in outcome.clusters:
        found += [
            (value, cluster.kept, member)
            for member, value, exact in zip(cluster.members, cluster.jaccards, cluster.exact, strict=True)
            if not exact
        ]
    found.sort()
    step = max(1, len(found) // _SAMPLES)
    chosen = found[::step][:_SAMPLES]
    texts = _texts(plan, whole, {n for _, a, b in chosen for n in (a, b)})
    samples = []
    for value, kept, gone in chosen:
        at = _parting(texts[kept], texts[gone])
        samples.append(
            {
                "label": f"J {value:.3f}",
                "text": f"[남음 kept] {_around(texts[kept], at)}\n\n[지움 removed] {_around(texts[gone], at)}",
                "note": f"{whole.sources[kept]}/{whole.ids[kept]} ↔ {whole.sources[gone]}/{whole.ids[gone]}",
            }
        )
    return samples


def _texts(plan: Plan, whole: Catalogue, numbers: set[int]) -> dict[int, str]:
    texts: dict[int, str] = {}
    for i, shard in enumerate(plan.shards):
        first, last = int(whole.starts[i]), int(whole.starts[i + 1])
        wanted = {n for n in numbers if first <= n < last}
        if not wanted:
            continue
        for number, document in enumerate(read_shard(shard), first):
            if number in wanted:
                texts[number] = document.text
            if number >= max(wanted):
                break
    return texts


def _parting(a: str, b: str) -> int:
    """Length of the common head, by halving: documents may have tens of millions of characters."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _around(text: str, at: int) -> str:
    start = max(0, at - _EXCERPT // 2)
    return ("…" if start else "") + text[start : at + _EXCERPT] + ("…" if at + _EXCERPT < len(text) else "")
