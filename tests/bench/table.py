"""README's tables of results from the recorded benchmarks: `python -m tests.bench.table [--check] [README.md]`.

One record a line in tests/bench/records.jsonl:

    tool      kodata, kotok or kobitnet
    what      what was measured, Korean (English)
    value     a number           unit   "MB/s", "s", "ms/token", …
    against   optional [{"name", "value"}]: peers measured in the same call, in the same unit
    date, commit, machine, load, command       commit "–": not noted then; load: load average when it began, null when CPU
                                               time was measured or it was not noted
    note      optional, Korean (English)

The newest record of a (tool, what) counts; older ones stay as history. In README each table stands between the markers
`<!-- results:kotok -->` and `<!-- /results:kotok -->`; text between them is replaced, text around them never.
`record(…)` appends a line with date, commit, machine and load filled in; every benchmark may call it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RECORDS = Path(__file__).with_name("records.jsonl")
TOOLS = ("kodata", "kotok", "kobitnet")
NEEDED = {
    "tool": str,
    "what": str,
    "value": (int, float),
    "unit": str,
    "date": str,
    "commit": str,
    "machine": str,
    "command": str,
}


def read(path: Path = RECORDS) -> list[dict[str, Any]]:
    """All records. Raises ValueError naming the line of a broken one."""
    out = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        for key, kind in NEEDED.items():
            if (
                not isinstance(row, dict)
                or not isinstance(row.get(key), kind)
                or isinstance(row.get(key), bool)
            ):
                raise ValueError(f"{path}:{number}: {key!r} is missing or of another type")
        if row["tool"] not in TOOLS:
            raise ValueError(f"{path}:{number}: unknown tool {row['tool']!r}")
        out.append(row)
    return out


def latest(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The newest of each (tool, what), in the order in which each was first recorded; of one day the later line."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in records:
        key = (row["tool"], row["what"])
        if key not in found or row["date"] >= found[key]["date"]:
            found[key] = row
    return list(found.values())


def table(records: Iterable[dict[str, Any]], tool: str) -> str:
    """The Markdown table of one tool, with the machines below it."""
    rows = [row for row in latest(records) if row["tool"] == tool]
    if not rows:
        return "아직 기록이 없습니다 (no records yet)."
    machines = list(dict.fromkeys(row["machine"] for row in rows))
    against = any(row.get("against") for row in rows)
    head = [
        "무엇 (what)",
        "결과 (result)",
        *(["견줌 (against)"] if against else []),
        "날짜 (date)",
        "커밋 (commit)",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---|--:|" + ("---|" if against else "") + "---|---|"]
    for row in rows:
        mark = f" [{machines.index(row['machine']) + 1}]" if len(machines) > 1 else ""
        note = f"<br>{_cell(row['note'])}" if row.get("note") else ""
        cells = [_cell(row["what"]) + note, f"{_number(row['value'])} {_cell(row['unit'])}".strip()]
        if against:
            cells.append(
                ", ".join(f"{_cell(p['name'])} {_number(p['value'])}" for p in row.get("against") or [])
                or "–"
            )
        cells += [row["date"], f"{_cell(row['commit'])}{mark}"]
        lines.append("| " + " | ".join(cells) + " |")
    names = [f"[{i}] {_cell(m)}" if len(machines) > 1 else _cell(m) for i, m in enumerate(machines, 1)]
    return "\n".join([*lines, "", f"컴퓨터 (machine): {' · '.join(names)}."])


def filled(text: str, records: list[dict[str, Any]]) -> str:
    """README with the tables between its markers renewed. Raises ValueError for a marker without its end."""
    for tool in TOOLS:
        begin, end = f"<!-- results:{tool} -->", f"<!-- /results:{tool} -->"
        if text.count(begin) != text.count(end) or text.count(begin) > 1:
            raise ValueError(f"markers {begin} … {end} must stand once each, or not at all")
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
        new = f"{begin}\n{table(records, tool)}\n{end}"
        text = pattern.sub(lambda _, new=new: new, text)
    return text


def record(
    tool: str,
    what: str,
    value: float,
    unit: str,
    command: str,
    *,
    against: Iterable[tuple[str, float]] = (),
    note: str = "",
    load: float | None = None,
    path: Path = RECORDS,
) -> dict[str, Any]:
    """Append one measurement; date, commit and machine are those of this moment. `load`: None for CPU time."""
    row: dict[str, Any] = {"tool": tool, "what": what, "value": value, "unit": unit}
    if peers := [{"name": name, "value": number} for name, number in against]:
        row["against"] = peers
    row |= {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": _commit(),
        "machine": _machine(),
        "load": load,
        "command": command,
    }
    if note:
        row["note"] = note
    with open(path, "a", encoding="utf-8") as handle:
        handle.write(json.dumps(row, ensure_ascii=False) + "\n")
    return row


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout.strip() or "?"


def _machine() -> str:
    """Processor, cores, memory."""
    name = "?"
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (OSError, ValueError):
        return f"{name}, {os.cpu_count()} cores"
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GB"


def _number(value: float) -> str:
    return (
        f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    )


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def main(arguments: list[str] | None = None) -> int:
    """The command: writes README, or with --check only says whether it is up to date (exit 1 when not)."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("readme", nargs="?", type=Path, default=ROOT / "README.md")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 when a table is out of date"
    )
    given = parser.parse_args(arguments)
    text = given.readme.read_text(encoding="utf-8")
    new = filled(text, read())
    if new == text:
        print(f"그대로입니다 (up to date): {given.readme}")
        return 0
    if given.check:
        print(
            f"표가 낡았습니다 (tables out of date): {given.readme}: python -m tests.bench.table",
            file=sys.stderr,
        )
        return 1
    given.readme.write_text(new, encoding="utf-8")
    print(f"고쳤습니다 (renewed): {given.readme}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
