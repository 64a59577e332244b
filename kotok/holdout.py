"""Which documents are held out: one rule, used by `kotok train` (leaves them out) and `kotok encode` (puts them in val/).

A document is held out when the hash of its duplicate cluster (meta "cluster", written by `kodata dedup`), else of its
id, falls into the lowest `share` of all hashes. The rule knows no order and no count: the same documents are held out
whatever the sharding, and a larger share holds out a superset.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from kodata.run.errors import UsageError

DEFAULT_SHARE = 0.01


def holdout_key(id: str, meta: Mapping[str, Any]) -> str:
    """What is hashed: the duplicate cluster's name where there is one, so that near-duplicates stay on one side."""
    cluster = meta.get("cluster")
    return str(cluster) if isinstance(cluster, str | int) and cluster != "" else id


def held_out(key: str, share: float) -> bool:
    """Whether the document (or cluster) of this key belongs to the hold-out of this share of all documents, 0 to 1."""
    place = int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    return place < share * 2.0**64


def check_share(share: float) -> None:
    """UsageError unless 0 <= share < 1."""
    if not 0 <= share < 1:
        raise UsageError(
            f"--val 은 0 이상 1 미만입니다 (must be at least 0 and below 1): {share}",
            "--val 0.01 은 백에 하나를 남겨 둡니다 (0.01 holds out one in a hundred)",
        )
