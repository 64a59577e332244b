"""The cost curve of kodata dedup: `python tests/bench/dedup_scale.py DATA WORK [10000 100000 1000000]`.

Documents are pieces of real text (200 to 1,200 characters, all genres); every second one is a perturbation of one made before, so
half of them have a near duplicate. Each size runs as a whole process (`python -m kodata dedup`, two workers); prints
wall and processor time, the largest resident memory of the main process and of a worker, and both a million documents.
"""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import perturb

from kodata.doc import Corpus, Document, write_shard

SHARD = 50_000


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


def make(folder: Path, base: list[str], count: int, rng: random.Random) -> int:
    """Write `count` documents; every second one perturbs an earlier one. Returns characters."""
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
    return chars


def main(data: Path, work: Path, sizes: list[int]) -> None:
    rng = random.Random(7)
    base = pieces(data, rng)
    print(f"{len(base):,} pieces of real text\n")
    print(
        "| documents | characters | wall s | CPU s | M characters/CPU-s | peak GB main | peak GB worker | kept |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for size in sizes:
        folder, out = work / f"in-{size}", work / f"out-{size}"
        chars = make(folder, base, size, rng)
        code = (
            "import resource, json, sys; from kodata.dedup import dedup\n"
            "result = dedup([sys.argv[1]], output=sys.argv[2], workers=2, fresh=True)\n"
            "own, child = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))\n"
            "print(json.dumps({'cpu': own.ru_utime + own.ru_stime + child.ru_utime + child.ru_stime,"
            " 'own': own.ru_maxrss / 1e6, 'child': child.ru_maxrss / 1e6, 'kept': result.summary['kept']}))"
        )
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder), str(out)], env=os.environ, capture_output=True, text=True, check=True
        )  # fmt: skip
        wall = time.monotonic() - start
        told = json.loads(done.stdout.strip().splitlines()[-1])
        print(
            f"| {size:,} | {chars:,} | {wall:.1f} | {told['cpu']:.1f} | {chars / told['cpu'] / 1e6:.1f} | "
            f"{told['own']:.2f} | {told['child']:.2f} | {told['kept']:,} |",
            flush=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [int(n) for n in sys.argv[3:]] or [10_000, 100_000, 1_000_000])
