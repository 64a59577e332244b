"""kodata dedup on broken input, killed, resumed, and with workers that die."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from kodata.dedup import DedupConfig, dedup, parallel
from kodata.run.errors import UsageError, UserError
from tests.kodata.dedup_made import STORY, WEATHER, corpus, doc, kept, mixed, tree


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


def when_free(folder: Path) -> None:
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


@pytest.mark.parametrize(
    ("memory", "stages"),
    [(0, ["work/signed", "docs"]), (0.0003, ["work/entries", "work/buckets", "work/edges", "docs"])],
)
def test_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path, memory, stages):
    """Killed as soon as a stage has left its first file, again and again, in one memory and through files."""
    source = corpus(tmp_path / "in", *mixed(6))
    dedup([str(source)], output=tmp_path / "whole", workers=1)
    command = [sys.executable, "-m", "kodata", "dedup", str(source), "-o", str(tmp_path / "cut")]
    command += ["--workers", "2", "-q", "--memory", str(memory)]
    for stage in stages:
        process = subprocess.Popen(command, cwd=Path(__file__).resolve().parents[2], start_new_session=True)
        for _ in range(10_000):
            if any((tmp_path / "cut" / stage).glob("[0-9]*")) or process.poll() is not None:
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        when_free(tmp_path / "cut")
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
