"""What both builders count with: a drop for every example that is not kept, names that stay unique, sums that add up."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from kodata.chat.clean import Cleaner
from kodata.chat.records import CHAT_EXAMPLE, Message, RecordError, dump_line, messages_hash
from kodata.chat.rows import ROW_SUFFIXES
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
    "tool": "도구 메시지 (tool messages)",
    "speakers": "말하는 이가 셋 이상 (more than two speakers)",
    "other_task": "이 명령이 쓰지 않는 과제 (a task this verb makes nothing of)",
    "rated_bad": "나쁘다고 평가된 답 (an answer rated bad)",
    "nothing_to_learn": "배울 답이 없음 (no message to learn)",
    "echo": "답이 질문과 같음 (answer equals prompt)",
    "too_long": "너무 김 (too long)",
    "too_short": "답이 너무 짧음 (answer too short)",
    "not_korean": "한글이 적음 (too little Hangul)",
    "rules": "정제 규칙에 걸림 (broke a cleaning rule)",
    "duplicate": "똑같은 것이 앞에 있음 (exact duplicate)",
    "near_prompt": "같거나 거의 같은 질문이 앞에 있음 (the same or nearly the same prompt)",
    "against": "평가 자료가 들어 있음 (holds evaluation data)",
    "identical": "두 답이 같음 (chosen equals rejected)",
    "same_answer": "두 답이 문장부호·띄어쓰기만 다름 (answers differ in punctuation only)",
    "one_answer": "견줄 답이 없음 (only one answer to the prompt)",
    "tie": "더 나은 답이 없음 (no answer is better)",
    "too_good": "모델의 답이 참된 답과 같거나 비슷함 (the model's answer is as good)",
    "length_balance": "길이 균형을 맞추려고 뺌 (left out to balance lengths)",
    "no_generation": "생성된 답 없음 (no generation for this id)",
    "prompt_mismatch": "생성의 질문이 다름 (generation has another prompt)",
}
"""Every reason for which a record is dropped, with its words for people."""

QUIET = ("other_task", "rated_bad", "one_answer", "tie", "speakers")
"""Reasons that are choices and no faults: they are counted and written down, not shown as errors."""
_MAX_SAMPLES = 3


@dataclass(slots=True)
class Place:
    """Where a row stands: which file and line, what it was."""

    file: Path
    line: int | str
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

    def drop(
        self,
        place: Place,
        reason: str,
        *,
        value: Any = None,
        limit: Any = None,
        key: str = "",
        late: bool = False,
    ) -> None:
        """Count the example and write it down with its reason; nothing vanishes silently. `late`: it was counted as read."""
        self.reasons[reason] += 1
        self.read += not late
        row = self.cleaner.values(place.row)
        text = value if isinstance(value, str) else ""
        if reason == "broken" and not key and len(self.errors) < 5:
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
        if not self.errors:
            self.first_example = error.example
        if len(self.errors) < 5 and error.reason not in QUIET:
            self.errors.append(f"{place.file}:{place.line}: {error}")
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


@lru_cache(maxsize=256)
def source_name(path: Path) -> str:
    """The file's name without its suffixes: the source of records that name none."""
    name = path.name
    for suffix in sorted(ROW_SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name
