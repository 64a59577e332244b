"""kodata dedup's clusters as sets: against brute force, in any order of documents, in any number of parts, on real revisions."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kodata.dedup import DedupConfig, components, dedup, near, shingles
from kodata.dedup.components import members_of, slices_of
from kodata.dedup.memory import memory_for, sizes_for
from kodata.dedup.texts import equal_texts
from kodata.doc import Document
from kodata.pipeline.where import ClusterConfig
from tests.kodata.dedup_made import corpus, doc, lines, mixed, tree

PARTS = ["하늘이 맑고 ", "바람이 차다 ", "강물은 흐른다 ", "꽃이 핀다 ", "새가 운다 "]
DOCUMENTS = st.lists(
    st.lists(st.sampled_from(PARTS), min_size=0, max_size=8).map("".join), min_size=1, max_size=12
).map(lambda texts: [doc(f"{i:02d}", t, "가" if i % 2 else "나") for i, t in enumerate(texts)])


def clusters_of(folder: Path, documents: list[Document], memory: float = 0, **config) -> list[dict]:
    source = corpus(folder / "in", documents)
    dedup(
        [str(source)],
        output=folder / "out",
        config=DedupConfig(**config),
        workers=1,
        memory=memory,
        fresh=True,
    )
    return lines(folder / "out" / "clusters.jsonl")


def members(cluster: dict) -> list[str]:
    return [m["id"] for m in cluster["members"]]


@given(DOCUMENTS, st.randoms(use_true_random=False), st.sampled_from([0.3, 0.6, 0.9]))
@settings(max_examples=15)
def test_clusters_do_not_depend_on_the_order_of_documents(tmp_path_factory, documents, random, threshold):
    folder = tmp_path_factory.mktemp("order")
    shuffled = list(documents)
    random.shuffle(shuffled)

    def as_sets(order):
        found = clusters_of(folder, order, threshold=threshold)
        return {
            (c["kept"], frozenset((m["id"], round(m["jaccard"], 12)) for m in c["members"])) for c in found
        }

    assert as_sets(documents) == as_sets(shuffled)


@given(DOCUMENTS, st.sampled_from([0.3, 0.6, 0.9]), st.sampled_from([0, 1e-5]))
@settings(max_examples=20)
def test_clusters_agree_with_the_exact_jaccard_of_all_pairs(tmp_path_factory, documents, threshold, memory):
    """Brute force: components of the graph of all pairs with Jaccard >= threshold (buckets lose no such pair here)."""
    found = clusters_of(tmp_path_factory.mktemp("brute"), documents, memory, threshold=threshold)
    n = len(documents)
    component = list(range(n))
    for i in range(n):
        for j in range(i):
            if shingles.jaccard(documents[i].text, documents[j].text) >= threshold:
                old, new = component[i], component[j]
                component = [new if c == old else c for c in component]
    expected = {frozenset(documents[i].id for i in range(n) if component[i] == c) for c in set(component)}
    assert {frozenset(members(c)) for c in found} == {c for c in expected if len(c) > 1}


@pytest.mark.parametrize("large", [4096, 3])
def test_any_number_of_parts_gives_the_same_bytes(tmp_path, monkeypatch, large):
    """Here with buckets that are split too: the reason why a part must hold all members of a large bucket."""
    monkeypatch.setattr(shingles, "LARGE_BUCKET", large)
    monkeypatch.setattr(near, "LARGE_BUCKET", large)
    monkeypatch.setattr(components, "SLICE", 7)
    monkeypatch.setattr(near, "BLOCK", 9)
    source = corpus(tmp_path / "in", *mixed(4))
    summaries, parts = [], []
    for name, memory in (("whole", 1), ("three", 0.0002), ("many", 0.00002)):
        found = dedup([str(source)], output=tmp_path / name, workers=1, memory=memory).summary
        parts.append(found.pop("work")["parts"])
        summaries.append(found)
        assert tree(tmp_path / name) == tree(tmp_path / "whole")
    assert parts[0] == 1 < parts[1] < parts[2]
    assert summaries[0] == summaries[1] == summaries[2] and summaries[0]["near"] > 10


def test_the_rule_of_memory():
    config = DedupConfig()
    small = sizes_for(1_000_000, 600_000_000, config, 8 * 10**9, 2)
    assert small.parts == small.text_parts == 1 and small.needed == 1_000_000 * 672 + 8 * 600_000_000
    large = sizes_for(10**9, 600 * 10**9, config, 8 * 10**9, 2)
    assert large.unit == 4 * 10**9
    assert large.parts == -(-(10**9) * 32 * 168 // large.unit) and large.text_parts == 20
    assert sizes_for(10**9, 600 * 10**9, DedupConfig(near=False), 80 * 10**9, 1).parts == 1
    unit = ClusterConfig(memory=4)
    assert memory_for(0, "slurm", unit, 9) == memory_for(16, "ray", unit, 9) == (4 * 10**9, 1)
    assert memory_for(1, "slurm", unit, 9) == (10**9, 1) and memory_for(16, "local", unit, 9) == (
        16 * 10**9,
        9,
    )


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=20))
def test_equal_texts_are_found_by_both_halves_of_the_digest(digests):
    table = np.array(digests, np.uint64).reshape(-1, 2)
    order = np.lexsort((table[:, 0],))
    copies, firsts = equal_texts(table[order, 0], table[order, 1], order.astype(np.int64))
    expected = {i: digests.index(d) for i, d in enumerate(digests) if digests.index(d) != i}
    assert dict(zip(copies.tolist(), firsts.tolist(), strict=True)) == expected
    assert copies.tolist() == sorted(expected)


@given(st.lists(st.integers(0, 30), max_size=30), st.sampled_from([1, 4, 250_000]))
def test_members_of_clusters_by_size(parents, slice_size):
    roots = np.arange(len(parents))
    for i, parent in enumerate(parents):
        roots[i] = roots[min(parent, i)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(components, "SLICE", slice_size)
        numbers, ends = members_of(roots)
        bounds = slices_of(ends).tolist()
    groups = [numbers[a:b].tolist() for a, b in pairwise(ends)]
    expected = [[i for i in range(len(roots)) if roots[i] == r] for r in sorted(set(roots.tolist()))]
    assert groups == sorted((g for g in expected if len(g) > 1), key=lambda g: (-len(g), g[0]))
    assert bounds == sorted(set(bounds)) and bounds[0] == 0 and bounds[-1] == len(groups)


def test_real_revision_pairs(real_data, tmp_path):
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
    cluster = {m: c["cluster"] for c in clusters_of(tmp_path, documents) for m in members(c)}
    together = [
        cluster.get(f"{2 * i:04d}", 0) == cluster.get(f"{2 * i + 1:04d}", -1) for i in range(len(truth))
    ]
    assert all(hit for hit, value in zip(together, truth, strict=True) if value >= 0.8)
    assert not any(hit for hit, value in zip(together, truth, strict=True) if value < 0.6)
