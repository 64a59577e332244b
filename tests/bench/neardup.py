"""The Korean near-duplicate benchmark: `python tests/bench/neardup.py DATA [DOCUMENTS]`.

Positives: 326 real revision pairs (true Jaccard >= .8; below .6 negative, between ignored) and perturbations of real text
(`perturb.py`, DOCUMENTS of each class, 500 to 4,000 characters, all genres). Negatives: unrelated documents, a market report with
other figures, a short notice and a long form letter with other facts, statutes of like titles. A method says for a pair whether it is one document:

- `char n`, `eojeol n`, `morpheme n`: our own rule, a shared MinHash bucket and exact Jaccard of n-gram sets >= threshold;
- `datatrove`: its MinHash at its defaults (5-grams of words, 14 buckets of 8), a shared bucket; words by whitespace and by Kiwi;
- `rensa`: RMinHash with 128 permutations over character 5-grams, estimate >= threshold.

F1 of a class: its positives against as many negatives drawn evenly from their kinds.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import perturb

from kodata.dedup import shingles
from kodata.doc import Corpus

Pair = tuple[str, str]
Judge = Callable[[list[Pair]], np.ndarray]


# ---- pairs --------------------------------------------------------------------------------------


def real_pairs(data: Path) -> tuple[list[Pair], list[Pair]]:
    """(same, different) of the real revisions."""
    same, different = [], []
    for path in sorted((data / "dirty").glob("neardup_*")):
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as handle:
            for line in handle:
                record = json.loads(line)
                target = same if record["char5_jaccard"] >= 0.8 else different
                if not 0.6 <= record["char5_jaccard"] < 0.8:
                    target.append((record["a"], record["b"]))
    return same, different


def base_documents(data: Path, count: int, rng: random.Random) -> list[str]:
    """Real prose of every genre, cut to 500-4,000 characters at a sentence."""
    by_genre: dict[str, list[str]] = defaultdict(list)
    for path in sorted((data / "corpus").rglob("*.jsonl.gz")):
        for document in Corpus(path):
            if len(document.text) >= 600:
                by_genre[path.parent.name].append(document.text)
    out = []
    genres = sorted(by_genre)
    while len(out) < count:
        text = rng.choice(by_genre[genres[len(out) % len(genres)]])
        start = rng.randrange(max(1, len(text) - 4000))
        piece = text[start : start + rng.randint(600, 4000)]
        piece = piece[piece.find(" ") + 1 :]
        if len(piece) >= 500 and sum("가" <= c <= "힣" for c in piece) > 0.4 * len(piece):
            out.append(piece)
    return out


def statutes(data: Path) -> list[Pair]:
    """Every statute, decree or rule with the one whose title is likest."""
    texts: dict[str, str] = {}
    for path in sorted((data / "corpus" / "law").glob("statutes*.jsonl.gz")):
        for document in Corpus(path):
            texts.setdefault(document.text.split("\n", 1)[0].lstrip("# ").strip(), document.text)
    pairs = []
    for title in sorted(texts):
        words = grams(squeeze(title), 2)
        others = [(jaccard(words, grams(squeeze(t), 2)), t) for t in sorted(texts) if t != title]
        if others and max(others)[0] >= 0.3:
            pairs.append((texts[title], texts[max(others)[1]]))
    return pairs


def bibles(data: Path, count: int) -> list[Pair]:
    """The same chapters in two scripts: reported, not gated."""
    one, two = (
        {str(d.id): d.text for d in Corpus(data / "corpus" / "books" / f"bible_krv1961{tail}.jsonl.gz")}
        for tail in ("", "_hanja")
    )
    shared = sorted(one.keys() & two.keys()) or None
    if shared:
        return [(one[k], two[k]) for k in shared[:count]]
    return list(zip(list(one.values())[:count], list(two.values())[:count], strict=False))


# ---- judges -------------------------------------------------------------------------------------


def squeeze(text: str) -> str:
    return re.sub(r"\s+", "", unicodedata.normalize("NFC", text))


def grams(units: list[str] | str, n: int) -> set[int]:
    return {hash(tuple(units[i : i + n])) for i in range(max(1, len(units) - n + 1))}


def jaccard(a: set[int], b: set[int]) -> float:
    return len(a & b) / max(len(a | b), 1)


def by_sets(split: Callable[[str], list[str] | str], n: int, threshold: float) -> Judge:
    """Exact Jaccard of n-gram sets (an upper bound of any MinHash over them)."""
    return lambda pairs: np.array(
        [jaccard(grams(split(a), n), grams(split(b), n)) >= threshold for a, b in pairs]
    )


def ours(n: int, threshold: float) -> Judge:
    """What kodata dedup does: native signatures, shared bucket, exact Jaccard."""

    def judge(pairs: list[Pair]) -> np.ndarray:
        texts = [t for pair in pairs for t in pair]
        minima, _, _ = shingles.signatures(texts, n)
        values, offsets = shingles.shingle_sets(texts, n)
        bands, rows = shingles.lsh_shape(threshold)
        keys = minima[:, : bands * rows].reshape(len(texts), bands, rows)
        met = (keys[0::2] == keys[1::2]).all(axis=2).any(axis=1)
        at = np.arange(len(texts)).reshape(-1, 2)
        return met & (shingles.backend().jaccards(values, offsets, at) >= threshold)

    return judge


def datatrove(words: Callable[[str], list[str]]) -> Judge:
    """datatrove's own signatures with its word tokenizer replaced (Kiwi by injection: its wrapper fails on today's Kiwi)."""
    from types import SimpleNamespace

    from datatrove.pipeline.dedup import minhash

    minhash.load_word_tokenizer = lambda _: SimpleNamespace(word_tokenize=words)
    step = minhash.MinhashDedupSignature("unused", config=minhash.MinhashConfig())

    def signature(text: str) -> list[list[int]]:
        found = step.get_shingles(text)
        return step.get_signature(found) if len(found) else [[hash(text)]]

    return lambda pairs: np.array([any(x == y for x, y in zip(signature(a), signature(b))) for a, b in pairs])


def rensa(threshold: float) -> Judge:
    from rensa import RMinHash

    def sketch(text: str) -> RMinHash:
        text = squeeze(text)
        made = RMinHash(num_perm=128, seed=42)
        made.update([text[i : i + 5] for i in range(max(1, len(text) - 4))])
        return made

    return lambda pairs: np.array([sketch(a).jaccard(sketch(b)) >= threshold for a, b in pairs])


# ---- table --------------------------------------------------------------------------------------


def main(data: Path, count: int) -> None:
    from kiwipiepy import Kiwi

    rng = random.Random(20261122)
    base = base_documents(data, count, rng)
    same, different = real_pairs(data)
    positives = {"실제 개정 (real revisions)": (same, True)}
    for name, (change, gated) in perturb.CLASSES.items():
        positives[name] = ([(text, change(text, rng)) for text in base], gated)
    positives["성경 두 표기 (Bible, two scripts)"] = (bibles(data, count), False)
    negatives = {
        "실제 개정 < .6": different,
        "무관 (unrelated)": [(base[i], base[(i + 7) % len(base)]) for i in range(len(base))],
        "다른 수치 (other numbers)": [(perturb.other_numbers(rng), perturb.other_numbers(rng)) for _ in base],
        "다른 사실 (other facts)": [(perturb.template(rng), perturb.template(rng)) for _ in base],
        "긴 틀 (long form letter)": [(perturb.long_template(rng), perturb.long_template(rng)) for _ in base],
        "이름이 비슷한 법령 (statutes of like titles)": statutes(data),
    }
    kiwi = Kiwi(num_workers=1)
    known: dict[str, list[str]] = {}

    def morphemes(text: str) -> list[str]:
        if text not in known:
            known[text] = [t.form for t in kiwi.tokenize(text)]
        return known[text]

    def eojeols(text: str) -> list[str]:
        return unicodedata.normalize("NFC", text).split()

    judges: dict[str, Judge] = {f"char {n}, J .75": ours(n, 0.75) for n in range(3, 9)}
    judges |= {f"char 5, J {t:g}": ours(5, t) for t in (0.7, 0.8)}
    judges |= {f"eojeol {n}, J .75": by_sets(eojeols, n, 0.75) for n in (1, 3, 5)}
    judges |= {f"morpheme {n}, J .75": by_sets(morphemes, n, 0.75) for n in (3, 5)}
    judges |= {"datatrove, whitespace": datatrove(str.split), "datatrove, Kiwi": datatrove(morphemes)}
    try:
        judges["rensa, char 5, .75"] = rensa(0.75)
    except ImportError:
        print("rensa is not installed: left out", file=sys.stderr)
    alike = {kind: np.mean([shingles.jaccard(a, b) for a, b in pairs]) for kind, pairs in negatives.items()}
    print(f"{count} documents a class; negatives (pairs, mean Jaccard of character 5-grams): ", end="")
    print(" · ".join(f"{kind} {len(negatives[kind])}, {value:.2f}" for kind, value in alike.items()))
    print("\nF1 (recall %); classes with * are reported, not gated; FP: false positives on negatives, %\n")
    print("| | " + " | ".join(judges) + " |\n|---" + "|---:" * len(judges) + "|")
    wrong = {
        name: [100 * float(j(pairs).mean()) for pairs in negatives.values()] for name, j in judges.items()
    }
    for row, kind in enumerate(negatives):
        print(f"| FP {kind} | " + " | ".join(f"{wrong[name][row]:.1f}" for name in judges) + " |")
    for kind in sorted(positives, key=lambda kind: not positives[kind][1]):
        cells = []
        for name, judge in judges.items():
            recall, rate = float(judge(positives[kind][0]).mean()), np.mean(wrong[name]) / 100
            cells.append(f"{2 * recall / (recall + rate + 1):.3f} ({100 * recall:.0f})")
        print(f"| {kind}{'' if positives[kind][1] else ' *'} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 150)
