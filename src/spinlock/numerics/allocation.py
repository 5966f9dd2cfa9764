"""Freed memory stays with the process, within a limit, so that the next layer finds its pages in place.

A layer of a network needs a few blocks of megabytes, many thousand times a rollout. By default glibc returns
such a block to the kernel as soon as it is freed, and the next layer faults every page of it in again: 4 KiB
at a time, zeroed, one system entry each.
"""

import ctypes
import sys
from functools import cache

LARGEST_KEPT = 32 << 20
"""Blocks up to this size, in bytes, come from the heap; 32 MiB is the most glibc allows on 64 bits."""

MOST_FREE = 256 << 20
"""Free bytes at the top of a heap beyond which memory goes back to the kernel."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3), from malloc.h."""


@cache
def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory, once in a process; return whether it will.

    Nothing happens where the C library is not glibc, which alone knows these parameters. A thread has a heap
    of its own, so the limit holds for each; blocks above 32 MiB go back at once as before. No number that is
    computed depends on it. See docs/performance.md for what it saves.
    """
    mallopt = _mallopt()
    return mallopt is not None and all(
        mallopt(parameter, size) == 1
        for parameter, size in ((M_MMAP_THRESHOLD, LARGEST_KEPT), (M_TRIM_THRESHOLD, MOST_FREE))
    )


def _mallopt() -> "ctypes._NamedFuncPointer | None":
    """Return glibc's mallopt, or None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return None  # musl has a mallopt that ignores what it is told
    library.mallopt.argtypes = [ctypes.c_int, ctypes.c_int]
    return library.mallopt
