"""Executors yield an outcome for every shard, try failing ones three times, and stop when they are told."""

import os
import signal
import threading
from contextlib import closing

import pytest
import torch

import tiny
from spinlock.errors import SpinlockError, StorageError
from spinlock.execution.executors import inline
from spinlock.execution.executors.choice import choose, execute, usable_cores
from spinlock.execution.executors.outcome import Job, Quarantined
from spinlock.execution.executors.process import Worker
from spinlock.execution.plan import make_plan
from spinlock.storage import Receipt

CPU = torch.device("cpu")


@pytest.fixture
def job(tmp_path):
    return job_of(tmp_path)


def job_of(tmp_path, workers=2, samples=4) -> Job:
    config = tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, {"sampling.total_samples": samples})
    for folder in ("shards", "receipts"):
        (tmp_path / folder).mkdir(exist_ok=True)
    return Job(make_plan(config), tmp_path, (CPU,), workers)


def outcomes(kind, job, shards=None, on_row=lambda: None):
    with closing(
        execute(kind, job, list(range(job.plan.num_shards)) if shards is None else shards, on_row)
    ) as found:
        return sorted(found, key=lambda outcome: outcome.shard)


@pytest.mark.parametrize("workers", [1, 2, 9])
def test_inline_yields_a_receipt_for_every_shard(tmp_path, workers):
    rows = []
    found = outcomes("inline", job_of(tmp_path, workers), on_row=lambda: rows.append(1))
    assert [receipt.shard for receipt in found] == [0, 1, 2, 3]
    assert all(isinstance(receipt, Receipt) and receipt.attempt == 1 for receipt in found)
    assert len(rows) == 4


@pytest.mark.parametrize("kind", ["inline", "process"])
def test_no_shards_are_no_work(job, kind):
    assert outcomes(kind, job, []) == []


def failing(monkeypatch, shard: int, times: int, error: type[Exception] = RuntimeError) -> list[int]:
    right, tried = inline.run_shard, []

    def run_shard(plan, number, *words, **how):
        tried.append(number)
        if number == shard and tried.count(shard) <= times:
            raise error(f"no luck {tried.count(shard)}")
        return right(plan, number, *words, **how)

    monkeypatch.setattr(inline, "run_shard", run_shard)
    return tried


@pytest.mark.parametrize("workers", [1, 2])
def test_a_shard_that_fails_three_times_is_quarantined_and_the_rest_goes_on(tmp_path, monkeypatch, workers):
    tried = failing(monkeypatch, 1, times=99)
    found = outcomes("inline", job_of(tmp_path, workers))
    assert found[1] == Quarantined(1, "RuntimeError: no luck 3")
    assert [isinstance(outcome, Receipt) for outcome in found] == [True, False, True, True]
    assert sorted(tried) == [0, 1, 1, 1, 2, 3]


@pytest.mark.parametrize("times", [1, 2])
def test_a_shard_that_fails_and_then_succeeds_says_so_in_its_receipt(job, monkeypatch, times):
    failing(monkeypatch, 2, times)
    assert [receipt.attempt for receipt in outcomes("inline", job)] == [1, 1, 1 + times, 1]


def test_a_storage_error_ends_the_run_at_once(job, monkeypatch):
    tried = failing(monkeypatch, 0, times=99, error=StorageError)
    with pytest.raises(StorageError, match="no luck 1"):
        outcomes("inline", job)
    assert tried.count(0) == 1


def test_closing_inline_stops_its_threads_within_a_step(tmp_path):
    job, before = job_of(tmp_path, samples=40), set(threading.enumerate())
    run = execute("inline", job, list(range(job.plan.num_shards)), lambda: None)
    assert isinstance(next(run), Receipt)
    run.close()
    assert set(threading.enumerate()) == before
    assert tiny.temporaries(tmp_path) == []
    assert len(list((tmp_path / "receipts").iterdir())) < job.plan.num_shards


POISON = """
import os, signal, sys
if "spinlock.execution.worker" in sys.orig_argv:
    from pathlib import Path
    from spinlock.execution import shard
    right = shard.run_shard
    def run_shard(plan, number, directory, *words, **how):
        tries = Path(directory) / f"tries-{number}"
        tries.write_text(tries.read_text() + "." if tries.exists() else ".")
        count = len(tries.read_text())
        if number == 0:
            raise RuntimeError(f"no luck {count}")
        if number == 1 and count <= DEATHS:
            os.kill(os.getpid(), signal.SIGKILL)
        return right(plan, number, directory, *words, **how)
    shard.run_shard = run_shard
"""


