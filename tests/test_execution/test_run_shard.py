"""A shard is the same bytes every time, or it is not there at all."""

import threading

import pytest
import torch

import tiny
from spinlock.errors import StorageError
from spinlock.execution import shard
from spinlock.execution.in_flight import ShortOfMemoryError
from spinlock.execution.plan import make_plan
from spinlock.execution.shard import CancelledError, Signals, run_shard
from spinlock.execution.stacks import simulate_stack
from spinlock.execution.stages import STAGES
from spinlock.storage import read_receipts, shard_path

CPU = torch.device("cpu")


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.setattr("spinlock.execution.plan.FEWEST_SHARDS", 4)
    return make_plan(tiny.config_of(tmp_path / "a.h5", tiny.EVERYTHING))


def directory(path):
    for folder in ("shards", "receipts"):
        (path / folder).mkdir(parents=True)
    return path


def test_a_shard_made_twice_is_the_same_file(plan, tmp_path):
    one, two = directory(tmp_path / "one"), directory(tmp_path / "two")
    with tiny.unchecked_shapes():
        first, second = run_shard(plan, 1, one, CPU), run_shard(plan, 1, two, CPU, attempt=2)
        again = run_shard(plan, 1, one, CPU)
    assert shard_path(one, 1).read_bytes() == shard_path(two, 1).read_bytes()
    assert first.sha256 == second.sha256 == again.sha256
    assert (first.lo, first.hi) == plan.shard_range(1) == (3, 6)
    assert (first.attempt, second.attempt) == (1, 2)
    assert read_receipts(one, plan.digest, deep=True).valid == {1: again}
    assert list(first.timings) == [stage for stage in STAGES if stage != "features"]
    assert set(first.environment) == {"device", "device_model", "instruction_set", "torch"}


@pytest.fixture
def stacking(monkeypatch):
    """Samples are computed in stacks and encoded beside, as on a GPU."""
    monkeypatch.setattr(shard, "stacks_pay", lambda device: True)


def test_a_shard_is_the_same_file_whatever_fits_into_a_stack(plan, tmp_path, monkeypatch, stacking):
    one, two = directory(tmp_path / "one"), directory(tmp_path / "two")
    with tiny.unchecked_shapes():
        first = run_shard(plan, 1, one, CPU)
        monkeypatch.setattr(shard._Shard, "_room", lambda self: 1)
        second = run_shard(plan, 1, two, CPU)
    assert shard_path(one, 1).read_bytes() == shard_path(two, 1).read_bytes()
    assert first.traffic == second.traffic
    assert set(first.timings) == set(second.timings)


def test_a_stack_short_of_memory_is_divided(plan, tmp_path, monkeypatch, stacking, caplog):
    one, two, sizes = directory(tmp_path / "one"), directory(tmp_path / "two"), []

    def short(plan, draws, *words, **how):
        sizes.append(len(draws))
        if len(draws) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return simulate_stack(plan, draws, *words, **how)

    with tiny.unchecked_shapes():
        run_shard(plan, 1, one, CPU)
        monkeypatch.setattr(shard, "simulate_stack", short)
        run_shard(plan, 1, two, CPU)
    assert sizes == [3, 1, 1, 1]
    assert shard_path(one, 1).read_bytes() == shard_path(two, 1).read_bytes()
    assert caplog.text.count("memory ran out with 3 samples in a stack") == 1


def test_a_stack_of_one_that_does_not_fit_says_what_to_lower(plan, tmp_path, monkeypatch, stacking):
    def short(*words, **how):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(shard, "simulate_stack", short)
    with (
        tiny.unchecked_shapes(),
        pytest.raises(ShortOfMemoryError, match=r"sample 3 needs more .*num_realizations"),
    ):
        run_shard(plan, 1, directory(tmp_path / "d"), CPU)


@pytest.mark.parametrize("after", [1, 30])
def test_a_shard_cancelled_while_a_row_is_encoded_leaves_nothing(plan, tmp_path, stacking, after):
    asked, threads = iter(range(10_000)), set(threading.enumerate())
    parts = directory(tmp_path / "d")
    with tiny.unchecked_shapes(), pytest.raises(CancelledError):
        run_shard(plan, 0, parts, CPU, signals=Signals(stopping=lambda: next(asked) >= after))
    assert [path for path in parts.rglob("*") if path.is_file()] == []
    assert set(threading.enumerate()) == threads


def test_rows_are_told_one_by_one(plan, tmp_path):
    told = []
    with tiny.unchecked_shapes():
        run_shard(plan, 0, directory(tmp_path / "d"), CPU, signals=Signals(on_row=lambda: told.append(1)))
    assert sum(told) == 3


@pytest.mark.parametrize("after", [0, 1, 30, 60])
def test_a_cancelled_shard_leaves_nothing(plan, tmp_path, after):
    asked = iter(range(10_000))
    parts = directory(tmp_path / "d")
    with tiny.unchecked_shapes(), pytest.raises(CancelledError):
        run_shard(plan, 0, parts, CPU, signals=Signals(stopping=lambda: next(asked) >= after))
    assert next(asked) >= after
    assert [path for path in parts.rglob("*") if path.is_file()] == []


def test_a_shard_is_cancelled_within_a_step_of_the_rollout(plan, tmp_path):
    asked = []
    with tiny.unchecked_shapes():
        run_shard(
            plan, 0, directory(tmp_path / "d"), CPU, signals=Signals(stopping=lambda: bool(asked.append(1)))
        )
    rows, steps = 3, 17
    assert len(asked) >= rows * (1 + steps)


def test_a_folder_that_is_gone_is_a_storage_error(plan, tmp_path):
    with tiny.unchecked_shapes(), pytest.raises(StorageError, match=r"part-000000\.h5 cannot be written"):
        run_shard(plan, 0, tmp_path / "none", CPU)
