"""Run shards in worker processes, each fed through a pipe; a dead worker is replaced and its shard tried again."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import spinlock
from spinlock.errors import SpinlockError, StorageError
from spinlock.execution.executors.outcome import Attempts, Job, Outcome
from spinlock.storage import Receipt

GRACE_SECONDS = 10.0
"""Time a worker has to leave when asked to; then it is killed."""


class WorkerError(SpinlockError):
    """A worker that cannot start; so no other will."""


class Worker:
    """A worker process and the pipes to it."""

    def __init__(self, job: Job, number: int) -> None:
        self._job = json.dumps(
            {
                "config": job.plan.config.model_dump(mode="json"),
                "digest": job.plan.digest,
                "directory": str(job.directory),
                "device": str(job.devices[number % len(job.devices)]),
            }
        )
        self._process: subprocess.Popen[str] | None = None

    def _start(self) -> "subprocess.Popen[str]":
        package = str(Path(spinlock.__file__).resolve().parents[1])
        path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "spinlock.execution.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            start_new_session=False,
        )
        self._process = process
        self._send(self._job)
        assert process.stdout is not None
        if not process.stdout.readline():
            died = self._post_mortem()
            if "code" in died:
                raise WorkerError(f"a worker could not start: {died}; its own words stand above")
            raise BrokenPipeError
        return process

    def _send(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def run(self, shard: int, attempt: int, on_row: Callable[[], None]) -> dict[str, Any]:
        """Return the worker's answer for a shard; a worker that dies answers with how it died."""
        try:
            process = self._process or self._start()
            self._send(json.dumps({"shard": shard, "attempt": attempt}))
            assert process.stdout is not None
            for line in process.stdout:
                answer = json.loads(line)
                if "row" not in answer:
                    return answer
                on_row()
        except (BrokenPipeError, json.JSONDecodeError):
            pass
        except WorkerError as error:
            return {"fatal": str(error)}
        return {"died": self._post_mortem()}

    def _post_mortem(self) -> str:
        process, self._process = self._process, None
        if process is None:
            return "its worker died while it started"
        try:
            code = process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        return f"its worker was killed by {signal.Signals(-code).name}" if code < 0 else f"its worker ended with code {code}"

    def stop(self) -> None:
        """Close the pipe and ask the worker to leave: it gives up its shard at the next step."""
        process = self._process
        if process is None:
            return
        process.terminate()
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run_processes(job: Job, shards: Iterable[int], on_row: Callable[[], None]) -> Iterator[Outcome]:
    """Yield the outcome of every shard, computed by ``job.workers`` processes.

    Closing the iterator, or an exception in the caller, stops the workers.
    """
    todo: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    answers: queue.SimpleQueue[tuple[int, dict[str, Any]]] = queue.SimpleQueue()
    attempts = Attempts()
    remaining = 0
    for shard in shards:
        todo.put(shard)
        remaining += 1
    workers = [Worker(job, number) for number in range(min(job.workers, remaining))]

    def serve(worker: Worker) -> None:
        while (shard := todo.get()) is not None:
            try:
                answer = worker.run(shard, attempts.number(shard), on_row)
            except Exception as error:  # noqa: BLE001 (told to the driver, which decides)
                answer = {"died": f"{type(error).__name__}: {error}"}
            answers.put((shard, answer))

    threads = [threading.Thread(target=serve, args=(worker,), daemon=True) for worker in workers]
    try:
        for thread in threads:
            thread.start()
        while remaining:
            shard, answer = answers.get()
            outcome = _outcome(shard, answer, attempts)
            if outcome is None:
                todo.put(shard)
                continue
            remaining -= 1
            yield outcome
    finally:
        for _ in workers:
            todo.put(None)
        _stop_all(workers)
        for thread in threads:
            thread.join(GRACE_SECONDS)


def _stop_all(workers: list[Worker]) -> None:
    stopping = [threading.Thread(target=worker.stop) for worker in workers]
    for thread in stopping:
        thread.start()
    for thread in stopping:
        thread.join()


def _outcome(shard: int, answer: dict[str, Any], attempts: Attempts) -> Outcome | None:
    """Return a shard's outcome, or None where it is to be tried again."""
    if "receipt" in answer:
        return Receipt.from_json(answer["receipt"])
    if "storage_error" in answer:
        raise StorageError(answer["storage_error"])
    if "fatal" in answer:
        raise SpinlockError(answer["fatal"])
    return attempts.failed(shard, answer.get("error") or answer.get("died") or "unknown")