@pytest.mark.parametrize("deaths", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_processes_survive_poisoned_shards_and_dead_workers(tmp_path, monkeypatch, deaths):
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(POISON.replace("DEATHS", str(deaths)))
    monkeypatch.setenv("PYTHONPATH", str(hook))
    found = outcomes("process", job_of(tmp_path, workers=1, samples=3))
    assert found[0] == Quarantined(0, "RuntimeError: no luck 3")
    if deaths == 3:
        assert isinstance(found[1], Quarantined)
        assert found[1].reason.startswith("its worker was killed by SIGKILL")
    else:
        assert isinstance(found[1], Receipt)
        assert found[1].attempt == 2
    assert isinstance(found[2], Receipt)
    assert found[2].attempt == 1
    tries = [len(path.read_text()) for path in sorted(tmp_path.glob("tries-*"))]
    assert tries == [3, min(deaths + 1, 3), 1]


def test_workers_that_cannot_start_end_the_run(job, tmp_path, monkeypatch, capfd):
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import sys, os\nif 'spinlock.execution.worker' in sys.orig_argv:\n"
        "    print('no such thing', file=sys.stderr, flush=True)\n    os._exit(3)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(hook))
    with pytest.raises(
        SpinlockError, match=r"a worker could not start \(code 3\); its own words stand above"
    ):
        outcomes("process", job)
    assert "no such thing" in capfd.readouterr().err


def test_a_worker_refuses_another_plan(tmp_path, monkeypatch, capfd):
    job = job_of(tmp_path, workers=1)
    monkeypatch.setattr(job.plan, "digest", "f" * 64)
    with pytest.raises(SpinlockError, match=r"a worker could not start \(code 1\)"):
        outcomes("process", job)
    assert "the driver's has ffff" in capfd.readouterr().err


def test_a_worker_serves_shards_reports_rows_and_leaves(job):
    worker, rows = Worker(job, 0), []
    try:
        answer = worker.run(2, 1, lambda: rows.append(1))
        assert Receipt.from_json(answer["receipt"]).shard == 2
        assert len(rows) == 1
        pid = worker._process.pid
        os.kill(pid, signal.SIGINT)  # the driver decides
        assert "receipt" in worker.run(3, 1, lambda: None)
        assert worker._process.pid == pid
        os.kill(pid, signal.SIGTERM)  # a worker that waits for work leaves at once
        assert worker._process.wait(20) == 128 + signal.SIGTERM
        assert worker.run(1, 1, lambda: None) == {"died": "its worker ended with code 143"}
        assert "receipt" in worker.run(1, 2, lambda: None)
    finally:
        assert worker.close() == "its worker ended with code 0"
    assert worker.close() == "it was asked to leave"
    worker.leave()
    assert worker.run(0, 1, lambda: None) == {"died": "it was asked to leave"}


@pytest.mark.slow
def test_a_driver_whose_progress_fails_does_not_mistake_one_answer_for_another(tmp_path):
    job = job_of(tmp_path, workers=1, samples=3)
    calls = []

    def on_row():
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("the bar broke")

    found = outcomes("process", job, on_row=on_row)
    assert [outcome.shard for outcome in found] == [0, 1, 2]
    assert [outcome.attempt for outcome in found] == [2, 1, 1]


@pytest.mark.parametrize(
    ("parallelism", "batch_size", "missing", "chosen"),
    [
        ({"strategy": "inline", "workers": 3}, 100, 10, ("inline", 3)),
        ({"strategy": "process", "workers": 3}, 100, 10, ("process", 3)),
        ({"strategy": "process", "workers": 1}, 100, 10, ("process", 1)),
        ({"strategy": "process", "workers": 3}, 100, 2, ("process", 2)),
        ({"strategy": "process", "workers": 3}, 1, 10, ("process", 1)),
        ({"strategy": "auto", "workers": 1}, 100, 10, ("inline", 1)),
        ({"strategy": "auto", "workers": 2}, 100, 10, ("inline", 2)),
        ({"strategy": "ddp"}, 100, 10, ("process", 1)),
        ({"strategy": "ray"}, 100, 1000, ("ray", 100)),  # what this machine is does not matter
        ({"strategy": "ray"}, 2000, 1000, ("ray", 1000)),
        ({"strategy": "ray", "workers": 64}, 2000, 1000, ("ray", 64)),
        ({"strategy": "ray", "workers": 64}, 2000, 10, ("ray", 10)),
        ({"strategy": "inline"}, 100, 1000, ("inline", usable_cores())),
    ],
)
def test_which_executor_is_chosen(tmp_path, parallelism, batch_size, missing, chosen):
    changes = {"simulation.parallelism": parallelism, "sampling.batch_size": batch_size,
               "sampling.total_samples": 1000}  # fmt: skip
    plan = make_plan(tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, changes))
    assert choose(plan, [CPU], missing) == chosen


def test_much_work_is_worth_processes(tmp_path):
    changes = {"simulation.parallelism": {"workers": 2}, "sampling.total_samples": 10_000,
               "simulation.num_timesteps": 500}  # fmt: skip
    plan = make_plan(tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, changes))
    assert choose(plan, [CPU], plan.num_shards) == ("process", 2)
