"""Precision and recall of the personal-data detectors: `python tests/bench/pii.py [DATA] [--each N]`.

The labelled set is made of templates (tests/pii_set.py), each sentence set into a paragraph of real text when DATA is
given; false friends and the real text itself are the negatives. In real text nobody has labelled what is personal: what is
found there is listed by kind, with `--show` to be read by a person.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from kodata.pii import find
from kodata.text import normalise
from tests.pii_set import FALSE_FRIENDS, HELD_OUT_FRIENDS, KINDS, held_out, labelled


def paragraphs(data: Path) -> list[str]:
    """Real paragraphs without anything found in them, to set the sentences into."""
    from kodata.doc import Corpus

    rng = random.Random(1)
    texts = [d.text for i, d in enumerate(Corpus(data / "corpus")) if i % 97 == 0]
    lines = [line for text in texts for line in normalise(text[:5000]).split("\n") if 20 <= len(line) <= 300]
    rng.shuffle(lines)
    return [line for line in lines[:3000] if not find(line)]


def templates(
    name: str,
    sentences: Iterable[tuple[str, str, int, int]],
    false_friends: tuple[str, ...],
    around: list[str],
) -> None:
    """One table. False positives are places of another kind, or outside what is labelled."""
    print(f"== {name}")
    rng = random.Random(2)
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    examples: list[str] = []
    for text, kind, start, end in sentences:
        before = rng.choice(around) + "\n" if around else ""
        after = "\n" + rng.choice(around) if around else ""
        found = find(before + text + after)
        start, end = start + len(before), end + len(before)
        hit = [f for f in found if f.kind == kind and f.start <= start and f.end >= end and f.end - f.start <= end - start + 3]  # fmt: skip
        right[kind] += bool(hit)
        missed[kind] += not hit
        if not hit:
            examples.append(
                f"  놓침 (missed) {kind}: {text!r} -> {[(f.kind, f.end - f.start) for f in found]}"
            )
        wrong.update(f.kind for f in found if f not in hit)
    friends = 0
    for text in false_friends:
        for f in find(text):
            wrong[f.kind] += 1
            friends += 1
            examples.append(f"  거짓 친구 (false friend) {f.kind}: {text!r}")
    print(f"{'kind':<18} {'n':>5} {'found':>6} {'false':>6} {'precision':>9} {'recall':>7}")
    for kind in KINDS:
        n = right[kind] + missed[kind]
        given = right[kind] + wrong[kind]
        print(f"{kind:<18} {n:>5} {right[kind]:>6} {wrong[kind]:>6} {right[kind] / max(given, 1):>9.3f} {right[kind] / max(n, 1):>7.3f}")  # fmt: skip
    total, hits, false = sum(right.values()) + sum(missed.values()), sum(right.values()), sum(wrong.values())
    print(
        f"{'all':<18} {total:>5} {hits:>6} {false:>6} {hits / max(hits + false, 1):>9.3f} {hits / total:>7.3f}"
    )
    print(f"false friends: {friends} found in {len(false_friends)} sentences")
    print("\n".join(examples[:40]))


def real(data: Path, show: int) -> None:
    from kodata.doc import Corpus

    counts: Counter[str] = Counter()
    shown: Counter[str] = Counter()
    chars = 0
    seconds = 0.0
    for document in Corpus(data / "corpus"):
        text = normalise(document.text)
        chars += len(text)
        start = time.process_time()
        found = find(text)
        seconds += time.process_time() - start
        for f in found:
            counts[f.kind] += 1
            if shown[f.kind] < show:
                shown[f.kind] += 1
                print(f"  {f.kind}: …{text[max(0, f.start - 30) : f.start]}[{text[f.start : f.end]}]{text[f.end : f.end + 15]}…".replace("\n", " "))  # fmt: skip
    print(f"real text: {chars:,} characters, {chars / seconds / 1e6:.1f} M characters/s of processor time")
    print("found, unlabelled:", dict(counts.most_common()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--each", type=int, default=200)
    parser.add_argument("--show", type=int, default=0)
    given = parser.parse_args()
    carriers = paragraphs(given.data) if given.data else []
    templates(
        "labelled set (the detectors were tuned on it)", labelled(3, given.each), FALSE_FRIENDS, carriers
    )
    templates(
        "held-out set (written after the detectors; one context word, 차주, was added since)",
        held_out(4, given.each),
        HELD_OUT_FRIENDS,
        carriers,
    )
    if given.data:
        real(given.data, given.show)
