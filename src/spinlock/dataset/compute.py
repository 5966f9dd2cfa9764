"""Computing the shards of a plan that no receipt stands for."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import torch

from spinlock.dataset.part import Part, rows_of
from spinlock.dataset.profile import Profiler
from spinlock.dataset.progress import Progress
from spinlock.dataset.provenance import merged_environments
from spinlock.dataset.resume import work_left
from spinlock.dataset.summary import quarantine_message
from spinlock.dataset.workers import WorkerCount
from spinlock.errors import SpinlockError
from spinlock.execution.devices import computed_elsewhere
from spinlock.execution.executors.choice import choose, execute
from spinlock.execution.executors.outcome import Job, Quarantined
from spinlock.execution.run_directory import RunDirectory


@dataclass(frozen=True)
class Computed:
    """What was computed.

    Attributes
    ----------
    executor, workers
        Who computed; ``none`` and 0 where all was there before.
    before
        Shards that had a receipt before.
    made
        Shards that were made.
    left
        Shards that are still without one, in order.
    """

    executor: str
    workers: int
    before: frozenset[int]
    made: frozenset[int] = frozenset()
    left: tuple[int, ...] = ()


def compute_missing(
    run: RunDirectory,
    part: Part,
    devices: Sequence[torch.device],
    progress: Progress,
    profiler: Profiler,
    *,
    allow_mixed: bool,
) -> Computed:
    """Compute those shards without a valid receipt that the part chooses.

    Raises
    ------
    UsageError
        Where that would mix environments and ``allow_mixed`` is not given.
    SpinlockError
        Where shards failed three times; the others are kept.
    """
    plan = run.plan
    judged = [] if computed_elsewhere(plan.config) else devices  # elsewhere a worker is, as it starts
    done, missing = work_left(run, judged, allow_mixed=allow_mixed)
    before, chosen = frozenset(done), part.chosen(plan, missing)
    rows = sum(receipt.hi - receipt.lo for receipt in done.values())
    progress.begin(rows + rows_of(plan, chosen), rows)
    left = tuple(sorted(set(missing).difference(chosen)))
    if not chosen:
        return Computed("none", 0, before, left=left)
    kind, workers = choose(plan, devices, len(chosen))
    count = WorkerCount(progress, plan.config, devices, kind, workers)
    profiler.begin("workers")
    environments = tuple(merged_environments(done.values()))
    job = Job(plan, run.path, tuple(devices), workers, environments, allow_mixed, count.found)
    with closing(execute(kind, job, chosen, progress.advance)) as outcomes:
        failed = [outcome for outcome in outcomes if isinstance(outcome, Quarantined)]
    if failed:
        raise SpinlockError(quarantine_message(plan, failed))
    return Computed(kind, count.most, before, frozenset(chosen), left)
