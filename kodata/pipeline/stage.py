"""Any list of tasks as a datatrove step: rank N does task N. For verbs whose units are not those of `kodata clean`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from datatrove.pipeline.base import PipelineStep


class TaskStep(PipelineStep):
    """datatrove step: rank N calls a function with task N, in the folder of the command, and passes nothing on."""

    type = "kodata"
    name = "tasks"

    def __init__(self, work: Callable[[Any], Any], tasks: Sequence[Any]):
        super().__init__()
        self.work, self.tasks, self.here = work, list(tasks), os.getcwd()

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Do the task. A generator, as datatrove wants it, of nothing."""
        if os.getcwd() != self.here:  # a worker of a cluster
            os.chdir(self.here)
        self.work(self.tasks[rank])
        return iter(data or ())
