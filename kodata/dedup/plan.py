"""What every task of a run knows: the inputs and settings, where each stage's files are, and into how many parts the work is cut.

A task is a function of (run folder, number): it reads these facts from the folder, so that thousands of tasks do
not carry them along.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from kodata.dedup.arrays import I64
from kodata.dedup.config import DedupConfig
from kodata.run.files import atomic_json, read_json_object


@dataclass(frozen=True, slots=True)
class Plan:
    """The inputs and settings; the same plan gives the same outputs."""

    out: Path
    shards: list[Path]
    limits: list[int | None]
    """Documents to take of each shard, None for all."""
    config: DedupConfig
    against: Path | None
    """File of evaluation texts: {"texts", "places"}."""

    def file(self, stage: str, number: int, suffix: str = "npz") -> Path:
        """What a stage leaves of one shard or part: work/STAGE/NNNNN.npz, removed when the run is done."""
        return self.out / "work" / stage / f"{number:05d}.{suffix}"

    def output(self, folder: str, shard: int) -> Path:
        """One shard of docs, dropped or trimmed."""
        return self.out / folder / f"{shard:05d}.jsonl.zst"

    def table(self, kind: str) -> Path:
        """Keys of passages that several documents have."""
        return self.out / "work" / f"{kind}.npy"

    @property
    def members(self) -> Path:
        """The documents of every cluster."""
        return self.out / "work" / "members.npz"

    def save(self) -> None:
        """Write work/plan.json for the tasks."""
        facts = {
            "shards": list(map(str, self.shards)),
            "limits": self.limits,
            "config": asdict(self.config),
            "against": str(self.against) if self.against else None,
        }
        atomic_json(self.out / "work" / "plan.json", facts)
        load_plan.cache_clear()
        load_layout.cache_clear()


@lru_cache(maxsize=1)
def load_plan(out: str) -> Plan:
    """The plan of a run folder, read once a process."""
    facts = read_json_object(Path(out) / "work" / "plan.json")
    against = Path(facts["against"]) if facts["against"] else None
    return Plan(
        Path(out), list(map(Path, facts["shards"])), facts["limits"], DedupConfig(**facts["config"]), against
    )


@dataclass(frozen=True, slots=True)
class Layout:
    """Numbers of the documents and the parts they are compared in; fixed once the signatures are there."""

    starts: I64
    """Number of each shard's first document, and the total at the end."""
    parts: int
    """Parts of the key space of buckets; 1 = all in one memory, without files of entries."""
    text_parts: int
    """Parts of the digests of texts."""
    unit_bytes: int
    """Memory that one task may take."""

    @property
    def total(self) -> int:
        """Documents."""
        return int(self.starts[-1])

    def save(self, out: Path) -> None:
        """Write work/layout.json for the tasks."""
        facts = {
            "starts": self.starts.tolist(),
            "parts": self.parts,
            "text_parts": self.text_parts,
            "unit_bytes": self.unit_bytes,
        }
        atomic_json(out / "work" / "layout.json", facts)
        load_layout.cache_clear()


@lru_cache(maxsize=1)
def load_layout(out: str) -> Layout:
    """The layout of a run folder, read once a process."""
    facts = read_json_object(Path(out) / "work" / "layout.json")
    return Layout(
        np.array(facts["starts"], np.int64), facts["parts"], facts["text_parts"], facts["unit_bytes"]
    )
