"""Which tokenizer makes the better language model? Small models, one for each tokenizer, judged in bits per byte.

    python recipes/tokenizer_lm.py DATA -o W            every run that is not done yet; the same command again goes on
    python recipes/tokenizer_lm.py DATA -o W --list     what is done, what is left, minutes it will take
    python recipes/tokenizer_lm.py DATA -o W --arms "staged 0.75" --max-runs 1

DATA/corpus holds a folder of *.jsonl.gz for each kind; whole files (origins) are kept out for scoring. Every arm trains a
tokenizer of --vocab-size on all other origins, encodes the same sampled documents, and trains the same `tiny` model
(2.0 M weights outside the embeddings) on them: one seed for every arm, then two more seeds for the best three.

--equal tokens (default): every arm takes the same steps of the same number of tokens, so the same compute; arms with longer
tokens see more text. --equal bytes: every arm reads the same text in the same number of steps, windows of as many tokens as
--window-bytes takes; arms with longer tokens compute less. Reported: bits per byte over documents kept out with its
standard error, the paired difference from plain BBPE with its own, text seen, compute. Each run is a `kobitnet train`
folder and one JSON file in W/results.

Budget: 10 arms + 2 x 3 seeds = 16 runs of 2 M tokens; with --precision bf16 on a CPU that multiplies it, about 6 CPU-minutes
a run, an hour and a half on one core in all.
"""

import argparse
import gzip
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kodata.run.errors import UserError
from kodata.run.files import atomic_json, atomic_open, read_json_object
from kotok.holdout import held_out

ARMS = (
    "bbpe",
    "staged 0.5",
    "staged 0.75",
    "staged 0.9",
    "staged 0.75 raw counts",
    "kiwi only",
    "spm bpe",
    "spm unigram",
    "kiwi trainer",
    "kiwi trainer j e vcp xsv",
)
BASE = "bbpe"
TRAIN_CHARS, SCORED_DOCUMENTS, SCORED_CHARS = 7_000_000, 60, 1_500
"""Characters of text to learn from (an arm reads about 4.5 M); documents of each origin kept out, characters of each."""


@dataclass(kw_only=True, slots=True)
class Study:
    """What decides every number; kept in W/study.json, and W is refused for another."""

    vocab_size: int = 16_000
    tokens: int = 2_000_000
    seq_len: int = 256
    batch_size: int = 16
    window_bytes: int = 1_280
    equal: str = "tokens"
    quant: str = "b1.58"
    precision: str = "fp32"
    optimizer: str = "muon"
    lr: float = 0.02
    train_chars: int = TRAIN_CHARS
    scored: int = SCORED_DOCUMENTS


def origins(data: Path) -> tuple[list[Path], list[Path]]:
    """(files to learn from, files kept out): of each kind with several works every fourth, or the second of two or three.

    Files of a kind whose names begin with the same five letters are editions of one work and stay on one side.
    """
    learn: list[Path] = []
    out: list[Path] = []
    for kind in sorted(p for p in (data / "corpus").iterdir() if p.is_dir()):
        works: dict[str, list[Path]] = {}
        for file in sorted(kind.glob("*.jsonl.gz")):
            works.setdefault(file.name[:5], []).append(file)
        for n, files in enumerate(works.values()):
            kept_out = n % 4 == 3 if len(works) > 3 else n == 1
            (out if kept_out else learn).extend(files)
    if not learn or not out:
        raise UserError(
            f"배울 원천과 남길 원천이 없습니다 (needs corpus/<kind>/*.jsonl.gz with several files): {data}",
            "kodata clean 의 결과를 종류별 폴더에 두십시오 (put files of each kind into a folder)",
        )
    return learn, out


def documents(file: Path) -> Iterator[dict[str, Any]]:
    """Records of one origin."""
    with gzip.open(file, "rt", encoding="utf-8") as handle:
        for number, line in enumerate(handle):
            record = json.loads(line)
            yield {
                "id": str(record.get("id") or f"{file.name}:{number}"),
                "text": record["text"],
                "source": file.name,
            }


