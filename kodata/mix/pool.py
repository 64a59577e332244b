"""What there is to mix: every document's group, size and repeats, without its text."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kodata.doc import Corpus, Document, read_shard
from kodata.mix.config import MixConfig
from kodata.run.errors import UserError
from kodata.run.progress import progress
from kodata.score.sidecar import Scores

MOST_REPEATS = 100
"""No document is worth more repeats; `meta.repeat` comes from a file."""


@dataclass(slots=True)
class Pool:
    """All documents that may be taken, without their texts."""

    groups: list[str]
    group: np.ndarray
    """Index into groups, -1 for a document under a score cut."""
    chars: np.ndarray
    times: np.ndarray
    """How often a document counts in one pass (rehydration)."""
    ids: list[str]
    cut: Counter[str]
    """Documents under a score cut, by group."""


def survey(corpora: list[Corpus], beside: list[Scores] | None, inputs: list[str], config: MixConfig) -> Pool:
    """Read everything once."""
    names: dict[str, int] = {}
    group: list[int] = []
    chars: list[int] = []
    times: list[int] = []
    ids: list[str] = []
    cut: Counter[str] = Counter()
    with progress("살펴봄 (survey)", unit="문서") as bar:
        for number, corpus in enumerate(corpora):
            for index, shard in enumerate(corpus.shards()):
                documents = list(read_shard(shard))
                rows: Iterator[dict[str, float]] = iter([{}] * len(documents))
                if beside:
                    rows = beside[number].beside(index, (d.id for d in documents))
                for document, row in zip(documents, rows, strict=True):
                    name = group_of(document, inputs[number], config.by)
                    low = below(row, config.min_score)
                    cut[name] += low
                    index_of = names.setdefault(name, len(names))  # also of a group that is all below the cut
                    group.append(-1 if low else index_of)
                    chars.append(len(document.text))
                    times.append(repeats_of(document, shard) if config.rehydrate else 1)
                    ids.append(document.id)
                bar.advance(len(documents))
    return Pool(list(names), np.array(group), np.array(chars), np.array(times), ids, cut)


def repeats_of(document: Document, shard: Path) -> int:
    """`meta.repeat` of a document, 1 without one. Raises UserError for anything but a number of 1 to MOST_REPEATS."""
    value = document.meta.get("repeat", 1)
    if type(value) is not int or not 1 <= value <= MOST_REPEATS:
        raise UserError(
            f"meta.repeat 는 1에서 {MOST_REPEATS} 사이의 정수입니다 (must be a whole number): {str(value)[:40]}: {document.id}",
            help="kodata dedup --rehydrate 로 적거나 --rehydrate 를 빼십시오 (written by kodata dedup --rehydrate)",
            file=shard,
        )
    return value


def group_of(document: Document, given: str, by: str) -> str:
    """The group a document counts for."""
    if by == "input":
        path = Path(given)
        return path.name.split(".")[0] or str(path)
    return document.source if by == "source" else str(document.meta.get("kind") or "")


def below(row: dict[str, float], least: dict[str, float]) -> bool:
    """Whether a score is under its cut. Raises UserError for a score that is not there."""
    for name, value in least.items():
        if name not in row:
            raise UserError(
                f"점수가 없습니다 (no such score): {name}, 있는 것 (present): {', '.join(sorted(row))}",
                help=f"kodata score … --by {name}",
            )
        if not row[name] >= value:  # NaN counts as below
            return True
    return False
