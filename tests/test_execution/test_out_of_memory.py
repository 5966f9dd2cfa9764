"""A run that is short of memory goes on with half as many in flight, and ends with the same bytes."""

import logging
import threading
from contextlib import closing
from typing import Any

import pytest
import torch

import tiny
from spinlock.dataset import DatasetGenerationPipeline
from spinlock.errors import SpinlockError
from spinlock.execution import shard as shards
from spinlock.execution.executors.choice import execute
from spinlock.execution.executors.outcome import Job, Quarantined
from spinlock.execution.plan import make_plan
from spinlock.storage import Receipt

CPU = torch.device("cpu")

SAYS = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"


class Allocation:
    """Stands for `simulate`: fails while more than ``most`` samples are in flight.

    The first ``together`` samples wait for one another, so that they are in flight at the same time.
    """

    def __init__(self, most: int, together: int, error: Exception) -> None:
        self.right, self.most, self.error = shards.simulate, most, error
        self.barrier = threading.Barrier(together)
        self.lock = threading.Lock()
        self.begun = self.inside = self.greatest = 0
        self.failed: list[int] = []

    def __call__(self, plan, draw, *words, **how):
        with self.lock:
            self.begun += 1
            self.inside += 1
            first = self.begun <= self.barrier.parties
        try:
            if first:
                self.barrier.wait(60)
            crowded = self.inside > self.most
            if first:
                self.barrier.wait(60)
            else:
                self.greatest = max(self.greatest, self.inside)
            if crowded:
                self.failed.append(draw.index)
                raise self.error
            return self.right(plan, draw, *words, **how)
        finally:
            with self.lock:
                self.inside -= 1


def job_of(folder, workers, samples) -> Job:
    config = tiny.config_of(folder / "a.h5", tiny.PLAIN, {"sampling.total_samples": samples})
    for name in ("shards", "receipts"):
        (folder / name).mkdir(exist_ok=True)
    return Job(make_plan(config), folder, (CPU,), workers)


def outcomes(kind, job) -> list[Any]:
    with (
        tiny.unchecked_shapes(),
        closing(execute(kind, job, range(job.plan.num_shards), lambda: None)) as found,
    ):
        return sorted(found, key=lambda outcome: outcome.shard)


def receipts(kind, job):
    """Return the receipts of all shards, none of which is quarantined."""
    found = outcomes(kind, job)
    assert all(isinstance(outcome, Receipt) for outcome in found)
    return found


def undisturbed(folder, samples):
    """Return the SHA-256 of every shard of a run in which nothing goes wrong."""
    folder.mkdir()
    return [receipt.sha256 for receipt in receipts("inline", job_of(folder, 1, samples))]


def warned(caplog) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("error", [RuntimeError(SAYS), MemoryError(), torch.OutOfMemoryError("CUDA")])
def test_threads_go_on_with_half_as_many_and_the_same_bytes(tmp_path, monkeypatch, caplog, error):
    allocation = Allocation(most=2, together=4, error=error)
    monkeypatch.setattr(shards, "simulate", allocation)
    found = receipts("inline", job_of(tmp_path, 4, 12))
    monkeypatch.undo()
    assert [receipt.attempt for receipt in found] == [1] * 12
    assert len(allocation.failed) == 4
    assert 1 <= allocation.greatest <= 2
    (said,) = warned(caplog)
    assert "memory ran out with 4 samples in flight" in said
    assert "at most 2" in said
    assert [receipt.sha256 for receipt in found] == undisturbed(tmp_path / "undisturbed", 12)


def test_with_memory_enough_nothing_is_halved(tmp_path, monkeypatch, caplog):
    """The control: the same samples wait for one another, and none fails."""
    allocation = Allocation(most=4, together=4, error=MemoryError())
    monkeypatch.setattr(shards, "simulate", allocation)
    found = receipts("inline", job_of(tmp_path, 4, 12))
    assert [receipt.attempt for receipt in found] == [1] * 12
    assert allocation.failed == []
    assert warned(caplog) == []


def test_another_error_is_counted_as_an_attempt(tmp_path, monkeypatch, caplog):
    """The control: the same samples fail at the same time, but not for memory."""
    monkeypatch.setattr(shards, "simulate", Allocation(most=2, together=4, error=RuntimeError("no luck")))
    found = outcomes("inline", job_of(tmp_path, 4, 4))
    assert all(isinstance(outcome, Quarantined) or outcome.attempt > 1 for outcome in found)
    assert not any("memory" in said for said in warned(caplog))


