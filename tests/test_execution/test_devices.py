"""Devices are what they are called, and a missing GPU is named, not silently replaced."""

import json
from contextlib import closing

import h5py
import pytest
import torch

import tiny
from spinlock.errors import UsageError
from spinlock.execution.devices import available, resolve_device, resolve_devices
from spinlock.execution.executors.choice import choose, execute
from spinlock.execution.executors.outcome import Job
from spinlock.execution.executors.process import Worker
from spinlock.execution.plan import make_plan
from test_execution.stub_worker import Stub

CPU = torch.device("cpu")


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def devices(tmp_path, device="auto", asked="auto", parallelism=None, **simulation):
    changes = {"simulation.device": device, "simulation.parallelism": parallelism or {"devices": asked}}
    changes |= {f"simulation.{name}": value for name, value in simulation.items()}
    return [str(d) for d in resolve_devices(tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, changes))]


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_the_cpu_is_used_and_said(tmp_path):
    assert resolve_device("auto") == CPU
    assert resolve_device("cpu") == CPU
    for name in ("cuda", "cuda:1"):
        with pytest.warns(
            UserWarning, match=f"device '{name}': this machine has no such GPU; the CPU is used"
        ):
            assert devices(tmp_path, name) == ["cpu"]
    with pytest.warns(UserWarning, match="no such GPU here: cuda:0, cuda:3; the run uses the CPU"):
        assert devices(tmp_path, asked=[0, 3]) == ["cpu"]


@pytest.mark.usefixtures("two_gpus")
def test_gpus_are_found_by_number(tmp_path):
    assert devices(tmp_path) == ["cuda:0"]
    assert devices(tmp_path, "cuda") == ["cuda:0"]
    assert devices(tmp_path, "cuda:1") == ["cuda:1"]
    assert devices(tmp_path, "cpu") == ["cpu"]
    assert devices(tmp_path, asked=[1, 0]) == ["cuda:1", "cuda:0"]
    assert not available("cuda:2")
    with pytest.warns(UserWarning, match="no such GPU here: cuda:2; the run uses cuda:1"):
        assert devices(tmp_path, asked=[1, 2]) == ["cuda:1"]


@pytest.mark.usefixtures("two_gpus")
def test_float16_needs_a_gpu(tmp_path):
    assert devices(tmp_path, precision="float16") == ["cuda:0"]
    for asked in ("cpu",), ("cuda", "cpu"):
        with pytest.raises(UsageError, match="use bfloat16, or a GPU"):
            devices(tmp_path, asked=list(asked), precision="float16")


@pytest.mark.usefixtures("two_gpus")
def test_every_entry_is_a_slot_and_slots_multiply_it(tmp_path):
    mixed = ["cpu", "cpu", "cuda:0", "cuda:0"]
    assert devices(tmp_path, asked=mixed) == mixed
    for asked, slots in (("auto", ["cuda:0"]), ([1], ["cuda:1"]), (["cpu", 1], ["cpu", "cuda:1"])):
        parallelism = {"devices": asked, "slots_per_device": 3}
        assert sorted(devices(tmp_path, parallelism=parallelism)) == sorted(slots * 3)


@pytest.mark.usefixtures("two_gpus")
def test_a_missing_gpu_is_named_once_however_often_it_is_asked_for(tmp_path):
    with pytest.warns(UserWarning, match="no such GPU here") as told:
        assert devices(tmp_path, asked=[0, 0, 2, 2, "cpu"]) == ["cuda:0", "cuda:0", "cpu"]
    (warning,) = told
    assert str(warning.message).startswith("no such GPU here: cuda:2; the run uses cuda:0, cpu. If it has")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("strategy", ["ray", "slurm"])
def test_where_others_compute_nothing_is_said_of_this_machine(tmp_path, strategy):
    for device in ("auto", "cuda"):
        parallelism = {"strategy": strategy, "devices": [0, 1]}
        assert devices(tmp_path, device, parallelism=parallelism, precision="float16") == ["cpu"]


def test_workers_take_the_slots_in_turn_and_know_how_many_share_theirs(tmp_path):
    gpu = torch.device("cuda:0")
    plan = make_plan(tiny.config_of(tmp_path / "a.h5", tiny.PLAIN))
    job = Job(plan, tmp_path, (CPU, CPU, gpu, gpu), workers=4)
    orders = [Worker(job, number)._order for number in range(4)]
    assert [order["device"] for order in orders] == ["cpu", "cpu", "cuda:0", "cuda:0"]
    assert [order["sharing"] for order in orders] == [2, 2, 2, 2]
    one = Job(plan, tmp_path, (gpu,), workers=3)
    assert Worker(one, 2)._order["sharing"] == 3


def test_each_of_four_slots_of_a_cpu_is_a_process(tmp_path, monkeypatch):
    """The stand-ins wait until four of them are at work, which fewer would never be."""
    Stub(tmp_path, monkeypatch, "while len(list(here.glob('pid-*'))) < 4: time.sleep(0.01)")
    changes = {
        "sampling.total_samples": 8,
        "simulation.parallelism": {"strategy": "ddp", "devices": ["cpu", "cpu"], "slots_per_device": 2},
    }
    config = tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, changes)
    plan, slots = make_plan(config), resolve_devices(config)
    assert slots == [CPU] * 4
    assert choose(plan, slots, plan.num_shards) == ("process", 4)
    job = Job(plan, tmp_path, tuple(slots), 4)
    with closing(execute("process", job, range(plan.num_shards), lambda: None)) as found:
        assert sorted(receipt.shard for receipt in found) == list(range(8))


@pytest.mark.slow
def test_four_slots_of_a_cpu_make_the_same_bytes(tmp_path):
    settings = {"strategy": "ddp", "devices": ["cpu", "cpu", "cpu", "cpu"]}
    changes = {"sampling.total_samples": 8}
    slots = tiny.generate(tmp_path / "a.h5", tiny.PLAIN, {**changes, "simulation.parallelism": settings})
    alone = tiny.generate(tmp_path / "b.h5", tiny.PLAIN, changes)
    assert tiny.differing(slots, alone) == []
    with h5py.File(slots) as file:
        provenance = json.loads(file["metadata"].attrs["provenance"])
    assert (provenance["executor"], provenance["workers"]) == ("process", 4)
