"""Memory: how much is free here, whether an error means that it ran out, and how to give it back."""

import contextlib
import ctypes
import errno
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from spinlock.errors import StorageError

FAILED_ALLOCATIONS = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "ALLOC_FAILED",
    "memory allocation failed",
)
"""What torch, its CPU allocator, cuDNN, cuBLAS and HDF5 say in a RuntimeError when there is no memory."""

UNLIMITED = 1 << 60
"""Control groups write "no limit" as a number of about 2⁶³."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error, or what a `StorageError` was raised for, means a lack of memory."""
    if isinstance(error, StorageError) and error.__cause__ is not None:
        return is_out_of_memory(error.__cause__)
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM or FAILED_ALLOCATIONS[-1] in str(error)
    return isinstance(error, RuntimeError) and any(words in str(error) for words in FAILED_ALLOCATIONS)


def free_bytes(device: torch.device, root: Path = Path("/")) -> int | None:
    """Return the bytes that can still be allocated on a device; None where the system does not say.

    On a CPU that is what the kernel calls available, or less where a control group of this process allows
    less. On a GPU it is what its driver calls free, and what torch keeps for reuse.

    Parameters
    ----------
    device
        A CPU or a GPU.
    root
        The folder below which ``proc`` and ``sys`` stand.
    """
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    bounds = [*_available(root), *_group_rooms(root)]
    return max(0, min(bounds)) if bounds else None


def _available(root: Path) -> Iterator[int]:
    """Yield what the kernel calls available; where it does not say, all the memory there is."""
    with contextlib.suppress(OSError, ValueError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield 1024 * int(line.split()[1])
                return
    with contextlib.suppress(OSError, ValueError, AttributeError):
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _group_rooms(root: Path) -> Iterator[int]:
    """Yield the room in each control group of this process that has a limit; cache that can go is room."""
    for folder, limit, used, cache in _groups(root):
        with contextlib.suppress(OSError, ValueError):  # not there, or "max"
            most = int((folder / limit).read_text())
            if most < UNLIMITED:
                taken = int((folder / used).read_text()) - _statistic(folder / "memory.stat", cache)
                yield most - taken


def _groups(root: Path) -> Iterator[tuple[Path, str, str, str]]:
    """Yield the folders of this process's groups, innermost first, with their files, of either version."""
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            inner = Path(path.lstrip("/"))
            for group in (inner, *inner.parents):
                if not controllers:
                    yield root / "sys/fs/cgroup" / group, "memory.max", "memory.current", "inactive_file"
                elif "memory" in controllers.split(","):
                    folder = root / "sys/fs/cgroup/memory" / group
                    yield folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"


def _statistic(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(f"{name} "):
            return int(line.split()[1])
    return 0


def oom_kills(root: Path = Path("/")) -> int:
    """Return how many processes the kernel has killed so far for lack of memory; 0 where it does not say."""
    with contextlib.suppress(OSError, ValueError):
        return _statistic(root / "proc/vmstat", "oom_kill")
    return 0


def give_back(device: torch.device) -> None:
    """Give memory that is kept for reuse back to the system: torch's on a GPU, that of glibc's heaps."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if sys.platform.startswith("linux"):
        library = ctypes.CDLL(None)
        if hasattr(library, "malloc_trim"):
            library.malloc_trim(0)
