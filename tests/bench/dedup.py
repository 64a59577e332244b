"""Speed and recall of kodata dedup on the real data: `python tests/bench/dedup.py DATA [--peers M] [--record]`, one thread, processor time.

Prints characters a second of each native step (all white space counted, as peers are measured); the same whole way, from texts to
clusters, by rensa and by datatrove (whitespace words, Kiwi) on a sample of M million characters of the same documents; and for the 326
real revision pairs what is found at several thresholds.
"""

import argparse
import gzip
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import dedup_peers as peers
import table

from kodata.dedup import shingles
from kodata.doc import Corpus


def best(work: Callable[[], Any], times: int = 3) -> tuple[float, Any]:
    seconds, answer = float("inf"), None
    for _ in range(times):
        start = time.process_time()
        answer = work()
        seconds = min(seconds, time.process_time() - start)
    return seconds, answer


def speed(texts: list[str]) -> float:
    """The native steps one by one; characters a second of all."""
    native = shingles.backend()
    chars = sum(map(len, texts))
    sign, (minima, digests, _) = best(lambda: shingles.signatures(texts, 5))
    unique = np.sort(np.unique(digests, axis=0, return_index=True)[1])
    signed = np.ascontiguousarray(minima[unique])
    flag, flags = best(lambda: shingles.candidates(signed, 0.75))
    candidates = [texts[i] if flags[k] else "" for k, i in enumerate(unique)]
    shingle, (values, offsets) = best(lambda: shingles.shingle_sets(candidates, 5))
    join, (_, counts) = best(lambda: shingles.clusters(signed, values, offsets, 0.75))
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
    native.use_isa("avx512f")
    return chars / total


def against(texts: list[str], most: int) -> list[tuple[str, float]]:
    """Ours and the peers on the same documents, drawn until they have `most` characters: (name, M characters/s)."""
    random.Random(5).shuffle(texts)
    sample, chars = [], 0
    while texts and chars < most:
        sample.append(texts.pop())
        chars += len(sample[-1])
    ways: list[tuple[str, Callable[[list[str]], int], int]] = [
        ("kodata", peers.ours, 3),
        ("rensa", peers.rensa, 3),
        ("datatrove 어절 (words)", peers.datatrove(str.split), 1),
        ("datatrove Kiwi", peers.datatrove(peers.kiwi_words()), 1),
    ]
    print(f"\n{len(sample):,} documents, {chars:,} characters, texts to clusters")
    found: list[tuple[str, float]] = []
    for name, way, times in ways:
        seconds, removed = best(lambda way=way: way(sample), times)
        found.append((name, round(chars / seconds / 1e6, 3)))
        ratio = found[0][1] / found[-1][1]
        print(
            f"{name:24s} {found[-1][1]:8.3f} M characters/s  x {ratio:6.1f}  removed {removed:,}", flush=True
        )
    return found


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
        parent, _ = shingles.clusters(minima, values, offsets, threshold)
        hit = parent[0::2] == parent[1::2]
        right, wrong = int((hit & (given >= 0.8)).sum()), int((hit & (given < 0.6)).sum())
        positive, middle = int((given >= 0.8).sum()), int((hit & (given >= 0.6) & (given < 0.8)).sum())
        f1 = 2 * right / (right + wrong + positive)
        print(
            f"threshold {threshold}: recall {right}/{positive}, .6-.8 {middle}, below .6 {wrong}, F1 {f1:.4f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--peers", type=float, default=2.0, help="million characters for the peers, 0 = none")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    texts = [document.text for document in Corpus(args.data / "corpus")]
    whole = speed(texts)
    pairs(args.data)
    if not args.peers:
        return
    (_, mine), *others = against(texts, int(args.peers * 1e6))
    if args.record:
        table.record(
            "kodata",
            "중복 제거의 핵심, 한 스레드 (dedup core, one thread)",
            mine,
            "백만 글자/s (M characters/s)",
            "python tests/bench/dedup.py DATA --record",
            against=others,
            note=f"같은 글 {args.peers:g} 백만 글자; 말뭉치 전체에서 {whole / 1e6:.1f} (same sample of text; {whole / 1e6:.1f} on the whole corpus)",
        )


if __name__ == "__main__":
    main()
