"""Which executor runs a plan, with how many workers."""

import math
import os
from collections.abc import Callable, Generator, Sequence
from importlib.util import find_spec
from typing import Literal

import torch

from spinlock.config.model import Config
from spinlock.errors import missing_package
from spinlock.execution.estimate import estimate
from spinlock.execution.executors.outcome import Job, Outcome
from spinlock.execution.in_flight import most_in_flight
from spinlock.execution.plan import Plan

WORTH_PROCESSES = 50.0
"""Core seconds as estimated; below this, starting workers costs more than it saves (docs/performance.md)."""

TASK_SECONDS, MOST_TASKS = 300.0, 64
"""An array job has as many tasks as leave each so many core seconds of work, and at most so many."""

Kind = Literal["inline", "process", "ray", "slurm"]


def require_executor(config: Config, *, to_run: bool = True) -> None:
    """Raise `UsageError` where the executor needs a package or, to run, commands that are not here."""
    if config.simulation.parallelism.strategy == "slurm" and to_run:
        from spinlock.execution.executors.slurm_array import INSTEAD
        from spinlock.execution.executors.slurm_commands import require_commands

        require_commands(INSTEAD)
    if config.simulation.parallelism.strategy == "ray" and find_spec("ray") is None:
        instead = "choose another --executor (simulation.parallelism.strategy)"
        raise missing_package("ray", "the executor ray", "ray", instead)


def choose(plan: Plan, devices: Sequence[torch.device], missing: int) -> tuple[Kind, int]:
    """Return the executor and its number of workers for ``missing`` shards on those devices.

    ``auto`` workers are the cores this process may use, or one for each slot of the GPUs; never more than
    shards to do, ``sampling.batch_size`` samples in flight, or samples that fit into memory. On a cluster
    nothing of this machine counts: there it is how many workers may be at work at most.
    """
    parallelism = plan.config.simulation.parallelism
    most = max(1, min(missing, plan.config.sampling.batch_size))
    if parallelism.strategy == "slurm":
        asked = parallelism.slurm.tasks
        return "slurm", min(most, _tasks(plan, missing) if asked == "auto" else asked)
    if parallelism.strategy == "ray":
        return "ray", most if parallelism.workers == "auto" else min(parallelism.workers, most)
    on_gpu = any(device.type == "cuda" for device in devices)
    workers = parallelism.workers
    if workers == "auto":
        workers = len(devices) if on_gpu or parallelism.strategy == "ddp" else usable_cores()
    workers = min(workers, most)
    kind = _kind(plan, missing, workers, on_gpu=on_gpu)
    if on_gpu and workers <= len(set(devices)):
        return kind, workers  # one each; a GPU that is not asked is not loaded into this process either
    return kind, min(workers, most_in_flight(plan, devices, processes=kind == "process") or workers)


def _kind(plan: Plan, missing: int, workers: int, *, on_gpu: bool) -> Kind:
    strategy = plan.config.simulation.parallelism.strategy
    if strategy in ("process", "ddp"):
        return "process"
    if strategy == "inline" or workers == 1:
        return "inline"
    return "process" if on_gpu or _core_seconds(plan, missing) > WORTH_PROCESSES else "inline"


def _core_seconds(plan: Plan, missing: int) -> float:
    return estimate(plan).core_seconds * missing / plan.num_shards


def _tasks(plan: Plan, missing: int) -> int:
    """Return how many tasks of an array job the work is worth."""
    return min(MOST_TASKS, math.ceil(_core_seconds(plan, missing) / TASK_SECONDS))


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def execute(
    kind: Kind, job: Job, shards: Sequence[int], on_row: Callable[[], None]
) -> Generator[Outcome, None, None]:
    """Yield the outcome of every shard, in any order; closing the generator stops all work."""
    return _executor(kind)(job, shards, on_row)


def _executor(kind: Kind) -> Callable[..., Generator[Outcome, None, None]]:
    """Return an executor; its module is loaded when it is used."""
    if kind == "inline":
        from spinlock.execution.executors.inline import run_inline as run
    elif kind == "process":
        from spinlock.execution.executors.process import run_processes as run
    elif kind == "ray":
        from spinlock.execution.executors.ray_actors import run_ray as run
    else:
        from spinlock.execution.executors.slurm_array import run_slurm as run
    return run
