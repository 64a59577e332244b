"""Tokenizer trainers side by side: `python -m tests.bench.tokenizer DATA [--vocab-size 32000] [--work FOLDER] [--record]`.

Whole origins (files) are kept out: every KEEP-th file of each kind in DATA/corpus, by name. Each trainer runs in a
process of its own on the same text, one document an item (line trainers get lines), two threads where it has threads;
wall seconds, CPU seconds and peak memory of that process with its imports are recorded. Then all are measured on the
origins kept out: characters per token, boundaries against Kiwi (and `--gold FILE.conllu`), texts not given back, MB a
CPU-second. Finished trainers are kept in the work folder: the same command again goes on.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

KEEP = 4
THREADS = 2
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def origins(data: Path) -> tuple[list[Path], list[Path]]:
    """(files to learn from, files kept out). A kind with a single file is learned from."""
    learn: list[Path] = []
    out: list[Path] = []
    for kind in sorted(p for p in (data / "corpus").iterdir() if p.is_dir()):
        files = sorted(kind.glob("*.jsonl.gz"))
        for n, file in enumerate(files):
            (
                out if (len(files) > 1 and n % KEEP == KEEP - 1) or (len(files) == 2 and n == 1) else learn
            ).append(file)
    return learn, out


def texts(files: list[Path]) -> Iterator[str]:
    """Texts of these files in order."""
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as handle:
            for line in handle:
                yield json.loads(line)["text"]


# ---- trainers, each run in its own process ------------------------------------------------------


def train_ours(learn: list[Path], folder: Path, size: int, **settings: Any) -> None:
    """kotok, as the command would run it."""
    from kotok.train import TrainConfig, train

    config = TrainConfig(vocab_size=size, val=0.0, **settings)
    train([str(f) for f in learn], output=folder, config=config, workers=THREADS)


def train_hf(learn: list[Path], folder: Path, size: int) -> None:
    """Hugging Face's byte-level BPE with Llama 3's regex."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator(texts(learn), trainer)
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))


