"""Worker processes, forked from a server that has everything imported: a worker that imports by itself needs a second.

This module imports little, so that a command can start the server before its own imports: both then go on side by side.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext


def start_server(prepared: str = "kodata.pipeline.executor") -> BaseContext:
    """Start the fork server, unless it runs, and do not wait for it. prepared: the module it imports."""
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([prepared, "numpy"])
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return context


def start_pool(workers: int) -> ProcessPoolExecutor:
    """Worker processes that never see the terminal's Ctrl-C (the parent stops them) and that do not outlive it."""
    return ProcessPoolExecutor(workers, mp_context=start_server(), initializer=_start_worker)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def leave_with_parent() -> None:
        # The fork server lives as long as its children do, so its death is no sign; the pipe to the main process is.
        if parent := multiprocessing.parent_process():
            multiprocessing.connection.wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()


def stop_pool(pool: ProcessPoolExecutor, *, at_once: bool) -> None:
    """End the workers: when they have done what they do, or at once."""
    if at_once:
        for process in list((getattr(pool, "_processes", None) or {}).values()):
            process.terminate()
    pool.shutdown(wait=True, cancel_futures=True)
