"""What a dedup run tells: numbers, and blocks for the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from kodata.dedup.cluster import AGAINST, EXACT, KEEP, NEAR, Catalogue, Outcome, sources_table
from kodata.dedup.stages import Plan
from kodata.doc import read_shard
from kodata.run.files import read_json_object

_SIZES = ((2, 2), (3, 3), (4, 5), (6, 10), (11, 100), (101, 1000), (1001, 10**18))
_SAMPLES = 12
_EXCERPT = 160
_MATRIX = 30
_CLUSTERS, _EACH_PAIR, _CLUSTER_ROWS, _MEMBERS = 30, 8, 200, 6


def summary_of(plan: Plan, whole: Catalogue, outcome: Outcome) -> dict[str, Any]:
    """Counts that add up: documents = kept + exact + near + against + passages."""
    actions = Counter(outcome.action.tolist())
    near = outcome.value[outcome.action == NEAR]
    cut: Counter[str] = Counter()
    sources = sources_table(whole, outcome)
    for i in range(len(plan.shards)):
        facts = read_json_object(plan.cut(i))
        cut.update(facts["numbers"])
        for source, count in facts["dropped_of"].items():
            sources[source]["kept"] -= count
            sources[source]["passages"] = sources[source].get("passages", 0) + count
    kept, dropped = cut.pop("kept", 0), cut.pop("dropped", 0)
    if kept + dropped != actions[KEEP]:
        raise AssertionError(f"documents lost: {kept} + {dropped} != {actions[KEEP]}")
    return {
        "documents": len(whole.ids),
        "kept": kept,
        "exact": actions[EXACT],
        "near": actions[NEAR],
        "against": actions[AGAINST],
        "passages": dropped,
        "clusters": len(outcome.clusters),
        "largest_cluster": max((len(c.members) for c in outcome.clusters), default=0),
        "chained": int((near < plan.config.threshold).sum()),
        "cut": {name: cut[name] for name in sorted(cut)},
        "sources": sources,
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
    if summary["cut"] or summary["passages"]:
        chars = sum(n for name, n in summary["cut"].items() if name.endswith("_chars"))
        lines.append(
            f"  앞 문서에 있던 토막을 자름 (passages cut): 문서 {summary['cut'].get('trimmed', 0):,} · {chars:,}자 · "
            f"남은 것이 적어 버림 (dropped) {summary['passages']:,}"
        )
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
        ("passages", "남은 글이 적음 (too little left)"),
    ):
        if summary[key] or key != "passages":
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
    report.append(_matrix(plan, whole, outcome))
    report.append(_clusters(plan, whole, outcome))
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
    if summary["cut"] or summary["passages"]:
        report += _passages(plan, whole, summary)
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


def _names(plan: Plan, whole: Catalogue) -> Callable[[int], str]:
    """What a document's origin is called: its source, with the file's name where a source fills several named files (editions)."""
    stems = [shard.name.split(".jsonl")[0].removesuffix(".parquet") for shard in plan.shards]
    files: dict[str, set[int]] = {}
    shard_of = np.repeat(np.arange(len(stems)), np.diff(whole.starts)).tolist()
    for source, shard in zip(whole.sources, shard_of, strict=True):
        files.setdefault(source, set()).add(shard)

    def name(n: int) -> str:
        source, stem = whole.sources[n], stems[shard_of[n]]
        plain = len(files[source]) == 1 or stem.isdigit() or stem == source
        return source if plain else f"{source} · {stem}"

    return name


def _matrix(plan: Plan, whole: Catalogue, outcome: Outcome) -> dict[str, Any]:
    """Kept sources down, removed ones across."""
    name = _names(plan, whole)
    crossings: Counter[tuple[str, str]] = Counter()
    for cluster in outcome.clusters:
        crossings.update((name(cluster.kept), name(member)) for member in cluster.members[1:])
    return _square(
        "어느 원천이 어느 원천과 겹치나 (cross-source matrix)",
        "남은 원천 (kept) ＼ 지운 원천 (removed)",
        crossings,
        "지운 문서 수 (documents removed)",
    )


def _square(title: str, corner: str, crossings: Counter[tuple[str, str]], note: str) -> dict[str, Any]:
    """(down, across) -> number as a table of the names that have most."""
    from kodata.report import blocks

    weight: Counter[str] = Counter()
    for pair, n in crossings.items():
        weight.update(dict.fromkeys(pair, n))
    names = sorted(sorted(weight, key=lambda name: (-weight[name], name))[:_MATRIX])
    rows = [
        [down, *(crossings.get((down, across)) for across in names)]
        for down in names
        if any(crossings.get((down, across)) for across in names)
    ]
    return blocks.table(
        title, [corner, *names], rows,
        note=f"{note}; 원천 {len(weight)} 가운데 {len(names)} (names shown of all)",
    )  # fmt: skip


def _clusters(plan: Plan, whole: Catalogue, outcome: Outcome) -> dict[str, Any]:
    """Clusters a reader can check: the largest, and the largest of each pair of sources."""
    from kodata.report import blocks

    name = _names(plan, whole)
    chosen: dict[int, None] = dict.fromkeys(range(min(_CLUSTERS, len(outcome.clusters))))
    pairs: Counter[tuple[str, ...]] = Counter()
    for index, cluster in enumerate(outcome.clusters):
        sources = tuple(sorted({name(n) for n in cluster.members}))
        if len(sources) > 1 and pairs[sources] < _EACH_PAIR:
            pairs[sources] += 1
            chosen[index] = None
    rows = []
    for index in sorted(chosen)[:_CLUSTER_ROWS]:
        cluster = outcome.clusters[index]
        members = [
            f"{name(n)}/{whole.ids[n]} ({value:.2f})"
            for n, value in zip(cluster.members[1 : 1 + _MEMBERS], cluster.jaccards[1:], strict=False)
        ]
        more = len(cluster.members) - 1 - len(members)
        kept = f"{name(cluster.kept)}/{whole.ids[cluster.kept]}"
        told = "; ".join(members) + (f"; … +{more}" if more else "")
        rows.append([index + 1, len(cluster.members), kept, told])
    return blocks.table(
        "묶음 (clusters)",
        ["번호 (number)", "크기 (size)", "남김 (kept)", "지움, 자카드 (removed, Jaccard with the kept)"],
        rows,
        note="가장 큰 것과 원천 쌍마다 몇 개; 모두: clusters.jsonl (the largest, and some of each pair of sources; all of them there)",
        total=len(outcome.clusters),
    )


def _passages(plan: Plan, whole: Catalogue, summary: dict[str, Any]) -> list[dict[str, Any]]:
    from kodata.report import blocks

    cut = summary["cut"]
    kinds = [k for k in ("paragraphs", "lines", "substrings") if cut.get(f"{k}_pieces")]
    rows = [[k, cut[f"{k}_pieces"], cut[f"{k}_chars"]] for k in kinds]
    shown: list[dict[str, str]] = []
    for i in range(len(plan.shards)):
        shown += read_json_object(plan.cut(i))["samples"]
    step = max(1, len(shown) // _SAMPLES)
    name = _names(plan, whole)
    crossings: Counter[tuple[str, str]] = Counter()
    for i in range(len(plan.shards)):
        for first, number, chars in np.load(plan.origins(i), allow_pickle=False).tolist():
            crossings[name(first), name(number)] += chars
    return [
        blocks.table(
            "앞 문서에 있던 토막 (passages of earlier documents)",
            ["종류 (kind)", "토막 (pieces)", "글자 (characters)"],
            rows,
            note=f"자른 문서 {cut.get('trimmed', 0):,}, 버린 문서 {summary['passages']:,} (documents cut, dropped); 모두: trimmed/",
        ),
        _square(
            "토막이 어디에서 왔나 (where passages first stood)",
            "먼저 있던 원천 (earlier) ＼ 자른 원천 (cut)",
            crossings,
            "자른 글자 수 (characters cut)",
        ),
        blocks.samples("자른 토막 보기 (passages cut)", shown[::step][:_SAMPLES]),
    ]


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
