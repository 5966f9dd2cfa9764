"""An HDF5 file open for reading, shared by threads, reopened in each process, never closed across a fork."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import h5py.h5d as h5d
import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.storage.walk import array_id

_lock = threading.RLock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.RLock()


# The lock a child inherits may be held, for ever, by a thread that only its parent has.
os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def all_of_hdf5() -> Iterator[None]:
    """Hold the lock that all HDF5 calls of the process share."""
    with _lock:
        yield


class SharedFile:
    """An HDF5 file that every process opens for itself when it first asks.

    Parameters
    ----------
    path
        The file.
    opener
        Opens it for reading; raises `StorageError` where it is not what it should be.
    file
        The file, where this process has it open already.
    """

    def __init__(self, path: Path, opener: Callable[[], h5py.File], file: h5py.File | None = None) -> None:
        self.path, self._opener = path, opener
        self._inherited: list[object] = []
        self._closed = False
        self._adopt(file)

    def _adopt(self, file: h5py.File | None) -> None:
        self._file, self._process = file, os.getpid()
        self._checked: dict[str, NDArray[np.bool_]] = {}
        self._arrays: dict[str, h5d.DatasetID] = {}

    @contextmanager
    def opened(self) -> Iterator[h5py.File]:
        """Give the open file, under the lock that all HDF5 calls of the process share."""
        with _lock:
            if self._closed:
                raise StorageError(f"{self.path} was closed: open it again")
            if self._file is None or self._process != os.getpid():
                if self._file is not None:  # closing what was opened before a fork is not safe
                    self._inherited += [self._file, self._arrays]
                self._adopt(self._opener())
            assert self._file is not None
            yield self._file

    def array(self, path: str) -> h5d.DatasetID:
        """Return an array of the file; call it within `opened`."""
        if path not in self._arrays:
            assert self._file is not None
            self._arrays[path] = array_id(self._file, path)
        return self._arrays[path]

    def checked(self, path: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return which chunks of an array this process has compared with their checksums, to be marked."""
        if path not in self._checked:
            self._checked[path] = np.zeros(shape, bool)
        return self._checked[path]

    def release(self) -> None:
        """Close the file until it is asked for again."""
        with _lock:
            if self._file is not None and self._process == os.getpid():
                self._file.close()
            self._adopt(None)

    def close(self) -> None:
        """Close the file for good; closing it twice is harmless."""
        with _lock:
            self.release()
            self._closed = True

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open handle behind: it means nothing in another process."""
        return {**self.__dict__, "_file": None, "_inherited": [], "_checked": {}, "_arrays": {}}
