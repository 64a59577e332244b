"""Executors: the same units on this machine, as a Slurm array and on Ray, to the same bytes."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from kodata.doc import Corpus
from kodata.pipeline import CleanConfig, clean
from kodata.pipeline.plan import Plan
from kodata.pipeline.where import ClusterConfig
from kodata.run.errors import UsageError, UserError

ROOT = Path(__file__).resolve().parents[2]
WORDS = "아침 저녁 바람이 강가에서 천천히 불었고 아이들은 마당에서 뛰어놀다가 어머니가 부르는 소리를 듣고 집으로 돌아갔다".split()


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("kodata.pipeline.plan.SMALLEST_UNIT", 2000)
    monkeypatch.setattr("kodata.pipeline.plan.WANTED_UNITS", 10_000)
    rng = random.Random(3)
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "abcdef":
        rows = [
            {"text": " ".join(rng.choices(WORDS, k=40)) + f". 전화 010-2345-{rng.randint(1000, 9999)}."}
            for _ in range(10)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows))
    (folder / "bad.jsonl").write_text(
        '{"text": "한국어로 적은 짧은 글이 하나 있고 그 뒤에 깨진 줄이 옵니다."}\n{broken\n'
    )
    return folder


def outputs(folder: Path) -> dict[str, bytes]:
    names = ("docs", "dropped", "pii", "failed.jsonl", "pii.json")
    files = [
        p
        for n in names
        for p in ([folder / n] if (folder / n).is_file() else sorted((folder / n).rglob("*")))
    ]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if p.is_file()}


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for sbatch, squeue, srun and scontrol that note what they were asked; `queue` holds the jobs of squeue."""
    place = tmp_path / "bin"
    place.mkdir()
    programs = {
        "sbatch": 'n=$(ls "$D" | grep -c "^job"); for f; do :; done; cp "$f" "$D/job$n.sh"; echo "$@" > "$D/args$n"; echo 42 >> "$D/queue"; echo "Submitted batch job 42"',
        "squeue": 'cat "$D/queue"',
        "scontrol": "echo node1",
        "srun": 'while [ "${1#-}" != "$1" ]; do [ "$1" = -n ] && shift; shift; done; exec "$@"',
    }
    for name, body in programs.items():
        (place / name).write_text(f"#!/bin/bash\nD={place}\n{body}\n")
        (place / name).chmod(0o755)
    (place / "queue").write_text("")
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    return place


