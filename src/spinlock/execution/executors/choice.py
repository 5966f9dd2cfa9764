"""Which executor runs a plan, with how many workers."""

import os
from collections.abc import Callable, Generator, Sequence
from typing import Literal

import torch

from spinlock.execution.estimate import estimate
from spinlock.execution.executors.inline import run_inline
from spinlock.execution.executors.outcome import Job, Outcome
from spinlock.execution.executors.process import run_processes
from spinlock.execution.plan import Plan

WORTH_PROCESSES = 20.0
"""Core seconds; below this, starting workers costs more than it saves."""

Kind = Literal["inline", "process"]


def choose(plan: Plan, devices: Sequence[torch.device], missing: int) -> tuple[Kind, int]:
    """Return the executor and its number of workers for ``missing`` shards on those devices.

    ``auto`` workers are the cores this process may use, or one for each GPU; never more than shards to do or
    ``sampling.batch_size`` samples in flight.
    """
    parallelism = plan.config.simulation.parallelism
    on_gpu = any(device.type == "cuda" for device in devices)
    workers = parallelism.workers
    if workers == "auto":
        workers = len(devices) if on_gpu or parallelism.strategy == "ddp" else usable_cores()
    workers = max(1, min(workers, missing, plan.config.sampling.batch_size))
    if parallelism.strategy in ("process", "ddp"):
        return "process", workers
    if parallelism.strategy == "inline" or workers == 1:
        return "inline", workers
    work = estimate(plan).core_seconds * missing / plan.num_shards
    return ("process" if on_gpu or work > WORTH_PROCESSES else "inline"), workers


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def execute(
    kind: Kind, job: Job, shards: Sequence[int], on_row: Callable[[], None]
) -> Generator[Outcome, None, None]:
    """Yield the outcome of every shard, in any order; closing the generator stops all work."""
    return (run_inline if kind == "inline" else run_processes)(job, shards, on_row)
