"""Run shards by actors on a Ray cluster; those of a dead actor or a lost node are tried again."""

from collections import deque
from collections.abc import Callable, Generator, Iterable

from spinlock.execution.executors.choice import usable_cores
from spinlock.execution.executors.outcome import Job, Outcome
from spinlock.execution.executors.ray_cluster import joined_cluster
from spinlock.execution.executors.ray_crew import RayCrew
from spinlock.execution.executors.ray_worker import visible_mark


def run_ray(job: Job, shards: Iterable[int], on_row: Callable[[], None]) -> Generator[Outcome, None, None]:
    """Yield the outcome of every shard, computed by actors on all nodes of a Ray cluster.

    The cluster is that of ``RAY_ADDRESS``, or one that runs on this machine, or one that is started for the
    run. Actors join as it grows, ``job.workers`` at most. Closing the generator, or an exception in the
    caller, ends the actors, and the cluster if it was started here. Where memory runs out on a node, half of
    its actors leave for good.

    Raises
    ------
    UsageError
        Where a node cannot take part: it is named, with the reason.
    SpinlockError
        Where the cluster cannot be joined, or no actor can start.
    StorageError
        Where a shard cannot be written.
    """
    waiting = deque(shards)
    if not waiting:
        return
    with joined_cluster(_cores(job)) as ray, visible_mark(job.directory) as mark:
        crew = RayCrew(ray, job, mark, on_row)
        try:
            yield from crew.outcomes(waiting)
        finally:
            crew.disband()


def _cores(job: Job) -> int:
    """Return the cores of a cluster that is started here: those there are, or as many as are asked for."""
    parallelism = job.plan.config.simulation.parallelism
    listed = 0 if parallelism.devices == "auto" else parallelism.devices.count("cpu")
    asked = 0 if parallelism.workers == "auto" else parallelism.workers
    return max(usable_cores(), asked, listed * parallelism.slots_per_device)
