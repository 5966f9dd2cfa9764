"""Keep an encoder from making this process a real-time one, as SVT-AV1 does where it may (as root)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TASKS = Path("/proc/self/task")


@contextmanager
def own_scheduling() -> Iterator[None]:
    """Run the body, then give all threads that became real-time ones the calling thread's policy of before.

    A real-time thread runs until it waits, and nothing else of the machine does meanwhile; children inherit
    it. Where a thread was a real-time one before, or the system has no such policies, nothing changes.
    """
    if not hasattr(os, "sched_getscheduler") or not TASKS.is_dir():
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    before = _real_time()
    try:
        yield
    finally:
        for thread in _real_time() - before:
            with suppress(OSError):  # it ended meanwhile
                os.sched_setscheduler(thread, policy, parameters)


def _real_time() -> set[int]:
    """Return the threads of this process that run in real time."""
    found = set()
    for task in TASKS.iterdir():
        with suppress(OSError):
            if os.sched_getscheduler(int(task.name)) in (os.SCHED_FIFO, os.SCHED_RR):
                found.add(int(task.name))
    return found
