"""Run shards in worker processes, fed through pipes; a dead worker is replaced and its shard tried again."""

import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable

from spinlock.errors import SpinlockError
from spinlock.execution.executors.outcome import Attempts, Job, Outcome, outcome_of
from spinlock.execution.executors.worker_process import GRACE_SECONDS, Worker, WorkerError
from spinlock.execution.in_flight import InFlight, Place
from spinlock.execution.orders import Answer
from spinlock.execution.worker import HELD_BACK


def run_processes(
    job: Job, shards: Iterable[int], on_row: Callable[[], None]
) -> Generator[Outcome, None, None]:
    """Yield the outcome of every shard, computed by ``job.workers`` processes.

    Closing the generator, or an exception in the caller, stops the workers and waits for them. Where memory
    runs out, half of the workers leave for good.
    """
    waiting = deque(shards)
    crew = _Crew([Worker(job, number) for number in range(min(job.workers, len(waiting)))], on_row)
    attempts = job.attempts()
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
        """Stop all workers, those that are stuck as well, and wait for them."""
        self._leaving.set()
        for worker in self.workers:
            worker.leave()
            self.todo.put(None)
        begun = [thread for thread in self._threads if thread.ident is not None]
        deadline = time.monotonic() + GRACE_SECONDS
        for thread in begun:
            thread.join(max(0.0, deadline - time.monotonic()))
        for worker in self.workers:
            worker.kill()  # those that did not leave when they were asked to
        for thread in begun:
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
    return outcome_of(shard, answer, attempts)
