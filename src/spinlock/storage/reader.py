"""Reading a dataset file: checked when it is opened, each chunk checked when it is first touched."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.storage.digest import read_digest
from spinlock.storage.object_facts import read_rows
from spinlock.storage.opening import identity_of, open_h5, refuse, same_file, sound_layout
from spinlock.storage.raw_chunks import checked_chunks, checksums_of
from spinlock.storage.schema import ArraySpec
from spinlock.storage.shared_file import SharedFile, all_of_hdf5
from spinlock.storage.stored import ArrayInfo, StoredDataset
from spinlock.storage.walk import H5_ERRORS, dataset, decode_attribute, group, is_scale, walk

BLOCK_ROWS, MOST_BLOCKS = 1024, 256
"""Rows whose checksums are read at a time, and how many such blocks are kept."""


class DatasetFile(StoredDataset):
    """A dataset (or shard) in one HDF5 file, read-only.

    Opening checks that the file is whole, that its structure is the declared one, and the digest over all
    but the raw chunks.

    Parameters
    ----------
    path
        The file.
    with_fields
        Whether it holds the fields; the index of a `.spin` directory has everything else.

    Raises
    ------
    StorageError
        For a file that is missing, foreign, cut short, half-written or damaged.
    """

    def __init__(self, path: Path | str, *, with_fields: bool = True) -> None:
        self.path = Path(path)
        with all_of_hdf5():
            file = open_h5(self.path)
            try:
                self._adopt_layout(sound_layout(file, with_fields=with_fields))
                self.digest = read_digest(file)
                self._grids = np.asarray(dataset(file, "metadata/grid_sizes")[:])
                facts = group(file, "metadata").attrs.items()
                self.attributes: dict[str, Any] = {name: decode_attribute(value) for name, value in facts}
            except (StorageError, *H5_ERRORS) as error:
                file.close()
                raise refuse(self.path, error) from error
            self._identity = identity_of(file)
            self._shared = SharedFile(self.path, self._open_again, file)
            self._crcs: dict[tuple[str, int], NDArray[np.int64]] = {}

    def _open_again(self) -> h5py.File:
        """Open the file in this process; it must still be the one that was checked."""
        file = open_h5(self.path)
        if identity_of(file) != self._identity or read_digest(file) != self.digest:
            file.close()
            raise StorageError(f"{self.path} was replaced since it was opened: open it again")
        return file

    def opened(self) -> AbstractContextManager[h5py.File]:
        """Give the open HDF5 file, under the lock that all HDF5 calls of the process share."""
        return self._shared.opened()

    @property
    def grids(self) -> NDArray[np.int32]:
        """The native grid of every row, [N]."""
        return self._grids

    @property
    def is_current(self) -> bool:
        """Whether the file at the path is still the one that was opened and checked."""
        return self.path.is_file() and same_file(self.path) == self._identity

    @property
    def stored_bytes(self) -> int:
        """The size of the file."""
        return self._identity[-1]

    def group_attributes(self, path: str) -> dict[str, Any]:
        """Return the attributes of a group."""
        with self.opened() as file:
            try:
                return {name: decode_attribute(value) for name, value in group(file, path).attrs.items()}
            except H5_ERRORS as error:
                raise refuse(self.path, error) from error

    def _entries(self, spec: ArraySpec, first: int, last: int) -> NDArray[Any]:
        with self.opened() as file:
            return np.asarray(dataset(file, spec.path)[first:last])

    def _text(self, spec: ArraySpec) -> bytes:
        with self.opened() as file:
            return np.asarray(dataset(file, spec.path)[()]).tobytes()

    def chunk_checksums(self, spec: ArraySpec, row: int) -> NDArray[np.int64]:
        """Return the CRC-32 of the chunks of a row by position [chunks], -1 where none is stored.

        Those of many rows are read at a time, and kept.
        """
        first = row // BLOCK_ROWS * BLOCK_ROWS
        with self.opened() as file:
            if (spec.path, first) not in self._crcs:
                if len(self._crcs) >= MOST_BLOCKS:
                    self._crcs.clear()
                count = min(BLOCK_ROWS, self.layout.samples - first)
                self._crcs[spec.path, first] = read_rows(checksums_of(file, spec), first, count)
            return self._crcs[spec.path, first][row - first].reshape(spec.chunk_grid[1:])

    def _chunks(self, spec: ArraySpec, row: int, positions: Sequence[tuple[int, ...]]) -> list[bytes]:
        with self.opened():
            checked = self._shared.checked(spec.path, spec.chunk_grid)[row]
            crcs = partial(self.chunk_checksums, spec, row)
            try:
                return checked_chunks(self._shared.array(spec.path), spec, row, positions, crcs, checked)
            except H5_ERRORS as error:
                raise StorageError(str(error)) from error

    def describe_arrays(self) -> list[ArrayInfo]:
        """Return every array of the file, by path; axes that only name a dimension are left out."""
        with self.opened() as file:
            items = [
                (path, h5py.Dataset(item))
                for path, item in walk(file)
                if isinstance(item, h5py.h5d.DatasetID) and not is_scale(item)
            ]
            return [self._info(path, item) for path, item in items]

    def _info(self, path: str, item: h5py.Dataset) -> ArrayInfo:
        dims = self._specs[path].dims if path in self._specs else ("",) * item.ndim
        compression = "none" if item.chunks is None else self.compression
        stored = item.id.get_storage_size()
        shown = self._shown_type(path, item.dtype.name)
        return ArrayInfo(path, dims, item.shape, shown, item.chunks, stored, item.nbytes, compression)

    def close(self) -> None:
        """Close the file; closing it twice is harmless."""
        self._shared.close()

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what was read of it."""
        return {**self.__dict__, "_crcs": {}}
