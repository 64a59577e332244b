"""Do the scores of `kodata score` mean anything? Two measurements, both resumable, each part recorded on its own as JSON.

    python recipes/score_validation.py auc DATA/corpus -o out
        Models learn from TRAINED origins; good text of other origins against bad text (comments, and the good text spoiled in each
        way), pieces of at most 1000 characters: area under the curve for each origin and each kind of badness.

    python recipes/score_validation.py runs DATA/corpus -o out [--budget HOURS] [--tokens 1500000]
        The test that counts: one small language model on the top-scored, on random, on random text of the better half and on the
        bottom-scored text of a mixed pool, equal bytes, three seeds; bits a byte on clean text of origins that nobody saw. Each run is out/runs/NAME.json; runs are made until
        the budget is used up, the same command goes on. About five minutes a run with --precision bf16 on one core, an hour in all.

DATA/corpus holds one JSONL file an origin, `kind/name.jsonl.gz`.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kodata.doc import Corpus, Document, write_shard
from kodata.run.errors import UserError
from kodata.run.files import atomic_json, atomic_open, read_json_object
from kodata.score.charlm import CharLM, train
from kodata.score.classifier import Classifier, auc, pieces
from kodata.score.fluency import fluencies
from kodata.score.sample import place, sampled
from kodata.score.spoil import WAYS
from kodata.score.train import learnt, spoil

TRAINED = (
    "d2l_ko",
    "precedents_civil_criminal",
    "bible_krv1961",
    "rust_book_kr",
    "python_docs_ko_3.13",
    "nsmc_raw",
)
"""Origins the models learn from; all as good text, also film reviews, so that plain speech alone is not bad."""
CLEAN = ("korquad_dev_contexts", "fiction_pd_a", "statutes_a", "vue_docs_ko", "statkclee_ds_authoring")
"""Good origins nobody learns from; the last word of both measurements."""
ALSO = ("tensorflow_ko", "libreoffice_help_ko", "gimp_help_ko", "tech_interview_gyoogle")
"""More good origins for the AUC."""
COMMENTS = ("hate_comments_unlabeled",)
POOL = ("tensorflow_ko", "libreoffice_help_ko", "nodejs_ko", "apache2_doc_ko_euckr", "tldr_ko", "python_docs_ko_3.7",
        "rust_book_rinthel", "hate_comments_unlabeled", "news_titles_kocohub", "chatbot_songys", "nsmc_raw")  # fmt: skip
"""What the small models' text is chosen from; a quarter of it is spoiled first."""
CUTS = ("top", "random", "better", "bottom")
"""better: at random, the lower half of the scores left out, as a mild `kodata mix --min-score` does."""
SEEDS = (0, 1, 2)
LEARN_CHARS, PIECES = 4_000_000, 300


def main(arguments: list[str] | None = None) -> int:
    """The script; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("auc", "runs"))
    parser.add_argument("corpus", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument(
        "--chars", type=int, default=LEARN_CHARS, help="글자 수 (characters the scorers learn from)"
    )
    parser.add_argument(
        "--by", default="quality", choices=("quality", "lm"), help="runs: 고르는 점수 (score to choose by)"
    )
    parser.add_argument("--budget", type=float, default=2.0, help="runs: 시간 (hours)")
    parser.add_argument("--tokens", type=int, default=1_500_000, help="runs: 한 번의 토큰 (tokens a run)")
    parser.add_argument("--vocab", type=int, default=8192)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="runs")
    parser.add_argument("--threads", type=int, default=2, help="runs: torch 스레드 (threads)")
    given = parser.parse_args(arguments)
    try:
        return areas(given) if given.what == "auc" else runs(given)
    except UserError as error:
        print(*error.lines(), sep="\n", file=sys.stderr)
        return error.code


def origin(corpus: Path, name: str) -> Corpus:
    """The documents of one origin."""
    found = sorted(corpus.rglob(f"{name}.jsonl*"))
    if not found:
        raise UserError(f"원천이 없습니다 (no such origin): {name}", file=corpus)
    return Corpus(found[0])


def scorers(given: argparse.Namespace) -> tuple[CharLM, Classifier]:
    """Both models, learnt from TRAINED, an equal share of characters each."""
    files = given.output / "models" / "clean.lm", given.output / "models" / "clean.quality"
    if not all(f.exists() for f in files):
        share = given.chars // len(TRAINED)
        learn = [d for name in TRAINED for d in sampled(origin(given.corpus, name), share, 0, 50_000)]
        train([d.text for d in learn]).save(files[0])
        some = [d for name in TRAINED for d in sampled(origin(given.corpus, name), share // 3, 0, 50_000)]
        learnt([*((d, 1.0) for d in some), *spoil(some)], 0, degree=False).save(files[1])
    return CharLM.load(files[0]), Classifier.load(files[1])


# ---- area under the curve -----------------------------------------------------------------------


def texts_of(corpus: Path, name: str) -> list[str]:
    """PIECES pieces of an origin's documents, by hash."""
    found = [
        (place(1, f"{d.id}/{i}"), piece)
        for d in origin(corpus, name)
        for i, piece in enumerate(pieces(d.text))
        if len(piece.strip()) >= 20
    ]
    return [piece for _, piece in sorted(found)[:PIECES]]


