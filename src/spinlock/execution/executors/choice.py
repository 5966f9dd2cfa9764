"""Which executor runs a plan, with how many workers."""

import os
from collections.abc import Callable, Generator, Sequence
from typing import Literal

import torch

from spinlock.execution.estimate import estimate
from spinlock.execution.executors.inline import run_inline
from spinlock.execution.executors.outcome import Job, Outcome
from spinlock.execution.executors.process import run_processes
from spinlock.execution.in_flight import most_in_flight
from spinlock.execution.plan import Plan

WORTH_PROCESSES = 20.0
"""Core seconds; below this, starting workers costs more than it saves."""

Kind = Literal["inline", "process"]


def choose(plan: Plan, devices: Sequence[torch.device], missing: int) -> tuple[Kind, int]:
    """Return the executor and its number of workers for ``missing`` shards on those devices.

    ``auto`` workers are the cores this process may use, or one for each GPU; never more than shards to do,
    ``sampling.batch_size`` samples in flight, or samples that fit into memory.
    """
    parallelism = plan.config.simulation.parallelism
    on_gpu = any(device.type == "cuda" for device in devices)
    workers = parallelism.workers
    if workers == "auto":
        workers = len(devices) if on_gpu or parallelism.strategy == "ddp" else usable_cores()
    workers = max(1, min(workers, missing, plan.config.sampling.batch_size))
    kind = _kind(plan, missing, workers, on_gpu=on_gpu)
    if on_gpu and workers <= len(devices):
        return kind, workers  # one each; a GPU that is not asked is not loaded into this process either
    return kind, min(workers, most_in_flight(plan, devices, processes=kind == "process") or workers)


def _kind(plan: Plan, missing: int, workers: int, *, on_gpu: bool) -> Kind:
    strategy = plan.config.simulation.parallelism.strategy
    if strategy in ("process", "ddp"):
        return "process"
    if strategy == "inline" or workers == 1:
        return "inline"
    work = estimate(plan).core_seconds * missing / plan.num_shards
    return "process" if on_gpu or work > WORTH_PROCESSES else "inline"


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def execute(
    kind: Kind, job: Job, shards: Sequence[int], on_row: Callable[[], None]
) -> Generator[Outcome, None, None]:
    """Yield the outcome of every shard, in any order; closing the generator stops all work."""
    return (run_inline if kind == "inline" else run_processes)(job, shards, on_row)
