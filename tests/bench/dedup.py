"""Speed and recall of kodata dedup on the real data: `python tests/bench/dedup.py DATA` (one thread, processor time).

Prints characters a second of each native step (all white space counted, as peers are measured) and, for the 326
real revision pairs, what is found at several thresholds.
"""

import gzip
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kodata.dedup import shingles
from kodata.doc import Corpus

LARGE = shingles.LARGE_BUCKET


def best(work: Callable[[], Any], times: int = 3) -> tuple[float, Any]:
    seconds, answer = float("inf"), None
    for _ in range(times):
        start = time.process_time()
        answer = work()
        seconds = min(seconds, time.process_time() - start)
    return seconds, answer


def speed(data: Path) -> None:
    native = shingles.backend()
    texts = [document.text for document in Corpus(data / "corpus")]
    chars = sum(map(len, texts))
    bands, rows = shingles.lsh_shape(0.75)
    least = shingles.min_match(0.75)
    sign, (minima, digests, _) = best(lambda: shingles.signatures(texts, 5))
    unique = np.sort(np.unique(digests, axis=0, return_index=True)[1])
    table = np.ascontiguousarray(minima[unique])
    flag, flags = best(lambda: native.candidates(table, bands, rows, LARGE, least))
    candidates = [texts[i] if flags[k] else "" for k, i in enumerate(unique)]
    shingle, (values, offsets) = best(lambda: shingles.shingle_sets(candidates, 5))
    join, (_, counts) = best(lambda: native.clusters(table, bands, rows, LARGE, least, values, offsets, 0.75))
    total = sign + flag + shingle + join
    print(f"{len(texts):,} documents, {chars:,} characters, {len(unique):,} texts, isa {native.isa()}")
    for name, seconds in (
        ("signatures", sign),
        ("buckets", flag),
        ("sets of candidates", shingle),
        ("verify, join", join),
        ("all", total),
    ):
        print(f"{name:20s} {seconds:7.3f} s  {chars / seconds / 1e6:8.1f} M characters/s")
    print(counts)
    for isa in ("avx512f", "avx2", "sse4.1", "plain"):
        if native.use_isa(isa):
            seconds, _ = best(lambda: shingles.signatures(texts, 5), 2)
            print(f"signatures, {isa:8s} {chars / seconds / 1e6:8.1f} M characters/s")


def pairs(data: Path) -> None:
    texts: list[str] = []
    truth: list[float] = []
    for path in sorted((data / "dirty").glob("neardup_*")):
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as handle:
            for line in handle:
                record = json.loads(line)
                texts += [record["a"], record["b"]]
                truth.append(record["char5_jaccard"])
    given = np.array(truth)
    minima, _, _ = shingles.signatures(texts, 5)
    values, offsets = shingles.shingle_sets(texts, 5)
    for threshold in (0.7, 0.75, 0.8):
        shape = (*shingles.lsh_shape(threshold), LARGE)
        least = shingles.min_match(threshold)
        parent, _ = shingles.backend().clusters(minima, *shape, least, values, offsets, threshold)
        hit = parent[0::2] == parent[1::2]
        right, wrong = int((hit & (given >= 0.8)).sum()), int((hit & (given < 0.6)).sum())
        positive, middle = int((given >= 0.8).sum()), int((hit & (given >= 0.6) & (given < 0.8)).sum())
        f1 = 2 * right / (right + wrong + positive)
        print(
            f"threshold {threshold}: recall {right}/{positive}, .6-.8 {middle}, below .6 {wrong}, F1 {f1:.4f}"
        )


if __name__ == "__main__":
    speed(Path(sys.argv[1]))
    pairs(Path(sys.argv[1]))
