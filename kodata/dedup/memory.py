"""Whether documents are compared in one memory or through files, and in how many parts: one rule, told before and kept after.

In one memory when signatures and the shingle sets of all documents would fit, which no corpus exceeds; else in as many parts as
let one task sort its share of the bucket entries.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kodata.dedup.config import DedupConfig
from kodata.dedup.shingles import PERMUTATIONS, lsh_shape
from kodata.pipeline.where import ClusterConfig, ExecutorName

SIGNATURE_BYTES = 4 * PERMUTATIONS + 32
"""A document in one memory: its signature, its entry in a band, its place."""
SHINGLE_BYTES = 8
"""A character: at most one shingle."""
ENTRY_BYTES = 3 * (8 + 8 + PERMUTATIONS // 4)
"""A bucket entry while it is sorted: key, number and sketch, their copy and the order."""
DIGEST_BYTES = 80
"""A document while equal texts are found."""
JOIN_BYTES = 8
"""A document where clusters are joined, in the command itself."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a run needs: bytes in one memory, and the parts it is cut into when they are too many."""

    needed: int
    memory: int
    unit: int
    parts: int
    text_parts: int


def sizes_for(documents: int, characters: int, config: DedupConfig, memory: int, units: int) -> Sizes:
    """The rule. memory: bytes that may be used at once here, or by one unit of a cluster; units: tasks that share it."""
    unit = max(memory // max(units, 1), 1)
    needed = documents * DIGEST_BYTES
    parts = 1
    if config.near:
        needed = max(needed, documents * SIGNATURE_BYTES + characters * SHINGLE_BYTES)
        if needed > memory:
            bands, _ = lsh_shape(config.threshold)
            parts = max(2, -(-documents * bands * ENTRY_BYTES // unit))
    text_parts = 1 if needed <= memory else -(-documents * DIGEST_BYTES // unit)
    return Sizes(needed, memory, unit, parts, text_parts)


def memory_for(asked: float, executor: ExecutorName, cluster: ClusterConfig, workers: int) -> tuple[int, int]:
    """(bytes, tasks that share them): the GB asked for, else half of this machine; on a cluster at most what a unit has there."""
    if executor != "local":
        return int(min(asked or cluster.memory, cluster.memory) * 1e9), 1
    return int(asked * 1e9) if asked else machine_bytes() // 2, workers


def machine_bytes() -> int:
    """Memory of this machine, or of its container when that has less."""
    found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):
        found = min(found, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return found
