"""Encoding a gigabyte: `python -m tests.bench.encode_scale DATA TOK --work W [--megabytes 100 1000] [--workers 1 2]`.

The corpus is repeated into JSONL files of about 60 MB (and once into a single file); `kotok encode` runs on them as a
command. Wall and CPU seconds, and the peak of the resident memory of the command and its workers together, sampled ten
times a second. The shards must not depend on the number of workers: their bytes are compared.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.tokenizer import texts

FILE_BYTES = 60_000_000


def repeated(data: Path, folder: Path, megabytes: int) -> Path:
    """A folder of JSONL files with this many MB (10^6 bytes of UTF-8 text) in all, made once."""
    if (folder / "done").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    records = [
        (json.dumps({"text": text, "source": file.name}, ensure_ascii=False), len(text.encode()))
        for file in sorted((data / "corpus").rglob("*.jsonl.gz"))
        for text in texts([file])
    ]
    left = megabytes * 1_000_000
    endless = enumerate(itertools.cycle(records))
    for part in itertools.count():
        room = min(FILE_BYTES, left)
        with open(folder / f"{part:03d}.jsonl", "w", encoding="utf-8") as handle:
            while room > 0:
                n, (record, size) = next(endless)
                handle.write(f'{{"id": "{n}", {record[1:]}\n')
                room, left = room - size, left - size
        if left <= 0:
            break
    (folder / "done").touch()
    return folder


def joined(many: Path, folder: Path) -> Path:
    """A folder with one file that holds all of `many`, made once."""
    if not (folder / "done").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "all.jsonl", "wb") as whole:
            for file in sorted(many.glob("*.jsonl")):
                with open(file, "rb") as part:
                    shutil.copyfileobj(part, whole, 1 << 20)
        (folder / "done").touch()
    return folder


def resident(root: int) -> int:
    """Bytes resident in a process and everything below it (shared pages counted in each)."""
    total, todo = 0, [root]
    while todo:
        pid = todo.pop()
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
            for task in Path(f"/proc/{pid}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
        except (OSError, IndexError):
            continue
    return total


def run(texts: Path, tok: Path, out: Path, workers: int) -> dict[str, float | str]:
    """One `kotok encode`: seconds, peak memory, a digest of all token files."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.monotonic()
    load = os.getloadavg()[0]
    command = [sys.executable, "-m", "kotok", "encode", str(texts), "--tok", str(tok), "-o", str(out), "-q"]
    process = subprocess.Popen([*command, "--workers", str(workers), "--fresh"], stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, resident(process.pid))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(process.returncode)
    wall = time.monotonic() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(out.rglob("*.ds*")):
        digest.update(file.read_bytes())
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu, "memory_mb": peak / 1e6, "load": load, "digest": digest.hexdigest()}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("tok", type=Path)
    parser.add_argument("--work", type=Path, default=Path("work/bench-encode"))
    parser.add_argument("--megabytes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--make", action="store_true", help="only make the files")
    parser.add_argument("--record", action="store_true", help="append to tests/bench/records.jsonl")
    given = parser.parse_args()
    made = {(mb, False): repeated(given.data, given.work / f"{mb}", mb) for mb in given.megabytes}
    most = given.megabytes[-1]
    made[most, True] = joined(made[most, False], given.work / f"{most}-single")
    if given.make:
        return
    rows: dict[tuple[int, bool, int], dict[str, float | str]] = {}
    print(
        "| MB | files | workers | wall s | MB/s | MB/CPU-s | peak MB | load |\n|--:|---|--:|--:|--:|--:|--:|--:|"
    )
    for (mb, single), folder in made.items():
        for workers in given.workers:
            row = rows[mb, single, workers] = run(folder, given.tok, given.work / "out", workers)
            print(
                f"| {mb} | {'one' if single else 'many'} | {workers} | {row['wall']:.1f} | {mb / row['wall']:.1f} "
                f"| {mb / row['cpu']:.1f} | {row['memory_mb']:.0f} | {row['load']:.1f} |",
                flush=True,
            )
    for mb, single in made:
        same = {row["digest"] for (m, s, _), row in rows.items() if (m, s) == (mb, single)}
        assert len(same) == 1, "the shards depend on the number of workers"
    if given.record:
        from tests.bench.table import record

        least = given.megabytes[0]
        one, two = (rows[most, False, w] for w in (given.workers[0], given.workers[-1]))
        command = "python -m tests.bench.encode_scale DATA TOK"
        record(
            "kotok",
            "kotok encode 1 GB, 두 일꾼 (two workers, reading and writing included)",
            round(most / two["wall"], 1),
            "MB/s",
            command,
            against=[("한 일꾼 (one worker)", round(most / one["wall"], 1))],
            load=two["load"],
        )
        record(
            "kotok",
            f"kotok encode 의 가장 큰 메모리, {most} MB 글 (peak memory)",
            round(one["memory_mb"]),
            "MB",
            command,
            against=[(f"{least} MB", round(rows[least, False, given.workers[0]]["memory_mb"]))],
            load=one["load"],
        )


if __name__ == "__main__":
    main()
