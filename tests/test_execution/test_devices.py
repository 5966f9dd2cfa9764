"""Devices are what they are called, and a missing GPU is named, not silently replaced."""

import pytest
import torch

import tiny
from spinlock.errors import UsageError
from spinlock.execution.devices import available, resolve_device, resolve_devices

CPU = torch.device("cpu")


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def devices(tmp_path, device="auto", asked="auto", **simulation):
    changes = {"simulation.device": device, "simulation.parallelism": {"devices": asked}}
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
