"""Run shards in worker processes, fed through pipes; a dead worker is replaced and its shard tried again."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import spinlock
from spinlock.errors import SpinlockError, StorageError
from spinlock.execution.executors.outcome import Attempts, Job, Outcome
from spinlock.execution.in_flight import InFlight, Place
from spinlock.execution.worker import HELD_BACK
from spinlock.storage import Receipt

GRACE_SECONDS = 10.0
"""Time a worker has to leave when asked to; then it is killed."""

Answer = dict[str, Any]


class WorkerError(SpinlockError):
    """A worker that cannot start; so no other will."""


class Worker:
    """A worker process and the pipes to it. One thread runs and closes it; any thread may ask it to leave."""

    def __init__(self, job: Job, number: int) -> None:
        self._job = {
            "config": job.plan.config.model_dump(mode="json"),
            "digest": job.plan.digest,
            "directory": str(job.directory),
            "device": str(job.devices[number % len(job.devices)]),
        }
        self._process: subprocess.Popen[str] | None = None
        self._leaving = False
        self._lock = threading.Lock()

    def run(self, shard: int, attempt: int, on_row: Callable[[], None]) -> Answer:
        """Return the worker's answer for a shard; one that dies answers with how it died.

        Raises
        ------
        WorkerError
            If no worker can start.
        """
        try:
            process = self._process or self._start()
            _send(process, {"shard": shard, "attempt": attempt})
            while "row" in (answer := _receive(process)):
                on_row()
        except (OSError, ValueError, EOFError):
            return {"died": self.close()}
        return answer

    def _start(self) -> "subprocess.Popen[str]":
        """Start a process and wait until it is ready."""
        with self._lock:
            if self._leaving:
                raise EOFError
            process = self._process = _spawn()
        try:
            _send(process, self._job)
            _receive(process)
        except (OSError, EOFError):
            code = process.wait()
            if code > 0 and not self._leaving:
                raise WorkerError(
                    f"a worker could not start (code {code}); its own words stand above"
                ) from None
            raise
        return process

    def leave(self) -> None:
        """Ask the worker to give up its shard at the next step and to leave; no other is started."""
        with self._lock:
            self._leaving = True
            if self._process is not None:
                self._process.terminate()

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


def _spawn() -> "subprocess.Popen[str]":
    package = str(Path(spinlock.__file__).resolve().parents[1])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "spinlock.execution.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )


def _send(process: "subprocess.Popen[str]", message: Any) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()


def _receive(process: "subprocess.Popen[str]") -> Answer:
    """Return the next message, or raise `EOFError` where the worker is gone."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.endswith("\n"):
        raise EOFError
    return json.loads(line)


def run_processes(
    job: Job, shards: Iterable[int], on_row: Callable[[], None]
) -> Generator[Outcome, None, None]:
    """Yield the outcome of every shard, computed by ``job.workers`` processes.

    Closing the generator, or an exception in the caller, stops the workers and waits for them. Where memory
    runs out, half of the workers leave for good.
    """
    waiting = deque(shards)
    crew = _Crew([Worker(job, number) for number in range(min(job.workers, len(waiting)))], on_row)
    attempts = Attempts()
    in_flight = InFlight(len(crew.workers), "worker processes")
    running: dict[int, Place] = {}

    def hand_out() -> None:
        while waiting and in_flight.has_room:
            shard = waiting.popleft()
            running[shard] = in_flight.enter()
            crew.todo.put((shard, attempts.number(shard)))

    try:
        crew.start()
        hand_out()
        while running:
            shard, answer = crew.answers.get()
            place = running.pop(shard)
            short = isinstance(answer, dict) and answer.get("out_of_memory")
            again = short and in_flight.ran_out(place, short)
            in_flight.leave(place)
            crew.keep(in_flight.limit)
            outcome = None if again else _outcome(shard, answer, attempts)
            if outcome is None:
                waiting.append(shard)
            hand_out()
            if outcome is not None:
                yield outcome
    finally:
        crew.disband()


class _Crew:
    """Workers, each served by a thread of its own that takes shards from one queue."""

    def __init__(self, workers: list[Worker], on_row: Callable[[], None]) -> None:
        self.workers, self._on_row = workers, on_row
        self.todo: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[tuple[int, Answer | SpinlockError]] = queue.SimpleQueue()
        self._leaving = threading.Event()
        self._threads = [
            threading.Thread(target=self._serve, args=(worker,), daemon=True) for worker in workers
        ]
        self._kept = len(workers)

    def start(self) -> None:
        """Start the threads; a process starts with its first shard."""
        for thread in self._threads:
            thread.start()

    def _serve(self, worker: Worker) -> None:
        # A worker inherits this: it comes to life deaf to Ctrl-C, and hears SIGTERM once it knows what to do.
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
        while (task := self.todo.get()) is not None and not self._leaving.is_set():
            shard, attempt = task
            answer = _answer(worker, shard, attempt, self._on_row)
            if isinstance(answer, dict) and "out_of_memory" in answer:
                worker.close()  # its memory is free before anything else begins
            self.answers.put((shard, answer))
        worker.close()

    def keep(self, most: int) -> None:
        """Let workers leave as soon as they are idle, until there are at most so many."""
        for _ in range(self._kept - most):
            self.todo.put(None)
        self._kept = min(self._kept, most)

    def disband(self) -> None:
        """Stop all workers and wait for them."""
        self._leaving.set()
        for worker in self.workers:
            worker.leave()
            self.todo.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()


def _answer(worker: Worker, shard: int, attempt: int, on_row: Callable[[], None]) -> Answer | SpinlockError:
    try:
        return worker.run(shard, attempt, on_row)
    except WorkerError as error:
        return error
    except Exception as error:  # noqa: BLE001 (told to the driver, which decides)
        worker.close()  # it may be in the middle of an answer
        return {"error": f"{type(error).__name__}: {error}"}


def _outcome(shard: int, answer: Answer | SpinlockError, attempts: Attempts) -> Outcome | None:
    """Return a shard's outcome, or None where it is to be tried again."""
    if isinstance(answer, SpinlockError):
        raise answer
    if "receipt" in answer:
        return Receipt.from_json(answer["receipt"])
    if "storage_error" in answer:
        raise StorageError(answer["storage_error"])
    return attempts.failed(shard, answer.get("error") or answer.get("died") or "unknown")
