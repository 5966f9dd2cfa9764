"""Arrays that wait in a scratch file: a clip is longer than memory, and its colours are known at its end."""

import os
import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError

SHOW_LESS = "choose another --output, or show less (--steps, --stride, --n-operators, --size)"


class Spool:
    """Float32 arrays of one shape, written and read by number, from any thread and in any order.

    The file has no name: it goes with the process, however that ends. What was never written reads as zero.

    Parameters
    ----------
    folder
        Where the file stands; it must exist. A folder in memory (tmpfs) would defeat the purpose.
    shape
        Of one array.
    count
        How many arrays there are.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], count: int) -> None:
        self.shape, self.count = shape, count
        self.record_bytes = 4 * int(np.prod(shape, dtype=np.int64))
        self._folder = folder
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by `close`)
            self._file.truncate(self.record_bytes * count)
        except OSError as error:
            raise self._failure(error) from error

    def write(self, number: int, array: NDArray[np.float32]) -> None:
        """Store array ``number``.

        Raises
        ------
        StorageError
            Where the disk is full or fails.
        """
        rest = np.ascontiguousarray(array, np.float32).data.cast("B")
        place = number * self.record_bytes
        try:
            while rest:
                written = os.pwrite(self._file.fileno(), rest, place)
                rest, place = rest[written:], place + written
        except OSError as error:
            raise self._failure(error) from error

    def read(self, first: int, count: int = 1) -> NDArray[np.float32]:
        """Return arrays ``first`` to ``first + count``, float32 [count, *shape]."""
        arrays = np.empty((count, *self.shape), np.float32)
        rest = arrays.data.cast("B")
        place = first * self.record_bytes
        while rest:
            got = os.preadv(self._file.fileno(), [rest], place)
            if not got:
                raise StorageError(f"the scratch file in {self._folder} was cut short")
            rest, place = rest[got:], place + got
        return arrays

    def _failure(self, error: OSError) -> StorageError:
        return StorageError(
            f"the scratch file in {self._folder} cannot be written: {error.strerror}. Free some space, "
            f"{SHOW_LESS}"
        )

    def close(self) -> None:
        """Give the space back."""
        self._file.close()

    def __enter__(self) -> "Spool":
        """Return the spool itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the space back."""
        self.close()
