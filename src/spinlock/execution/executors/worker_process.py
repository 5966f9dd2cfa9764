"""A worker process as the driver sees it: started, fed through a pipe, listened to, replaced when it dies."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spinlock
from spinlock.errors import SpinlockError
from spinlock.execution.executors.outcome import Job
from spinlock.execution.executors.silence import SHORTEST_SILENCE, Lines, SilentError, longest_silence
from spinlock.execution.memory import oom_kills
from spinlock.execution.orders import OUTCOMES, Answer, Order

GRACE_SECONDS = 10.0
"""Time a worker has to leave when asked to; then it is killed."""

LONGER = "a larger simulation.parallelism.stall_seconds allows more"

FEWER = "fewer simulation.parallelism.workers or a smaller simulation.memory_fraction take less"


class WorkerError(SpinlockError):
    """A worker that cannot start; so no other will."""


class Worker:
    """A worker process and the pipes to it. One thread runs and closes it; any thread may end it.

    Parameters
    ----------
    job
        What it works on.
    number
        Its number, from 0, which says on which device.
    """

    def __init__(self, job: Job, number: int) -> None:
        device = job.devices[number % len(job.devices)]
        sharing = job.sharing(device)
        self._order = Order.of(job.plan, job.directory, str(device), sharing).as_dict()
        self._patience = longest_silence(job.plan)
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: Lines | None = None
        self._leaving = False
        self._lock = threading.Lock()

    def run(self, shard: int, attempt: int, on_row: Callable[[], None]) -> Answer:
        """Return the worker's answer for a shard; one that dies, or is killed as stuck, answers with that.

        Raises
        ------
        WorkerError
            If no worker can start.
        """
        killed_before = oom_kills()
        try:
            if self._process is None:
                self._start()
            self._send({"shard": shard, "attempt": attempt})
            while not OUTCOMES & (answer := self._receive(self._patience)).keys():
                if "row" in answer:
                    on_row()
        except SilentError as error:
            self.kill()
            self.close()
            return {"died": f"its worker was stuck and was killed: {error} ({LONGER})"}
        except (OSError, ValueError, EOFError):
            return _death(self.close(), oom_kills() > killed_before)
        return answer

    def _start(self) -> None:
        """Start a process and wait until it is ready."""
        with self._lock:
            if self._leaving:
                raise EOFError
            process = self._process = _spawn()
            assert process.stdout is not None
            self._lines = Lines(process.stdout)
        try:
            self._send(self._order)
            self._receive(max(self._patience, SHORTEST_SILENCE))
        except (OSError, EOFError):
            code = process.wait()
            if code > 0 and not self._leaving:
                raise WorkerError(
                    f"a worker could not start (code {code}); its own words stand above"
                ) from None
            raise

    def _send(self, message: Any) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def _receive(self, patience: float) -> Answer:
        """Return the next message; raise `EOFError` where the worker is gone, `SilentError` where stuck."""
        assert self._lines is not None
        return json.loads(self._lines.next(patience))

    def leave(self) -> None:
        """Ask the worker to give up its shard at the next step and to leave; no other is started."""
        with self._lock:
            self._leaving = True
            if self._process is not None:
                self._process.terminate()

    def kill(self) -> None:
        """End the worker at once, stopped or stuck though it may be."""
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def close(self) -> str:
        """Close the pipe, wait until the worker has left, kill it if it does not, and return how it ended."""
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return "it was asked to leave"
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):  # what was not sent yet has no reader any more
            process.stdin.close()
        try:
            code = process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        process.stdout.close()
        if code < 0:
            return f"its worker was killed by {signal.Signals(-code).name}"
        return f"its worker ended with code {code}"


def _death(how: str, for_memory: bool) -> Answer:
    """Return the answer of a worker that died; the kernel's SIGKILL may mean a lack of memory."""
    if "SIGKILL" not in how:
        return {"died": how}
    if for_memory:
        reason = f"{how}, as the kernel kills where memory runs out"
        return {"died": reason, "out_of_memory": reason}
    return {"died": f"{how}: by somebody, or by the system for lack of memory ({FEWER})"}


def _spawn() -> "subprocess.Popen[bytes]":
    package = str(Path(spinlock.__file__).resolve().parents[1])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "spinlock.execution.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )
