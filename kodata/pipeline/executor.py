"""The door to datatrove: cleaning as a datatrove step, and a local executor that behaves like a command-line tool.

The step does one work unit for each rank, so that datatrove's executors (local here, Slurm and Ray with the same step)
decide only where units run. datatrove's own local executor prints its log to the terminal, answers Ctrl-C with
tracebacks, hangs when a worker is killed and keeps a manager process that outlives a kill -9; this one does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep

from kodata.pipeline.plan import Plan
from kodata.pipeline.unit import live_file, run_unit, unit_file
from kodata.pipeline.where import ClusterConfig
from kodata.pipeline.workers import start_pool, stop_pool
from kodata.run.errors import UserError


class CleanStep(PipelineStep):
    """datatrove step: rank N does work unit N of the plan in the run folder, and passes nothing on."""

    type = "kodata"
    name = "clean"

    def __init__(self, folder: str, config: Any, limit: int | None = None):
        super().__init__()
        self.folder = str(Path(folder).absolute())
        self.config = config
        self.limit = limit

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Do the unit. A generator, as datatrove wants it, of nothing."""
        folder = Path(self.folder)
        live = live_file(folder, rank)
        live.parent.mkdir(parents=True, exist_ok=True)

        def tell(documents: int, size: int, kept: int) -> None:
            temporary = live.with_suffix(".tmp")
            temporary.write_text(f"{documents} {size} {kept}", encoding="ascii")
            temporary.replace(live)

        run_unit(folder, rank, _plan(folder), self.config, limit=self.limit, tell=tell)
        live.unlink(missing_ok=True)
        return iter(data or ())


RAY_ROUNDS = 3
"""Units whose worker was lost without a word are given out this often."""
_plans: dict[Path, Plan] = {}


def _plan(folder: Path) -> Plan:
    """The plan of a run, read once a process."""
    if folder not in _plans:
        _plans.clear()
        _plans[folder] = Plan.load(folder / "work" / "plan.json")
    return _plans[folder]


def _close_log(handle: Any) -> None:
    """The end of a task's log. datatrove's own sets up a logger for the terminal that nobody writes to."""
    from datatrove.utils.logging import logger

    logger.complete()
    logger.remove()
    handle.close()


def _log_to_file(logging_dir: Any, rank: int, local_rank: int, node_rank: int = -1) -> Any:
    """datatrove's task log, without its copy on the terminal."""
    from datatrove.utils.logging import logger

    logger.remove()
    handle = logging_dir.open(f"logs/task_{rank:05d}.log", "w")
    logger.add(handle, colorize=False, level="DEBUG")
    return handle


class LocalExecutor(LocalPipelineExecutor):
    """datatrove's local executor with a clean terminal, prompt Ctrl-C and lost workers noticed."""

    def run_ranks(self, ranks: list[int], watch: Callable[[], None], every: float = 0.25) -> None:
        """Run the given ranks, calling `watch` now and then. Raises UserError when a worker dies."""
        if self.workers == 1:
            from datatrove.utils.logging import setup_default_logger

            for rank in ranks:
                self._run_for_rank(rank, 0)
                watch()
            setup_default_logger()
            return
        pool = start_pool(min(self.workers, len(ranks)))
        waiting: set[Future[Any]] = set()
        try:
            waiting = {pool.submit(self._run_for_rank, rank, 0) for rank in ranks}
            while waiting:
                done, waiting = wait(waiting, timeout=every, return_when="FIRST_COMPLETED")
                for future in done:
                    future.result()
                watch()
        except BrokenProcessPool:
            raise UserError(
                "작업 프로세스가 죽었습니다, 메모리가 모자랐을 수 있습니다 (a worker process died, perhaps out of memory)",
                "같은 명령을 --workers 를 줄여 다시 실행하면 이어집니다 (run again with fewer --workers to resume)",
            ) from None
        finally:
            stop_pool(pool, at_once=bool(waiting))

    def _run_for_rank(self, rank: int, local_rank: int = 0, node_rank: int = -1) -> Any:
        import datatrove.executor.base as base

        base.add_task_logger, base.close_task_logger = _log_to_file, _close_log
        return super()._run_for_rank(rank, local_rank, node_rank)


def run_units(
    step: PipelineStep,
    *,
    name: str,
    folder: Path,
    tasks: int,
    done: Callable[[int], bool],
    executor: str = "local",
    workers: int,
    cluster: ClusterConfig | None = None,
    watch: Callable[[], None],
) -> str | None:
    """Do all units that are not `done` where `executor` says; the door to executors for every verb that has units.

    `step`: rank N does unit N and leaves a mark that `done` sees. `workers`: processes here, or units at a time on a
    cluster (0 = no limit there). Returns None when all are done, else the Slurm job that will do them: run again to gather.
    Raises UserError when units did not finish.
    """
    todo = [i for i in range(tasks) if not done(i)]
    if not todo:
        return None
    _plans.clear()  # a resumed run may have moved its plan's files
    if executor == "local":
        # skip_completed: what is done is known by the unit files, which are written after the data and not before
        logs = str(folder / "work" / "logs")
        local = LocalExecutor([step], tasks=tasks, workers=workers, logging_dir=logs, skip_completed=False)
        local.run_ranks(todo, watch)
        return None
    from kodata.pipeline import cluster as door

    config = cluster or ClusterConfig()
    if executor == "slurm":
        if job := door.slurm_job(folder):
            return job
        return door.submit_slurm(
            door.slurm_executor(step, name, folder, tasks, todo, workers, config), folder
        )
    missing = todo
    for _ in range(RAY_ROUNDS):
        door.run_ray(step, folder, tasks, missing, workers, config, watch)
        missing = [i for i in missing if not done(i)]
        if not missing:
            return None
        if any(
            door.told(folder, i) for i in missing
        ):  # the unit ran and failed; a lost worker leaves no word
            break
    raise door.failed_units(folder, missing)


def clean_step(folder: Path, config: Any, limit: int | None) -> CleanStep:
    """The step of `kodata clean` over a run folder."""
    return CleanStep(str(folder), config, limit)


def clean_done(folder: Path) -> Callable[[int], bool]:
    """Whether a unit of `kodata clean` is done."""
    return lambda index: unit_file(folder, index).exists()