def train_kiwi(learn: list[Path], folder: Path, size: int, *cuts: str) -> None:
    """kiwipiepy's own trainer, with the cuts named."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = folder / "lines.txt"
    with open(plain, "w", encoding="utf-8") as handle:
        for text in texts(learn):
            handle.write(text + "\n")
    command = [sys.executable, "-m", "kiwipiepy.bpe_trainer", str(plain), str(folder / "tokenizer.json")]
    command += ["--vocab-size", str(size), "-t", str(THREADS)]
    # A list flag before the positionals would swallow them: it goes last.
    subprocess.run([*command, *(["--pretokenize", *cuts] if cuts else [])], check=True)
    plain.unlink()


TRAINERS: dict[str, Callable[[list[Path], Path, int], None]] = {
    "ours staged": lambda a, b, n: train_ours(a, b, n),
    "ours bbpe": lambda a, b, n: train_ours(a, b, n, algorithm="bbpe"),
    "HF BBPE": train_hf,
    "kiwi bpe_trainer": train_kiwi,
    "kiwi bpe_trainer j e vcp xsv": lambda a, b, n: train_kiwi(a, b, n, "j", "e", "vcp", "xsv"),
    "sentencepiece BPE": lambda a, b, n: train_ours(a, b, n, algorithm="spm-bpe"),
    "sentencepiece unigram": lambda a, b, n: train_ours(a, b, n, algorithm="spm-unigram"),
}


def run_one(name: str, learn: list[Path], work: Path, size: int) -> dict[str, Any]:
    """Train by a process of its own, or take what was recorded before."""
    folder = work / f"{name.replace(' ', '-')}-{size}"
    told = work / f"{folder.name}.json"
    if not told.is_file():
        load = os.getloadavg()[0]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin = time.monotonic()
        listed = [str(f) for f in learn]
        subprocess.run(
            [sys.executable, "-m", "tests.bench.tokenizer", "--one", name, str(folder), str(size), *listed],
            check=True,
            stdout=sys.stderr,
            env={**os.environ, "RAYON_NUM_THREADS": str(THREADS), "TOKENIZERS_PARALLELISM": "true"},
        )
        wall = time.monotonic() - begin
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        facts = {
            "wall": wall,
            "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            **json.loads((folder / "peak.json").read_text()),
            "load": load,
        }
        told.write_text(json.dumps(facts))
    return {"folder": str(folder), **json.loads(told.read_text())}


def main() -> None:
    """The command."""
    if sys.argv[1:2] == ["--one"]:
        name, folder, size = sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
        TRAINERS[name]([Path(f) for f in sys.argv[5:]], folder, size)
        most = max(
            resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        (folder / "peak.json").write_text(json.dumps({"memory_mb": most / 1024}))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--vocab-size", type=int, default=32_000)
    parser.add_argument("--work", type=Path, default=Path("work/bench-tokenizer"))
    parser.add_argument("--gold", action="append", default=[])
    parser.add_argument("--only", action="append", choices=list(TRAINERS))
    parser.add_argument("--record", action="store_true", help="append to tests/bench/records.jsonl")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    learn, out = origins(given.data)
    print(f"learned from {len(learn)} origins, kept out: {', '.join(f.name for f in out)}")
    names = given.only or list(TRAINERS)
    trained = {name: run_one(name, learn, given.work, given.vocab_size) for name in names}
    from kotok.evaluate import EvalConfig, evaluate

    result = evaluate(
        [f"{name}={facts['folder']}" for name, facts in trained.items()],
        on=[str(f) for f in out],
        gold=given.gold or None,
        config=EvalConfig(kiwi_chars=200_000, times=300),
        workers=THREADS,
    )
    told = result.summary["tokenizers"]
    heads = ["c/t", "95 %", "P", "R", "F1", "lost", "MB/cpu-s", "wall s", "cpu s", "MB"]
    people = bool(given.gold)
    heads += ["gold P", "gold R", "gold F1"] if people else []
    print(f"{'':<30}" + "".join(f"{h:>13}" for h in heads))
    for name, facts in trained.items():
        t = told[name]
        low, high = t["intervals"]["chars_per_token"]
        cells = [
            f"{t['chars_per_token']:.3f}",
            f"{low:.2f}-{high:.2f}",
            *(f"{t[k]:.3f}" for k in ("boundary_precision", "boundary_recall", "boundary_f1")),
            t["round_trip_failures"],
            f"{t['encode_mb_per_cpu_second']:.1f}",
            *(f"{facts[k]:.1f}" for k in ("wall", "cpu", "memory_mb")),
        ]
        if people:
            cells += [
                f"{t['human'][k]:.3f}" for k in ("boundary_precision", "boundary_recall", "boundary_f1")
            ]
        print(f"{name:<30}" + "".join(f"{c:>13}" for c in cells))
    ours = told.get("ours staged")
    # The best peer of its own make: compression among those that lose nothing.
    peers = {n: t for n, t in told.items() if not n.startswith("ours") and not t["round_trip_failures"]}
    if ours and peers:
        best = max(peers, key=lambda n: peers[n]["chars_per_token"])
        ratio = ours["chars_per_token"] / peers[best]["chars_per_token"]
        gain = ours["boundary_precision"] - peers[best]["boundary_precision"]
        print(f"against {best}: compression x {ratio:.4f} (goal 0.99), precision + {gain:.3f} (goal 0.10)")
        if given.record:
            from tests.bench.table import record

            command = f"python -m tests.bench.tokenizer DATA --vocab-size {given.vocab_size}"
            record(
                "kotok",
                "글자/토큰, 따로 둔 원천 (characters per token, origins kept out)",
                round(ours["chars_per_token"], 4),
                "chars/token",
                command,
                against=[(n, round(t["chars_per_token"], 4)) for n, t in peers.items()],
            )
            record(
                "kotok",
                "경계 정밀도, Kiwi, 따로 둔 원천 (boundary precision, Kiwi, origins kept out)",
                round(ours["boundary_precision"], 4),
                "share",
                command,
                against=[(n, round(t["boundary_precision"], 4)) for n, t in peers.items()],
            )
            record(
                "kotok",
                "학습, CPU 시간 (training, CPU time)",
                round(trained["ours staged"]["cpu"], 1),
                "CPU-s",
                command,
                against=[(n, round(trained[n]["cpu"], 1)) for n in peers],
            )


if __name__ == "__main__":
    main()
