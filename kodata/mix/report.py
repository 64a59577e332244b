"""What kodata mix tells: numbers by group, a line for each, a table and bars."""

from __future__ import annotations

from collections import Counter
from typing import Any

from kodata.mix.pool import Pool


def summary_of(
    pool: Pool, quota: dict[str, float], chars: Counter[str], documents: Counter[str]
) -> dict[str, Any]:
    """Numbers by group: there, under the cut, share asked for, taken, passes."""
    groups: dict[str, dict[str, Any]] = {}
    whole = sum(quota.values()) or 1.0
    for index, name in enumerate(pool.groups):
        members = pool.group == index
        have = int(pool.chars[members].sum())
        groups[name] = {
            "documents": int(members.sum()),
            "chars": have,
            "below_cut": pool.cut[name],
            "share": quota[name] / whole,
            "chars_asked": round(quota[name]),
            "documents_taken": documents[name],
            "chars_taken": chars[name],
            "passes": chars[name] / have if have else 0.0,
        }
    return {"documents": sum(documents.values()), "chars": sum(chars.values()), "groups": groups}


def lines_of(summary: dict[str, Any]) -> list[str]:
    """A line for each group."""
    lines = [
        f"{name}: 몫 (share) {g['share']:.1%} · {g['chars_asked']:,}자 · 있는 것 (present) {g['chars']:,}자 {g['documents']:,}문서"
        + (f" · {g['passes']:.2f}번 (passes)" if g["documents_taken"] else "")
        for name, g in summary["groups"].items()
    ]
    if summary["documents"]:
        lines.append(
            f"모두 (in all): {summary['documents']:,} 문서, {summary['chars']:,}자 (documents, characters)"
        )
    return lines


def report_of(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The mixture as a table and bars."""
    from kodata.report import blocks

    columns = [
        "묶음 (group)", "몫 (share)", "있는 글자 (characters)", "점수 아래 (below the cut)", "뽑은 문서 (documents taken)",
        "뽑은 글자 (characters taken)", "도는 횟수 (passes)",
    ]  # fmt: skip
    rows = [
        [name, f"{g['share']:.1%}", g["chars"], g["below_cut"], g["documents_taken"], g["chars_taken"], round(g["passes"], 3)]
        for name, g in summary["groups"].items()
    ]  # fmt: skip
    bars = [(name, g["chars_taken"]) for name, g in summary["groups"].items()]
    return [
        blocks.table("섞은 것 (the mixture)", columns, rows),
        blocks.bars("뽑은 글자 (characters taken)", bars, unit="자"),
    ]
