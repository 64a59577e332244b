"""Work units on Slurm and Ray: datatrove's executors, told by our unit files what is left to do.

The run folder, the inputs and the Python environment must be seen by every node under the same paths. A unit is done
when its unit file is there; datatrove's own completion marks are not asked, since they do not know a changed plan.
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datatrove.executor import RayPipelineExecutor, SlurmPipelineExecutor
from datatrove.pipeline.base import PipelineStep

from kodata.pipeline.where import ClusterConfig
from kodata.run.errors import UserError
from kodata.run.files import atomic_json, read_json_object
from kodata.run.progress import note

MAX_ARRAY = 1001
"""Slurm's default limit of tasks in one array; more become several arrays, one after the other."""


class SlurmExecutor(SlurmPipelineExecutor):
    """datatrove's Slurm executor for the ranks that are left; the run gathers the results itself."""

    todo: Sequence[int] = ()

    def get_incomplete_ranks(self, ranks: Any = None, skip_completed: Any = None) -> list[int]:
        """The ranks without a unit file when the job was sent."""
        return list(self.todo)

    def launch_merge_stats(self) -> None:
        """Nothing: `kodata clean` run again gathers."""


class RayExecutor(RayPipelineExecutor):
    """datatrove's Ray executor for the ranks that are left, in the folder of the command, which the plan's paths start from."""

    todo: Sequence[int] = ()
    here: str = ""

    def get_incomplete_ranks(self, ranks: Any = None, skip_completed: Any = None) -> list[int]:
        """The ranks without a unit file at the start."""
        return list(self.todo)

    def _run_for_rank(self, rank: int, local_rank: int = 0, node_rank: int = -1) -> Any:
        os.chdir(self.here)
        return super()._run_for_rank(rank, local_rank, node_rank)


def slurm_executor(
    step: PipelineStep, name: str, folder: Path, tasks: int, todo: Sequence[int], workers: int, config: ClusterConfig
) -> SlurmExecutor:  # fmt: skip
    """The executor that writes `work/slurm/launch_script.slurm` and sends it. `workers`: units at a time, 0 = no limit."""
    python = shlex.quote(str(Path(sys.executable).parent))
    here = f"cd {shlex.quote(os.getcwd())}"
    extra = dict(option.lstrip("-").partition("=")[::2] for option in config.sbatch)
    logs = folder.absolute() / "work" / "slurm"
    executor = SlurmExecutor(
        [step],
        tasks=tasks,
        time=config.time,
        partition=config.partition,
        mem_per_cpu_gb=max(1, round(config.memory)),
        workers=workers or -1,
        job_name=name,
        qos="",
        env_command=f"{config.setup or f'export PATH={python}:$PATH'}\n{here}",
        sbatch_args=extra,
        max_array_size=MAX_ARRAY,
        logging_dir=str(logs),
        slurm_logs_folder=str(logs / "output"),
        skip_completed=False,
        tasks_per_job=config.units_per_job,
    )
    executor.todo = list(todo)
    return executor


def submit_slurm(executor: SlurmExecutor, folder: Path) -> str:
    """Send the job and note it in the run folder; its id. Raises UserError when sbatch is missing or refuses."""
    _need_sbatch()
    for unit in executor.todo:
        if error := told(folder, unit, "slurm"):
            log = task_log(folder, unit, "slurm")
            note(
                f"앞의 작업에서 단위 {unit} 이 실패해 다시 보냅니다 (unit failed before, sent again): {error} ({log})"
            )
            log.unlink()
            break
    with _quiet():
        try:
            executor.launch_job()
        except subprocess.CalledProcessError as error:
            answer = (error.output or b"").decode("utf-8", "replace").strip()
            raise UserError(
                f"sbatch 가 작업을 받지 않았습니다 (sbatch refused the job): {answer or error}",
                "--cluster.partition, --cluster.time, --cluster.sbatch 를 확인하십시오 (check these flags)",
            ) from None
    job = str(executor.job_id)
    atomic_json(folder / "work" / "slurm" / "job.json", {"job": job, "units": len(executor.todo)})
    return job


def _need_sbatch() -> None:
    if shutil.which("sbatch") is None:
        raise UserError(
            "sbatch 가 없습니다: 이 기계에서는 Slurm 작업을 보낼 수 없습니다 (no sbatch on this machine)",
            "Slurm 로그인 노드에서 같은 명령을 실행하거나 --executor local (run it on a login node, or choose local)",
        )


def slurm_job(folder: Path) -> str | None:
    """The job of this run that Slurm still holds, or None: none was sent, it has ended, or nobody can be asked."""
    sent = folder / "work" / "slurm" / "job.json"
    if not sent.exists() or shutil.which("squeue") is None:
        return None
    job = str(read_json_object(sent)["job"])
    asked = subprocess.run(["squeue", "--noheader", "--jobs", job], capture_output=True, text=True)
    return job if asked.returncode == 0 and asked.stdout.strip() else None


def run_ray(
    step: PipelineStep, folder: Path, tasks: int, todo: Sequence[int], workers: int, config: ClusterConfig, watch: Callable[[], None]
) -> None:  # fmt: skip
    """Do the units on a Ray cluster and wait. `workers`: units at a time, 0 = as many as the cluster has room for."""
    try:
        import ray
    except ImportError:
        raise UserError(
            "ray 가 없습니다 (ray is not installed)", 'pip install "kobitnet[ray]", 또는 --executor local'
        ) from None
    started = not ray.is_initialized()
    if started:
        try:
            ray.init(address=config.address or None, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError) as error:
            raise UserError(
                f"Ray 클러스터에 닿지 못했습니다 (cannot reach the Ray cluster): {config.address or 'RAY_ADDRESS'}: {error}",
                "ray status 로 주소를 확인하십시오 (check the address with ray status)",
            ) from None
    try:
        with _quiet(), _watching(watch):
            executor = RayExecutor(
                [step],
                tasks=tasks,
                workers=workers or -1,
                logging_dir=str(folder.absolute() / "work" / "logs"),
                mem_per_cpu_gb=config.memory,
                skip_completed=False,
            )
            executor.todo, executor.here = list(todo), os.getcwd()
            executor.run()
    finally:
        if started:
            ray.shutdown()


@contextmanager
def _watching(watch: Callable[[], None], every: float = 0.5) -> Any:
    """Call `watch` now and then while the block waits."""
    ended = threading.Event()

    def turn() -> None:
        while not ended.wait(every):
            watch()

    thread = threading.Thread(target=turn, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        watch()


@contextmanager
def _quiet() -> Any:
    """datatrove's own log stays off the terminal; errors of units are in the task logs."""
    from datatrove.utils.logging import logger

    logger.disable("datatrove")
    try:
        yield
    finally:
        logger.enable("datatrove")


def task_log(folder: Path, unit: int, place: str = "logs") -> Path:
    """datatrove's log of a unit. `place`: logs on Ray, slurm there."""
    return folder / "work" / place / "logs" / f"task_{unit:05d}.log"


def told(folder: Path, unit: int, place: str = "logs") -> str:
    """The last error in the log of a unit, "" when there is none."""
    log = task_log(folder, unit, place)
    if not log.exists():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if "Error" in line), "")


def failed_units(folder: Path, missing: Sequence[int]) -> UserError:
    """What to say when units of a cluster did not come back."""
    first = next((i for i in missing if told(folder, i)), missing[0])
    return UserError(
        f"끝나지 않은 작업 단위 {len(missing)} 개 (units that did not finish): {told(folder, first) or '작업자가 사라짐 (worker lost)'}",
        f"까닭은 {task_log(folder, first)} 에; 같은 명령으로 이어집니다 (see this log; the same command resumes)",
    )
