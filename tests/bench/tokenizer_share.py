"""What the settings of the staged trainer buy: `python -m tests.bench.tokenizer_share DATA --work W`.

Tokenizers of 32,000 ids by share t of the merges inside morphemes, exponent of the word counts, and least count k of a
word that Kiwi cuts. All learn from the same origins; settings are chosen on other origins (`choose`), and those that
`tests.bench.tokenizer` judges on are shown beside them (`judge`), learned from and chosen on by nobody. `own` is the text
learned from. c/t: characters a token; P: share of the token boundaries inside Hangul where Kiwi begins a morpheme, with
its difference from plain BPE (t 0, exponent 1) and the 95 % interval of that over documents drawn anew. Each row is
kept in W/rows and not done twice.
"""

from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kodata.run.files import atomic_json
from kotok.bpe import Words
from kotok.kiwi import load_kiwi, text_boundaries
from kotok.measure import RATES, Gold, bootstrap, hangul_places, interval, measure
from kotok.staged import token_count, train_staged
from kotok.tokenizer import build
from kotok.tokenizer_json import CONTROL
from kotok.words import WordCounts
from tests.bench.tokenizer import origins, texts

SIZE, PATTERN = 32_000, "llama-bpe"
CHARS, KIWI_CHARS = 60_000, 40_000
"""Characters of each origin that are measured, and of these compared with Kiwi."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One tokenizer."""

    t: float
    power: float = 1.0
    k: int = 3


PLAIN = Setting(0.0)
SETTINGS = (
    PLAIN,
    *(Setting(t, power) for power in (1.0, 0.7, 0.5) for t in (0.5, 0.75, 0.8, 0.85, 0.9, 1.0)),
    *(Setting(0.8, 0.7, k) for k in (2, 5, 10)),
)


class Remembering:
    """Kiwi that analyses no word twice: what it is asked about differs little from one setting to the next."""

    def __init__(self, kiwi: Any) -> None:
        self.kiwi, self.known = kiwi, dict[str, Any]()

    def tokenize(self, words: Iterator[str]) -> Iterator[Any]:
        asked = list(words)
        new = [w for w in asked if w not in self.known]
        self.known.update(zip(new, self.kiwi.tokenize(iter(new)), strict=True))
        return (self.known[w] for w in asked)


def sampled(files: list[Path], kiwi: Any) -> tuple[list[tuple[str, str]], dict[str, Gold]]:
    """(origin, text) of at most `CHARS` characters of each origin, and Kiwi's boundaries for a part of them."""
    out: list[tuple[str, str]] = []
    judged: list[str] = []
    for file in files:
        every = [t for t in texts([file]) if t]
        size = 0
        for n in np.random.default_rng(0).permutation(len(every)):
            if size < KIWI_CHARS and len(every[n]) < KIWI_CHARS // 2:
                judged.append(every[n])
            out.append((file.name, every[n]))
            size += len(every[n])
            if size > CHARS:
                break
    judged = list(dict.fromkeys(judged))
    places = text_boundaries(kiwi, judged)
    return out, {
        t: (np.array(sorted(p), dtype=np.int64), hangul_places(t))
        for t, p in zip(judged, places, strict=True)
    }


def one(
    setting: Setting, words: Words, kiwi: Future[Any], groups: dict[str, Any], chars: int
) -> dict[str, Any]:
    """Train and measure one setting."""
    made = train_staged(
        words,
        SIZE - len(CONTROL),
        share=setting.t,
        min_type_count=setting.k,
        kiwi=kiwi,
        power=setting.power,
    )
    tokenizer = build(made.merges, PATTERN)
    row: dict[str, Any] = {**asdict(setting), "cut_types": made.cut_types}
    row["own"] = chars / token_count(words, made.merges, PATTERN)
    for name, (sample, gold) in groups.items():
        measured = measure(tokenizer, sample, gold)
        row[name] = {**measured.total.rates(), "rows": measured.rows.tolist()}
    return row


def told(rows: list[dict[str, Any]]) -> list[str]:
    """The table."""
    base = next(r for r in rows if (r["t"], r["power"]) == (0, 1))
    length, cuts = RATES.index("chars_per_token"), RATES.index("boundary_precision")
    lines = [
        "| t | exponent | k | own c/t | choose c/t | P | P − plain | judge c/t | P | P − plain |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        cells = [f"{row['t']:g}", f"{row['power']:g}", str(row["k"]), f"{row['own']:.3f}"]
        for name in ("choose", "judge"):
            mine, plain = bootstrap([np.array(row[name]["rows"]), np.array(base[name]["rows"])], 0)
            apart = interval(mine[:, cuts] - plain[:, cuts]) or (0.0, 0.0)
            ratio = interval(mine[:, length] / plain[:, length]) or (1.0, 1.0)
            times = row[name]["chars_per_token"] / base[name]["chars_per_token"]
            gain = row[name]["boundary_precision"] - base[name]["boundary_precision"]
            cells += [
                f"{row[name]['chars_per_token']:.3f} × {times:.4f} ({ratio[0]:.3f}–{ratio[1]:.3f})",
                f"{row[name]['boundary_precision']:.3f}",
                f"{gain:+.3f} ({apart[0]:.3f}–{apart[1]:.3f})",
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("work/bench-tokenizer-share"))
    given = parser.parse_args()
    folder = given.work / "rows"
    folder.mkdir(parents=True, exist_ok=True)
    files = {s: folder / f"{s.t:g}-{s.power:g}-{s.k}.json" for s in SETTINGS}
    if not all(f.is_file() for f in files.values()):
        learn, choose, judge = origins(given.data)
        engine = load_kiwi(2)
        words = WordCounts(PATTERN).add_all(texts(learn)).words()
        chars = sum(map(len, texts(learn)))
        kept = given.work / "sample.pkl"
        if not kept.is_file():
            kept.write_bytes(
                pickle.dumps({"choose": sampled(choose, engine), "judge": sampled(judge, engine)})
            )
        groups = pickle.loads(kept.read_bytes())
        kiwi: Future[Any] = Future()
        kiwi.set_result(Remembering(engine))
        for setting, file in files.items():
            if not file.is_file():
                atomic_json(file, one(setting, words, kiwi, groups, chars))
                print(file.stem, flush=True)
    print(*told([json.loads(f.read_text()) for f in files.values()]), sep="\n")


if __name__ == "__main__":
    main()
