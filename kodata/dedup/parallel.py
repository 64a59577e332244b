"""Tasks over worker processes: results as they come, the first error stops the rest, nobody outlives the parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from kodata.run.errors import UserError

Task = TypeVar("Task")
Answer = TypeVar("Answer")


def run_tasks(work: Callable[[Task], Answer], tasks: Sequence[Task], workers: int) -> Iterator[Answer]:
    """`work(task)` for every task, in no particular order; `workers` processes, in this one when 1 is enough.

    `work` must be a module's function whose result does not depend on the order. An exception of a task is
    raised here. A worker that dies (killed for memory, say) raises UserError.
    """
    workers = min(workers, len(tasks))
    if workers <= 1:
        yield from map(work, tasks)
        return
    # fork starts at once and does not run the user's script a second time; elsewhere it is not to be had
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_settle, initargs=(os.getpid(),))
    try:
        for future in as_completed([pool.submit(work, task) for task in tasks]):
            yield future.result()
    except BrokenProcessPool:
        raise UserError(
            "작업 프로세스가 죽었습니다, 아마 메모리 부족입니다 (a worker process died, likely out of memory)",
            help="--workers 1로 같은 명령을 다시 실행하면 이어집니다 (run again with --workers 1 to resume)",
        ) from None
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _settle(parent: int) -> None:
    """In a worker: Ctrl-C is the parent's business, and a parent that was killed takes its workers along."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
