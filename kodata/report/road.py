"""Blocks about several runs in order: the whole road from raw text to result on one page."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kodata.report import blocks as b
from kodata.report import format as fmt
from kodata.report.blocks import Block
from kodata.report.names import NUMBERS, label, verb
from kodata.report.parts import STATUS
from kodata.report.runs import Run
from kodata.report.values import cell

MAIN = {
    ("kodata", "clean"): ("kept", "documents_kept", "documents_out", "documents"),
    ("kodata", "dedup"): ("kept", "documents_kept", "documents_out", "documents"),
    ("kodata", "sft"): ("chats", "written", "kept", "records", "examples"),
    ("kodata", "dpo"): ("pairs", "written", "kept", "records"),
    ("kotok", "train"): ("vocab_size",),
    ("kotok", "encode"): ("tokens", "train_tokens", "tokens_train"),
    ("kobitnet", "train"): ("val_bits_per_byte", "bits_per_byte", "val_loss", "loss"),
    ("kobitnet", "sft"): ("val_loss", "loss"),
    ("kobitnet", "dpo"): ("val_margin", "margin", "val_loss", "loss"),
    ("kobitnet", "eval"): ("perplexity", "bits_per_byte", "accuracy"),
    ("kobitnet", "generate"): ("answers", "responses", "records", "prompts", "tokens"),
}
"""The number a stage is known by: the first of these its summary has, else the summary's first number."""


def road(runs: list[Run]) -> list[Block]:
    """The flow, what came in, and the blocks of every run in its chapter."""
    titles = [f"{i}. {verb(run.tool, run.verb)} · {run.name}" for i, run in enumerate(runs, 1)]
    cards = [card(run, title, runs) for run, title in zip(runs, titles, strict=True)]
    page = [
        b.flow(
            "한눈에 보는 과정 (the road)",
            cards,
            note="카드를 누르면 그 단계로 갑니다 (each card leads to its stage).",
        )
    ]
    page.append(_outside(runs))
    page += _licences(runs)
    for run, title in zip(runs, titles, strict=True):
        page += [b.chapter(title, main_facts(run), tool=run.tool), *unfinished(run)]
        page += [{**block, "tool": run.tool} if block["type"] == "chapter" else block for block in run.report]
        page.append(how_made(run))
    return page


def scalars(values: Mapping[str, Any], prefix: str = "", depth: int = 3) -> Iterator[tuple[str, Any]]:
    """The single values of a nested mapping as ``a.b``; lists and empty values are left out."""
    for key, value in values.items():
        name = f"{prefix}{key}"[:200]
        if isinstance(value, Mapping):
            if depth:
                yield from scalars(value, f"{name}.", depth - 1)
        elif value is not None and not isinstance(value, list | tuple):
            yield name, cell(value)


def main_number(run: Run) -> tuple[str, Any] | None:
    """The name and the number a run is known by."""
    numbers = [(k, v) for k, v in scalars(run.summary) if _is_number(v)]
    known = dict(numbers)
    for key in MAIN.get((run.tool, run.verb), ()):
        if key in known:
            return key, known[key]
    return numbers[0] if numbers else None


def outside(runs: list[Run]) -> dict[str, list[str]]:
    """Inputs that no run here made, and the names of the runs that read them."""
    found: dict[str, list[str]] = {}
    for run in runs:
        for path, _ in _inputs(run):
            if not _makers(path, run, runs):
                users = found.setdefault(path, [])
                users += [run.name] if run.name not in users else []
    return found


def _makers(path: str, reader: Run, runs: list[Run]) -> list[str]:
    """The runs whose output ``path`` is or lies in. A relative path is tried from here and from above the reader,
    for the report may be asked for from another folder than the run was."""
    try:
        places = [
            Path(path).resolve(),
            *((above / path).resolve() for above in list(reader.path.resolve().parents)[:3]),
        ]
        around = {folder for place in places for folder in (place, *place.parents)}
    except (OSError, ValueError, RuntimeError):  # a name no file can have
        return []
    return [run.name for run in runs if run is not reader and not around.isdisjoint(run.places)]


def _sources(run: Run, runs: list[Run]) -> str:
    """What feeds a run, in a few words."""
    names = dict.fromkeys(
        name for path, _ in _inputs(run) for name in _makers(path, run, runs) or ["원본 (raw)"]
    )
    return ", ".join(list(names)[:4])


def card(run: Run, anchor: str, runs: list[Run]) -> dict[str, Any]:
    main = main_number(run)
    numbers = [
        (_short(k), v)
        for k, v in scalars(run.summary, depth=0)
        if k in NUMBERS and (main is None or k != main[0]) and _is_number(v) and v != 0
    ][:3]
    time = run.manifest.get("seconds")
    if isinstance(time, int | float) and not isinstance(time, bool):
        numbers.append(("걸린 시간 (time)", fmt.seconds(time)))
    big = f"{fmt.value(main[1])} {_short(main[0])}" if main else ""
    status = run.status if run.status in STATUS else "running"
    facts = {"출력 (output)": run.name, **dict(numbers)}
    if runs and (fed := _sources(run, runs)):
        facts = {"입력 (from)": fed, **facts}
    return {
        "tool": run.tool,
        "name": f"{run.verb} · {verb(run.tool, run.verb).split(' (')[0]}",
        "status": status,
        "main": big,
        "facts": facts,
        "anchor": anchor,
    }


