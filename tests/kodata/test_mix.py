"""kodata mix: shares, cuts, repeats, order, resuming; the score sidecar; rehydration tables."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kodata.dedup.rehydrate import FINEWEB2, repeats, table_from_rates
from kodata.doc import Corpus, Document, read_shard, write_shard
from kodata.mix.config import MixConfig
from kodata.mix.pool import Pool
from kodata.mix.shares import choose, shares
from kodata.mix.verb import mix
from kodata.run.errors import UsageError, UserError
from kodata.score import sidecar

MODULE = importlib.import_module("kodata.mix.write")


def corpus(folder: Path, name: str, count: int, chars: int, **meta) -> Path:
    """A document file of `count` texts of `chars` characters."""
    path = folder / f"{name}.jsonl"
    with write_shard(path) as out:
        for i in range(count):
            text = (f"{name}의 {i}번째 글입니다. " * chars)[:chars]
            out.write(Document(f"{name}-{i}", text, name, dict(meta)))
    return path


def scored(folder: Path, path: Path, values: list[float]) -> Path:
    found = Corpus(path)
    sidecar.write_scores(folder, 0, [d.id for d in found], {"quality": values})
    sidecar.write_index(folder, found, {"quality": "1"})
    return folder


def counts(path: Path) -> dict[str, int]:
    out: dict[str, int] = {}
    for document in Corpus(path):
        out[document.source] = out.get(document.source, 0) + len(document.text)
    return out


def test_shares_are_met(tmp_path):
    wiki, web = corpus(tmp_path, "wiki", 40, 100), corpus(tmp_path, "web", 400, 100)
    config = MixConfig(weights={"wiki": 1, "web": 3})
    result = mix([str(wiki), str(web)], output=tmp_path / "out", config=config)
    assert counts(result.path) == {"wiki": 4000, "web": 12000}  # all of wiki sets the size
    assert result.summary["groups"]["web"]["passes"] == pytest.approx(0.3)
    smaller = MixConfig(weights={"wiki": 1, "web": 1}, chars=2000)
    assert counts(mix([str(wiki), str(web)], output=tmp_path / "small", config=smaller).path) == {
        "wiki": 1000,
        "web": 1000,
    }


def test_repeats_get_their_own_ids(tmp_path):
    wiki, web = corpus(tmp_path, "wiki", 10, 100), corpus(tmp_path, "web", 100, 100)
    config = MixConfig(weights={"wiki": 1, "web": 1}, chars=5000, repeat=3)
    out = list(Corpus(mix([str(wiki), str(web)], output=tmp_path / "out", config=config).path))
    ids = [d.id for d in out]
    assert len(set(ids)) == len(ids)
    wiki_ids = [i for i in ids if i.startswith("wiki")]
    assert len(wiki_ids) == 25  # two whole passes and five documents more
    assert sum(i.endswith("#2") for i in wiki_ids) == 10 and sum(i.endswith("#3") for i in wiki_ids) == 5
    assert {d.meta["copy"] for d in out if "#" in d.id} == {2, 3}


def test_what_cannot_be_filled_is_said(tmp_path):
    wiki, web = corpus(tmp_path, "wiki", 10, 100), corpus(tmp_path, "web", 100, 100)
    both = [str(wiki), str(web)]
    with pytest.raises(UserError, match="'wiki'") as error:
        mix(both, output=tmp_path / "out", config=MixConfig(weights={"wiki": 1, "web": 1}, chars=5000))
    assert "--repeat 2.50" in error.value.help and "--chars 2000" in error.value.help
    with pytest.raises(UserError, match="없는 묶음"):
        mix(both, output=tmp_path / "out", config=MixConfig(weights={"wiki": 1, "book": 1}))
    for bad in ({"weights": {"a": -1.0}}, {"weights": {"a": 0.0}}, {"chars": -1}, {"repeat": 0.0}):
        with pytest.raises(UsageError):
            MixConfig(**bad)
    with pytest.raises(UsageError, match="scores"):
        mix(both, output=tmp_path / "out", config=MixConfig(min_score={"quality": 0.5}))
    assert not (tmp_path / "out").exists()


def test_order_is_seeded_and_free_of_shards(tmp_path, monkeypatch):
    wiki = corpus(tmp_path, "wiki", 50, 100)
    folder = tmp_path / "cut"
    folder.mkdir()
    documents = list(read_shard(wiki))
    for number, rows in enumerate((documents[:7], documents[7:])):
        with write_shard(folder / f"{number:05d}.jsonl") as out:
            for document in rows:
                out.write(document)
    monkeypatch.setattr(MODULE, "SHARD_CHARS", 900)
    one = [d.id for d in Corpus(mix([str(wiki)], output=tmp_path / "a").path)]
    two = [d.id for d in Corpus(mix([str(folder)], output=tmp_path / "b").path)]
    other = [d.id for d in Corpus(mix([str(wiki)], output=tmp_path / "c", seed=1).path)]
    assert one == two and sorted(one) == sorted(other) and one != other != sorted(other)
    assert len(list((tmp_path / "a" / "docs").iterdir())) == 6


def test_killed_run_goes_on(tmp_path, monkeypatch):
    wiki = corpus(tmp_path, "wiki", 50, 100)
    monkeypatch.setattr(MODULE, "SHARD_CHARS", 900)
    whole = mix([str(wiki)], output=tmp_path / "whole")
    real, calls = MODULE._sort, []

    def stops(source, target):
        calls.append(target)
        if len(calls) == 3:
            raise RuntimeError("power cut")
        real(source, target)

    monkeypatch.setattr(MODULE, "_sort", stops)
    with pytest.raises(RuntimeError):
        mix([str(wiki)], output=tmp_path / "cut")
    resumed = mix([str(wiki)], output=tmp_path / "cut")
    assert len(calls) == 7  # two shards were not written again
    for a, b in zip(
        sorted((whole.path / "docs").iterdir()), sorted((resumed.path / "docs").iterdir()), strict=True
    ):
        assert a.read_bytes() == b.read_bytes()
    assert not (resumed.path / "work").exists()


# ---- scores -------------------------------------------------------------------------------------


def test_score_cut(tmp_path):
    wiki = corpus(tmp_path, "wiki", 10, 100)
    scores = scored(tmp_path / "scores", wiki, [i / 10 for i in range(9)] + [float("nan")])
    config = MixConfig(min_score={"quality": 0.5})
    result = mix([str(wiki)], output=tmp_path / "out", scores=[scores], config=config)
    assert {d.id for d in Corpus(result.path)} == {f"wiki-{i}" for i in (5, 6, 7, 8)}
    assert result.summary["groups"]["wiki"]["below_cut"] == 6
    with pytest.raises(UserError, match="fluency"):
        mix(
            [str(wiki)], output=tmp_path / "o2", scores=[scores], config=MixConfig(min_score={"fluency": 0.5})
        )


def test_scores_of_a_corpus_that_changed(tmp_path):
    wiki = corpus(tmp_path, "wiki", 10, 100)
    scores = scored(tmp_path / "scores", wiki, [1.0] * 10)
    config = MixConfig(min_score={"quality": 0.5})
    corpus(tmp_path, "wiki", 10, 120)  # the same ids, other texts
    with pytest.raises(UserError, match="before it changed"):
        mix([str(wiki)], output=tmp_path / "out", scores=[scores], config=config)
    index = scores / "scores.json"
    index.write_text('{"corpus": "x", "shards": 1, "scorers": {}}')
    with pytest.raises(UserError, match="broken index"):
        mix([str(wiki)], output=tmp_path / "out", scores=[scores], config=config)
    index.unlink()
    with pytest.raises(UserError, match="not a score folder"):
        mix([str(wiki)], output=tmp_path / "out", scores=[scores], config=config)


def test_scores_of_other_documents(tmp_path):
    wiki, web = corpus(tmp_path, "wiki", 10, 100), corpus(tmp_path, "web", 10, 100)
    scores = scored(tmp_path / "scores", wiki, [1.0] * 10)
    config = MixConfig(min_score={"quality": 0.5})
    with pytest.raises(UserError, match="another corpus"):
        mix([str(web)], output=tmp_path / "out", scores=[scores], config=config)
    ids = [d.id for d in Corpus(wiki)]
    for wrong in ([*ids[:5], "x", *ids[6:]], ids[:9], [*ids, "y"]):  # rows that are not the shard's
        sidecar.write_scores(scores, 0, wrong, {"quality": [1.0] * len(wrong)})
        with pytest.raises(UserError, match=r"scores of other documents|more scores than"):
            mix([str(wiki)], output=tmp_path / "out2", scores=[scores], config=config)
    sidecar.write_scores(scores, 0, ids, {"other": [1.0] * 10})
    with pytest.raises(UserError, match="columns"):
        mix([str(wiki)], output=tmp_path / "out2", scores=[scores], config=config)
    sidecar.score_file(scores, 0).write_bytes(b"broken")
    with pytest.raises(UserError, match="cannot read"):
        mix([str(wiki)], output=tmp_path / "out3", scores=[scores], config=config)


# ---- choosing -----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=40),
    st.floats(0.05, 3.0),
    st.integers(0, 3),
)
def test_choice_is_within_a_document_of_the_share(sizes, repeat, seed):
    pool = Pool(
        ["a"], np.zeros(len(sizes), np.int64), np.array(sizes), np.ones(len(sizes), np.int64),
        [str(i) for i in range(len(sizes))], __import__("collections").Counter(),
    )  # fmt: skip
    quota, total = shares(pool, MixConfig(repeat=repeat))
    assert total == pytest.approx(sum(sizes) * repeat)
    taken = choose(pool, quota, seed)
    got = sum(n * s for n, s in zip(taken, sizes, strict=True))
    assert abs(got - total) <= max(sizes)
    assert max(taken) - min(taken) <= 1


# ---- rehydration --------------------------------------------------------------------------------


def test_published_tables():
    assert [repeats(n, FINEWEB2[3]) for n in (0, 1, 2, 4, 5, 19, 20, 62, 63, 9999)] == [
        1,
        1,
        2,
        2,
        3,
        3,
        2,
        2,
        1,
        1,
    ]
    assert max(FINEWEB2[10].values()) == 10


def test_table_from_rates():
    # the lowest rate gets the most, rates at or above the total one
    sizes, removed = [1, 2, 3, 4, 5, 6, 7, 8], [0.8, 0.7, 0.6, 0.5, 0.5, 0.6, 0.7, 0.9]
    table = table_from_rates(sizes, removed, total=0.7, most=5)
    # raw 1 1 3 5 5 3 1 1, averaged over five inside: 1 1 3 3.4 3.4 3 1 1
    assert table == {1: 1, 3: 3, 7: 1}
    with pytest.raises(ValueError):
        table_from_rates([2, 3], [0.5, 0.5], 0.6, 3)


def test_rehydrated_mix(tmp_path):
    path = tmp_path / "docs.jsonl"
    with write_shard(path) as out:
        out.write(Document("a", "가" * 100, "s", {"repeat": 3}))
        out.write(Document("b", "나" * 100, "s", {}))
    plain = mix([str(path)], output=tmp_path / "plain")
    more = mix([str(path)], output=tmp_path / "more", config=MixConfig(rehydrate=True))
    assert plain.summary["documents"] == 2 and more.summary["documents"] == 4
    assert sorted(d.id for d in Corpus(more.path)) == ["a", "a#2", "a#3", "b"]


# ---- what users get wrong, what files hold ---------------------------------------------------------


def test_numbers_that_are_not_finite():
    for bad in (
        {"weights": {"a": float("nan")}},
        {"repeat": float("inf")},
        {"min_score": {"q": float("nan")}},
    ):
        with pytest.raises(UsageError, match="finite"):
            MixConfig(**bad)


def test_inputs_that_cannot_be_told_apart(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = corpus(tmp_path / "a", "docs", 5, 100), corpus(tmp_path / "b", "docs", 5, 90)
    with pytest.raises(UsageError, match="given twice"):
        mix([str(one), str(tmp_path / "a" / ".." / "a" / "docs.jsonl")], output=tmp_path / "out")
    with pytest.raises(UsageError, match="one name"):
        mix([str(one), str(other)], output=tmp_path / "out", config=MixConfig(weights={"docs": 1}))
    assert not (tmp_path / "out").exists()


def test_a_group_that_is_all_below_the_cut_is_told(tmp_path):
    wiki, web = corpus(tmp_path, "wiki", 10, 100), corpus(tmp_path, "web", 10, 100)
    scores = [scored(tmp_path / "s1", wiki, [1.0] * 10), scored(tmp_path / "s2", web, [0.0] * 10)]
    config = MixConfig(min_score={"quality": 0.5})
    result = mix([str(wiki), str(web)], output=tmp_path / "out", scores=scores, config=config)
    assert result.summary["groups"]["web"]["below_cut"] == 10
    assert counts(result.path) == {"wiki": 1000}


def test_repeats_that_are_no_repeats(tmp_path):
    for value in ("many", 10**9, 0, 2.5, True):
        path = corpus(tmp_path, f"web{value}", 3, 100, repeat=value)
        with pytest.raises(UserError, match=r"meta\.repeat"):
            mix([str(path)], output=tmp_path / "out", config=MixConfig(rehydrate=True))


def test_a_refused_fresh_run_leaves_the_old_one(tmp_path):
    wiki = corpus(tmp_path, "wiki", 10, 100)
    done = mix([str(wiki)], output=tmp_path / "out")
    with pytest.raises(UserError, match="unknown"):
        mix([str(wiki)], output=tmp_path / "out", config=MixConfig(weights={"book": 1}), fresh=True)
    assert counts(done.path) == {"wiki": 1000}


def test_more_shards_than_open_files(tmp_path, monkeypatch):
    import resource

    wiki = corpus(tmp_path, "wiki", 200, 100)
    monkeypatch.setattr(MODULE, "SHARD_CHARS", 100)
    monkeypatch.setattr(MODULE, "DEALT_BYTES", 500)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        result = mix([str(wiki)], output=tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert counts(result.path) == {"wiki": 20_000}
