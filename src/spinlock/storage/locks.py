"""A lock on a run directory: one process works in it at a time."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from socket import gethostname
from types import TracebackType
from typing import Self

from spinlock.errors import StorageError

LOCK_NAME = "lock"

ATTEMPTS = 100
"""Times that a directory may be cleared up by others between its opening and its lock."""


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
        """Take the lock, or raise `StorageError` at once where another process holds it."""
        for _ in range(ATTEMPTS):
            descriptor = self._opened()
            try:
                ours = self._lock(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            if ours:
                self._descriptor = descriptor
                return self
            os.close(descriptor)
        raise StorageError(
            f"{self.path.parent} was cleared up by another process just now: run the same command again"
        )

    def _opened(self) -> int:
        """Open the file; make the directory again where another process has just cleared it up."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            for _ in range(ATTEMPTS):
                with suppress(FileNotFoundError):
                    return os.open(self.path, flags, 0o644)
                with suppress(FileExistsError):
                    self.path.parent.mkdir()
            return os.open(self.path, flags, 0o644)
        except OSError as error:
            raise StorageError(
                f"{self.path} cannot be opened ({error.strerror}): is the directory writable, the disk full? "
                "What was committed before stays; run the same command again once the cause is gone"
            ) from error

    def _lock(self, descriptor: int) -> bool:
        """Lock the open file and say who holds it; return False where it is no longer the directory's."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageError(
                f"another process ({self._holder(descriptor)}) is working in {self.path.parent}: wait until "
                "it ends, or stop it; what it has committed is kept and the next run goes on from there"
            ) from error
        except OSError as error:
            raise StorageError(
                f"{self.path.parent} cannot be locked ({error.strerror}): put the output on a file system "
                "that has locks"
            ) from error
        if not self._is_ours(descriptor):
            return False
        with suppress(OSError):  # who holds it is told to others; on a full disk the lock holds all the same
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {gethostname()}".encode(), 0)
        return True

    @staticmethod
    def _holder(descriptor: int) -> str:
        """Return who wrote itself into the file: its pid, and its host where that is another one."""
        pid, _, host = os.pread(descriptor, 256, 0).decode(errors="replace").strip().partition(" ")
        elsewhere = f" on {host}" if host not in ("", gethostname()) else ""
        return f"pid {pid or 'unknown'}{elsewhere}"

    def _is_ours(self, descriptor: int) -> bool:
        """Return whether the locked file is the one that stands in the directory, not one just removed."""
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    @property
    def stands(self) -> bool:
        """Whether it is held, and was not cleared up."""
        return self._descriptor is not None and self._is_ours(self._descriptor)

    def release(self) -> None:
        """Give the lock back; harmless where it is not held."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            with suppress(OSError):  # it is closed all the same
                os.close(descriptor)

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def is_locked(directory: Path) -> bool:
    """Return whether a process holds the lock on a directory, which need not be there."""
    try:
        descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
