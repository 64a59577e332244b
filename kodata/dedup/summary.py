"""What a dedup run tells: numbers, and blocks for the report, gathered from what the tasks noted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from kodata.dedup.arrays import I64, by_shard, open_arrays
from kodata.dedup.choose import BINS, EACH_PAIR, LARGEST, namer
from kodata.dedup.memory import JOIN_BYTES
from kodata.dedup.plan import Layout, Plan
from kodata.dedup.sign import words_of
from kodata.dedup.stages import hits_of, slice_count
from kodata.doc import read_rows
from kodata.run.files import read_json_object

_SIZES = ((2, 2), (3, 3), (4, 5), (6, 10), (11, 100), (101, 1000), (1001, 10**18))
_SAMPLES = 12
_EXCERPT = 160
_MATRIX = 30
_CLUSTER_ROWS = 200
_HITS = 50


@dataclass(slots=True)
class Findings:
    """All tasks' notes put together."""

    plan: Plan
    layout: Layout
    sizes: I64
    """Documents of each cluster, the largest first."""
    sources: dict[str, dict[str, int]]
    cut: Counter[str]
    cut_samples: list[dict[str, str]]
    crossings: Counter[tuple[str, str]]
    """(name of the kept copy's source, of the removed one's) -> documents."""
    near: list[int]
    """Near duplicates by Jaccard with the kept copy, in BINS from 0 to 1."""
    chained: int
    """Near duplicates below the threshold to the kept copy itself."""
    pairs: list[tuple[float, int, int]]
    """(Jaccard, kept, removed): one of every bin, ascending."""
    shown: list[list[Any]]
    """Rows of the table of clusters."""
    work: dict[str, int]


def gather(plan: Plan, layout: Layout) -> Findings:
    """Read what the tasks of a finished run noted."""
    ends = open_arrays(plan.members)["ends"]
    found = Findings(plan, layout, np.diff(ends), {}, Counter(), [], Counter(), [0] * BINS, 0, [], [], {})
    for shard in range(len(plan.shards)):
        facts = read_json_object(plan.file("written", shard, "json"))
        found.cut.update(facts["cut"])
        found.cut_samples += facts["samples"]
        for source, numbers in facts["sources"].items():
            row = found.sources.setdefault(source, dict.fromkeys(_COLUMNS, 0))
            for name, n in numbers.items():
                row[name] = row.get(name, 0) + n
    found.sources = dict(sorted(found.sources.items()))
    least: dict[int, list[float]] = {}
    of_pair: Counter[tuple[str, ...]] = Counter()
    for part in range(slice_count(plan)):
        facts = read_json_object(plan.file("chosen", part, "json"))
        for kept, removed, n in facts["crossings"]:
            found.crossings[kept, removed] += n
        found.near = [a + b for a, b in zip(found.near, facts["near"], strict=True)]
        found.chained += facts["chained"]
        for pair in facts["pairs"]:
            at = min(int(pair[0] * BINS), BINS - 1)
            least[at] = min(least.get(at, pair), pair)
        for entry in facts["shown"]:
            sources = tuple(entry["sources"])
            mixed = bool(sources) and of_pair[sources] < EACH_PAIR
            of_pair[sources] += mixed
            if mixed or entry["row"][0] <= LARGEST:
                found.shown.append(entry["row"])
    found.pairs = [(value, int(kept), int(removed)) for _, (value, kept, removed) in sorted(least.items())]
    found.work = _work(plan, layout)
    return found


_COLUMNS = ("in", "kept", "exact", "near", "against", "chars_in", "chars_kept")


def _work(plan: Plan, layout: Layout) -> dict[str, int]:
    """How they were found. Over several parts a pair may be looked at more than once."""
    equal = sum(len(open_arrays(plan.file("texts", i))["numbers"]) for i in range(layout.text_parts))
    hits = sum(1 for shard in range(len(plan.shards)) for _ in hits_of(plan, shard))
    work: Counter[str] = Counter({"texts": layout.total - equal - hits, "parts": layout.parts})
    for part in range(layout.parts if plan.config.near else 0):
        facts = read_json_object(plan.file("edges", part, "json"))
        if layout.parts > 1:
            work["met"] += int(open_arrays(plan.file("buckets", part))["pairs"][0])
        work["largest_bucket"] = max(work["largest_bucket"], facts.pop("largest_bucket", 0))
        work.update(facts)
    return dict(work)


