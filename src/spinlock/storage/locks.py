"""A lock on a run directory: one process works in it at a time."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from spinlock.errors import StorageError

LOCK_NAME = "lock"


class DirectoryLock:
    """An exclusive lock on a directory, held until `release` or the end of the process, however it ends.

    ``flock(2)`` on a file in the directory. The file stays behind; the lock does not.

    Raises
    ------
    StorageError
        On `acquire`, where another process holds it, or the file system has no locks.
    """

    def __init__(self, directory: Path) -> None:
        self.path = Path(directory) / LOCK_NAME
        self._descriptor: int | None = None

    def acquire(self) -> Self:
        """Take the lock, or raise at once where another process holds it."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(
                f"{self.path} cannot be opened ({error.strerror}): is the directory writable?"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise StorageError(
                f"another process (pid {holder}) is working in {self.path.parent}: wait until it ends, or "
                "stop it; what it has committed is kept and the next run goes on from there"
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise StorageError(
                f"{self.path.parent} cannot be locked ({error.strerror}): put the output on a file system "
                "that has locks"
            ) from error
        if not self._is_ours(descriptor):
            os.close(descriptor)
            raise StorageError(
                f"{self.path.parent} was cleared up by another process just now: run the same command again"
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor = descriptor
        return self

    def _is_ours(self, descriptor: int) -> bool:
        """Return whether the locked file is the one that stands in the directory, not one just removed."""
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give the lock back; harmless where it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()
