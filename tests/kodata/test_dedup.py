"""kodata dedup as a whole: which copies leave, why, and that nothing else changes the result."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kodata.dedup import DedupConfig, dedup, parallel, shingles
from kodata.dedup.cluster import AGAINST, EXACT, NEAR, Catalogue, decide
from kodata.doc import Corpus, Document, read_records, write_shard
from kodata.run.errors import UsageError, UserError

STORY = (
    "도서관은 누구나 책을 읽고 배울 수 있는 곳이다. 우리 마을 도서관은 아침 아홉 시에 문을 열고 저녁 여섯 시에 닫는다. "
    "책을 빌리려면 회원증이 있어야 하며, 한 번에 다섯 권까지 두 주 동안 빌릴 수 있다. "
)
WEATHER = "내일은 전국이 대체로 맑겠으나 남해안에는 오후부터 구름이 많아지고 밤에 비가 조금 오겠다. 낮 기온은 오늘보다 높겠다. "


def doc(name: str, text: str, source: str = "가", **meta: object) -> Document:
    return Document(name, text, source, dict(meta))


def corpus(folder: Path, *shards: list[Document]) -> Path:
    for i, documents in enumerate(shards):
        with write_shard(folder / f"{i:05d}.jsonl.zst") as out:
            for document in documents:
                out.write(document)
    return folder


def dropped(path: Path) -> dict[str, dict]:
    records = [r for shard in sorted((path / "dropped").glob("*.zst")) for _, r in read_records(shard)]
    return {r["id"]: r["drop"] for r in records}


def kept(path: Path) -> list[str]:
    return [d.id for d in Corpus(path)]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tree(path: Path) -> dict[str, bytes]:
    names = [p for d in ("docs", "dropped") for p in sorted((path / d).glob("*"))]
    return {str(p.relative_to(path)): p.read_bytes() for p in [*names, path / "clusters.jsonl"]}


def test_exact_and_near_copies_leave_with_their_reason(tmp_path):
    near = STORY.replace("아홉", "열")
    source = corpus(
        tmp_path / "in",
        [doc("원본", STORY, "가", licence="CC0"), doc("날씨", WEATHER)],
        [doc("띄어쓰기", STORY.replace(" ", ""), "나"), doc("고침", near, "나"), doc("비어", "", "나")],
    )
    result = dedup([str(source)], output=tmp_path / "out", workers=1)

    assert kept(tmp_path / "out") == ["원본", "날씨", "비어"]
    first = next(iter(Corpus(tmp_path / "out")))
    assert first == doc("원본", STORY, "가", licence="CC0", copies=3)
    gone = dropped(tmp_path / "out")
    assert gone["띄어쓰기"] == {
        "step": "dedup", "reason": "exact", "value": 1.0, "limit": 1.0, "kept": "원본", "cluster": 1,
    }  # fmt: skip
    assert gone["고침"]["reason"] == "near" and gone["고침"]["limit"] == 0.75
    assert gone["고침"]["value"] == pytest.approx(shingles.jaccard(STORY, near), abs=1e-6)
    clusters = lines(tmp_path / "out" / "clusters.jsonl")
    assert [c["size"] for c in clusters] == [3]
    assert [m["id"] for m in clusters[0]["members"]] == ["원본", "띄어쓰기", "고침"]
    summary = result.summary
    assert (
        summary["documents"] == summary["kept"] + summary["exact"] + summary["near"] + summary["against"] == 5
    )
    assert (tmp_path / "out" / "report.html").stat().st_size > 0
    assert not (tmp_path / "out" / "work").exists()


def test_no_near_keeps_all_but_equal_texts(tmp_path):
    source = corpus(tmp_path / "in", [doc("1", STORY), doc("2", STORY + "끝."), doc("3", STORY)])
    dedup([str(source)], output=tmp_path / "out", config=DedupConfig(near=False), workers=1)
    assert kept(tmp_path / "out") == ["1", "2"]


@pytest.mark.parametrize(
    "config, stays",
    [
        ({"keep": "longest"}, "c"),
        ({"keep": "first"}, "a"),
        ({"keep": "newest"}, "b"),
        ({"keep": "oldest"}, "a"),
        ({"keep": "longest", "priority": ["다", "나"]}, "b"),
        ({"keep": "first", "priority": ["없는 원천"]}, "a"),
    ],
)
def test_which_copy_stays_is_the_stated_policy(tmp_path, config, stays):
    source = corpus(
        tmp_path / "in",
        [
            doc("a", STORY, "가", date="2019-01-01"),
            doc("b", STORY + "그렇다.", "나", date="2024-05-01"),
            doc("c", STORY + "참 좋은 곳이다.", "가"),
        ],
    )
    dedup([str(source)], output=tmp_path / "out", config=DedupConfig(**config), workers=1)
    assert kept(tmp_path / "out") == [stays]


def test_dedup_twice_is_dedup_once(tmp_path):
    source = corpus(tmp_path / "in", *_mixed(3))
    dedup([str(source)], output=tmp_path / "once", workers=1)
    again = dedup([str(tmp_path / "once")], output=tmp_path / "twice", workers=1)
    assert again.summary["clusters"] == 0
    assert [d.to_dict() for d in Corpus(tmp_path / "once")] == [
        d.to_dict() for d in Corpus(tmp_path / "twice")
    ]


def test_workers_do_not_change_a_byte(tmp_path):
    source = corpus(tmp_path / "in", *_mixed(4))
    dedup([str(source)], output=tmp_path / "one", workers=1)
    dedup([str(source)], output=tmp_path / "three", workers=3)
    assert tree(tmp_path / "one") == tree(tmp_path / "three")


def test_without_the_native_core_the_result_is_the_same(tmp_path, monkeypatch):
    source = corpus(tmp_path / "in", *_mixed(2))
    dedup([str(source)], output=tmp_path / "native", workers=1)
    monkeypatch.setattr(shingles, "core", lambda: None)
    dedup([str(source)], output=tmp_path / "plain", workers=1)
    assert tree(tmp_path / "native") == tree(tmp_path / "plain")


def test_copies_add_up_over_runs(tmp_path):
    left = corpus(tmp_path / "l", [doc("1", STORY), doc("2", STORY), doc("3", STORY)])
    right = corpus(tmp_path / "r", [doc("4", STORY), doc("5", STORY)])
    for name, folder in (("l1", left), ("r1", right)):
        dedup([str(folder)], output=tmp_path / name, workers=1)
    dedup([str(tmp_path / "l1"), str(tmp_path / "r1")], output=tmp_path / "both", workers=1)
    assert [d.meta["copies"] for d in Corpus(tmp_path / "both")] == [5]


def _mixed(shards: int) -> list[list[Document]]:
    """Sentences in many orders: exact copies, near copies of all degrees, strangers."""
    rng = np.random.default_rng(7)
    words = [
        f"{a}{b}"
        for a in ("학교", "나무", "바다", "구름", "산길", "책상")
        for b in ("에서", "까지", "처럼", "보다", "마다")
    ]
    bases = [" ".join(rng.choice(words, 60)) for _ in range(6)]
    out = []
    for s in range(shards):
        documents = []
        for i in range(25):
            tokens = bases[rng.integers(len(bases))].split()
            for _ in range(int(rng.choice([0, 0, 1, 3, 12]))):
                tokens[rng.integers(len(tokens))] = str(rng.choice(words))
            documents.append(doc(f"{s}-{i}", " ".join(tokens), f"원천{s % 2}"))
        out.append(documents)
    return out


# --- clusters as sets -----------------------------------------------------------------------------------


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


# --- evaluation data --------------------------------------------------------------------------------------


def test_documents_with_evaluation_text_leave_and_are_listed(tmp_path):
    question = "마을 도서관에서 한 번에 빌릴 수 있는 책은 모두 몇 권인가요?"
    (tmp_path / "eval.jsonl").write_text(
        json.dumps({"문제": {"질문": question, "답": "다섯 권"}}, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    source = corpus(
        tmp_path / "in",
        [
            doc("새는 글", STORY + question + WEATHER),
            doc("성한 글", STORY),
            doc("일부", WEATHER + question[:14]),
        ],
    )
    result = dedup([str(source)], output=tmp_path / "out", against=[tmp_path / "eval.jsonl"], workers=1)
    assert kept(tmp_path / "out") == ["성한 글", "일부"]
    assert dropped(tmp_path / "out")["새는 글"] == {
        "step": "dedup", "reason": "against", "value": 1.0, "limit": 0.8, "evaluation": "eval.jsonl:1:문제.질문",
    }  # fmt: skip
    hits = lines(tmp_path / "out" / "against.jsonl")
    assert [(h["id"], h["overlap"]) for h in hits] == [("새는 글", 1.0)]
    assert result.summary["against"] == 1


def test_contaminated_copy_does_not_take_clean_ones_along(tmp_path):
    leak = "평가에만 나오는 아주 특별한 문장이 여기에 하나 들어 있다."
    (tmp_path / "eval.txt").write_text(leak + "\n짧다\n", encoding="utf-8")
    source = corpus(tmp_path / "in", [doc("큰", STORY * 3 + leak), doc("작은", STORY * 3)])
    dedup([str(source)], output=tmp_path / "out", against=[tmp_path / "eval.txt"], workers=1)
    assert kept(tmp_path / "out") == ["작은"]


def test_evaluation_file_without_long_text_is_an_error(tmp_path):
    (tmp_path / "eval.txt").write_text("짧다\n", encoding="utf-8")
    source = corpus(tmp_path / "in", [doc("1", STORY)])
    with pytest.raises(UserError, match="no evaluation text"):
        dedup([str(source)], output=tmp_path / "out", against=[tmp_path / "eval.txt"], workers=1)


# --- broken input, interruption ---------------------------------------------------------------------------


def test_missing_input_is_an_error(tmp_path):
    with pytest.raises(UserError, match="없는곳"):
        dedup([str(tmp_path / "없는곳")], output=tmp_path / "out")


def test_broken_line_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(orjson.dumps(doc("1", STORY).to_dict()) + b"\n{\n")
    with pytest.raises(UserError, match=r"a\.jsonl:2"):
        dedup([str(tmp_path / "a.jsonl")], output=tmp_path / "out", workers=1)


@pytest.mark.parametrize(
    "wrong", [{"threshold": 0.0}, {"threshold": 1.2}, {"ngram": 0}, {"against_overlap": -1.0}]
)
def test_wrong_settings_are_usage_errors(wrong):
    with pytest.raises(UsageError):
        DedupConfig(**wrong)


def test_empty_documents_and_an_empty_shard(tmp_path):
    source = corpus(tmp_path / "in", [doc("1", ""), doc("2", " \n"), doc("3", "가")], [])
    dedup([str(source)], output=tmp_path / "out", workers=1)
    assert kept(tmp_path / "out") == ["2", "3"]


def test_a_corpus_without_documents_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no document"):
        dedup([str(corpus(tmp_path / "in", [], []))], output=tmp_path / "out", workers=1)


def test_many_equal_documents(tmp_path):
    source = corpus(tmp_path / "in", [doc(f"{i:06d}", STORY) for i in range(20_000)])
    result = dedup([str(source)], output=tmp_path / "out", workers=1)
    assert kept(tmp_path / "out") == ["000000"] and result.summary["largest_cluster"] == 20_000


def test_limit_takes_the_first_documents_of_all(tmp_path):
    source = corpus(
        tmp_path / "in", [doc("1", STORY), doc("2", WEATHER)], [doc("3", STORY), doc("4", "다른 글")]
    )
    result = dedup([str(source)], output=tmp_path / "out", limit=3, workers=1)
    assert kept(tmp_path / "out") == ["1", "2"] and result.summary["documents"] == 3


def test_dry_run_writes_nothing(tmp_path):
    source = corpus(tmp_path / "in", [doc("1", STORY)])
    result = dedup([str(source)], output=tmp_path / "out", dry_run=True)
    assert result.path is None and not (tmp_path / "out").exists()


def _when_free(folder: Path) -> None:
    """Workers of a killed run hold its lock for the tenth of a second it takes them to notice."""
    import fcntl

    if not (folder / ".lock").exists():
        return
    with open(folder / ".lock", "rb+") as handle:
        for _ in range(1000):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.01)


def test_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path):
    source = corpus(tmp_path / "in", *_mixed(6))
    dedup([str(source)], output=tmp_path / "whole", workers=1)
    command = [
        sys.executable,
        "-m",
        "kodata",
        "dedup",
        str(source),
        "-o",
        str(tmp_path / "cut"),
        "--workers",
        "2",
        "-q",
    ]
    work = tmp_path / "cut" / "work"
    for wanted in (
        lambda: len(list(work.glob("signed-*.npz"))) >= 2,
        lambda: any((tmp_path / "cut" / "docs").glob("*")),
    ):
        process = subprocess.Popen(command, cwd=Path(__file__).resolve().parents[2], start_new_session=True)
        for _ in range(3000):
            if wanted() or process.poll() is not None:
                break
            time.sleep(0.003)
        process.send_signal(signal.SIGKILL)
        process.wait()
        _when_free(tmp_path / "cut")
    dedup([str(source)], output=tmp_path / "cut", workers=1)
    assert tree(tmp_path / "cut") == tree(tmp_path / "whole")


def test_finished_run_answers_at_once_and_another_config_is_refused(tmp_path):
    source = corpus(tmp_path / "in", [doc("1", STORY), doc("2", STORY)])
    first = dedup([str(source)], output=tmp_path / "out", workers=1)
    second = dedup([str(source)], output=tmp_path / "out", workers=1)
    assert second.summary == first.summary
    with pytest.raises(UserError, match="threshold"):
        dedup([str(source)], output=tmp_path / "out", config=DedupConfig(threshold=0.9), workers=1)


def _die(_: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def test_a_worker_that_dies_is_a_user_error():
    with pytest.raises(UserError, match="out of memory"):
        list(parallel.run_tasks(_die, [1, 2], 2))


# --- real data ----------------------------------------------------------------------------------------------


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
