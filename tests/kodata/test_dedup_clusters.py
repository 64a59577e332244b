"""kodata dedup's clusters as sets: against brute force, in any order of documents, and on real revision pairs."""

import numpy as np
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from kodata.dedup import DedupConfig, shingles
from kodata.dedup.cluster import AGAINST, EXACT, NEAR, Catalogue, decide
from kodata.doc import Document
from tests.kodata.dedup_made import doc


def _outcome(documents: list[Document], config: DedupConfig):
    texts = [d.text for d in documents]
    minima, digests, lengths = shingles.signatures(texts, config.ngram)
    whole = Catalogue(
        starts=np.array([0, len(texts)]),
        digests=digests,
        lengths=lengths,
        raw_lengths=np.array([len(t) for t in texts], np.int64),
        ids=[d.id for d in documents],
        sources=[d.source for d in documents],
        dates=[""] * len(texts),
        copies=[1] * len(texts),
        hits={},
    )
    return decide(
        whole,
        lambda n: minima[n],
        lambda n: shingles.shingle_sets([texts[i] for i in n.tolist()], config.ngram),
        config,
    )


PARTS = ["하늘이 맑고 ", "바람이 차다 ", "강물은 흐른다 ", "꽃이 핀다 ", "새가 운다 "]
DOCUMENTS = st.lists(st.lists(st.sampled_from(PARTS), min_size=0, max_size=8).map("".join), max_size=12).map(
    lambda texts: [doc(f"{i:02d}", t, "가" if i % 2 else "나") for i, t in enumerate(texts)]
)


@given(DOCUMENTS, st.randoms(use_true_random=False), st.sampled_from([0.3, 0.6, 0.9]))
def test_clusters_do_not_depend_on_the_order_of_documents(documents, random, threshold):
    config = DedupConfig(threshold=threshold)
    shuffled = list(documents)
    random.shuffle(shuffled)

    def as_sets(order):
        outcome = _outcome(order, config)
        return {
            (
                order[c.kept].id,
                frozenset((order[m].id, round(j, 12)) for m, j in zip(c.members, c.jaccards, strict=True)),
            )
            for c in outcome.clusters
        }

    assert as_sets(documents) == as_sets(shuffled)


@given(DOCUMENTS, st.sampled_from([0.3, 0.6, 0.9]))
@settings(max_examples=40)
def test_decisions_agree_with_the_exact_jaccard_of_all_pairs(documents, threshold):
    """Brute force: components of the graph of all pairs with Jaccard >= threshold (buckets lose no such pair here)."""
    outcome = _outcome(documents, DedupConfig(threshold=threshold))
    n = len(documents)
    component = list(range(n))
    for i in range(n):
        for j in range(i):
            if shingles.jaccard(documents[i].text, documents[j].text) >= threshold:
                old, new = component[i], component[j]
                component = [new if c == old else c for c in component]
    expected = {frozenset(i for i in range(n) if component[i] == c) for c in set(component)}
    assert {frozenset(c.members) for c in outcome.clusters} == {c for c in expected if len(c) > 1}
    assert int((outcome.action == 0).sum()) == len(expected)
    assert set(outcome.action.tolist()) <= {0, EXACT, NEAR, AGAINST}


def test_real_revision_pairs(real_data):
    """326 real pairs: all with Jaccard >= .8 found, none under .6, by whole clusters and not by buckets alone."""
    import gzip

    documents, truth = [], []
    for path in sorted((real_data / "dirty").glob("neardup_*")):
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as handle:
            for line in handle:
                record = orjson.loads(line)
                documents += [
                    doc(f"{len(documents):04d}", record["a"]),
                    doc(f"{len(documents) + 1:04d}", record["b"]),
                ]
                truth.append(record["char5_jaccard"])
    outcome = _outcome(documents, DedupConfig())
    together = [outcome.cluster[2 * i] == outcome.cluster[2 * i + 1] != 0 for i in range(len(truth))]
    assert all(hit for hit, value in zip(together, truth, strict=True) if value >= 0.8)
    assert not any(hit for hit, value in zip(together, truth, strict=True) if value < 0.6)
