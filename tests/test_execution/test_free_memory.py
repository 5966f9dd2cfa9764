"""Free memory is the least that the kernel and every control group allow; failed allocations are known."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spinlock.errors import StorageError
from spinlock.execution.memory import free_bytes, give_back, is_out_of_memory, oom_kills

CPU = torch.device("cpu")

GIB = 1 << 30


def system(root: Path, files: dict[str, str]) -> Path:
    """Write the files of a system with 8 GiB available, and others, below a folder."""
    for name, text in {"proc/meminfo": f"MemTotal: 99 kB\nMemAvailable: {8 << 20} kB\n", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def group(folder: str, limit: str, used: int, cache: int = 0) -> dict[str, str]:
    """Return the files of a control group of version 2."""
    return {
        f"sys/fs/cgroup{folder}/memory.max": f"{limit}\n",
        f"sys/fs/cgroup{folder}/memory.current": f"{used}\n",
        f"sys/fs/cgroup{folder}/memory.stat": f"anon 1\ninactive_file {cache}\n",
    }


def in_group(path: str) -> dict[str, str]:
    return {"proc/self/cgroup": f"0::{path}\n"}


def test_without_control_groups_the_kernel_decides(tmp_path):
    assert free_bytes(CPU, system(tmp_path, {})) == 8 * GIB


@pytest.mark.parametrize(
    ("files", "free"),
    [
        (in_group("/") | group("", str(3 * GIB), GIB), 2 * GIB),
        (in_group("/") | group("", str(3 * GIB), 2 * GIB, cache=GIB), 2 * GIB),
        (in_group("/") | group("", "max", GIB), 8 * GIB),
        (in_group("/") | group("", str(99 * GIB), GIB), 8 * GIB),
        (in_group("/") | group("", str(GIB), 2 * GIB), 0),
        (in_group("/a/b") | group("/a/b", "max", GIB) | group("/a", str(2 * GIB), GIB), GIB),
        (in_group("/a/b") | group("/a/b", str(GIB), 0) | group("/a", str(2 * GIB), GIB), GIB),
        (in_group("/gone"), 8 * GIB),
    ],
)
def test_the_tightest_control_group_decides(tmp_path, files, free):
    assert free_bytes(CPU, system(tmp_path, files)) == free


def test_control_groups_of_the_first_version_count_too(tmp_path):
    folder = "sys/fs/cgroup/memory/job/"
    files = {
        "proc/self/cgroup": "7:cpu,cpuacct:/other\n4:memory:/job\n0::/\n",
        folder + "memory.limit_in_bytes": str(4 * GIB),
        folder + "memory.usage_in_bytes": str(3 * GIB),
        folder + "memory.stat": f"total_inactive_file {GIB}\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": str(0x7FFFFFFFFFFFF000),
        "sys/fs/cgroup/memory/memory.usage_in_bytes": str(3 * GIB),
        "sys/fs/cgroup/memory/memory.stat": "",
    }
    assert free_bytes(CPU, system(tmp_path, files)) == 2 * GIB


def test_this_machine_says_what_is_free():
    free = free_bytes(CPU)
    assert free is None or free > 0


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 TiB"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
        ),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_a_failed_allocation_is_recognised(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("no luck"), ValueError("out of memory"), OSError(28, "full")])
def test_other_errors_are_no_failed_allocation(error):
    assert not is_out_of_memory(error)


@pytest.mark.parametrize("allocate", [torch.empty, np.empty])
def test_what_torch_and_numpy_really_say_is_recognised(allocate):
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        allocate(1 << 58)
    assert is_out_of_memory(caught.value)


def test_memory_can_be_given_back_at_any_time():
    kept = torch.arange(1000)
    give_back(CPU)
    assert kept.sum() == 499_500


def test_a_write_that_failed_for_memory_is_known_by_its_cause():
    error = StorageError("x.h5 cannot be written")
    assert not is_out_of_memory(error)
    for number, short in ((12, True), (28, False)):
        error.__cause__ = OSError(number, "said")
        assert is_out_of_memory(error) == short


def test_the_processes_that_the_kernel_killed_are_counted(tmp_path):
    root = system(tmp_path, {"proc/vmstat": "nr_free_pages 7\noom_kill 3\nallocstall 1\n"})
    assert oom_kills(root) == 3
    assert oom_kills(tmp_path / "elsewhere") == 0
    assert oom_kills() >= 0
