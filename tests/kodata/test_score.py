"""kodata score: the sidecar, its columns, resuming, and what users get wrong."""

import json
import math

import numpy as np
import pytest

from kodata.doc import Corpus, Document
from kodata.mix import MixConfig, mix
from kodata.run.errors import UsageError, UserError
from kodata.score import verb
from kodata.score.fluency import EXCERPT, EXCERPTS, excerpts, fluencies
from kodata.score.sidecar import Scores, score_file
from kodata.score.train import train_lm, train_quality
from kodata.score.verb import score
from tests.kodata.dedup_made import corpus
from tests.kodata.test_score_quality import documents


@pytest.fixture
def source(tmp_path):
    made = documents(60)
    return corpus(
        tmp_path / "in",
        made[:25],
        made[25:50],
        [*made[50:], Document("빈", "", "글"), Document("깨짐", "뷁쉙럈 궯뛟 " * 30, "잡음")],
    )


def files(folder):
    return {p.name: p.read_bytes() for p in sorted((folder / "scores").iterdir())}


def test_default_models_are_built_once_and_score_the_other_half(source, tmp_path, monkeypatch):
    result = score([str(source)], output=tmp_path / "s", by=["lm,quality"], workers=1)
    scores = Scores(tmp_path / "s", Corpus(source))
    assert scores.names == ["lm", "quality"] and result.summary["documents"] == 62
    rows = {
        d.id: r
        for i, shard in enumerate(Corpus(source).shards())
        for d, r in zip(Corpus(shard), scores.beside(i, (d.id for d in Corpus(shard))), strict=True)
    }
    assert math.isnan(rows["빈"]["lm"]) and math.isnan(rows["빈"]["quality"])
    clean = [r for name, r in rows.items() if name not in ("빈", "깨짐")]
    assert all(r["lm"] < 0 and 0 < r["quality"] < 1 for r in clean)
    assert rows["깨짐"]["lm"] < min(r["lm"] for r in clean)
    assert len(list((tmp_path / "s" / "models").iterdir())) == 4
    index = json.loads((tmp_path / "s" / "scores.json").read_text())
    assert set(index["scorers"]) == {"lm", "quality"} and all(
        v.startswith("1:") for v in index["scorers"].values()
    )
    assert (
        score([str(source)], output=tmp_path / "s", by=["lm", "quality"], workers=1).summary == result.summary
    )


def test_workers_and_interruption_change_nothing(source, tmp_path, monkeypatch):
    train_lm([str(source)], output=tmp_path / "a.lm")
    given = {"by": ["lm"], "lm": tmp_path / "a.lm"}
    score([str(source)], output=tmp_path / "one", workers=1, **given)
    score([str(source)], output=tmp_path / "three", workers=3, **given)
    real = verb.score_shard

    def stops(task):
        if task.index == 2:
            raise KeyboardInterrupt
        return real(task)

    monkeypatch.setattr(verb, "score_shard", stops)
    with pytest.raises(KeyboardInterrupt):
        score([str(source)], output=tmp_path / "cut", workers=1, **given)
    stamp = score_file(tmp_path / "cut", 0).stat().st_mtime_ns
    monkeypatch.setattr(verb, "score_shard", real)
    score([str(source)], output=tmp_path / "cut", workers=1, **given)
    assert score_file(tmp_path / "cut", 0).stat().st_mtime_ns == stamp
    assert files(tmp_path / "one") == files(tmp_path / "three") == files(tmp_path / "cut")


def test_mix_cuts_at_any_threshold_without_scoring_again(source, tmp_path):
    score([str(source)], output=tmp_path / "s", by=["lm"], workers=1)
    scores = np.concatenate([Scores(tmp_path / "s", Corpus(source)).shard(i)[1]["lm"] for i in range(3)])
    for share in (0.2, 0.7):
        least = float(np.nanquantile(scores, share))
        config = MixConfig(min_score={"lm": least})
        mix([str(source)], output=tmp_path / f"m{share}", scores=[tmp_path / "s"], config=config)
        assert len(Corpus(tmp_path / f"m{share}")) == int((scores >= np.float32(least)).sum())


