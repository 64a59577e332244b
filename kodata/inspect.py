"""`kodata inspect`: look at documents, at what was dropped and why, and at the cases near a limit."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

from kodata.run.errors import UserError, did_you_mean
from kodata.run.flags import Flat, Limit
from kodata.run.result import Result

Show = Literal["overview", "docs", "dropped", "border", "failed", "pii"]
WIDTH = 300


@dataclass(kw_only=True, slots=True)
class InspectConfig:
    """What `kodata inspect` shows."""

    show: Show = "overview"
    """무엇을: 개요, 남긴 문서, 버린 문서, 한계에 가까운 글, 읽지 못한 기록, 개인정보를 바꾼 자리 (what to show)"""
    reason: str | None = None
    """이 까닭으로 버린 것만, 예: menu (only drops for this reason)"""
    source: str | None = None
    """이 출처의 문서만 (only documents of this source)"""
    lang: str | None = None
    """따로 둔 언어의 문서: docs-en/ 은 en (documents of a language with its own output)"""
    id: str | None = None
    """이 id 의 문서를 통째로 (the whole document with this id)"""


def inspect(
    path: str, /, *, config: Annotated[InspectConfig | None, Flat] = None, limit: Limit = None
) -> Result:
    """문서와 버린 까닭 보기 (look at documents, drops and border cases).

    PATH is the output of `kodata clean` or `dedup`, a shard, or any raw input (then: how it is read). `limit`: how many
    documents (5). Colours on a terminal, plain text in a pipe.
    """
    config = config or InspectConfig()
    count = limit or 5
    place = Path(path)
    run = place.is_dir() and (place / "docs").is_dir()
    if run:
        lines, facts = _run(place, config, count)
    elif place.exists() or path.startswith("hf:"):
        lines, facts = _raw(path, config.id, count)
    else:
        raise UserError(f"파일이나 폴더가 없습니다 (no such file or folder): {path}")
    if _colours():
        _paint(lines)
        lines = []
    return Result(path=None, summary=facts, lines=[text for _, text in lines])


def _colours() -> bool:
    return sys.stdout.isatty() and "--json" not in sys.argv and "NO_COLOR" not in os.environ


def _paint(lines: list[tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    styles = {
        "title": "bold",
        "label": "cyan",
        "kept": "green",
        "dropped": "yellow",
        "text": "",
        "note": "dim",
    }
    for style, text in lines:
        console.print(Text(text, style=styles.get(style, "")))


def _shards(folder: Path) -> list[Path]:
    from kodata.doc import SUFFIXES

    return sorted(p for p in folder.glob("*") if p.name.endswith(SUFFIXES)) if folder.is_dir() else []


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    from kodata.doc import read_records

    for shard in _shards(folder):
        for _, record in read_records(shard):
            yield record


def _document(record: dict[str, Any], label: str = "kept") -> list[tuple[str, str]]:
    meta = record.get("meta") or {}
    about = " · ".join(
        str(meta[k]) for k in ("kind", "licence", "title", "date", "url", "file") if meta.get(k)
    )
    head = f"── {record.get('id', '')}  {record.get('source', '')}" + (f"  ({about})" if about else "")
    lines = [(label, head)]
    if drop := record.get("drop"):
        from kodata.rules import LABELS

        reason = str(drop.get("reason"))
        lines.append(
            (
                "label",
                f"   버림 (dropped): {LABELS.get(reason, reason)}  값 {drop.get('value')}  한계 (limit) {drop.get('limit')}",
            )
        )
    text = str(record.get("text", ""))
    lines.append(("text", text if len(text) <= WIDTH else f"{text[:WIDTH]} … ({len(text):,} 글자)"))
    return lines


def _kept_folders(folder: Path) -> list[str]:
    """docs and the outputs of other languages."""
    return ["docs", *sorted(p.name for p in folder.glob("docs-*") if p.is_dir())]


def _of(records: Iterator[dict[str, Any]], source: str | None) -> Iterator[dict[str, Any]]:
    return (record for record in records if source is None or record.get("source") == source)


def _run(folder: Path, config: InspectConfig, count: int) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    from kodata.run.files import read_json_object

    show, reason, id, source = config.show, config.reason, config.id, config.source
    stats_file = folder / "stats.json"
    summary = read_json_object(stats_file).get("summary", {}) if stats_file.exists() else {}
    reasons: dict[str, int] = summary.get("reasons") or {}
    if reason and reasons and reason not in reasons:
        raise UserError(f"그런 까닭으로 버린 문서가 없습니다 (no drop for this reason): {reason}",
                        did_you_mean(reason, list(reasons)) or "있는 까닭 (reasons): " + ", ".join(reasons))  # fmt: skip
    sources = list(summary.get("sources") or {})
    if source and sources and source not in sources:
        raise UserError(f"그런 출처가 없습니다 (no such source): {source}",
                        did_you_mean(source, sources) or "있는 출처 (sources): " + ", ".join(sources[:12]))  # fmt: skip
    kept = "docs" if config.lang in (None, "ko") else f"docs-{config.lang}"
    if kept not in _kept_folders(folder):
        raise UserError(f"그 언어의 출력이 없습니다 (no output of this language): {config.lang}",
                        "있는 출력 (outputs): " + ", ".join(_kept_folders(folder)))  # fmt: skip
    if id is not None:
        for name, label in (*((name, "kept") for name in _kept_folders(folder)), ("dropped", "dropped")):
            for record in _records(folder / name):
                if record.get("id") == id:
                    lines = _document({**record, "text": ""}, label)[:-1]
                    return [*lines, ("text", str(record.get("text", "")))], {"id": id, "where": name}
        raise UserError(f"그런 id 의 문서가 없습니다 (no document with this id): {id}")
    if show == "failed":
        return _failed(folder, count)
    if show == "border":
        return _border(folder, reason, count)
    if show == "pii":
        return _personal(folder, source, count)
    if show == "docs" or config.lang:
        found = list(islice(_of(_records(folder / kept), source), count))
        return [line for r in found for line in _document(r)], {"shown": len(found)}
    if show == "dropped" or reason:
        dropped = (
            r
            for r in _of(_records(folder / "dropped"), source)
            if reason is None or (r.get("drop") or {}).get("reason") == reason
        )
        return [line for r in islice(dropped, count) for line in _document(r, "dropped")], {"reason": reason}
    return _overview(folder, summary, reasons, source, count), {
        k: summary.get(k) for k in ("in", "kept", "dropped", "failed", "reasons")
    }


def _overview(
    folder: Path, summary: dict[str, Any], reasons: dict[str, int], source: str | None, count: int
) -> list[tuple[str, str]]:
    from kodata.rules import LABELS

    lines: list[tuple[str, str]] = []
    if summary:
        numbers = " · ".join(f"{label} {summary[key]:,}" for key, label in
                             (("in", "들어옴 (in)"), ("kept", "남김 (kept)"), ("dropped", "버림 (dropped)"), ("failed", "읽지 못함 (failed)"))
                             if isinstance(summary.get(key), int))  # fmt: skip
        lines.append(("title", numbers))
    total = summary.get("in") or 0
    for name, n in sorted(reasons.items(), key=lambda item: -item[1]):
        part = f"{100 * n / total:5.1f} %" if total else ""
        lines.append(("label", f"  {n:>8,}  {part}  {name}: {LABELS.get(name, name)}"))
    for name, value in (summary.get("languages") or {}).items():
        if name != "ko":
            lines.append(("label", f"  {value.get('kept', 0):>8,}  docs-{name}/ (--lang {name})"))
    lines.append(("title", "남긴 문서 (kept documents)"))
    for record in islice(_of(_records(folder / "docs"), source), count):
        lines += _document(record)
    shown: dict[str, int] = {}
    for record in islice(_of(_records(folder / "dropped"), source), 5000):
        name = str((record.get("drop") or {}).get("reason"))
        shown[name] = shown.get(name, 0) + 1
        if shown[name] == 1:
            if len(shown) == 1:
                lines.append(("title", "버린 문서, 까닭마다 하나 (dropped, one a reason)"))
            lines += _document(record, "dropped")
    lines.append(
        (
            "note",
            "더 보기 (more): --show docs | dropped | border | failed | pii · --reason 까닭 · --source 출처 · --id 문서 · -n 개수",
        )
    )
    return lines


def _border(folder: Path, reason: str | None, count: int) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    from kodata.pipeline.numbers import Numbers
    from kodata.rules import LABELS
    from kodata.run.files import read_json_object

    numbers = Numbers()
    files = sorted((folder / "work" / "units").glob("*.json"))
    if not files:
        raise UserError(
            f"경계의 글은 kodata clean 의 출력에만 있습니다 (border cases exist only in the output of clean): {folder}"
        )
    for file in files:
        numbers.add(read_json_object(file))
    lines: list[tuple[str, str]] = []
    for name in sorted({key.partition("/")[2] for key in numbers.samples if key.startswith("border")}):
        if reason and name != reason:
            continue
        lines.append(("title", f"{name}: {LABELS.get(name, name)}"))
        for side, label in (("border-keep", "kept"), ("border-drop", "dropped")):
            for _, made in numbers.samples.get(f"{side}/{name}", [])[:count]:
                word = "남김 (kept)" if label == "kept" else "버림 (dropped)"
                lines.append(
                    (
                        label,
                        f"── {word} 값 {made['value']} 한계 (limit) {made['limit']}  {made['profile']}  {made['source']}  {made['id']}",
                    )
                )
                lines.append(("text", made["text"][:WIDTH]))
    return lines, {"reason": reason}


def _personal(folder: Path, source: str | None, count: int) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """Where personal data was replaced: kind, document and the words around what stands there now."""
    lines: list[tuple[str, str]] = []
    shown = 0
    for shard in _shards(folder / "pii"):
        texts: dict[tuple[str, int], dict[str, Any]] = {}
        for entry in islice(_records_of(shard), max(count, 1)):
            texts[entry["in"], entry["n"]] = entry
        for name in {name for name, _ in texts}:
            for place, record in enumerate(_records_of(folder / name / shard.name)):
                entry = texts.get((name, place), {})
                if not entry or (source is not None and record.get("source") != source) or shown >= count:
                    continue
                shown += 1
                lines.append(
                    (
                        "kept" if name != "dropped" else "dropped",
                        f"── {record['id']}  {record.get('source', '')}  ({name})",
                    )
                )
                text = str(record["text"])
                for kind, start, end in entry["found"][:5]:
                    around = f"{text[max(0, start - 30) : start]}{text[start:end]}{text[end : end + 20]}"
                    lines.append(("text", f"   {kind}: …{around}…".replace("\n", " ")))
        if shown >= count:
            break
    return lines or [("note", "바꾼 개인정보가 없습니다 (no personal data was replaced)")], {"shown": shown}


def _records_of(shard: Path) -> Iterator[dict[str, Any]]:
    from kodata.doc import read_records

    return (record for _, record in read_records(shard)) if shard.exists() else iter(())


def _failed(folder: Path, count: int) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    import json

    file = folder / "failed.jsonl"
    if not file.exists():
        return [("note", "읽지 못한 기록이 없습니다 (no failed records)")], {"failed": 0}
    lines: list[tuple[str, str]] = []
    with open(file, encoding="utf-8") as handle:
        for line in islice(handle, count):
            record = json.loads(line)
            place = f"{record['file']}:{record['place']}" if record.get("place") else record["file"]
            lines.append(("dropped", f"{place}: {record['reason']}"))
    return lines, {"shown": len(lines)}


def _raw(path: str, id: str | None, count: int) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """How a raw input is read: its parts, and the first records of them."""
    from kodata.pipeline.plan import make_plan
    from kodata.sources import Failure, Settings, read

    plan = make_plan([path], [], Settings())
    parts = [part for unit in plan.units for part in unit]
    forms: dict[str, int] = {}
    for part in parts:
        forms[part.form] = forms.get(part.form, 0) + 1
    lines = [
        (
            "title",
            f"{path}: "
            + " · ".join(f"{form} {n:,}" for form, n in sorted(forms.items()))
            + f" · 약 {plan.size / 1e6:,.1f} MB",
        )
    ]
    shown = 0
    for part in parts:
        for item in read(part, Settings()):
            if isinstance(item, Failure):
                lines.append(("dropped", f"── {item.file}:{item.place}: {item.reason}"))
            elif id is None or item.id == id:
                lines += _document(
                    {
                        "id": item.id or f"({part.name}:{item.place})",
                        "source": item.source,
                        "text": item.text,
                        "meta": item.meta,
                    }
                )
            else:
                continue
            shown += 1
            if shown >= count:
                return lines, {"forms": forms, "bytes": plan.size}
            if id is None and len(parts) > 1 and shown % max(1, count // len(parts)) == 0:
                break  # a few from each file rather than all from the first
    return lines, {"forms": forms, "bytes": plan.size}