def sample(data: Path, work: Path, study: Study) -> tuple[Path, Path]:
    """(documents to learn from, documents to score): the same for every arm, chosen by hash of the id."""
    train, score = work / "train.jsonl", work / "score.jsonl"
    learn, out = origins(data)
    if not train.is_file():
        size = sum(len(d["text"]) for f in learn for d in documents(f))
        share = min(1.0, study.train_chars / max(size, 1))
        with atomic_open(train, "w") as handle:
            for file in learn:
                for d in documents(file):
                    if held_out("lm:" + d["id"], share):
                        handle.write(json.dumps(d, ensure_ascii=False) + "\n")
    if not score.is_file():
        with atomic_open(score, "w") as handle:
            for file in out:
                every = list(documents(file))
                share = min(1.0, 1.5 * study.scored / max(len(every), 1))
                kept = [d for d in every if len(d["text"]) > 40 and held_out("lm:" + d["id"], share)]
                for d in kept[: study.scored]:
                    handle.write(
                        json.dumps({**d, "text": d["text"][:SCORED_CHARS]}, ensure_ascii=False) + "\n"
                    )
    return train, score


# ---- one arm ------------------------------------------------------------------------------------


def tokenizer(arm: str, data: Path, work: Path, study: Study) -> Path:
    """The arm's tokenizer folder, trained on the origins that are not kept out."""
    from kotok.train import TrainConfig, train

    folder = work / "tok" / arm.replace(" ", "-")
    learn = [str(f) for f in origins(data)[0]]
    if arm.startswith("kiwi trainer"):
        return _kiwi_trainer(arm, learn, folder, study)
    settings: dict[str, Any] = {
        "algorithm": {"spm bpe": "spm-bpe", "spm unigram": "spm-unigram"}.get(arm, "bbpe")
    }
    if arm.startswith("staged") or arm == "kiwi only":
        settings = {"share": float(arm.split()[1]) if arm.startswith("staged") else 1.0}
    if arm.endswith("raw counts"):  # words weigh as often as they stand there, not to the power .7
        settings["count_power"] = 1.0
    train(learn, output=folder, config=TrainConfig(vocab_size=study.vocab_size, val=0.0, **settings))
    return folder


def _kiwi_trainer(arm: str, learn: Sequence[str], folder: Path, study: Study) -> Path:
    """kiwipiepy's trainer; our control tokens after its vocabulary."""
    from kotok.tokenizer import Tokenizer
    from kotok.tokenizer_json import CONTROL, added_tokens, standard_config

    if (folder / "tokenizer_config.json").is_file() and (folder / "tokenizer.json").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    plain, made = folder / "lines.txt", folder / "kiwi.json"
    with open(plain, "w", encoding="utf-8") as handle:
        for file in learn:
            for d in documents(Path(file)):
                handle.write(d["text"] + "\n")
    command = [sys.executable, "-m", "kiwipiepy.bpe_trainer", str(plain), str(made)]
    command += ["--vocab-size", str(study.vocab_size - len(CONTROL)), "-t", "2"]
    cuts = arm.split()[2:]
    subprocess.run(
        [*command, *(["--pretokenize", *cuts] if cuts else [])], check=True, stdout=subprocess.DEVNULL
    )
    spec = read_json_object(made)
    spec["added_tokens"] = added_tokens(max(spec["model"]["vocab"].values()) + 1)
    Tokenizer(spec, standard_config()).save(folder)
    plain.unlink()
    made.unlink()
    return folder


def shards(arm: str, texts: Path, name: str, tok: Path, work: Path) -> Path:
    """Token shards of these documents, all of them in train/."""
    from kotok.encode import EncodeConfig, encode

    folder = work / "shards" / f"{arm.replace(' ', '-')}-{name}"
    encode([str(texts)], tok=tok, output=folder, config=EncodeConfig(val=0.0))
    return folder


