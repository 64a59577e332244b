"""kodata dedup on Slurm and Ray: stage after stage by the same command, to the same bytes."""

from pathlib import Path

import pytest

from kodata.dedup import DedupConfig, dedup
from kodata.doc import Document
from kodata.pipeline.where import ClusterConfig
from kodata.run.errors import UserError
from tests.kodata.dedup_made import corpus, mixed, tree
from tests.kodata.test_executor import ROOT, run_array, slurm  # noqa: F401 (a fixture)

NOTICE = "이 글은 마을 신문에서 옮겨 온 것이며 누구나 자유롭게 읽고 나눌 수 있습니다."
CONFIG = DedupConfig(paragraphs=20, substrings=40)


def shards() -> list[list[Document]]:
    parts = mixed(3)
    for n, part in enumerate(parts):
        part.append(
            Document(f"공고{n}", f"{n}번 문서만의 글 {'나무' * n} 이 있다. {n * 7919}\n\n{NOTICE}", "다")
        )
    return parts


def test_without_sbatch_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    source = corpus(tmp_path / "in", *shards())
    with pytest.raises(UserError, match="sbatch"):
        dedup([str(source)], output=tmp_path / "out", executor="slurm")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "memory", "expected"),
    [
        (CONFIG, 0, ["sets", "paragraphs", "anchors", "substrings", "write"]),
        (DedupConfig(), 0.00015, ["texts", "entries", "buckets", "sets", "verify", "choose", "write"]),
    ],
)
def test_slurm_goes_from_stage_to_stage(
    tmp_path: Path,
    slurm: Path,  # noqa: F811
    config: DedupConfig,
    memory: float,
    expected: list[str],
) -> None:
    source = corpus(tmp_path / "in", *shards())
    here = dedup([str(source)], output=tmp_path / "here", config=config, workers=1)

    def go() -> dict:
        made = dedup(
            [str(source)],
            output=tmp_path / "there",
            config=config,
            executor="slurm",
            cluster=ClusterConfig(units_per_job=10),
            memory=memory,
        )
        return made.summary

    first = go()
    assert (first["stage"], first["units"], first["units_done"]) == ("sign", 3, 0)
    assert go() == first and not (slurm / "job1.sh").exists()  # in the queue: nothing is sent twice
    stages = []
    for number in range(12):
        run_array(slurm / f"job{number}.sh", 0)
        (slurm / "queue").write_text("")
        sent = go()
        if "job" not in sent:
            break
        stages.append(sent["stage"])
    assert stages == expected
    ways = [sent.pop("work"), here.summary.pop("work")]
    assert (ways[0] == ways[1]) == (memory == 0) and sent == here.summary
    assert here.summary["cut"].get("trimmed", 0) > 0 or config != CONFIG
    assert tree(tmp_path / "there") == tree(tmp_path / "here")


@pytest.mark.slow
def test_ray_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    corpus(tmp_path / "in", *shards())
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)  # relative paths mean the folder of the command on every node
    here = dedup(["in"], output=Path("here"), workers=1)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    try:
        ray.init(address=cluster.address, log_to_driver=False)
        small = ClusterConfig(memory=0.2)
        there = dedup(["in"], output=Path("there"), executor="ray", cluster=small, memory=0.00015)
        assert there.summary.pop("work")["parts"] > 1 and here.summary.pop("work")["parts"] == 1
        assert there.summary == here.summary and tree(Path("there")) == tree(Path("here"))
    finally:
        ray.shutdown()
        cluster.shutdown()
