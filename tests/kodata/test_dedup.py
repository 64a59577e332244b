"""kodata dedup as a whole: which copies leave, why, and that nothing else changes the result."""

import json

import pytest

from kodata.dedup import DedupConfig, dedup, shingles
from kodata.doc import Corpus, read_records
from kodata.run.errors import UserError
from tests.kodata.dedup_made import STORY, WEATHER, corpus, doc, dropped, kept, lines, mixed, tree


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
    source = corpus(tmp_path / "in", *mixed(3))
    dedup([str(source)], output=tmp_path / "once", workers=1)
    again = dedup([str(tmp_path / "once")], output=tmp_path / "twice", workers=1)
    assert again.summary["clusters"] == 0
    assert [d.to_dict() for d in Corpus(tmp_path / "once")] == [
        d.to_dict() for d in Corpus(tmp_path / "twice")
    ]


def test_workers_do_not_change_a_byte(tmp_path):
    source = corpus(tmp_path / "in", *mixed(4))
    dedup([str(source)], output=tmp_path / "one", workers=1)
    dedup([str(source)], output=tmp_path / "three", workers=3)
    assert tree(tmp_path / "one") == tree(tmp_path / "three")


def test_without_the_native_core_the_result_is_the_same(tmp_path, monkeypatch):
    source = corpus(tmp_path / "in", *mixed(2))
    dedup([str(source)], output=tmp_path / "native", workers=1)
    monkeypatch.setattr(shingles, "core", lambda: None)
    dedup([str(source)], output=tmp_path / "plain", workers=1)
    assert tree(tmp_path / "native") == tree(tmp_path / "plain")


def test_lines_of_any_form_come_out_as_documents(tmp_path):
    """A line in the contract's form is written as it stands; other forms of the same documents give the same documents."""
    rows = [
        doc("1", STORY, "가", licence="CC0"),
        doc("2", WEATHER, "나", title='따옴표 " 와 }'),
        doc("3", STORY.replace("아홉", "열"), "가"),
        doc("4", STORY, "나"),
    ]
    plain = tmp_path / "plain" / "a.jsonl"
    other = tmp_path / "other" / "a.jsonl"
    for path in (plain, other):
        path.parent.mkdir()
    plain.write_text(
        "".join(json.dumps(d.to_dict(), ensure_ascii=False) + "\n\n" for d in rows), encoding="utf-8"
    )
    other.write_text(
        "\n".join(json.dumps({"text": d.text, **d.meta, "source": d.source, "id": d.id}) for d in rows),
        encoding="utf-8",
    )
    for path in (plain, other):
        dedup([str(path)], output=path.parent / "out", workers=1)
    outs = [path.parent / "out" for path in (plain, other)]
    assert kept(outs[0]) == ["1", "2"] and sorted(dropped(outs[0])) == ["3", "4"]
    for folder in ("docs", "dropped"):
        one, two = ([r for s in sorted((o / folder).glob("*")) for _, r in read_records(s)] for o in outs)
        assert one == two


def test_copies_add_up_over_runs(tmp_path):
    left = corpus(tmp_path / "l", [doc("1", STORY), doc("2", STORY), doc("3", STORY)])
    right = corpus(tmp_path / "r", [doc("4", STORY), doc("5", STORY)])
    for name, folder in (("l1", left), ("r1", right)):
        dedup([str(folder)], output=tmp_path / name, workers=1)
    dedup([str(tmp_path / "l1"), str(tmp_path / "r1")], output=tmp_path / "both", workers=1)
    assert [d.meta["copies"] for d in Corpus(tmp_path / "both")] == [5]


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
