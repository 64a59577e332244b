"""Worker threads that generate, and the bounded queue before them."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kobitnet.serve.text import Characters, UntilStop


class Busy(Exception):
    """The queue is full; `retry_after` in seconds."""

    def __init__(self, retry_after: int):
        super().__init__(f"queue is full, retry after {retry_after} s")
        self.retry_after = retry_after


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What to generate."""

    ids: list[int]
    max_new_tokens: int
    """At most so many, and never past the context: then the answer ends with `length`."""
    sampling: dict[str, Any] = field(default_factory=dict)
    """Arguments of Backend.stream: temperature, top_k, top_p, seed, repetition_penalty."""
    stop: tuple[str, ...] = ()
    strip: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """A piece of an answer: some text, or its end (`finish` set), or what went wrong."""

    text: str = ""
    tokens: int = 0
    """Tokens generated so far."""
    finish: str = ""
    """stop, length, cancelled or timeout."""
    error: Exception | None = None

    @property
    def last(self) -> bool:
        return bool(self.finish) or self.error is not None


class Job:
    """One answer on its way. Events arrive in `events` on the loop that made the job; they are few and bounded by max_new_tokens."""

    def __init__(self, work: Work, deadline: float):
        self.work = work
        self.deadline = deadline
        """time.monotonic() after which it is given up."""
        self.cancelled = False
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def tell(self, event: Event) -> None:
        """From any thread."""
        try:
            self._loop.call_soon_threadsafe(self.events.put_nowait, event)
        except RuntimeError:  # the loop was closed while the server stopped
            self.cancelled = True


class Runner:
    """`workers` threads on one backend, each generates one answer at a time; `queue` more may wait."""

    def __init__(self, backend: Any, *, workers: int, queue: int, stop_ids: list[int]):
        self.backend = backend
        self.workers = workers
        self.queue = queue
        self.stop_ids = stop_ids
        self.finished = 0
        self.tokens = 0
        self._waiting: deque[Job] = deque()
        self._running: set[Job] = set()
        self._seconds = 1.0
        """Running mean of an answer's time, for Retry-After."""
        self._change = threading.Condition()
        self._closing = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"generate-{i}", daemon=True) for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def load(self) -> tuple[int, int]:
        """(answers being generated, requests waiting)."""
        with self._change:
            return len(self._running), len(self._waiting)

    def submit(self, work: Work, seconds: float) -> Job:
        """Queue some work that must be done within `seconds`. Raises Busy when the queue is full."""
        job = Job(work, time.monotonic() + seconds)
        with self._change:
            free = self.workers - len(self._running)
            if self._closing or len(self._waiting) >= self.queue + free:
                wait = self._seconds * (len(self._waiting) + 1) / self.workers
                raise Busy(int(min(max(wait, 1), 60)))
            self._waiting.append(job)
            self._change.notify()
        return job

    def cancel(self, job: Job) -> None:
        """Give the job up: at once when it waits, after its next token when it runs."""
        with self._change:
            job.cancelled = True
            if job in self._waiting:
                self._waiting.remove(job)
                job.tell(Event(finish="cancelled"))

    def stop(self) -> None:
        """Cancel everything; the threads end. Safe to call twice."""
        with self._change:
            self._closing = True
            for job in [*self._waiting, *self._running]:
                job.cancelled = True
            for job in self._waiting:
                job.tell(Event(finish="cancelled"))
            self._waiting.clear()
            self._change.notify_all()

    def join(self, seconds: float) -> None:
        """Wait for the threads to end."""
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _serve(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._closing)
                if self._closing:
                    return
                job = self._waiting.popleft()
                self._running.add(job)
            began = time.monotonic()
            try:
                event = self._answer(job)
            except Exception as error:  # told to the one who asked; the server lives on
                event = Event(error=error)
            with self._change:
                self._running.discard(job)
                self.finished += 1
                self.tokens += event.tokens
                self._seconds += 0.2 * (time.monotonic() - began - self._seconds)
            job.tell(event)

    def _answer(self, job: Job) -> Event:
        """Generate, telling each piece of text; returns the last event."""
        work = job.work
        characters, text = Characters(self.backend.tokenizer), UntilStop(work.stop, strip=work.strip)
        count, finish = 0, _given_up(job)
        if finish:
            return Event(finish=finish)
        stream = self.backend.stream(work.ids, work.max_new_tokens, stop_ids=self.stop_ids, **work.sampling)
        try:
            for token in stream:
                count += 1
                finish = _given_up(job)
                if finish:
                    break
                new = text.push(characters.push(token))
                if new:
                    job.tell(Event(text=new, tokens=count))
                if text.stopped:
                    finish = "stop"
                    break
        finally:
            close: Callable[[], None] | None = getattr(stream, "close", None)
            if close:
                close()
        rest = text.end()
        if rest:
            job.tell(Event(text=rest, tokens=count))
        return Event(tokens=count, finish=finish or ("length" if count >= work.max_new_tokens else "stop"))


def _given_up(job: Job) -> str:
    if job.cancelled:
        return "cancelled"
    return "timeout" if time.monotonic() > job.deadline else ""
