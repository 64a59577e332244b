"""The first pass of `kodata clean` as a datatrove step, done by the same executors as the cleaning."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from datatrove.pipeline.base import PipelineStep

from kodata.boilerplate.counting import count_unit, frames_file, lines_file, merge


class CountStep(PipelineStep):
    """datatrove step: rank N counts unit N of the plan in the run folder."""

    type = "kodata"
    name = "count lines"

    def __init__(self, folder: str, config: Any, limit: int | None = None):
        super().__init__()
        self.folder, self.config, self.limit = str(Path(folder).absolute()), config, limit
        self.here = os.getcwd()

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Count the unit. A generator, as datatrove wants it, of nothing."""
        from kodata.pipeline.plan import Plan

        if os.getcwd() != self.here:  # a worker of a cluster: the plan's paths are those of the command
            os.chdir(self.here)
        folder = Path(self.folder)
        count_unit(folder, rank, Plan.load(folder / "work" / "plan.json"), self.config, self.limit)
        return iter(data or ())


def count(
    run_units: Callable[..., str | None],
    folder: Path,
    plan: Any,
    config: Any,
    limit: int | None,
    **where: Any,
) -> str | None:
    """Count all units by `run_units` and put the counts together. The Slurm job when the units are on their way."""
    from kodata.run.progress import progress

    if frames_file(folder).exists():
        return None
    units = len(plan.units)

    def done(index: int) -> bool:
        return lines_file(folder, index).exists()

    with progress(
        "줄 세기 (count lines)", total=units, unit="단위", done=sum(map(done, range(units)))
    ) as bar:
        state = {"done": sum(map(done, range(units)))}

        def watch() -> None:
            now = sum(map(done, range(units)))
            bar.advance(now - state["done"])
            state["done"] = now

        step = CountStep(str(folder), config, limit)
        job = run_units(
            step, name="kodata-lines", folder=folder, tasks=units, done=done, watch=watch, **where
        )
    if job is None:
        merge(folder, units)
    return job