def summary_of(found: Findings) -> dict[str, Any]:
    """Counts that add up: documents = kept + exact + near + against + passages."""
    cut = found.cut
    total = {
        name: sum(row.get(name, 0) for row in found.sources.values())
        for name in ("in", "kept", "exact", "near", "against", "passages")
    }
    removed = sum(total[name] for name in ("exact", "near", "against", "passages"))
    if total["in"] != found.layout.total or total["kept"] + removed != total["in"]:
        raise AssertionError(f"documents lost: {found.layout.total} in, {total}")
    return {
        "documents": total.pop("in"),
        **total,
        "clusters": len(found.sizes),
        "largest_cluster": int(found.sizes[0]) if len(found.sizes) else 0,
        "chained": found.chained,
        "cut": {name: cut[name] for name in sorted(cut)},
        "sources": found.sources,
        "work": found.work,
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


def report_of(found: Findings, summary: dict[str, Any]) -> list[dict[str, Any]]:
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
    table = []
    for low, high in _SIZES:
        some = found.sizes[(found.sizes >= low) & (found.sizes <= high)]
        if len(some):
            label = f"{low}" if low == high else f"{low}–{high if high < 10**9 else ''}"
            table.append([label, len(some), int(some.sum())])
    report.append(
        blocks.table(
            "묶음 크기 (cluster sizes)", ["크기 (size)", "묶음 (clusters)", "문서 (documents)"], table
        )
    )
    report.append(
        _square(
            "어느 원천이 어느 원천과 겹치나 (cross-source matrix)",
            "남은 원천 (kept) ＼ 지운 원천 (removed)",
            found.crossings,
            "지운 문서 수 (documents removed)",
        )
    )
    report.append(
        blocks.table(
            "묶음 (clusters)",
            ["번호 (number)", "크기 (size)", "남김 (kept)", "지움, 자카드 (removed, Jaccard with the kept)"],
            found.shown[:_CLUSTER_ROWS],
            note="가장 큰 것과 원천 쌍마다 몇 개; 모두: clusters.jsonl (the largest, and some of each pair of sources; all of them there)",
            total=len(found.sizes),
        )
    )
    report.append(
        blocks.histogram(
            "거의 같은 문서의 자카드 (Jaccard of near duplicates with the kept copy)",
            [i / BINS for i in range(BINS + 1)],
            found.near,
            threshold=found.plan.config.threshold,
        )
    )
    report.append(blocks.samples("짝 보기 (pairs to look at)", _pairs(found)))
    if summary["cut"] or summary["passages"]:
        report += _passages(found, summary)
    if found.plan.against:
        shards = range(len(found.plan.shards))
        hits = [
            {"label": str(hit["id"]), "text": f"{hit['overlap']:.3f}", "note": str(hit["source"])}
            for hit in islice((hit for shard in shards for hit in hits_of(found.plan, shard)), _HITS)
        ]
        report.append(
            blocks.samples(
                "평가 자료와 겹침 (evaluation data found)", hits, note="모두: against.jsonl (all of them)"
            )
        )
    memory = f"{found.layout.unit_bytes / 1e9:,.2f} GB, {found.layout.total * JOIN_BYTES / 1e9:,.2f} GB"
    facts = {**found.work, "작업 하나와 묶음 잇기의 메모리 (memory of a task, of joining)": memory}
    report.append(blocks.facts("찾은 과정 (how they were found)", facts))
    return report


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


def _passages(found: Findings, summary: dict[str, Any]) -> list[dict[str, Any]]:
    from kodata.report import blocks

    cut = found.cut
    kinds = [k for k in ("paragraphs", "lines", "substrings") if cut.get(f"{k}_pieces")]
    rows = [[k, cut[f"{k}_pieces"], cut[f"{k}_chars"]] for k in kinds]
    step = max(1, len(found.cut_samples) // _SAMPLES)
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
            _origins(found.plan, found.layout),
            "자른 글자 수 (characters cut)",
        ),
        blocks.samples("자른 토막 보기 (passages cut)", found.cut_samples[::step][:_SAMPLES]),
    ]


def _origins(plan: Plan, layout: Layout) -> Counter[tuple[str, str]]:
    """(name of the source a passage first stood in, of the one it was cut from) -> characters."""
    name = namer(plan)
    crossings: Counter[tuple[str, str]] = Counter()
    for shard in range(len(plan.shards)):
        rows = np.asarray(open_arrays(plan.file("written", shard))["origins"])
        first, here, chars = rows.T
        names = [[""] * len(rows), [""] * len(rows)]
        for column, numbers in zip(names, (first, here), strict=True):
            order = np.argsort(numbers, kind="stable")
            for owner, part, inside in by_shard(numbers[order], layout.starts):
                signed = open_arrays(plan.file("signed", owner))
                sources = words_of(signed)["sources"]
                for k, source in zip(order[part].tolist(), signed["sources"][inside].tolist(), strict=True):
                    column[k] = name(sources[source], owner)
        for a, b, n in zip(*names, chars.tolist(), strict=True):
            crossings[a, b] += n
    return crossings


def _pairs(found: Findings) -> list[dict[str, str]]:
    """Near pairs spread over the whole range of Jaccard, the lowest and the highest among them, each shown where its texts part."""
    picks = np.linspace(0, len(found.pairs) - 1, min(_SAMPLES, len(found.pairs))).round().astype(int)
    chosen = [found.pairs[k] for k in picks.tolist()]
    texts = _texts(found, {n for _, a, b in chosen for n in (a, b)})
    samples = []
    for value, kept, gone in chosen:
        (kept_name, kept_text), (gone_name, gone_text) = texts[kept], texts[gone]
        at = _parting(kept_text, gone_text)
        samples.append(
            {
                "label": f"J {value:.3f}",
                "text": f"[남음 kept] {_around(kept_text, at)}\n\n[지움 removed] {_around(gone_text, at)}",
                "note": f"{kept_name} ↔ {gone_name}",
            }
        )
    return samples


def _texts(found: Findings, numbers: set[int]) -> dict[int, tuple[str, str]]:
    """Number -> (source/id, text), from the inputs."""
    texts: dict[int, tuple[str, str]] = {}
    wanted = np.array(sorted(numbers), np.int64)
    for shard, _, rows in by_shard(wanted, found.layout.starts):
        path, first = found.plan.shards[shard], int(found.layout.starts[shard])
        for row, record in zip(rows.tolist(), read_rows(path, rows.tolist()), strict=True):
            texts[first + row] = (f"{record.get('source') or path.name}/{record['id']}", record["text"])
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