def test_fluency_reads_windows_and_knows_broken_words():
    pytest.importorskip("kiwipiepy")
    good = "도서관은 누구나 책을 읽고 배울 수 있는 곳이다. " * 40
    assert len(excerpts(good)) == EXCERPTS and all(len(w) <= EXCERPT for w in excerpts(good))
    assert excerpts("짧은 글") == ["짧은 글"] and excerpts("") == excerpts(" \n") == []
    assert excerpts("가" * 5000)
    score, known = fluencies([good, "뷁쉙럈 궯뛟는 쌿읽 도책관누 " * 20, ""])
    assert score[0] > score[1] and known[0] > 0.95 > known[1] and np.isnan([score[2], known[2]]).all()


def test_educational_and_all_columns(source, tmp_path):
    made = documents(60)
    (tmp_path / "l.jsonl").write_text(
        "\n".join(json.dumps({"id": d.id, "label": d.text.count("배웠다")}) for d in made)
    )
    train_quality([str(source)], output=tmp_path / "edu", label=str(tmp_path / "l.jsonl"))
    train_lm([str(source)], output=tmp_path / "lm")
    result = score(
        [str(source)], output=tmp_path / "s", by=["educational", "fluency", "lm"], educational=tmp_path / "edu", lm=tmp_path / "lm", workers=1
    )  # fmt: skip
    assert set(result.summary["scores"]) == {"educational", "fluency", "known", "lm"}
    assert result.summary["scores"]["lm"]["without"] == 1
    page = (tmp_path / "s" / "report.html").read_text(encoding="utf-8")
    assert "뷁쉙럈" in page


def test_what_users_get_wrong(source, tmp_path):
    out = tmp_path / "s"
    train_lm([str(source)], output=tmp_path / "lm")
    (tmp_path / "broken").write_bytes((tmp_path / "lm").read_bytes()[:-9])
    for wrong in (
        {"by": ["perplexity"]},
        {"by": [""]},
        {"by": ["educational"]},
        {"by": ["lm"], "quality": tmp_path / "lm"},
    ):
        with pytest.raises(UsageError):
            score([str(source)], output=out, **wrong)
    for model, says in ((tmp_path / "broken", "damaged"), (tmp_path / "none", "no such model")):
        with pytest.raises(UserError, match=says):
            score([str(source)], output=out, by=["lm"], lm=model)
    with pytest.raises(UserError, match="another kind"):
        score([str(source)], output=out, by=["quality"], quality=tmp_path / "lm")
    assert not out.exists()
    with pytest.raises(UserError, match="no document"):
        score([str(corpus(tmp_path / "none-in", [], []))], output=out, by=["lm"], lm=tmp_path / "lm")
    with pytest.raises(UserError, match=r"too small|no text"):
        score([str(corpus(tmp_path / "tiny", [Document("a", "하나")]))], output=tmp_path / "t", by=["lm"])


def test_scores_of_other_documents_and_missing_scores(source, tmp_path):
    train_lm([str(source)], output=tmp_path / "lm")
    score([str(source)], output=tmp_path / "s", by=["lm"], lm=tmp_path / "lm", workers=1)
    made = documents(60)
    other = corpus(tmp_path / "other", made[5:30], made[:20], made[:3])
    for config in ({"lm": -9.0}, {"quality": 0.5}):
        place = other if "lm" in config else source
        with pytest.raises(UserError):
            mix(
                [str(place)],
                output=tmp_path / "m",
                scores=[tmp_path / "s"],
                config=MixConfig(min_score=config),
            )
    score_file(tmp_path / "s", 1).write_bytes(b"PAR1")
    with pytest.raises(UserError, match="cannot read the scores"):
        mix(
            [str(source)],
            output=tmp_path / "m",
            scores=[tmp_path / "s"],
            config=MixConfig(min_score={"lm": -9.0}),
        )


def test_dry_run_writes_nothing(source, tmp_path):
    result = score([str(source)], output=tmp_path / "s", by=["lm"], dry_run=True)
    assert result.path is None and not (tmp_path / "s").exists()
