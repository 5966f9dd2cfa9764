"""How long a worker may say nothing before it counts as stuck, and how its silence is measured.

A worker speaks when it is ready, at the steps of a rollout, before it measures the features of a
realization, and with every row; while it builds an operator, probes it, or encodes a row it says nothing.
Silence is counted in polls of this process, not by the clock: time in which this process was stopped itself
does not count.
"""

import os
import select
import time
from collections.abc import Iterable
from typing import IO

from spinlock.errors import SpinlockError
from spinlock.execution.estimate import slowest_seconds
from spinlock.execution.plan import Plan

SHORTEST_SILENCE = 600.0
"""Seconds that ``auto`` allows at least; a worker that starts is allowed as much whatever is configured."""

MARGIN = 40.0
"""``auto`` allows so many times what the costliest sample takes on a typical core."""

POLLED_SECONDS = 0.25
READ_BYTES = 1 << 16


class SilentError(SpinlockError):
    """A worker said nothing for longer than it may."""


def longest_silence(plan: Plan) -> float:
    """Return the seconds after which a worker of this plan that says nothing is stuck."""
    asked = plan.config.simulation.parallelism.stall_seconds
    return max(SHORTEST_SILENCE, MARGIN * slowest_seconds(plan)) if asked == "auto" else asked


class Lines:
    """The lines that come through a pipe.

    Parameters
    ----------
    stream
        The end of the pipe to read from; nobody else may read from it.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._descriptor = stream.fileno()
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        self._begun = b""

    def next(self, patience: float) -> bytes:
        """Return the next line.

        Raises
        ------
        EOFError
            Where the writer is gone.
        SilentError
            Where nothing comes for ``patience`` seconds.
        """
        silent = 0.0
        while b"\n" not in self._begun:
            if silent >= patience:
                raise SilentError(f"nothing was said for {patience:g} s")
            wait = min(POLLED_SECONDS, patience - silent)
            if not self._poll.poll(1000 * wait):
                silent += wait
                continue
            data = os.read(self._descriptor, READ_BYTES)
            if not data:
                raise EOFError
            self._begun += data
            silent = 0.0
        line, _, self._begun = self._begun.partition(b"\n")
        return line


class Heard:
    """When each of several shards last gave a sign of life; for threads, which nobody can kill."""

    def __init__(self) -> None:
        self._when: dict[int, float] = {}

    def now(self, shard: int) -> None:
        """Note a sign of life."""
        self._when[shard] = time.monotonic()

    def silent(self, shards: Iterable[int], patience: float) -> list[int]:
        """Return those of the shards that have given none for so many seconds."""
        before = time.monotonic() - patience
        return [shard for shard in shards if self._when.get(shard, before) < before]
