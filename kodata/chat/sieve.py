"""What both builders share: rows of all inputs, a drop for every row that is not kept, counts that add up."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from kodata.chat.clean import Cleaner
from kodata.chat.records import CHAT_EXAMPLE, Message, RecordError, dump_line, messages_hash
from kodata.chat.rows import ROW_SUFFIXES, BadRow, read_rows
from kodata.run.errors import UserError

REASONS = {
    "broken": "읽을 수 없는 줄 (unreadable row)",
    "unknown_form": "모르는 모양 (unknown form)",
    "empty": "메시지 없음 (no messages)",
    "empty_prompt": "빈 질문 (empty prompt)",
    "empty_answer": "빈 답 (empty answer)",
    "empty_rejected": "빈 거절 답 (empty rejected answer)",
    "no_answer": "답이 없음 (no answer)",
    "role_order": "역할 순서 (role order)",
    "echo": "답이 질문과 같음 (answer equals prompt)",
    "too_long": "너무 김 (too long)",
    "duplicate": "똑같은 것이 앞에 있음 (exact duplicate)",
    "identical": "두 답이 같음 (chosen equals rejected)",
    "no_generation": "생성된 답 없음 (no generation for this id)",
    "prompt_mismatch": "생성의 질문이 다름 (generation has another prompt)",
}
"""Every reason for which a record is dropped, with its words for people."""

_MAX_SAMPLES = 3


@dataclass(slots=True)
class Place:
    """Where a row stands: which file and line, what it was."""

    file: Path
    line: int
    row: Mapping[str, Any] | None


@dataclass(slots=True)
class Sieve:
    """Counts rows in, kept and dropped; `dropped` receives one JSON line for each row that is not kept."""

    step: str
    dropped: IO[bytes] | None
    cleaner: Cleaner
    read: int = 0
    kept: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    samples: list[dict[str, str]] = field(default_factory=list)
    first_example: str = CHAT_EXAMPLE
    _ids: set[str] = field(default_factory=set)
    _texts: set[str] = field(default_factory=set)
    _clusters: dict[str, str | int] = field(default_factory=dict)

    def drop(self, place: Place, reason: str, *, value: Any = None, limit: Any = None, key: str = "") -> None:
        """Count the row and write it down with its reason; nothing vanishes silently."""
        self.reasons[reason] += 1
        row = self.cleaner.values(place.row)
        text = value if isinstance(value, str) else ""
        if reason in ("broken", "unknown_form") and len(self.errors) < 5:
            self.errors.append(f"{place.file}:{place.line}: {text}")
        if sum(s["label"] == REASONS.get(reason, reason) for s in self.samples) < _MAX_SAMPLES:
            shown = json.dumps(row, ensure_ascii=False, default=str) if row is not None else text
            self.samples.append(
                {
                    "label": REASONS.get(reason, reason),
                    "text": shown[:600],
                    "note": f"{place.file.name}:{place.line}",
                }
            )
        if self.dropped is None:
            return
        drop = {"step": self.step, "reason": reason, "value": value, "limit": limit}
        record = {"file": place.file.name, "line": place.line, "record": row, "drop": drop}
        if key:
            drop["key"] = key
        self.dropped.write(dump_line(record))

    def drop_error(self, place: Place, error: RecordError) -> None:
        """Drop a row for what is wrong with it, naming the key."""
        if not self.reasons:
            self.first_example = error.example
        self.drop(place, error.reason, value=str(error), key=error.key)

    def unique_id(self, wanted: str, messages: list[Message]) -> str:
        """`wanted`, or when another record has it already, `wanted` with a hash of this record's text."""
        if wanted in self._ids:
            self.notes["id_changed"] += 1
            wanted = f"{wanted}-{messages_hash(messages)}"
        self._ids.add(wanted)
        return wanted

    def seen(self, messages: list[Message]) -> bool:
        """Whether exactly these messages came before."""
        key = messages_hash(messages)
        if key in self._texts:
            return True
        self._texts.add(key)
        return False

    def cluster(self, id: str, prompt: list[Message], meta: Mapping[str, Any]) -> str | int:
        """What a record is held out by, so that all records of one prompt stay on one side.

        The cluster its meta names; else that of the first record with this prompt, which may be that record's id.
        """
        own = meta.get("cluster")
        if not isinstance(own, str | int) or own == "":
            return self._clusters.setdefault(messages_hash(prompt), id)
        self._clusters.setdefault(messages_hash(prompt), own)
        return own

    def summary(self) -> dict[str, Any]:
        """read = kept + the sum of dropped."""
        return {
            "read": self.read,
            "kept": self.kept,
            "dropped": dict(sorted(self.reasons.items())),
            "notes": dict(sorted(self.notes.items())),
            "pii": dict(sorted(self.cleaner.found.items())),
        }

    def refuse_empty(self) -> None:
        """Raise when nothing was kept: the first errors and a right example say what to do."""
        if self.kept:
            return
        if not self.read:
            raise UserError(
                "입력에 기록이 없습니다 (the input holds no record)", help=f"한 줄의 예: {self.first_example}"
            )
        why = "; ".join(f"{REASONS.get(r, r)} {n}" for r, n in self.reasons.most_common())
        where = self.errors[0] if self.errors else ""
        raise UserError(
            f"쓸 수 있는 기록이 하나도 없습니다 (no usable record): {why}. {where}",
            help=f"올바른 예 (a right example): {self.first_example}",
        )


def pii_block(cleaner: Cleaner) -> list[dict[str, Any]]:
    """A table of what was replaced, when anything was."""
    from kodata.pii import TAGS
    from kodata.report import blocks

    if not cleaner.found:
        return []
    rows = [[TAGS[kind], count] for kind, count in cleaner.found.most_common()]
    return [blocks.table("바꾼 개인정보 (personal data replaced)", ["표 (tag)", "수 (count)"], rows)]


def rows_of(
    files: list[Path], sieve: Sieve, limit: int | None = None
) -> Iterator[tuple[Place, dict[str, Any]]]:
    """All rows of all files in order; rows that cannot be read are dropped into the sieve."""
    for file in files:
        for line, row in read_rows(file):
            if limit is not None and sieve.read >= limit:
                return
            sieve.read += 1
            if isinstance(row, BadRow):
                sieve.drop(Place(file, line, None), "broken", value=row.message)
            else:
                yield Place(file, line, row), row


def source_name(path: Path) -> str:
    """The file's name without its suffixes: the source of records that name none."""
    name = path.name
    for suffix in sorted(ROW_SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def length_edges(lengths: list[int]) -> tuple[list[int], list[int]]:
    """Edges (powers of two, characters) and counts for a histogram of lengths."""
    edges = [0, 8]
    while edges[-1] <= max(lengths, default=0):
        edges.append(edges[-1] * 2)
    counts = [0] * (len(edges) - 1)
    for length in lengths:
        counts[max(0, length.bit_length() - 3)] += 1
    return edges, counts
