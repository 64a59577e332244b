"""`DATA_CARD.md`: what a reader of the corpus must know, in the form dataset hubs show; written beside the documents."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from kodata.licence import UNKNOWN
from kodata.pii import TAGS
from kodata.pipeline.numbers import Numbers
from kodata.rules import LABELS

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"),
          (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"))  # fmt: skip
ROWS = 60


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|").replace("\n", " ")


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in rows[:ROWS]]
    if len(rows) > ROWS:
        lines.append(f"| … (+{len(rows) - ROWS:,}) |" + " |" * (len(columns) - 1))
    return [*lines, ""]


def _counted(table: Mapping[str, Mapping[str, int]]) -> list[list[object]]:
    rows: list[list[object]] = [
        [
            key,
            v.get("in", 0),
            v.get("kept", 0),
            v.get("dropped", 0),
            v.get("failed", 0),
            v.get("chars_out", 0),
        ]
        for key, v in table.items()
    ]
    return sorted(rows, key=lambda row: (-int(str(row[2])), str(row[0])))


def command_of(manifest: Mapping[str, Any]) -> str:
    """The command without the key of the stand-ins, which is nobody's business."""
    given = list(map(str, manifest.get("command", [])))
    tool, verb = str(manifest.get("tool", "kodata")), str(manifest.get("verb", "clean"))
    if given[1:2] != [verb]:
        return f"{tool}.{verb}(…)  # 파이썬에서 (called from Python)"
    words, hidden = [tool], False
    for word in given[1:]:
        words.append(
            "***" if hidden else "--pii-seed=***" if word.startswith("--pii-seed=") else shlex.quote(word)
        )
        hidden = word == "--pii-seed"
    return " ".join(words)


def card(numbers: Numbers, facts: Mapping[str, Any], config: Any, manifest: Mapping[str, Any]) -> str:
    """The card as Markdown with a YAML head. Counts come from the run, nothing is made up."""
    languages = [name for name, v in sorted(numbers.languages.items()) if v.get("kept")] or ["ko"]
    size = next((name for most, name in _SIZES if facts["kept"] < most), "n>1B")
    lines = ["---", "language:"]
    lines += [f"- {name}" for name in sorted(languages, key=lambda name: (name != "ko", name))]
    lines += [
        "license: other",
        "license_name: mixed-see-below",
        f"size_categories:\n- {size}",
        "task_categories:\n- text-generation",
        "---",
        "",
    ]
    lines += [
        "# 데이터 카드 (data card)", "",
        f"`kodata clean` 이 만든 한국어 말뭉치. 문서 {facts['kept']:,} 개, {facts['chars_out']:,} 글자 (documents and characters of a cleaned corpus).", "",
        "## 수 (counts)", "",
    ]  # fmt: skip
    lines += _table(["", "문서 (documents)"], [["들어옴 (in)", facts["in"]], ["남김 (kept)", facts["kept"]], ["버림 (dropped)", facts["dropped"]], ["읽지 못함 (failed)", facts["failed"]]])  # fmt: skip
    columns = ["들어옴 (in)", "남김 (kept)", "버림 (dropped)", "읽지 못함 (failed)", "글자 (characters)"]
    lines += ["## 출처 (sources)", "", *_table(["출처 (source)", *columns], _counted(numbers.sources))]
    lines += [
        "## 라이선스 (licences)",
        "",
        "문서마다 `meta.licence` 에 있습니다 (each document carries its own).",
        "",
    ]
    lines += _table(["라이선스 (licence)", *columns], _counted(numbers.licences))
    unknown = sum(v.get("kept", 0) for name, v in numbers.licences.items() if name.startswith(UNKNOWN))
    if unknown:
        lines += [f"라이선스를 모르는 문서 {unknown:,} 개가 들어 있습니다: 나누기 전에 `--require-licence` (unknown licences are inside: use `--require-licence` before sharing).", ""]  # fmt: skip
    lines += [
        "## 종류와 규칙 (kinds and profiles)",
        "",
        *_table(["종류 → 프로파일 (kind → profile)", *columns], _counted(numbers.kinds)),
    ]
    if len(languages) > 1 or languages != ["ko"]:
        lines += [
            "## 언어 (languages)",
            "",
            "ko 는 `docs/`, 나머지는 `docs-언어/` (ko in docs/, the others in docs-xx/)",
            "",
        ]
        lines += _table(["언어 (language)", *columns], _counted(numbers.languages))
    lines += ["## 버린 까닭 (drops by reason)", ""]
    lines += _table(["까닭 (reason)", "", "문서 (documents)"], [[r, LABELS.get(r, r), n] for r, n in sorted(numbers.reasons.items(), key=lambda kv: (-kv[1], kv[0]))])  # fmt: skip
    lines += ["## 개인정보 (personal data)", "", *_personal(numbers, facts, config)]
    lines += [
        "한계 (limits): 이름, 생년월일, 나이, 직장처럼 글로 적힌 개인정보는 찾지 않습니다 (names, birthdays in words and the like are not looked for).", "",
        "## 만든 법 (how it was made)", "", "```", command_of(manifest), "```", "",
    ]  # fmt: skip
    lines += _table(["", "판 (version)"], sorted(manifest.get("versions", {}).items()))
    lines += [f"설정과 입력의 지문은 `manifest.json`, 수는 `stats.json` (settings and input fingerprints, numbers). 실행 (run) `{manifest.get('id', '')[:16]}`", ""]  # fmt: skip
    return "\n".join(lines)


def _personal(numbers: Numbers, facts: Mapping[str, Any], config: Any) -> list[str]:
    how = {
        "tag": "표로 바꿈 (replaced by typed tags)",
        "pseudonym": "실재하지 않는 같은 꼴의 값으로 바꿈 (replaced by stand-ins of the same form that cannot exist)",
        "off": "찾지 않음 (not looked for)",
    }[config.pii.mode]
    lines = [
        f"방식 (mode): {how}. 바꾼 곳은 `pii/` 에 종류와 자리만 (places in pii/, never values), 합은 `pii.json`."
    ]
    if config.pii.keep and config.pii.mode != "off":
        lines.append(f"그대로 둔 종류 (kinds kept): {', '.join(config.pii.keep)}.")
    lines.append("")
    if numbers.pii:
        lines += _table(["종류 (kind)", "", "수 (count)"], [[kind, TAGS[kind], n] for kind, n in sorted(numbers.pii.items(), key=lambda kv: (-kv[1], kv[0]))])  # fmt: skip
    return lines


def audit(numbers: Numbers, facts: Mapping[str, Any], config: Any) -> dict[str, Any]:
    """`pii.json`: what was replaced, by kind and source. Places are in pii/, values nowhere."""
    return {
        "mode": config.pii.mode,
        "kept_kinds": list(config.pii.keep),
        "documents": facts["pii_documents"],
        "counts": dict(sorted(numbers.pii.items())),
        "sources": {key: dict(sorted(value.items())) for key, value in sorted(numbers.pii_sources.items())},
    }