def run_array(script: Path, task: int) -> None:
    """What Slurm does with one task of the array."""
    env = {
        **os.environ,
        "SLURM_ARRAY_TASK_ID": str(task),
        "SLURM_NODELIST": "node1",
        "RUN_OFFSET": "0",
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run(["bash", str(script)], env=env, check=True, capture_output=True)


def test_slurm_sends_an_array_and_gathers(
    corpus: Path, tmp_path: Path, slurm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = CleanConfig(boilerplate=False)
    here = clean([str(corpus)], output=tmp_path / "here", config=plain, workers=1)
    config = ClusterConfig(
        partition="cpu", time="01:30:00", memory=4, sbatch=("account=lab",), units_per_job=7
    )

    def go() -> dict:
        return clean(
            [str(corpus)],
            output=tmp_path / "there",
            config=plain,
            workers=2,
            executor="slurm",
            cluster=config,
        ).summary

    sent = go()
    units = here.summary["units"]
    assert sent == {"job": "42", "units": units, "units_done": 0} and units > 5
    script = (slurm / "job0.sh").read_text()
    tasks = -(-units // 7)
    for line in (
        "partition=cpu", "time=01:30:00", "mem-per-cpu=4G", "account=lab", "job-name=kodata-clean", f"array=0-{tasks - 1}%2", "cpus-per-task=1",
    ):  # fmt: skip
        assert f"#SBATCH --{line}\n" in script
    assert f"cd {os.getcwd()}" in script and str(Path(sys.executable).parent) in script
    assert "launch_pickled_pipeline" in script and script.startswith("#!/bin/bash\n#SBATCH")
    assert json.loads((tmp_path / "there" / "manifest.json").read_text())["status"] == "submitted"
    # while the job is in the queue nothing is sent twice, and half-written files of its workers stay
    (tmp_path / "there" / "docs").mkdir(exist_ok=True)
    (tmp_path / "there" / "docs" / ".00000.7.tmp").write_text("half")
    assert go() == sent and not (slurm / "job1.sh").exists()
    assert (tmp_path / "there" / "docs" / ".00000.7.tmp").exists()
    run_array(slurm / "job0.sh", 0)
    with pytest.raises(UserError, match="unfinished"):
        Corpus(tmp_path / "there")
    (slurm / "queue").write_text("")  # the rest was lost: the next call sends what is left
    logs = tmp_path / "there" / "work" / "slurm" / "logs"
    (logs / "task_00008.log").write_text(
        "line\nkodata.run.errors.UserError: 디스크가 가득 찼습니다 (disk full)\n"
    )
    assert go() == {"job": "42", "units": units, "units_done": 7}
    assert "unit failed before" in (told := capsys.readouterr().err) and "disk full" in told
    left = -(-(units - 7) // 7)
    assert f"array=0-{left - 1}%2" in (slurm / "job1.sh").read_text()
    for task in range(left):
        run_array(slurm / "job1.sh", task)
    assert go() == here.summary
    assert outputs(tmp_path / "there") == outputs(tmp_path / "here")
    assert not list((tmp_path / "there").rglob(".*.tmp"))


@pytest.mark.slow
def test_slurm_counts_frames_first_then_cleans(corpus: Path, tmp_path: Path, slurm: Path) -> None:
    """With news or web texts a first array counts their lines, a second cleans: the same command goes from one to the next."""
    here = clean([str(corpus)], output=tmp_path / "here", workers=1)
    config = ClusterConfig(units_per_job=100)
    jobs = []
    for number in range(3):
        result = clean([str(corpus)], output=tmp_path / "there", executor="slurm", cluster=config)
        if "job" not in result.summary:
            break
        jobs.append(result.lines[0])
        run_array(slurm / f"job{number}.sh", 0)
        (slurm / "queue").write_text("")
    assert len(jobs) == 2 and result.summary == here.summary
    assert outputs(tmp_path / "there") == outputs(tmp_path / "here")


def test_slurm_without_slurm_says_so(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no sbatch") as error:
        clean([str(corpus)], output=tmp_path / "out", executor="slurm")
    assert "--executor local" in error.value.help
    # the same folder goes on here
    assert clean([str(corpus)], output=tmp_path / "out", workers=1).summary["failed"] == 1


def test_what_sbatch_refuses_is_told(corpus: Path, tmp_path: Path, slurm: Path) -> None:
    (slurm / "sbatch").write_text("#!/bin/bash\necho 'invalid partition specified: gpu'\nexit 1\n")
    with pytest.raises(UserError, match="invalid partition"):
        clean(
            [str(corpus)], output=tmp_path / "out", executor="slurm", cluster=ClusterConfig(partition="gpu")
        )


def test_settings_of_a_cluster() -> None:
    for bad in ({"memory": 0}, {"units_per_job": 0}, {"sbatch": ("=x",)}):
        with pytest.raises(UsageError):
            ClusterConfig(**bad)


@pytest.mark.slow
def test_ray_on_two_nodes(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    from kodata.pii import PiiConfig

    # each unit starts a Python of its own on Ray: few units
    monkeypatch.setattr("kodata.pipeline.plan.SMALLEST_UNIT", 8000)
    config = CleanConfig(pii=PiiConfig(mode="pseudonym", seed=5))
    small = ClusterConfig(memory=0.2)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)  # relative paths mean the folder of the command on every node
    here = clean(["in"], output=Path("here"), config=config, workers=1)
    assert here.summary["units"] > 2
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    try:
        ray.init(address=cluster.address, log_to_driver=False)
        assert sum(n["Resources"].get("CPU", 0) for n in ray.nodes()) == 2
        there = clean(["in"], output=Path("there"), config=config, executor="ray", cluster=small)
        assert there.summary == here.summary and outputs(Path("there")) == outputs(Path("here"))
        # a unit that fails on a node is named, and the same command resumes on another executor
        plain = CleanConfig(boilerplate=False)
        with monkeypatch.context() as once:
            once.setattr("kodata.pipeline.plan.Plan.save", _with_settings_nobody_made)
            with pytest.raises(UserError, match=r"did not finish.*IndexError"):
                clean(["in"], output=Path("cut"), config=plain, executor="ray", cluster=small)
    finally:
        ray.shutdown()
        cluster.shutdown()
    plan = Plan.load(Path("cut/work/plan.json"))
    plan.units[1][0].settings = 0
    plan.save(Path("cut/work/plan.json"))
    clean(["in"], output=Path("whole"), config=plain, workers=1)
    clean(["in"], output=Path("cut"), config=plain, workers=1)
    assert outputs(Path("cut")) == outputs(Path("whole"))


_save = Plan.save


def _with_settings_nobody_made(self: Plan, path: Path) -> None:
    self.units[1][0].settings = 99
    _save(self, path)
