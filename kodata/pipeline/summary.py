"""What a cleaning run tells: numbers for machines, lines for the terminal, blocks for the report."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from kodata.pii import TAGS
from kodata.pipeline.numbers import HISTOGRAMS, Numbers
from kodata.rules import LABELS, PROFILES, RULES
from kodata.run.progress import clock


def summary(numbers: Numbers, renamed: int, units: int) -> dict[str, Any]:
    """The machine-readable numbers of a run."""
    counts = numbers.counts
    return {
        "in": counts["in"], "kept": counts["kept"], "dropped": counts["dropped"], "failed": counts["failed"],
        "reasons": dict(numbers.reasons.most_common()), "chars_in": counts["chars_in"], "chars_out": counts["chars_out"],
        "bytes_in": counts["bytes_in"], "bytes_out": counts["bytes_out"], "pieces_of_long_texts": counts["split"],
        "boilerplate_lines": counts["boilerplate"], "rejoined": counts["rejoined"], "hanyang_pua": counts["hanyang_pua"], "pii": dict(numbers.pii.most_common()), "pii_documents": counts["pii_documents"],
        "renamed_ids": renamed, "units": units,
        "kinds": {key: dict(value) for key, value in sorted(numbers.kinds.items())},
        "sources": {key: dict(value) for key, value in sorted(numbers.sources.items())},
        "languages": {key: dict(value) for key, value in sorted(numbers.languages.items())},
        "licences": {key: dict(value) for key, value in sorted(numbers.licences.items())},
    }  # fmt: skip


def share(part: int, whole: int) -> str:
    """Per cent with as many digits as it needs; 100 only when all of it is meant."""
    if not whole:
        return "0 %"
    value = 100 * part / whole
    if part < whole and value >= 99.95:
        return ">99.9 %"
    if value >= 99.5 or value < 10:
        return "100 %" if part == whole else "<0.1 %" if part and value < 0.1 else f"{value:.1f} %"
    return f"{value:.0f} %"


def says(numbers: Numbers, facts: dict[str, Any], folder: Path, failed: int, seconds: float) -> list[str]:
    """Lines for the terminal."""
    total = facts["in"]
    lines = [
        f"들어옴 (in) {total:,} 문서 · {facts['bytes_in'] / 1e6:,.1f} MB  →  남김 (kept) {facts['kept']:,} ({share(facts['kept'], total)})"
        f" · {facts['bytes_out'] / 1e6:,.1f} MB",
    ]
    if facts["dropped"]:
        top = " · ".join(f"{_label(reason)} {n:,}" for reason, n in numbers.reasons.most_common(3))
        lines.append(f"버림 (dropped) {facts['dropped']:,}: {top}  → {folder / 'dropped'}")
    if failed:
        first = numbers.failures[0]
        place = f"{first['file']}:{first['place']}" if first["place"] else first["file"]
        lines.append(
            f"읽지 못함 (failed) {failed:,}: {place}: {first['reason']}  → {folder / 'failed.jsonl'}"
        )
    if facts["pii"]:
        found = " · ".join(f"{TAGS[kind]} {n:,}" for kind, n in numbers.pii.most_common(4))
        lines.append(f"개인정보 (personal data) {sum(facts['pii'].values()):,}: {found}")
    routed = {name: v.get("kept", 0) for name, v in facts["languages"].items() if name != "ko"}
    if routed:
        told = " · ".join(f"{name} {n:,} → {folder / f'docs-{name}'}" for name, n in routed.items())
        lines.append(f"다른 언어 (other languages): {told}")
    if facts["renamed_ids"]:
        lines.append(f"겹친 id 를 바꿈 (duplicate ids renamed): {facts['renamed_ids']:,}")
    if not facts["kept"]:
        lines.append(
            "경고: 남은 문서가 없습니다 (warning: nothing was kept); kodata inspect 로 까닭을 보십시오"
        )
    licences = ", ".join(
        f"{name} {value.get('kept', 0):,}"
        for name, value in sorted(numbers.licences.items(), key=lambda kv: -kv[1]["in"])[:5]
    )
    lines.append(f"라이선스 (licences): {licences}")
    lines.append(f"데이터 카드 (data card) {folder / 'DATA_CARD.md'}")
    lines.append(f"시간 (time) {clock(seconds)} · 보고서 (report) {folder / 'report.html'}")
    return lines


def _label(reason: str) -> str:
    return LABELS.get(reason, reason)


def blocks(numbers: Numbers, facts: dict[str, Any], config: Any) -> list[dict[str, Any]]:
    """The report: funnel, kinds, sources, licences, personal data, histograms, samples at the borders, failures."""
    from kodata.report import blocks as b

    left = facts["in"]
    stages = [("들어옴 (in)", left)]
    if facts["failed"]:
        left -= facts["failed"]
        stages.append(("읽힘 (readable)", left))
    for reason in [
        *(rule.reason for rule in RULES),
        *sorted(set(numbers.reasons) - {rule.reason for rule in RULES}),
    ]:
        if n := numbers.reasons.get(reason):
            left -= n
            stages.append((f"− {_label(reason)}", left))
    rarer = {
        "긴 글을 나눈 조각 (extra pieces of long texts)": facts["pieces_of_long_texts"],
        "잘라 낸 군더더기 줄 (boilerplate lines cut)": facts["boilerplate_lines"],
        "줄을 이은 문서 (documents with wrapped lines joined)": facts["rejoined"],
        "남은 한양 PUA 옛한글 (old Hangul left in the private use area)": facts["hanyang_pua"],
        "바꾼 id (renamed duplicate ids)": facts["renamed_ids"],
    }
    report = [
        b.facts(
            "한눈에 (at a glance)",
            {
                "들어온 문서 (documents in)": facts["in"],
                "남긴 문서 (kept)": f"{facts['kept']:,} ({share(facts['kept'], facts['in'])})",
                "버린 문서 (dropped)": facts["dropped"],
                "읽지 못한 기록 (failed)": facts["failed"],
                "글자 (characters in → out)": f"{facts['chars_in']:,} → {facts['chars_out']:,}",
                "크기 (bytes in → out)": f"{facts['bytes_in'] / 1e6:,.2f} MB → {facts['bytes_out'] / 1e6:,.2f} MB",
                "프로파일 (profile)": config.profile,
                **{name: number for name, number in rarer.items() if number},
            },
        ),
        b.funnel(
            "문서가 걸러진 까닭 (funnel)",
            stages,
            "막대는 그 규칙을 거친 뒤 남은 문서입니다 (documents left after each rule).",
        ),
        _table(b, "종류와 프로파일 (kinds and profiles)", "종류 → 프로파일 (kind → profile)", numbers.kinds),
        _sources(b, numbers),
        _table(b, "라이선스 (licences)", "라이선스 (licence)", numbers.licences),
    ]
    if len(numbers.languages) > 1:
        report.append(_table(b, "언어 (languages)", "언어 (language)", numbers.languages))
    if numbers.pii:
        rows = [[TAGS[kind], n] for kind, n in numbers.pii.most_common()]
        report.append(
            b.table(
                "바꾼 개인정보 (personal data replaced)",
                ["꼬리표 (tag)", "수 (count)"],
                rows,
                f"문서 {facts['pii_documents']:,}개에서 (in so many documents).",
            )
        )
        kinds = [kind for kind, _ in numbers.pii.most_common(8)]
        by_source = sorted(numbers.pii_sources.items(), key=lambda kv: (-sum(kv[1].values()), kv[0]))
        report.append(
            b.table(
                "출처별 개인정보 (personal data by source)",
                ["출처 (source)", *(TAGS[kind] for kind in kinds)],
                [[source, *(found[kind] for kind in kinds)] for source, found in by_source[:40]],
                "바꾼 자리는 pii/ 에 있고, 원래 값은 어디에도 남기지 않습니다 (places in pii/, values nowhere).",
            )
        )
    profile = _profile(numbers, config.profile)
    for name, counts in numbers.histograms.items():
        if sum(counts):
            report.append(_histogram(b, name, counts, profile))
    report += _samples(b, numbers)
    if numbers.failures:
        rows = [[f["file"], f["place"], f["reason"]] for f in numbers.failures]
        report.append(
            b.table(
                "읽지 못한 기록 (failed records)",
                ["파일 (file)", "자리 (place)", "까닭 (reason)"],
                rows,
                total=facts["failed"],
            )
        )
    return report


_COLUMNS = [
    "들어옴 (in)",
    "남김 (kept)",
    "버림 (dropped)",
    "읽지 못함 (failed)",
    "남은 비율 (kept %)",
    "글자 (chars out)",
]


def _row(value: Any) -> list[Any]:
    total, kept = value.get("in", 0), value.get("kept", 0)
    return [
        total,
        kept,
        value.get("dropped", 0),
        value.get("failed", 0),
        round(100 * kept / total, 1) if total else 0.0,
        value.get("chars_out", 0),
    ]


def _table(b: Any, title: str, column: str, table: dict[str, Any]) -> dict[str, Any]:
    rows = [
        [key, *_row(value)]
        for key, value in sorted(table.items(), key=lambda kv: (-kv[1].get("in", 0), kv[0]))
    ]
    return b.table(title, [column, *_COLUMNS], rows)


def _sources(b: Any, numbers: Numbers) -> dict[str, Any]:
    return _table(b, "출처 (sources)", "출처 (source)", numbers.sources)


_NAMES = {
    "eojeol": "어절 수 (eojeol)", "korean": "한국어 비율 (share of Korean letters)", "symbols": "기호 비율 (share of symbols)",
    "prose": "문장인 글자 비율 (share in sentences)", "mean_eojeol": "어절 평균 길이 (mean eojeol length)",
    "dup_line_chars": "반복된 줄 (repeated lines)", "dup_5": "반복된 5어절 (repeated 5-grams)", "jamo": "낱자 비율 (stray jamo)",
}  # fmt: skip


_UNITS = dict.fromkeys(_NAMES, "비율 (share)") | {
    "eojeol": "문서의 어절 수 (eojeol a document)",
    "mean_eojeol": "글자 (characters)",
}


def _profile(numbers: Numbers, asked: str) -> str:
    """Whose limits the histograms show: those asked for, else those most documents were held to."""
    if asked != "auto":
        return asked
    documents: Counter[str] = Counter()
    for key, value in numbers.kinds.items():
        documents[key.rpartition(" → ")[2]] += value.get("in", 0)
    return next((name for name, _ in documents.most_common() if name in PROFILES), "web")


def _histogram(b: Any, name: str, counts: list[int], profile: str) -> dict[str, Any]:
    low, high, bins, logarithm = HISTOGRAMS[name]
    limits = PROFILES[profile]
    edges = [low + (high - low) * i / bins for i in range(bins + 1)]
    if logarithm:
        edges = [10**edge for edge in edges]
    thresholds = [limits[rule.reason] for rule in RULES if rule.measure == name and rule.reason in limits]
    return b.histogram(
        _NAMES[name],
        edges,
        counts,
        thresholds or None,
        _UNITS[name],
        note=f"세로줄은 {profile} 프로파일의 한계 (lines: limits of this profile)" if thresholds else "",
    )


def _samples(b: Any, numbers: Numbers) -> list[dict[str, Any]]:
    found = []
    for reason in (*(rule.reason for rule in RULES), "translated", "lone_particles", "spam", "no_licence"):
        items: list[dict[str, Any]] = []
        for name, label in (
            (f"border-keep/{reason}", "남김 (kept)"),
            (f"border-drop/{reason}", "버림 (dropped)"),
            (f"drop/{reason}", "버림 (dropped)"),
        ):
            for _, made in numbers.samples.get(name, []):
                note = f"{made['value']} | 한계 (limit) {made['limit']} · {made['profile']} · {made['source']} · {made['id']}"
                if not any(item["note"] == note for item in items):
                    items.append({"label": label, "text": made["text"], "note": note})
        if any(item["label"].startswith("버림") for item in items):
            found.append(b.samples(f"경계의 글: {_label(reason)}", items))
    kept = [
        {"label": made["source"], "text": made["text"], "note": made["id"]}
        for _, made in numbers.samples.get("keep", [])
    ]
    if kept:
        found.append(b.samples("남긴 글 (kept, at random)", kept))
    return found


def plan_lines(
    numbers: Numbers, plan: Any, files: int, seconds: float, workers: int, output: Path
) -> tuple[list[str], dict[str, Any]]:
    """Lines and numbers of a dry run."""
    counts = numbers.counts
    documents = counts["in"]
    speed = counts["bytes_in"] / seconds if seconds else 0.0
    wait = plan.size / (speed * max(1, min(workers, len(plan.units)))) if speed else 0.0
    facts = {
        "files": files, "units": len(plan.units), "bytes": plan.size, "documents_tried": documents, "kept": counts["kept"],
        "dropped": counts["dropped"], "failed": counts["failed"], "reasons": dict(numbers.reasons.most_common()),
        "documents_a_second": round(documents / seconds, 1) if seconds else None, "mb_a_second": round(speed / 1e6, 3),
        "seconds_estimated": round(wait, 1), "workers": workers,
    }  # fmt: skip
    lines = [
        f"계획 (plan): 파일 {files:,} · 작업 단위 {len(plan.units):,} · 약 {plan.size / 1e6:,.1f} MB → {output}",
        f"시험 (tried): 문서 {documents:,} · 남김 {counts['kept']:,} · 버림 {counts['dropped']:,} · 읽지 못함 {counts['failed']:,}",
        f"속도 (speed): {documents / seconds if seconds else 0:,.0f} 문서/s · {speed / 1e6:.2f} MB/s · 작업자 {workers} → 약 {clock(wait)} (estimated)",
    ]
    lines += [f"  {_label(reason)}: {n:,}" for reason, n in numbers.reasons.most_common(5)]
    lines += [f"  {f['file']}:{f['place']}: {f['reason']}" for f in numbers.failures[:3]]
    lines.append("아무것도 쓰지 않았습니다 (nothing was written)")
    return lines, facts
