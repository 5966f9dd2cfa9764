"""Run shards in this process, on Python threads with one torch thread each."""

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice

from spinlock.errors import StorageError
from spinlock.execution.executors.outcome import Attempts, Job, Outcome
from spinlock.execution.executors.switching import prompt_switching
from spinlock.execution.in_flight import InFlight
from spinlock.execution.shard import Signals, run_shard
from spinlock.storage import Receipt


def run_inline(job: Job, shards: Iterable[int], on_row: Callable[[], None]) -> Generator[Outcome, None, None]:
    """Yield the outcome of every shard, computed by ``job.workers`` threads.

    Closing the generator, or an exception in the caller, stops the threads at their next step. Where memory
    runs out, samples wait for one another, half as many in flight as there were.
    """
    stop = threading.Event()
    signals = Signals(stop.is_set, on_row)
    attempts = Attempts()
    in_flight = InFlight(job.workers)
    waiting = iter(shards)
    running: dict[Future[Receipt], int] = {}

    def start(shard: int) -> None:
        device = job.devices[shard % len(job.devices)]
        number = attempts.number(shard)
        future = pool.submit(
            run_shard, job.plan, shard, job.directory, device,
            attempt=number, signals=signals, in_flight=in_flight,
        )  # fmt: skip
        running[future] = shard

    with prompt_switching(), ThreadPoolExecutor(job.workers, thread_name_prefix="spinlock") as pool:
        try:
            for shard in islice(waiting, job.workers):
                start(shard)
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    shard = running.pop(future)
                    outcome = _outcome(future, shard, attempts)
                    if outcome is None:
                        start(shard)
                        continue
                    for following in islice(waiting, 1):
                        start(following)
                    yield outcome
        finally:
            stop.set()


def _outcome(future: Future[Receipt], shard: int, attempts: Attempts) -> Outcome | None:
    """Return the outcome of a finished attempt, or None where the shard is to be tried again."""
    try:
        return future.result()
    except StorageError:
        raise
    except Exception as error:  # noqa: BLE001 (whatever it is, the other shards go on)
        return attempts.failed(shard, f"{type(error).__name__}: {error}")