def _short(key: str) -> str:
    """The Korean half of a label: a card has little room."""
    return label(key).split(" (")[0]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _long(value: Any) -> bool:
    return isinstance(value, str) and len(value) > 24


def main_facts(run: Run) -> dict[str, Any]:
    """The numbers under a chapter's title; the run's own blocks tell the rest."""
    known = [(label(k), v) for k, v in scalars(run.summary, depth=0) if v != 0 and not _long(v)]
    facts = dict(known[:8])
    return facts if run.done else {"상태 (status)": STATUS.get(run.status, STATUS["running"]), **facts}


def unfinished(run: Run) -> list[Block]:
    if run.done:
        return []
    error = str(run.manifest.get("error") or "")[:500]
    words = f"이 실행은 끝나지 않았습니다: **{STATUS.get(run.status, STATUS['running'])}**. 같은 명령을 다시 실행하면 이어집니다."
    words += " (This run is unfinished; the same command resumes it.)"
    text = f"{words}\n\n```\n{command(run)}\n```" + (f"\n\n```\n{error}\n```" if error else "")
    return [b.text(f"끝나지 않음 (unfinished) · {run.name}", text)]


def command(run: Run) -> str:
    """The command of a run as one would type it."""
    words = run.manifest.get("command")
    if isinstance(words, list) and words and str(words[0]).endswith("__main__.py"):
        words = [run.tool, *words[1:]]
    return (
        shlex.join(str(w) for w in words[:200])[:2_000]
        if isinstance(words, list)
        else str(words or "")[:2_000]
    )


def how_made(run: Run) -> Block:
    seconds = run.manifest.get("seconds")
    facts: dict[str, Any] = {
        "명령 (command)": command(run),
        "시작 (started)": str(run.manifest.get("started", ""))[:40],
    }
    if isinstance(seconds, int | float):
        facts["걸린 시간 (time)"] = fmt.seconds(seconds)
    facts["시드 (seed)"] = cell(run.manifest.get("seed"))
    config = ", ".join(f"{k}={fmt.value(v)}" for k, v in scalars(mapping(run.manifest.get("config"))))
    facts["설정 (config)"] = config[:2_000]
    facts["입력 (inputs)"] = ", ".join(path for path, _ in _inputs(run)[:20])
    facts["버전 (versions)"] = ", ".join(
        f"{k} {fmt.value(v)}" for k, v in scalars(mapping(run.manifest.get("versions")))
    )
    return b.facts("만든 방법 (how it was made)", {k: v for k, v in facts.items() if v not in ("", None)})


def _inputs(run: Run) -> list[tuple[str, str]]:
    """Path and fingerprint of what a run read."""
    given = run.manifest.get("inputs")
    found = []
    for source in given[:500] if isinstance(given, list) else []:
        if isinstance(source, str):
            found.append((source[:500], ""))
        elif isinstance(source, Mapping) and isinstance(source.get("path"), str):
            found.append((source["path"][:500], str(source.get("fingerprint", ""))[:12]))
    return found


def _outside(runs: list[Run]) -> Block:
    """What came in from outside: files, or folders when there are many files."""
    title, used = "입력 자료 (what came in)", "쓴 단계 (used by)"
    found = outside(runs)
    if len(found) <= 8:
        prints = {path: digest for run in runs for path, digest in _inputs(run)}
        rows = [[path, ", ".join(users), prints.get(path, "")] for path, users in found.items()]
        return b.table(title, ["입력 (input)", used, "지문 (fingerprint)"], rows)
    folders: dict[str, list[Any]] = {}
    for path, users in found.items():
        row = folders.setdefault(str(Path(path).parent), [0, {}])
        row[0] += 1
        row[1].update(dict.fromkeys(users))
    rows = [[folder, count, ", ".join(users)] for folder, (count, users) in folders.items()]
    return b.table(
        title,
        ["폴더 (folder)", "파일 (files)", used],
        rows,
        note="지문은 각 단계의 manifest.json에 있습니다 (fingerprints: manifest.json).",
    )


def _licences(runs: list[Run]) -> list[Block]:
    """The tables of sources and of licences that the first stage which knows them made, shown on top as well."""
    for run in runs:
        tables = [block for block in run.report if block["type"] == "table" and block["rows"]]
        about = {
            "출처 (sources)": ("출처", "원천", "원본", "source"),
            "라이선스 (licences)": ("라이선스", "licen"),
        }
        found: list[Block] = []
        for title, words in about.items():
            block = next(
                (t for t in tables if any(w in c.lower() for c in t["columns"] for w in words)), None
            )
            if block and not any(block["columns"] == other["columns"] for other in found):
                both = any(w in c.lower() for c in block["columns"] for w in about["라이선스 (licences)"])
                found.append(
                    {
                        **block,
                        "title": "출처와 라이선스 (sources and licences)" if both and not found else title,
                    }
                )
        if any("licen" in column.lower() for block in found for column in block["columns"]):
            return found
    return []


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