def run(arm: str, seed: int, data: Path, work: Path, study: Study, threads: int = 0) -> dict[str, Any]:
    """Train and score one model (torch with so many threads, 0 = as it is), or take what was recorded."""
    told = work / "results" / f"{arm.replace(' ', '-')}-{seed}.json"
    if told.is_file():
        return read_json_object(told)
    from kobitnet.checkpoint import load_model
    from kobitnet.config import OptimConfig
    from kobitnet.evaluate.backend import TorchBackend
    from kobitnet.evaluate.perplexity import combine, score_documents
    from kobitnet.train import TrainConfig, train
    from kotok.shards import open_shards

    begin, cpu = time.monotonic(), time.process_time()
    texts, scored = sample(data, work, study)
    tok = tokenizer(arm, data, work, study)
    learn, judge = shards(arm, texts, "train", tok, work), shards(arm, scored, "score", tok, work)
    prepared = time.monotonic() - begin
    opened = open_shards(learn, "train")
    per_token = opened.bytes / opened.num_tokens
    steps = max(1, round(study.tokens / (study.batch_size * study.seq_len)))
    seq_len = study.seq_len
    if study.equal == "bytes":
        seq_len = max(8, round(study.window_bytes / per_token))
    config = TrainConfig(
        preset="tiny",
        quant=study.quant,
        precision=study.precision,  # type: ignore[arg-type]
        threads=threads,
        steps=steps,
        batch_size=study.batch_size,
        seq_len=seq_len,
        lr=study.lr,
        optim=OptimConfig(name=study.optimizer),
        eval_every=0,
        keep=1,
    )
    made = train(learn, output=work / "runs" / f"{arm.replace(' ', '-')}-{seed}", config=config, seed=seed)
    model, own = load_model(made.path)
    documents_scored = list(
        score_documents(
            TorchBackend(model, own),
            open_shards(judge, "train"),
            context=seq_len,
            stride=seq_len // 2,
            max_tokens=0,
        )
    )
    score = combine(documents_scored)
    seen = steps * study.batch_size * seq_len
    facts = {
        "arm": arm,
        "seed": seed,
        "bits_per_byte": score.bits_per_byte,
        "stderr": score.stderr,
        "documents": [[d.nats, d.bytes] for d in documents_scored],
        "steps": steps,
        "seq_len": seq_len,
        "tokens": seen,
        "text_bytes_seen": int(seen * per_token),
        "passes": seen / opened.num_tokens,
        "bytes_per_token": per_token,
        "scored_bytes_per_token": score.bytes / score.tokens,
        "loss": made.summary["loss"],
        "non_embedding": made.summary["non_embedding"],
        "minutes": (time.monotonic() - begin) / 60,
        "minutes_preparing": prepared / 60,
        "cpu_minutes": (time.process_time() - cpu) / 60,
    }
    told.parent.mkdir(parents=True, exist_ok=True)
    atomic_json(told, facts)
    return facts


# ---- the study ----------------------------------------------------------------------------------


def difference(mine: dict[str, Any], base: dict[str, Any]) -> tuple[float, float]:
    """Bits per byte above `base` on the same documents, and its standard error over documents."""
    pairs = list(zip(mine["documents"], base["documents"], strict=True))
    nbytes = sum(b for (_, b), _ in pairs)
    bits = [(a - c) / math.log(2) for (a, _), (c, _) in pairs]
    mean = sum(bits) / nbytes
    n = len(pairs)
    spread = sum((d - mean * b) ** 2 for d, ((_, b), _) in zip(bits, pairs, strict=True))
    return mean, math.sqrt(spread * n / (n - 1)) / nbytes if n > 1 else float("nan")


def planned(arms: Sequence[str], work: Path) -> list[tuple[str, int]]:
    """Runs in order: seed 0 of every arm, then, once these are done, seeds 1 and 2 of the best three."""
    first = [(arm, 0) for arm in arms]
    done = {arm: work / "results" / f"{arm.replace(' ', '-')}-0.json" for arm in arms}
    if not all(f.is_file() for f in done.values()):
        return first
    best = sorted(arms, key=lambda arm: read_json_object(done[arm])["bits_per_byte"])[:3]
    return [*first, *((arm, seed) for seed in (1, 2) for arm in best)]


