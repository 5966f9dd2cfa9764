"""Progress of a long command: a bar on a terminal, a line every few seconds elsewhere."""

import logging
import sys
import threading
import time
from types import TracebackType
from typing import Any, Self

SECONDS_BETWEEN_LINES = 5.0

logger = logging.getLogger("spinlock")


class Progress:
    """Shows how far a run is; use it as a context manager.

    Parameters
    ----------
    hidden
        Show nothing.
    unit
        What is counted.
    """

    def __init__(self, *, hidden: bool = False, unit: str = "samples") -> None:
        self._hidden, self._unit = hidden, unit
        self._lock = threading.Lock()
        self._bar: Any = None
        self._task: Any = None
        self._total = self._done = self._before = 0
        self._started = self._told = time.monotonic()
        self._first: float | None = None
        self._what = ""

    def __enter__(self) -> Self:
        """Open the bar if standard error is a terminal."""
        if not self._hidden and sys.stderr.isatty():
            from rich import progress
            from rich.console import Console

            self._bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TextColumn("{task.fields[rate]}"),
                progress.TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task("planning", total=None, rate="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.stop()

    def begin(self, total: int, done: int) -> None:
        """Start counting."""
        self._total, self._done, self._before = total, done, done
        self._started = self._told = time.monotonic()
        self._first = None
        if self._bar is not None:
            self._bar.update(self._task, total=total, completed=done)

    def advance(self) -> None:
        """Count one more."""
        with self._lock:
            self._done = min(self._done + 1, self._total)  # a shard that is tried again counts twice
            rate = self._rate()
            if self._bar is not None:
                self._bar.update(self._task, completed=self._done, rate=f"{rate:.3g} {self._unit}/s")
            elif not self._hidden and time.monotonic() - self._told >= SECONDS_BETWEEN_LINES:
                self._told = time.monotonic()
                left = (
                    f", {(self._total - self._done) / rate:.0f} s left"
                    if self._done > self._before + 1
                    else ""
                )
                line = "%s: %d of %d %s, %.3g %s/s%s"
                logger.info(line, self._what, self._done, self._total, self._unit, rate, self._unit, left)

    def _rate(self) -> float:
        """Return how many come in a second, from the first one on: before it, functions may be compiled."""
        now, made = time.monotonic(), self._done - self._before
        if self._first is None:
            self._first = now
            return made / max(now - self._started, 1e-9)
        return (made - 1) / max(now - self._first, 1e-9)

    def stage(self, what: str) -> None:
        """Say what the run is doing."""
        self._what = what
        if self._bar is not None:
            self._bar.update(self._task, description=what)
        elif not self._hidden:
            logger.info("%s", what)
