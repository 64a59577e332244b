"""The mixture on disk: copies dealt out to shards by their place in the order, then each shard sorted."""

from collections import Counter
from pathlib import Path

import orjson

from kodata.doc import Corpus, write_shard
from kodata.mix.pool import Pool
from kodata.mix.shares import hashed
from kodata.run.folder import RunFolder
from kodata.run.progress import progress

SHARD_CHARS = 20_000_000
"""Characters of an output shard: what is sorted in memory at a time."""
DEALT_BYTES = 1 << 16
"""Bytes gathered for a shard before its file is opened: thousands of shards would be too many open files."""


def write(
    run: RunFolder, corpora: list[Corpus], pool: Pool, taken: list[int], seed: int
) -> tuple[Counter[str], Counter[str]]:
    """Deal copies out to shards by their place in the order, then sort each shard; (characters, documents) by group."""
    total = sum(n * int(c) for n, c in zip(taken, pool.chars, strict=True))
    count = max(1, -(-total // SHARD_CHARS))
    docs, work = run.path / "docs", run.path / "work"
    docs.mkdir(exist_ok=True)
    work.mkdir(exist_ok=True)
    chars: Counter[str] = Counter()
    documents: Counter[str] = Counter()
    for n, size, group in zip(taken, pool.chars.tolist(), pool.group.tolist(), strict=True):
        if n:
            chars[pool.groups[group]] += n * size
            documents[pool.groups[group]] += n
    dealt = work / "dealt"
    if not dealt.exists():
        _deal(corpora, taken, seed, work, count)
        dealt.touch()
    with progress("섞어 씀 (writing)", total=count, unit="조각") as bar:
        for index in range(count):
            target = docs / f"{index:05d}.jsonl.zst"
            if not target.exists():
                _sort(work / f"{index:05d}.jsonl", target)
            bar.advance(1)
    for index in range(count):
        (work / f"{index:05d}.jsonl").unlink(missing_ok=True)
    dealt.unlink()
    work.rmdir()
    return chars, documents


def _deal(corpora: list[Corpus], taken: list[int], seed: int, work: Path, count: int) -> None:
    files = [work / f"{index:05d}.jsonl" for index in range(count)]
    waiting = [bytearray() for _ in files]
    for file in files:
        file.write_bytes(b"")
    row = -1
    with progress("나눔 (dealing)", total=len(taken), unit="문서") as bar:
        for corpus in corpora:
            for document in corpus:
                row += 1
                bar.advance(1)
                for copy in range(1, taken[row] + 1):
                    place = hashed(seed, f"{document.id}#{copy}#order")
                    record = document.to_dict()
                    if copy > 1:
                        record["id"] = f"{document.id}#{copy}"
                        record["meta"] = {**document.meta, "copy": copy}
                    line = orjson.dumps([f"{place:016x}", record], option=orjson.OPT_APPEND_NEWLINE)
                    index = place * count >> 64
                    waiting[index] += line
                    if len(waiting[index]) >= DEALT_BYTES:
                        _append(files[index], waiting[index])
    for file, rest in zip(files, waiting, strict=True):
        _append(file, rest)


def _append(file: Path, data: bytearray) -> None:
    """Write what was gathered to the end of a file and forget it."""
    with open(file, "ab") as handle:
        handle.write(data)
    data.clear()


def _sort(source: Path, target: Path) -> None:
    with open(source, "rb") as handle:
        rows = [orjson.loads(line) for line in handle]
    rows.sort(key=lambda row: (row[0], row[1]["id"]))
    with write_shard(target) as out:
        for _, record in rows:
            out.write(record)
