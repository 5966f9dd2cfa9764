"""Jobs for a stand-in of Ray, and what disturbs their shards."""

import threading
from contextlib import closing

import torch

import tiny
from ray_stand_in import here
from spinlock.execution import environment as environments
from spinlock.execution import shard as shards
from spinlock.execution.executors.choice import execute
from spinlock.execution.executors.outcome import Job
from spinlock.execution.plan import make_plan
from spinlock.storage import Receipt

CPU = torch.device("cpu")


def job_of(folder, samples=6, workers=9, changes=None, **how) -> Job:
    settings = {"sampling.total_samples": samples, "simulation.parallelism.workers": "auto"}
    config = tiny.config_of(folder / "a.h5", tiny.PLAIN, settings | (changes or {}))
    for name in ("shards", "receipts"):
        (folder / name).mkdir(exist_ok=True)
    return Job(make_plan(config), folder, (CPU,), workers, **how)


def outcomes(job, on_row=lambda: None):
    with tiny.unchecked_shapes(), closing(execute("ray", job, range(job.plan.num_shards), on_row)) as found:
        return sorted(found, key=lambda outcome: outcome.shard)


def disturbed(monkeypatch, disturb=lambda shard, tries, signals: None):
    """Call ``disturb`` instead of computing a shard; return what was tried."""
    tried = []

    def run_shard(plan, shard, directory, device, *, attempt, signals, in_flight):
        tried.append(shard)
        disturb(shard, tried.count(shard), signals)
        signals.on_row()
        where = environments.numerical_environment(device)
        return Receipt(shard, shard, shard + 1, plan.digest, 1, "s", "d", attempt=attempt, environment=where)

    monkeypatch.setattr(shards, "run_shard", run_shard)
    return tried


def at(shard, *tries):
    """Return a condition on a shard and its try, from 1; any try where none is named."""
    return lambda number, count: number == shard and (not tries or count in tries)


def raising(where, error):
    def disturb(shard, tries, _signals):
        if where(shard, tries):
            raise error

    return disturb


class Meeting:
    """Where so many actors wait for one another, once."""

    def __init__(self, parties):
        self._barrier, self._met = threading.Barrier(parties), threading.Event()
        self._came = set()

    def all(self):
        if not self._met.is_set() and here.actor not in self._came:
            self._came.add(here.actor)
            self._barrier.wait(60)
            self._met.set()
