"""Progress on stderr: a bar on a terminal, one plain line every 30 seconds elsewhere, nothing with -q."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PLAIN_SECONDS = 30.0
_quiet = False


def set_quiet(quiet: bool) -> None:
    """Silence progress and notes for this process (``-q``)."""
    global _quiet
    _quiet = quiet


def note(text: str) -> None:
    """One line for the user on stderr, unless ``-q``."""
    if not _quiet:
        print(text, file=sys.stderr, flush=True)


class Bar:
    """Counts of work done. ``total`` may be None when it is not known beforehand."""

    def __init__(self, label: str, total: float | None, unit: str, done: float):
        self.label, self.total, self.unit, self.count = label, total, unit, done
        self.bytes = 0
        self.fields: dict[str, Any] = {}
        self._start, self._start_count, self._said = time.monotonic(), done, time.monotonic()

    def advance(self, n: float = 1, *, bytes: int = 0, **fields: Any) -> None:
        """Add ``n`` units and ``bytes`` of input; ``fields`` are shown as they are (kept="97 %")."""
        self.count += n
        self.bytes += bytes
        self.fields.update(fields)
        self.show()

    def show(self) -> None:
        now = time.monotonic()
        if not _quiet and now - self._said >= PLAIN_SECONDS:
            self._said = now
            print(self.line(), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Called once at the end."""

    def line(self) -> str:
        """One plain line: label, count, share, speed, time left, fields."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = (self.count - self._start_count) / seconds
        parts = [f"{self.label}: {self.count:,.0f}"]
        if self.total:
            parts[0] += f"/{self.total:,.0f} {self.unit} ({100 * self.count / self.total:.0f} %)"
        else:
            parts[0] += f" {self.unit}"
        parts.append(f"{rate:,.1f} {self.unit}/s")
        if self.bytes:
            parts.append(f"{self.bytes / seconds / 1e6:.2f} MB/s")
        if self.total and rate > 0:
            parts.append(f"남음 (left) {clock((self.total - self.count) / rate)}")
        parts += [f"{k} {v}" for k, v in self.fields.items()]
        return " · ".join(parts)


class _RichBar(Bar):
    """The same counts drawn by rich on a terminal."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task(self.line(), total=self.total, completed=int(self.count))
        self._progress.start()

    def show(self) -> None:
        now = time.monotonic()
        if now - self._said >= 0.2:
            self._said = now
            self._progress.update(self._task, completed=self.count, description=self.line())

    def close(self) -> None:
        self._progress.stop()


@contextmanager
def progress(label: str, total: float | None = None, unit: str = "", done: float = 0) -> Iterator[Bar]:
    """Show progress of one stage on stderr. ``done``: units finished by an earlier run that is resumed."""
    bar = (
        _RichBar(label, total, unit, done)
        if sys.stderr.isatty() and not _quiet
        else Bar(label, total, unit, done)
    )
    try:
        yield bar
    finally:
        bar.close()


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    whole = int(max(seconds, 0))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
