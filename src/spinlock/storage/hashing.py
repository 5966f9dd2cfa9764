"""SHA-256 of files, taken in a thread beside other work: hashlib lets other threads run meanwhile."""

import hashlib
import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from spinlock.storage.atomic import fsync

BLOCK_BYTES = 1 << 20

Item = TypeVar("Item")


def file_sha256(path: Path, stopping: Callable[[], bool] = lambda: False) -> str:
    """Return the SHA-256 of a file's bytes, hexadecimal; of what was read so far where it is to stop."""
    digest, block = hashlib.sha256(), memoryview(bytearray(BLOCK_BYTES))
    with path.open("rb", buffering=0) as file:
        while not stopping() and (count := file.readinto(block)):
            digest.update(block[:count])
    return digest.hexdigest()


def _written_and_hashed(path: Path, stopping: Callable[[], bool]) -> str:
    fsync(path)
    return file_sha256(path, stopping)


@contextmanager
def hashed_beside(path: Path) -> Iterator[Callable[[], str]]:
    """Bring a file to disk and take its SHA-256 beside the body, and give the call that waits for it.

    The call raises `OSError` where the disk fails; the system tells that once, so it must be called. A body
    that fails waits for the disk, but not for the digest.
    """
    ended = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="spinlock-sha256") as pool:
        try:
            yield pool.submit(_written_and_hashed, path, ended.is_set).result
        finally:
            ended.set()


def one_ahead(
    look: Callable[[Item, Callable[[], bool]], bool], items: Sequence[Item]
) -> Generator[tuple[Item, bool], None, None]:
    """Yield each item with what ``look`` says of it, looking at the next one while one is worked on.

    ``look`` is also given a call that says whether to stop: nobody asks for what it finds then.
    """
    ended = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="spinlock-sha256") as pool:
        try:
            ahead = pool.submit(look, items[0], ended.is_set) if items else None
            for item, following in zip_longest(items, items[1:]):
                assert ahead is not None
                found = ahead.result()
                ahead = None if following is None else pool.submit(look, following, ended.is_set)
                yield item, found
        finally:
            ended.set()


def forget_cached(path: Path) -> None:
    """Let the system give the memory that caches a file to others; the file must be on disk already."""
    if not hasattr(os, "posix_fadvise"):
        return
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