def areas(given: argparse.Namespace) -> int:
    """The table of AUCs; parts/NAME.json holds the scores of each set, so that a stopped run goes on."""
    lm, quality = scorers(given)
    sets: dict[str, list[str]] = {name: texts_of(given.corpus, name) for name in (*CLEAN, *ALSO, *COMMENTS)}
    rng = random.Random(0)
    for way in WAYS:
        sets[f"spoiled: {way.__name__}"] = [
            way(t, rng) for name in (*CLEAN, *ALSO) for t in sets[name][: PIECES // 9]
        ]
    scores: dict[str, dict[str, list[float]]] = {}
    for name, texts in sets.items():
        part = given.output / "parts" / f"{name.replace(': ', '-')}.json"
        if not part.exists():
            fluency, known = fluencies(texts)
            atomic_json(
                part,
                {
                    "lm": (-lm.bits(texts)).tolist(),
                    "quality": quality.probability(texts).tolist(),
                    "fluency": np.nan_to_num(fluency, nan=-99).tolist(),
                    "known": np.nan_to_num(known, nan=0).tolist(),
                },
            )
        scores[name] = read_json_object(part)
    columns = ("lm", "quality", "fluency", "known")
    good = [*CLEAN, *ALSO]
    bad = [name for name in sets if name not in good]
    by_bad = [[b, *(area(scores, good, [b], c) for c in columns)] for b in bad]
    by_good = [[g, *(area(scores, [g], bad, c) for c in columns)] for g in good]
    titles = [("나쁜 글마다 (each kind of bad against all good origins)", by_bad), ("좋은 원천마다 (each good origin against all bad)", by_good)]  # fmt: skip
    lines = []
    for title, rows in titles:
        lines += [f"### {title}", "", "| |" + "|".join(columns) + "|", "|---|" + "---|" * len(columns)]
        lines += [f"| {row[0]} |" + "|".join(f" {v:.3f} " for v in row[1:]) + "|" for row in rows] + [""]
    with atomic_open(given.output / "auc.md", "w") as out:
        out.write("\n".join(lines))
    atomic_json(given.output / "auc.json", {"by_bad": by_bad, "by_good": by_good, "columns": columns})
    print("\n".join(lines))
    return 0


def area(scores: dict[str, dict[str, list[float]]], good: list[str], bad: list[str], column: str) -> float:
    """AUC of all pieces of `good` against all of `bad`."""
    up = [v for name in good for v in scores[name][column]]
    down = [v for name in bad for v in scores[name][column]]
    return auc(np.array(up + down), np.arange(len(up) + len(down)) < len(up))


# ---- small language models ----------------------------------------------------------------------


def runs(given: argparse.Namespace) -> int:
    """Make the runs that are missing, until the budget is used up; print what there is."""
    started = time.monotonic()
    prepare(given)
    for seed in SEEDS:
        for cut in CUTS:
            file = given.output / "runs" / f"{given.by}-{cut}-{seed}.json"
            if file.exists():
                continue
            if time.monotonic() - started > given.budget * 3600:
                print(
                    f"예산을 다 썼습니다; 같은 명령으로 이어집니다 (budget used up; the same command goes on): {file.stem}"
                )
                return told(given)
            atomic_json(file, one(given, cut, seed))
    return told(given)


def pool_documents(given: argparse.Namespace) -> Iterator[Document]:
    """The pool in pieces of a document's length, a quarter spoiled, each with a stable id."""
    rng = random.Random(7)
    for name in POOL:
        for document in origin(given.corpus, name):
            for i, piece in enumerate(pieces(document.text)):
                if piece.strip():
                    text = rng.choice(WAYS)(piece, rng) if rng.random() < 0.25 else piece
                    yield Document(f"{name}/{document.id}/{i}", text, name)


def prepare(given: argparse.Namespace) -> None:
    """The three texts of equal bytes, the tokenizer, the shards: each made once."""
    folder = given.output / f"text-{given.by}"
    size = given.tokens * 3  # about three bytes a token
    if not (folder / "done.json").exists():
        lm, quality = scorers(given)
        pool = list(pool_documents(given))
        texts = [d.text for d in pool]
        values = -lm.bits(texts) if given.by == "lm" else quality.probability(texts)
        told = np.flatnonzero(np.isfinite(values))  # spoiling may leave an empty text, which has no score
        pool, texts, values = [pool[n] for n in told], [texts[n] for n in told], values[told]
        chance = np.array([place(3, d.id) for d in pool], np.float64)
        orders = {
            "top": np.argsort(-values, kind="stable"),
            "bottom": np.argsort(values, kind="stable"),
            "random": np.argsort(chance),
            "better": np.argsort(np.where(values >= np.median(values), chance, np.inf))[: len(values) // 2],
        }
        facts: dict[str, Any] = {
            "pool_documents": len(pool),
            "pool_bytes": sum(len(t.encode()) for t in texts),
        }
        for cut, order in orders.items():
            left = size
            chosen = []
            for n in order.tolist():
                chosen.append(n)
                left -= len(texts[n].encode("utf-8", "replace"))
                if left <= 0:
                    break
            if left > 0:
                raise UserError(
                    f"글이 모자랍니다 (too little text for {given.tokens} tokens)",
                    help="--tokens 를 줄이십시오 (fewer)",
                )
            chosen.sort(key=lambda n: place(4, pool[n].id))
            write(folder / cut / "00000.jsonl.zst", (pool[n] for n in chosen))
            facts[cut] = {
                "documents": len(chosen),
                "bytes": size - left,
                "mean_score": float(np.mean(values[chosen])),
            }
            facts[cut]["of"] = {name: sum(pool[n].source == name for n in chosen) for name in POOL}
        clean = [d for name in CLEAN for d in sampled(origin(given.corpus, name), 60_000, 0, 20_000)]
        write(folder / "clean" / "00000.jsonl.zst", iter(clean))
        atomic_json(folder / "done.json", facts)
    tok = given.output / "tok"
    tool("kotok", "train", folder / "random", folder / "clean", "-o", tok, "--vocab-size", given.vocab)
    for name in CUTS:
        tool("kotok", "encode", folder / name, "--tok", tok, "-o", folder / f"{name}-shards", "--val", 0.01)
    tool("kotok", "encode", folder / "clean", "--tok", tok, "-o", folder / "clean-shards", "--val", 0.9)


def write(path: Path, documents: Iterator[Document]) -> None:
    """One shard."""
    with write_shard(path) as out:
        for document in documents:
            out.write(document)


def one(given: argparse.Namespace, cut: str, seed: int) -> dict[str, Any]:
    """One run: trained, measured on clean text, forgotten but for its numbers."""
    folder, name = given.output / f"text-{given.by}", given.output / "runs" / f"{given.by}-{cut}-{seed}"
    started = time.monotonic()
    steps = max(1, given.tokens // (16 * 256))
    tool(
        "kobitnet", "train", folder / f"{cut}-shards", "-o", name, "--preset", "tiny", "--steps", steps,
        "--seed", seed, "--quant", "none", "--precision", given.precision, "--threads", given.threads,
    )  # fmt: skip
    out = tool(
        "kobitnet", "eval", name, "--on", folder / "clean-shards", "--no-compare", "--max-tokens", 60_000, "--json"
    )  # fmt: skip
    facts = json.loads(out)
    summary = facts.get("summary", facts)
    return {
        "by": given.by,
        "cut": cut,
        "seed": seed,
        "steps": steps,
        "precision": given.precision,
        "bits_per_byte": find(summary, "bits_per_byte"),
        "seconds": round(time.monotonic() - started, 1),
    }


def find(value: Any, key: str) -> float:
    """The first number under a key, at any depth. Raises UserError when there is none."""
    waiting = [value]
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, dict):
            if isinstance(item.get(key), int | float):
                return float(item[key])
            waiting += item.values()
    raise UserError(f"결과에 {key} 가 없습니다 (not in the result)")


def tool(*words: Any) -> str:
    """Run one of our commands; its standard output. Raises UserError when it fails."""
    command = [sys.executable, "-m", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"실패 (failed): {' '.join(command[2:])}: {done.stderr.strip()[-400:]}")
    return done.stdout


def told(given: argparse.Namespace) -> int:
    """Print the table of the runs that are there."""
    rows = [read_json_object(f) for f in sorted((given.output / "runs").glob(f"{given.by}-*.json"))]
    print(
        "| 고른 글 (text) | 씨앗 (seeds) | 바이트마다 비트 (bits a byte, clean) |", "|---|---|---|", sep="\n"
    )
    for cut in CUTS:
        values = [r["bits_per_byte"] for r in rows if r["cut"] == cut]
        if values:
            each = ", ".join(f"{v:.4f}" for v in values)
            print(f"| {cut} | {len(values)} | {np.mean(values):.4f} ± {np.std(values):.4f} ({each}) |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
