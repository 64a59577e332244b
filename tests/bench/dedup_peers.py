"""Near duplicates by other tools on the same documents, every step of each: what `tests/bench/dedup.py` compares with.

Each peer takes texts and returns how many documents it would remove; nothing is read or written but what the peer itself needs.
"""

from __future__ import annotations

import re
import tempfile
import unicodedata
from collections.abc import Callable
from types import SimpleNamespace

THRESHOLD = 0.75


def ours(texts: list[str]) -> int:
    """Signatures, buckets, sets of candidates, exact Jaccard, components: the core of `kodata dedup`, without files."""
    import numpy as np

    from kodata.dedup import shingles

    minima, digests, _ = shingles.signatures(texts, 5)
    first = np.sort(np.unique(digests, axis=0, return_index=True)[1])
    table = np.ascontiguousarray(minima[first])
    flags = shingles.candidates(table, THRESHOLD)
    candidates = [texts[i] if flag else "" for i, flag in zip(first.tolist(), flags.tolist(), strict=True)]
    values, offsets = shingles.shingle_sets(candidates, 5)
    parent, _ = shingles.clusters(table, values, offsets, THRESHOLD)
    return len(texts) - len(np.unique(parent))


def rensa(texts: list[str]) -> int:
    """Character 5-grams in Python, RMinHash of 128 permutations, its LSH, its estimate of the Jaccard, union-find."""
    from rensa import RMinHash, RMinHashLSH

    index = RMinHashLSH(threshold=THRESHOLD, num_perm=128, num_bands=16)
    made: list[RMinHash] = []
    parent = list(range(len(texts)))

    def find(x: int) -> int:
        while parent[x] != x:
            x = parent[x]
        return x

    for number, text in enumerate(texts):
        solid = re.sub(r"\s+", "", unicodedata.normalize("NFC", text))
        sketch = RMinHash(num_perm=128, seed=42)
        sketch.update([solid[i : i + 5] for i in range(max(1, len(solid) - 4))])
        for other in index.query(sketch):
            if find(other) != find(number) and sketch.jaccard(made[other]) >= THRESHOLD:
                parent[find(number)] = find(other)
        index.insert(number, sketch)
        made.append(sketch)
    return sum(1 for x in range(len(texts)) if find(x) != x)


def datatrove(words: Callable[[str], list[str]]) -> Callable[[list[str]], int]:
    """datatrove's four stages at its defaults, one process (its wrapper of Kiwi fails on today's Kiwi, so words are given to it)."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup import minhash
    from datatrove.utils.logging import logger

    logger.remove()

    def run(texts: list[str]) -> int:
        minhash.load_word_tokenizer = lambda _: SimpleNamespace(word_tokenize=words)
        config = minhash.MinhashConfig()

        def documents():
            return (Document(text=text, id=str(i)) for i, text in enumerate(texts))

        with tempfile.TemporaryDirectory() as folder:
            signed, buckets, removed = (f"{folder}/{name}" for name in ("signed", "buckets", "removed"))
            minhash.MinhashDedupSignature(signed, config).run(documents(), 0, 1)
            step = minhash.MinhashDedupBuckets(signed, buckets, config=config)
            for rank in range(config.num_buckets):
                step.run(None, rank, config.num_buckets)
            minhash.MinhashDedupCluster(buckets, removed, config=config).run(None, 0, 1)
            left = sum(1 for _ in minhash.MinhashDedupFilter(removed).run(documents(), 0, 1))
        return len(texts) - left

    return run


def kiwi_words() -> Callable[[str], list[str]]:
    """Morphemes by Kiwi on one thread."""
    from kiwipiepy import Kiwi

    kiwi = Kiwi(num_workers=1)
    return lambda text: [token.form for token in kiwi.tokenize(text)]
