"""kodata dedup inside documents: paragraphs, lines and runs of characters that an earlier document has."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodata.dedup import DedupConfig, dedup, passages
from kodata.dedup.passages import Table, covered_reference, keys_of, merge_keys, trim, units, write_keys
from kodata.dedup.rolling import points_of, sliding_minimum, sums_of, windows
from kodata.doc import Corpus, read_records
from kodata.run.errors import UsageError
from tests.kodata.dedup_made import STORY, WEATHER, corpus, doc, dropped, kept, tree

NOTICE = "이 글은 마을 신문에서 옮겨 온 것이며 누구나 자유롭게 읽고 나눌 수 있습니다."
OWN = [
    "첫째 글은 봄에 심은 나무 이야기다. 나무는 천천히 자랐고 아이들은 그늘에서 놀았다.",
    "둘째 글에는 바다로 떠난 배가 나온다. 선장은 별을 보며 길을 찾아 먼 섬까지 갔다.",
    "셋째 글은 겨울 시장을 그린다. 상인들은 불을 피우고 손님을 기다리며 노래를 불렀다.",
]


def documents() -> list:
    return [doc(str(i), f"{text}\n\n{NOTICE}\n\n{text[::-1]}") for i, text in enumerate(OWN)]


def run(tmp_path, name, documents, shards=1, workers=1, **config):
    cuts = [len(documents) * i // shards for i in range(shards + 1)]
    parts = [documents[a:b] for a, b in itertools.pairwise(cuts)]
    source = corpus(tmp_path / f"{name}-in", *parts)
    made = DedupConfig(**config)
    return dedup([str(source)], output=tmp_path / name, config=made, workers=workers), tmp_path / name


def trimmed(path) -> list[dict]:
    return [r for file in sorted((path / "trimmed").glob("*")) for _, r in read_records(file)]


@pytest.mark.parametrize("config", [{"paragraphs": 20}, {"lines": 20}, {"substrings": 30}])
def test_a_passage_stays_in_its_first_document_only(tmp_path, config):
    result, out = run(tmp_path, "out", documents(), **config)
    texts = [d.text for d in Corpus(out)]
    assert NOTICE in texts[0] and not any(NOTICE[5:-5] in t for t in texts[1:])
    assert all(
        own[2:-2] in text for own, text in zip(OWN, texts, strict=True)
    )  # a run may take a sign of the edge
    cut = trimmed(out)
    assert [(c["id"], c["in"], c["n"]) for c in cut] == [("1", "docs", 1), ("2", "docs", 2)]
    assert all(any(NOTICE[5:-5] in piece for piece in c["cut"]) for c in cut)
    assert result.summary["cut"]["trimmed"] == 2 and result.summary["kept"] == 3
    assert "trimmed" in (out / "report.html").read_text(encoding="utf-8")


def test_spacing_does_not_save_a_paragraph(tmp_path):
    made = documents()
    made[1].text = made[1].text.replace(NOTICE, NOTICE.replace(" ", ""))
    _, out = run(tmp_path, "out", made, paragraphs=20)
    assert NOTICE.replace(" ", "") not in [d.text for d in Corpus(out)][1]


def test_repeats_within_one_document_and_short_paragraphs_stay(tmp_path):
    text = f"{NOTICE}\n\n{NOTICE}\n\n짧은 문단"
    _, out = run(tmp_path, "out", [doc("a", text), doc("b", f"{WEATHER}\n\n짧은 문단")], paragraphs=10)
    assert [d.text for d in Corpus(out)] == [text, f"{WEATHER}\n\n짧은 문단"]
    assert trimmed(out) == []


def test_little_left_is_dropped_whole_with_its_share(tmp_path):
    made = [doc("a", f"{STORY}\n\n{WEATHER}"), doc("b", f"{STORY}\n\n끝."), doc("c", OWN[0])]
    result, out = run(tmp_path, "out", made, paragraphs=20, near=False)
    assert kept(out) == ["a", "c"]
    drop = dropped(out)["b"]
    assert drop["reason"] == "passages" and drop["value"] < 0.05 and drop["limit"] == 0.3
    s = result.summary
    assert s["documents"] == s["kept"] + s["exact"] + s["near"] + s["against"] + s["passages"] == 3
    assert s["sources"]["가"]["kept"] == 2


def test_off_by_default_nothing_is_cut(tmp_path):
    _, out = run(tmp_path, "out", documents())
    assert [d.text for d in Corpus(out)] == [d.text for d in documents()] and not (out / "trimmed").exists()


def test_shards_and_workers_do_not_change_what_is_cut(tmp_path):
    config = {"paragraphs": 20, "lines": 15, "substrings": 24}
    rng = np.random.default_rng(2)
    made = []
    for i in range(24):
        parts = [OWN[j] for j in rng.permutation(3)[:2]] + [
            f"문서 {i} 만의 문장 {rng.integers(10**9)} 번이 여기에 있다." * 3
        ]
        made.append(doc(f"{i:02d}", "\n\n".join(parts)))
    texts = []
    for name, shards, workers in (("a", 1, 1), ("b", 4, 1), ("c", 4, 3)):
        _, out = run(tmp_path, name, made, shards=shards, workers=workers, **config, near=False)
        texts.append([d.to_dict() for d in Corpus(out)])
        texts.append([{k: c[k] for k in ("id", "cut")} for c in trimmed(out)])
    assert texts[0] == texts[2] == texts[4] and texts[1] == texts[3] == texts[5] and texts[1]
    assert tree(tmp_path / "b") == tree(tmp_path / "c")


# --- against the definition -----------------------------------------------------------------------------

TEXTS = st.lists(
    st.lists(st.sampled_from(["가나다라", "마바사", "아자차카타", "파하", "거너"]), max_size=14).map("".join),
    max_size=5,
)


def tables_of(texts, kind, least, tmp, cuts):
    """The table of one pass over texts dealt to shards, through files as the verb does it."""
    anchors = None
    for step in ("anchors", kind) if kind == "substrings" else (kind,):
        files, starts = [], [0]
        for n, (a, b) in enumerate(itertools.pairwise(cuts)):
            files.append(tmp / f"{step}-{n}.npy")
            write_keys(files[-1], ((i, keys_of(t, step, least, anchors)) for i, t in enumerate(texts[a:b])))
            starts.append(b)
        merge_keys(tmp / f"{step}.npy", files, np.array(starts))
        if step == "anchors":
            anchors = np.load(tmp / "anchors.npy")["key"]
    return Table.load(tmp / f"{kind}.npy", kind, least)


@given(texts=TEXTS, length=st.integers(3, 12), shards=st.integers(1, 3), slices=st.sampled_from([3, 10**6]))
def test_runs_are_those_of_the_definition(tmp_path_factory, texts, length, shards, slices):
    tmp = tmp_path_factory.mktemp("runs")
    cuts = [len(texts) * i // shards for i in range(shards + 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passages, "MERGE_KEYS", slices)
        patch.setattr(passages, "STRETCH", 7)
        table = tables_of(texts, "substrings", length, tmp, cuts)
        found = [table.spans(t, i) for i, t in enumerate(texts)]
        assert [[(a, b) for a, b, _ in spans] for spans in found] == covered_reference(texts, length)
        for text, spans in zip(texts, found, strict=True):
            for a, _, first in spans:
                run = text[a : a + length]
                assert [run in t for t in texts].index(True) == first


@given(texts=TEXTS.map(lambda ts: [t.replace("거너", "\n\n") for t in ts]))
def test_what_is_cut_and_what_is_left_make_the_text(tmp_path_factory, texts):
    tmp = tmp_path_factory.mktemp("cut")
    table = tables_of(texts, "paragraphs", 5, tmp, [0, len(texts)])
    seen: set[str] = set()
    for i, text in enumerate(texts):
        left, cut = trim(text, i, [table])
        solid = {"".join(text[a:b].split()) for a, b, _ in units(text, "paragraphs", 5)}
        assert {"".join(piece.split()) for _, piece, _ in cut} == solid & seen
        assert sorted("".join(left.split()) + "".join("".join(p.split()) for _, p, _ in cut)) == sorted(
            "".join(text.split())
        )
        seen |= solid


@given(st.text(max_size=60), st.integers(1, 12))
def test_rolling_hashes_tell_windows_apart(text, k):
    found = windows(sums_of(points_of(text)), k).tolist()
    runs = [text[i : i + k] for i in range(len(text) - k + 1)]
    assert len(found) == len(runs) and len(set(found)) == len(set(runs))
    assert len({(h, r) for h, r in zip(found, runs, strict=True)}) == len(set(runs))


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40), st.integers(1, 9))
def test_sliding_minimum(values, w):
    expected = [min(values[i : i + w]) for i in range(len(values) - w + 1)]
    assert sliding_minimum(np.array(values, np.uint64), w).tolist() == expected


def test_no_documents_and_documents_shorter_than_a_run(tmp_path):
    _, out = run(
        tmp_path, "out", [doc("a", ""), doc("b", "짧다"), doc("c", "짧음")], substrings=50, paragraphs=50
    )
    assert kept(out) == ["a", "b", "c"]


@pytest.mark.parametrize("wrong", [{"paragraphs": 3}, {"lines": -1}, {"substrings": 5}, {"min_left": 2.0}])
def test_wrong_settings_are_usage_errors(wrong):
    with pytest.raises(UsageError):
        DedupConfig(**wrong)