def test_a_sample_too_large_for_memory_is_named_and_the_others_are_kept(tmp_path, monkeypatch, caplog):
    right, tries = shards.simulate, []

    def simulate(plan, draw, *words, **how):
        if draw.index == 1:
            tries.append(1)
            raise RuntimeError(SAYS)
        return right(plan, draw, *words, **how)

    monkeypatch.setattr(shards, "simulate", simulate)
    changes = {"sampling.total_samples": 4, "simulation.parallelism.workers": 1}
    config = tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, changes)
    with tiny.unchecked_shapes(), pytest.raises(SpinlockError) as told:
        DatasetGenerationPipeline(config).generate()
    assert len(tries) == 3
    for words in ("1 of 4 shards failed three times", "sample 1 needs more memory than was free",
                  "num_realizations", "grid_size", "memory_fraction", "can't allocate memory"):  # fmt: skip
        assert words in str(told.value)
    assert not any("memory ran out" in said for said in warned(caplog))
    monkeypatch.undo()
    with tiny.unchecked_shapes():
        assert DatasetGenerationPipeline(config).generate().made == 1


HOOK = """
import os, sys, time
if "spinlock.execution.worker" in sys.orig_argv:
    from pathlib import Path
    from spinlock.execution import shard
    here, right = Path(__file__).parent, shard.simulate
    def simulate(plan, draw, *words, **how):
        (here / f"inside-{os.getpid()}").touch()
        while len(list(here.glob("inside-*"))) < TOGETHER:
            time.sleep(0.01)
        try:
            os.close(os.open(here / "failed", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return right(plan, draw, *words, **how)
        raise ERROR
    shard.simulate = simulate
"""


def hooked(folder, monkeypatch, together, error):
    """Let one sample of the worker processes fail, as soon as so many of them simulate."""
    hook = folder / "hook"
    hook.mkdir()
    text = HOOK.replace("TOGETHER", str(together)).replace("ERROR", error)
    (hook / "sitecustomize.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(hook))


def test_processes_go_on_with_half_as_many_and_the_same_bytes(tmp_path, monkeypatch, caplog):
    hooked(tmp_path, monkeypatch, 2, "MemoryError('no room')")
    found = receipts("process", job_of(tmp_path, 2, 5))
    assert (tmp_path / "hook" / "failed").exists()
    assert [receipt.attempt for receipt in found] == [1] * 5
    (said,) = warned(caplog)
    assert "memory ran out with 2 worker processes in flight" in said
    assert "at most 1" in said
    assert [receipt.sha256 for receipt in found] == undisturbed(tmp_path / "undisturbed", 5)


@pytest.mark.parametrize(
    ("together", "error", "said"),
    [
        pytest.param(2, "RuntimeError('no luck')", "no luck", marks=pytest.mark.slow),
        (1, "MemoryError('no room')", "with no other in flight"),
    ],
)
def test_processes_count_what_is_no_lack_of_memory_or_fails_alone(
    tmp_path, monkeypatch, caplog, together, error, said
):
    """The control: another error in company, and a lack of memory without."""
    hooked(tmp_path, monkeypatch, together, error)
    found = receipts("process", job_of(tmp_path, together, 3))
    assert sorted(receipt.attempt for receipt in found) == [1, 1, 2]
    (warning,) = warned(caplog)
    assert said in warning
    assert "is tried again" in warning


@pytest.mark.slow
def test_a_lack_of_memory_in_processes_is_quarantined_after_three_attempts(tmp_path, monkeypatch):
    hook = tmp_path / "hook"
    hook.mkdir()
    lines = HOOK.replace("TOGETHER", "1").replace("raise ERROR", "").splitlines()
    start = next(k for k, line in enumerate(lines) if "inside-" in line)
    text = "\n".join([*lines[:start], "        if draw.index: return right(plan, draw, *words, **how)",
                      "        raise MemoryError('no room')", lines[-1]])  # fmt: skip
    (hook / "sitecustomize.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(hook))
    found = outcomes("process", job_of(tmp_path, 1, 2))
    assert isinstance(found[0], Quarantined)
    assert (
        "ShortOfMemoryError: sample 0 needs more memory than was free with no other in flight"
        in found[0].reason
    )
    assert isinstance(found[1], Receipt)
