"""Freed memory is kept within a limit, by glibc alone, and only the time of a computation depends on it."""

import ctypes
import json
import subprocess
import sys
from pathlib import Path

import pytest

import tiny
from spinlock.numerics import allocation
from spinlock.numerics.allocation import MOST_FREE, keep_freed_memory

SOURCE = Path(allocation.__file__).resolve().parents[2]

GLIBC = sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")

PRELUDE = f"""{tiny.PEAK_MEMORY}
import ctypes, json, resource, sys
sys.path.insert(0, {str(SOURCE)!r})
from spinlock.numerics.allocation import keep_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.memset.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

def block(size):
    place = libc.malloc(size)
    libc.memset(place, 1, size)
    return place

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
"""

REUSED = """
if sys.argv[1] == "keep":
    keep_freed_memory()
libc.free(block(4 << 20))
before = faults()
for _ in range(50):
    first, second = block(4 << 20), block(4 << 20)
    libc.free(second), libc.free(first)
print(json.dumps(faults() - before))
"""

GIVEN_BACK = """
keep_freed_memory()
peak_memory()
before = resident()
blocks = (ctypes.c_void_p * 40)()
for number in range(40):
    blocks[number] = block(16 << 20)
for number in reversed(range(40)):  # nothing else is allocated meanwhile: it would hold the top of the heap
    libc.free(blocks[number])
left = resident() - before
print(json.dumps([peak_memory() - before, left]))
"""


def measured(code: str, *arguments: str):
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code, *arguments], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture
def anew():
    keep_freed_memory.cache_clear()
    yield
    keep_freed_memory.cache_clear()


@pytest.mark.usefixtures("anew")
def test_it_acts_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []

    def mallopt(parameter: int, size: int) -> int:
        told.append((parameter, size))
        return 1

    monkeypatch.setattr(allocation, "_mallopt", lambda: mallopt)
    assert keep_freed_memory() is True
    assert keep_freed_memory() is True
    assert told == [(-3, 2**25), (-1, 2**28)]  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h


@pytest.mark.usefixtures("anew")
def test_a_refusal_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "_mallopt", lambda: lambda _parameter, _size: 0)
    assert keep_freed_memory() is False


@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_nothing_happens_on_other_systems(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", None)  # calling it would raise
    assert keep_freed_memory() is False


@pytest.mark.usefixtures("anew")
def test_nothing_happens_with_another_c_library(monkeypatch: pytest.MonkeyPatch) -> None:
    class Musl:
        """A library with a mallopt that does nothing, and without glibc's name."""

        def mallopt(self, _parameter: int, _size: int) -> int:
            raise AssertionError

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Musl())
    assert keep_freed_memory() is False


@pytest.mark.skipif(not GLIBC, reason="glibc alone is told")
def test_blocks_come_back_without_new_pages() -> None:
    pages = 2 * (4 << 20) // 4096
    assert measured(REUSED, "keep") < 4 * pages  # the 50 rounds share the pages of one


@pytest.mark.skipif(not GLIBC, reason="glibc alone is told")
def test_beyond_the_limit_memory_goes_back() -> None:
    held, left = measured(GIVEN_BACK)
    assert held > 600 << 20
    assert left <= MOST_FREE + (32 << 20)
