"""Run shards in this process, on Python threads with one torch thread each."""

import logging
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice

import torch

from spinlock.errors import StorageError
from spinlock.execution.executors.outcome import Attempts, Job, Outcome
from spinlock.execution.executors.silence import Heard, longest_silence
from spinlock.execution.executors.switching import prompt_switching
from spinlock.execution.in_flight import InFlight, one_line
from spinlock.execution.memory import give_back, is_out_of_memory
from spinlock.execution.shard import Signals, run_shard
from spinlock.storage import Receipt

logger = logging.getLogger("spinlock")

LISTENED_SECONDS = 60.0
"""Threads are asked for signs of life so often, at least."""


def run_inline(job: Job, shards: Iterable[int], on_row: Callable[[], None]) -> Generator[Outcome, None, None]:
    """Yield the outcome of every shard, computed by ``job.workers`` threads.

    Closing the generator, or an exception in the caller, stops the threads at their next step. Where memory
    runs out, samples wait for one another, half as many in flight as there were. A thread that is stuck
    cannot be killed, and the run waits for it; the first that is silent for longer than `longest_silence` is
    told of in the log.
    """
    waiting = iter(shards)
    with prompt_switching(), ThreadPoolExecutor(job.workers, thread_name_prefix="spinlock") as pool:
        threads = _Threads(job, pool, on_row)
        try:
            for shard in islice(waiting, job.workers):
                threads.start(shard)
            while threads.running:
                for future in threads.finished():
                    outcome = threads.outcome(future)
                    if outcome is None:
                        continue
                    for following in islice(waiting, 1):
                        threads.start(following)
                    yield outcome
        finally:
            threads.stop.set()


@dataclass
class _Running:
    """An attempt at a shard; ``limit`` is how many samples could be in flight when it began."""

    shard: int
    limit: int


class _Threads:
    """The attempts that threads are at work on."""

    def __init__(self, job: Job, pool: ThreadPoolExecutor, on_row: Callable[[], None]) -> None:
        self.running: dict[Future[Receipt], _Running] = {}
        self.stop = threading.Event()
        self._job, self._pool, self._on_row = job, pool, on_row
        self._attempts = job.attempts()
        self._in_flight = InFlight(job.workers)
        self._heard = Heard()
        self._patience = longest_silence(job.plan)
        self._told = False

    def _device(self, shard: int) -> torch.device:
        return self._job.devices[shard % len(self._job.devices)]

    def start(self, shard: int) -> None:
        """Let a thread begin a shard."""

        def stopping() -> bool:
            self._heard.now(shard)
            return self.stop.is_set()

        self._heard.now(shard)
        limit = self._in_flight.limit
        future = self._pool.submit(
            run_shard, self._job.plan, shard, self._job.directory, self._device(shard),
            attempt=self._attempts.number(shard), signals=Signals(stopping, self._on_row),
            in_flight=self._in_flight,
        )  # fmt: skip
        self.running[future] = _Running(shard, limit)

    def finished(self) -> Iterable[Future[Receipt]]:
        """Wait for attempts to end and return them; after a while return none."""
        done, _ = wait(self.running, min(self._patience, LISTENED_SECONDS), return_when=FIRST_COMPLETED)
        silent = self._heard.silent([one.shard for one in self.running.values()], self._patience)
        if silent and not done and not self._told:
            self._told = True
            logger.warning(
                "warning: nothing was heard of shard %d for %g s: its thread may be stuck, and cannot be "
                "killed. If nothing goes on, stop the run and give the same command again with --set "
                "simulation.parallelism.strategy=process: stuck worker processes are replaced",
                silent[0], self._patience,
            )  # fmt: skip
        return done

    def outcome(self, future: Future[Receipt]) -> Outcome | None:
        """Return the outcome of an attempt that ended, or None where the shard has begun again."""
        begun = self.running.pop(future)
        error = future.exception()
        outcome = None
        if error is None:
            return future.result()
        if not is_out_of_memory(error):
            outcome = _failure(error, begun.shard, self._attempts)
        elif not self._ran_out(error, begun):
            outcome = self._attempts.failed(begun.shard, one_line(error))
        if outcome is None:
            self.start(begun.shard)
        return outcome

    def _ran_out(self, error: BaseException, begun: _Running) -> bool:
        """Return whether fewer are in flight from now on, as memory ran out where a row is written, say."""
        error.__traceback__ = None  # it holds the arrays of the attempt
        give_back(self._device(begun.shard))
        return self._in_flight.ran_out_outside(begun.limit, one_line(error))


def _failure(error: BaseException, shard: int, attempts: Attempts) -> Outcome | None:
    """Return the quarantine of a shard that failed, None where it may be tried again."""
    if isinstance(error, StorageError) or not isinstance(error, Exception):
        raise error
    return attempts.failed(shard, f"{type(error).__name__}: {error}")
