"""The cost curve of kodata dedup: `python tests/bench/dedup_scale.py DATA WORK [--sizes 10000 100000 1000000] [--record]`.

Documents are pieces of real text (200 to 1,200 characters, all genres); every second one is a perturbation of one made before, so
half of them have a near duplicate. Each size runs twice as a whole process, one worker: in one memory, and through files in
PARTS parts; both must write the same clusters. Prints wall and processor time and the largest resident memory of the main process and of
a worker, then what the last size says about 1 TB and 100 TB of text on paper.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import perturb
import table

from kodata.dedup import DedupConfig
from kodata.dedup.memory import ENTRY_BYTES, JOIN_BYTES, SHINGLE_BYTES, sizes_for
from kodata.dedup.shingles import PERMUTATIONS, lsh_shape
from kodata.doc import Corpus, Document, write_shard

SHARD = 50_000
PARTS = 8
BANDS = lsh_shape(DedupConfig().threshold)[0]


def pieces(data: Path, rng: random.Random) -> list[str]:
    """Real text in pieces that begin at an eojeol."""
    out = []
    for document in Corpus(data / "corpus"):
        at = 0
        while at + 200 < len(document.text):
            end = at + rng.randint(200, 1200)
            out.append(document.text[at:end])
            at = document.text.find(" ", end) + 1 or len(document.text)
    rng.shuffle(out)
    return out


def make(folder: Path, data: Path, count: int) -> int:
    """Write `count` documents, unless they are there; every second one perturbs an earlier one. Returns characters."""
    noted = folder / "characters"
    if noted.exists():
        return int(noted.read_text())
    rng = random.Random(7)
    base = pieces(data, rng)
    chars = 0
    (folder / "docs").mkdir(parents=True, exist_ok=True)
    made: list[str] = []
    for shard in range(-(-count // SHARD)):
        with write_shard(folder / "docs" / f"{shard:05d}.jsonl.zst") as out:
            for i in range(shard * SHARD, min(count, (shard + 1) * SHARD)):
                if i % 2 and made:
                    text = perturb.mixed(rng.choice(made), rng)
                else:  # when real text runs out, pieces are joined in new ways
                    text = base[i // 2] if i // 2 < len(base) else " ".join(
                        rng.choice(base)[:200] for _ in range(rng.randint(1, 5))
                    )  # fmt: skip
                    if len(made) < 100_000:
                        made.append(text)
                    elif rng.random() < 0.1:
                        made[rng.randrange(len(made))] = text
                chars += len(text)
                out.write(Document(f"{i:08d}", text, "bench"))
    noted.write_text(str(chars))
    return chars


def run(folder: Path, out: Path, memory: float) -> dict[str, Any]:
    """One run of the verb in a process of its own: CPU seconds, peak GB, summary."""
    code = (
        "import resource, json, sys; from kodata.dedup import dedup\n"
        "result = dedup([sys.argv[1]], output=sys.argv[2], workers=1, memory=float(sys.argv[3]), fresh=True)\n"
        "own, child = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))\n"
        "print(json.dumps({'cpu': own.ru_utime + own.ru_stime + child.ru_utime + child.ru_stime,"
        " 'peak': own.ru_maxrss / 1e6, 'summary': result.summary}))"
    )
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(out), str(memory)], env=os.environ, capture_output=True, text=True, check=True
    )  # fmt: skip
    return {"wall": time.monotonic() - start, **json.loads(done.stdout.strip().splitlines()[-1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    print(
        "| documents | characters | way | wall s | CPU s | M characters/CPU-s | peak GB | kept | pairs met a document |"
    )
    print("|---:|---:|---|---:|---:|---:|---:|---:|---:|")
    for size in args.sizes:
        folder = args.work / f"in-{size}"
        chars = make(folder, args.data, size)
        seen = set()
        for way, memory in (
            ("one memory", 0.0),
            (f"{PARTS} parts", size * BANDS * ENTRY_BYTES / PARTS / 1e9),
        ):
            out = args.work / f"out-{size}"
            told = run(folder, out, memory)
            work = told["summary"]["work"]
            seen.add(hashlib.sha256((out / "clusters.jsonl").read_bytes()).hexdigest())
            rate = chars / told["cpu"] / 1e6
            met = f"{work['met'] / size:.1f}" if "met" in work else "–"
            print(
                f"| {size:,} | {chars:,} | {way} | {told['wall']:.1f} | {told['cpu']:.1f} | {rate:.1f} | {told['peak']:.2f} | "
                f"{told['summary']['kept']:,} | {met} |",
                flush=True,
            )
            if args.record and memory == 0:
                table.record(
                    "kodata",
                    "중복 제거 전체, 읽기와 쓰기까지, 문서 100만 개 (the whole of dedup with reading and writing, a million documents)",
                    round(rate, 2),
                    "백만 글자/CPU-s (M characters/CPU-s)",
                    "python tests/bench/dedup_scale.py DATA WORK --sizes 1000000 --record",
                    note=f"최대 메모리 {told['peak']:.1f} GB (peak memory)",
                )
        assert len(seen) == 1, "the two ways differ"
    print(plan(chars / size, rate))


def plan(length: float, rate: float) -> str:
    """1 TB and 100 TB of documents of `length` characters at `rate` M characters a CPU-second, by the rule of kodata/dedup/memory.py.

    Korean has about 2.4 bytes a character; half of the documents are taken to have a near duplicate, as in the runs above.
    """
    lines = [
        "\n| text | documents | units of 16 GB | CPU hours | signatures | entries | sets | joining |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, size in (("1 TB", 1e12), ("100 TB", 1e14)):
        chars = size / 2.4
        documents = round(chars / length)
        need = sizes_for(documents, round(chars), DedupConfig(), 16 * 10**9, 1)
        disk = (documents * 4 * PERMUTATIONS, documents * BANDS * ENTRY_BYTES / 3, chars / 2 * SHINGLE_BYTES)
        lines.append(
            f"| {name} | {documents:.2g} | {need.parts:,} | {chars / rate / 3.6e9:,.0f} | "
            + " | ".join(f"{part / 1e12:.2f} TB" for part in disk)
            + f" | {documents * JOIN_BYTES / 1e9:,.0f} GB |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
