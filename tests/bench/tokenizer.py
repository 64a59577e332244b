"""Tokenizer trainers side by side: `python -m tests.bench.tokenizer DATA [--vocab-size 32000] [--work FOLDER] [--record]`.

Whole origins (files of DATA/corpus) are kept out; editions of one work stay together. Each trainer is a part of its own:
it runs in its own process on the same text, one document an item (line trainers get lines), two threads where it has
threads, and WORK/<name>-<size>.json keeps wall and CPU seconds, peak memory with its imports, and the load. The same
command again does the parts that are missing, `--only NAME` one of them, and then everything finished is judged on the
origins kept out: characters per token, boundaries against Kiwi (and `--gold FILE.conllu`), texts not given back, MB a
CPU-second; against the best peer with 95 % intervals over documents drawn anew.
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

THREADS = 2
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def origins(data: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """(files to learn from, files to choose settings on, files to judge on).

    Files of a kind whose names begin with the same five letters are editions of one work and stay together. Of four
    works and more every fourth is judged and the ones half-way between are for choosing; of two or three the second is
    judged and a third is for choosing; a kind of one work is for choosing. What is judged is never learned from; what is
    for choosing is left out only while a setting is being chosen.
    """
    learn: list[Path] = []
    choose: list[Path] = []
    judge: list[Path] = []
    for kind in sorted(p for p in (data / "corpus").iterdir() if p.is_dir()):
        works: dict[str, list[Path]] = {}
        for file in sorted(kind.glob("*.jsonl.gz")):
            works.setdefault(file.name[:5], []).append(file)
        for n, files in enumerate(works.values()):
            if len(works) > 3:
                place = (learn, choose, learn, judge)[n % 4]
            else:
                place = choose if len(works) == 1 else (learn, judge, choose)[n]
            place += files
    return learn, choose, judge


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
    train([str(f) for f in learn], output=folder, config=config, workers=THREADS, fresh=folder.exists())


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
    "ours staged, t 0.9": lambda a, b, n: train_ours(a, b, n, share=0.9),
    "ours plain": lambda a, b, n: train_ours(a, b, n, algorithm="bbpe"),
    "ours plain, raw counts": lambda a, b, n: train_ours(a, b, n, algorithm="bbpe", count_power=1.0),
    "HF BBPE": train_hf,
    "kiwi bpe_trainer": train_kiwi,
    "kiwi bpe_trainer j e vcp xsv": lambda a, b, n: train_kiwi(a, b, n, "j", "e", "vcp", "xsv"),
    "sentencepiece BPE": lambda a, b, n: train_ours(a, b, n, algorithm="spm-bpe"),
    "sentencepiece unigram": lambda a, b, n: train_ours(a, b, n, algorithm="spm-unigram"),
}


def run_one(name: str, learn: list[Path], work: Path, size: int) -> dict[str, Any]:
    """Train by a process of its own, or take what was recorded before on the same origins."""
    folder = work / f"{name.replace(' ', '-')}-{size}"
    told = work / f"{folder.name}.json"
    names = [f.name for f in learn]
    if not told.is_file() or json.loads(told.read_text())["learned"] != names:
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
            "learned": names,
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
    parser.add_argument(
        "--only", action="append", choices=list(TRAINERS), help="do these parts, judge nothing"
    )
    parser.add_argument("--record", action="store_true", help="append to tests/bench/records.jsonl")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    learn, choose, judge = origins(given.data)
    print(f"learned from {len(learn) + len(choose)} origins, kept out: {', '.join(f.name for f in judge)}")
    parts = {
        name: run_one(name, sorted([*learn, *choose]), given.work, given.vocab_size)
        for name in given.only or TRAINERS
    }
    if given.only:
        print(json.dumps(parts, indent=1))
        return
    judged(given, parts, judge)


def judged(given: argparse.Namespace, parts: dict[str, dict[str, Any]], judge: list[Path]) -> None:
    """Measure all parts on the origins kept out, print the table and, when asked, record it."""
    from kotok.evaluate import EvalConfig, evaluate

    result = evaluate(
        [f"{name}={facts['folder']}" for name, facts in parts.items()],
        on=[str(f) for f in judge],
        gold=given.gold or None,
        output=given.work / f"judged-{given.vocab_size}",
        config=EvalConfig(kiwi_chars=400_000, times=1000),
        workers=THREADS,
        fresh=True,
    )
    told = result.summary["tokenizers"]
    people = bool(given.gold)
    heads = ["c/t", "95 %", "P", "95 %", "R", "lost", "MB/cpu-s", "wall s", "cpu s", "load", "MB"]
    heads += ["gold P", "95 %", "gold R"] if people else []
    print("| | " + " | ".join(heads) + " |\n|---|" + "--:|" * len(heads))
    for name, facts in parts.items():
        t = told[name]
        cells = [
            f"{t['chars_per_token']:.3f}",
            between(t["intervals"]["chars_per_token"], 2),
            f"{t['boundary_precision']:.3f}",
            between(t["intervals"]["boundary_precision"]),
            f"{t['boundary_recall']:.3f}",
            t["round_trip_failures"],
            f"{t['encode_mb_per_cpu_second']:.1f}",
            *(f"{facts[k]:.1f}" for k in ("wall", "cpu", "load")),
            f"{facts['memory_mb']:.0f}",
        ]
        if people:
            human = t["human"]
            cells += [
                f"{human['boundary_precision']:.3f}",
                between(human["intervals"]["boundary_precision"]),
                f"{human['boundary_recall']:.3f}",
            ]
        print(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    ours = told["ours staged"]
    # The best peer of its own make: compression among those that lose nothing.
    peers = {n: t for n, t in told.items() if not n.startswith("ours") and not t["round_trip_failures"]}
    best = max(peers, key=lambda n: peers[n]["chars_per_token"])
    # Ours is the first, so what was resampled is the peer against ours.
    ratio = [1 / v for v in peers[best]["chars_per_token_over_first"]]
    gain = [-v for v in peers[best]["boundary_precision_minus_first"]]
    print(
        f"against {best}: compression x {ratio[0]:.4f} ({between([ratio[2], ratio[1]])}; goal 0.99), "
        f"precision + {gain[0]:.3f} ({between([gain[2], gain[1]])}; goal 0.10)"
    )
    if given.record:
        record_all(given, parts, ours, peers)


def between(values: list[float], digits: int = 3) -> str:
    """An interval as text."""
    return f"{values[0]:.{digits}f}–{values[1]:.{digits}f}"


def record_all(
    given: argparse.Namespace, parts: dict[str, dict[str, Any]], ours: dict[str, Any], peers: dict[str, Any]
) -> None:
    """Append to tests/bench/records.jsonl."""
    from tests.bench.table import record

    command = f"python -m tests.bench.tokenizer DATA --vocab-size {given.vocab_size}"
    command += " --gold kaist.conllu" if given.gold else ""

    def add(what: str, unit: str, value: Callable[[dict[str, Any]], float], digits: int = 3) -> None:
        record(
            "kotok",
            what,
            round(value(ours), digits),
            unit,
            command,
            against=[(n, round(value(t), digits)) for n, t in peers.items()],
        )

    add(
        "압축, 학습에 없던 원천 (compression on unseen origins)",
        "글자/토큰 (characters a token)",
        lambda t: t["chars_per_token"],
    )
    add(
        "형태소 경계 정밀도, Kiwi 기준 (boundary precision against Kiwi)",
        "",
        lambda t: t["boundary_precision"],
    )
    if given.gold:
        add(
            "형태소 경계 정밀도, 사람이 가른 것으로 (boundary precision against human gold)",
            "",
            lambda t: t["human"]["boundary_precision"],
        )
    record(
        "kotok",
        "토크나이저 학습, CPU 시간 (tokenizer training, CPU time)",
        round(parts["ours staged"]["cpu"], 1),
        "CPU-s",
        command,
        against=[(n, round(parts[n]["cpu"], 1)) for n in peers],
    )


if __name__ == "__main__":
    main()