def table(work: Path) -> list[str]:
    """The Markdown table of everything recorded; also written to W/table.md."""
    found = [read_json_object(f) for f in sorted((work / "results").glob("*.json"))]
    by_arm: dict[str, list[dict[str, Any]]] = {}
    for one in sorted(found, key=lambda r: (r["arm"], r["seed"])):
        by_arm.setdefault(one["arm"], []).append(one)
    base = next((r for r in by_arm.get(BASE, []) if r["seed"] == 0), None)
    lines = [
        "| tokenizer | seeds | bits/byte | over seeds | minus bbpe (seed 0, ± s.e.) | bytes/token | text seen MB | tokens M | min |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    means = {arm: sum(r["bits_per_byte"] for r in rs) / len(rs) for arm, rs in by_arm.items()}
    for arm in sorted(by_arm, key=lambda a: means[a]):
        rows = by_arm[arm]
        values = [r["bits_per_byte"] for r in rows]
        spread = f"{min(values):.4f}–{max(values):.4f}" if len(values) > 1 else "–"
        zero = next((r for r in rows if r["seed"] == 0), None)
        apart = "–"
        if base is not None and zero is not None and arm != BASE:
            mean, error = difference(zero, base)
            apart = f"{mean:+.4f} ± {error:.4f}"
        r = rows[0]
        lines.append(
            f"| {arm} | {len(rows)} | {means[arm]:.4f} ± {r['stderr']:.4f} | {spread} | {apart} "
            f"| {r['scored_bytes_per_token']:.3f} | {r['text_bytes_seen'] / 1e6:.1f} | {r['tokens'] / 1e6:.2f} "
            f"| {sum(x['minutes'] for x in rows):.1f} |"
        )
    with atomic_open(work / "table.md", "w") as handle:
        handle.write("\n".join(lines) + "\n")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    plain = Study()
    parser.add_argument("data", type=Path, help="말뭉치 폴더, corpus/ 가 든 것 (folder that holds corpus/)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="일터 (work folder)")
    parser.add_argument("--arms", action="append", choices=ARMS, help="이 갈래만 (only these)")
    parser.add_argument(
        "--max-runs", type=int, default=0, help="이번에 많아야 몇 번 (at most so many new runs)"
    )
    parser.add_argument("--list", action="store_true", help="한 것과 남은 것 (done and left)")
    parser.add_argument("--equal", choices=("tokens", "bytes"), default=plain.equal)
    parser.add_argument("--quant", choices=("b1.58", "none"), default=plain.quant)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default=plain.precision)
    parser.add_argument("--threads", type=int, default=0, help="torch 스레드, 0 = 그대로 (threads)")
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default=plain.optimizer)
    for name in ("vocab_size", "tokens", "seq_len", "batch_size", "window_bytes", "train_chars", "scored"):
        parser.add_argument("--" + name.replace("_", "-"), type=int, default=getattr(plain, name))
    parser.add_argument("--lr", type=float, default=plain.lr)
    given = parser.parse_args(arguments)
    study = Study(**{name: getattr(given, name) for name in Study.__dataclass_fields__})
    try:
        return _study(given, study)
    except UserError as error:
        print(*error.lines(), sep="\n", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return 130


def _study(given: argparse.Namespace, study: Study) -> int:
    from dataclasses import asdict

    work: Path = given.output
    work.mkdir(parents=True, exist_ok=True)
    file = work / "study.json"
    settings = {**asdict(study), "kept_out": [f.name for f in origins(given.data)[1]]}
    if file.is_file() and read_json_object(file) != settings:
        raise UserError(
            f"이 폴더에는 다른 설정의 연구가 있습니다 (another study is in this folder): {work}",
            "새 폴더를 주십시오 (give a new folder)",
        )
    atomic_json(file, settings)
    arms = given.arms or ARMS
    new = 0
    while True:
        left = [
            (arm, seed)
            for arm, seed in planned(arms, work)
            if not (work / "results" / f"{arm.replace(' ', '-')}-{seed}.json").is_file()
        ]
        if given.list or not left or (given.max_runs and new >= given.max_runs):
            break
        arm, seed = left[0]
        print(f"{arm}, 씨앗 (seed) {seed}; 남은 것 (left) {len(left)}", file=sys.stderr)
        facts = run(arm, seed, given.data, work, study, given.threads)
        new += 1
        print(
            f"{arm} {seed}: {facts['bits_per_byte']:.4f} ± {facts['stderr']:.4f} bits/byte, {facts['minutes']:.1f} min",
            file=sys.stderr,
        )
    if list((work / "results").glob("*.json")):
        print(*table(work), sep="\n")
    if left:
        minutes = [read_json_object(f)["minutes"] for f in (work / "results").glob("*.json")] or [12.0]
        most = len(left) + (6 if any(seed == 0 for _, seed in left) and len(arms) > 3 else 0)
        print(
            f"남은 것 (left): {', '.join(f'{a} {s}' for a, s in left)}; 약 (about) {most * sum(minutes) / len(minutes):.0f} min",
            file=sys.stderr,
        )
    print(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
