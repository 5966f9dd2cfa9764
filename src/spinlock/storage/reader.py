"""Reading a dataset file: checked when it is opened, each chunk checked when it is first touched."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.registry import unknown_name
from spinlock.storage.chunks import (
    ChunkWindow,
    chunk_offset,
    chunk_shape,
    row_shape,
    row_windows,
    window_within,
)
from spinlock.storage.codecs import find_codec
from spinlock.storage.digest import read_digest
from spinlock.storage.object_facts import BLOCK_BYTES, read_rows
from spinlock.storage.opening import identity_of, open_h5, refuse, same_file, sound_layout
from spinlock.storage.raw_chunks import checksums_of, read_sound_chunk
from spinlock.storage.rows import stored_dtype
from spinlock.storage.schema import ArraySpec, arrays
from spinlock.storage.shuffle import rooms
from spinlock.storage.walk import (
    H5_ERRORS,
    array_id,
    dataset,
    decode_attribute,
    group,
    is_chunked,
    is_scale,
    walk,
)

TABLES = {"table", "coordinate", "checksum", "timing"}
"""Kinds of arrays that are read as tables."""

BLOCK_ROWS, MOST_BLOCKS = 1024, 256
"""Rows whose checksums are read at a time, and how many such blocks are kept."""

_lock = threading.RLock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.RLock()


# The lock a child inherits may be held, for ever, by a thread that only its parent has.
os.register_at_fork(after_in_child=_renew_lock)


@dataclass(frozen=True)
class ArrayInfo:
    """One array as it stands in a file: axes, sizes and compression, for people to read."""

    path: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...] | None
    stored_bytes: int
    raw_bytes: int
    compression: str


class DatasetFile:
    """A dataset (or shard) file, read-only.

    Opening checks that the file is whole, that its structure is the declared one, and the digest over all
    but the raw chunks. It can be shared by threads and pickled; each process opens the file for itself.

    Raises
    ------
    StorageError
        For a file that is missing, foreign, cut short, half-written or damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._closed = False
        self._inherited: list[object] = []
        self._windows: dict[tuple[str, int], list[ChunkWindow]] = {}
        self._forms: dict[str, tuple[np.dtype[Any], tuple[int, ...], int]] = {}
        with _lock:
            file = open_h5(self.path)
            try:
                self.layout = sound_layout(file)
                self.digest = read_digest(file)
                self._grids = np.asarray(dataset(file, "metadata/grid_sizes")[:])
                facts = group(file, "metadata").attrs.items()
                self.attributes: dict[str, Any] = {name: decode_attribute(value) for name, value in facts}
            except (StorageError, *H5_ERRORS) as error:
                file.close()
                raise refuse(self.path, error) from error
            self._identity = identity_of(file)
            self._specs = {spec.path: spec for spec in arrays(self.layout)}
            self._adopt(file)

    def _adopt(self, file: h5py.File) -> None:
        self._file: h5py.File | None = file
        self._process = os.getpid()
        self._ids: dict[str, h5py.h5d.DatasetID] = {}
        self._crcs: dict[tuple[str, int], NDArray[np.int64]] = {}
        fields = [spec for spec in self._specs.values() if spec.kind == "field"]
        self._touched = {spec.path: np.zeros(spec.chunk_grid, bool) for spec in fields}

    @contextmanager
    def opened(self) -> Iterator[h5py.File]:
        """Give the open HDF5 file, under the lock that all HDF5 calls of the process share."""
        with _lock:
            yield self._current()

    def _current(self) -> h5py.File:
        """Return the HDF5 file, open in this process; call it under the lock."""
        if self._closed:
            raise StorageError(f"{self.path} was closed: open it again")
        if self._file is None or self._process != os.getpid():
            self._reopen()
        assert self._file is not None
        return self._file

    def _reopen(self) -> None:
        """Open the file in this process; it must still be the one that was checked."""
        if self._file is not None:
            self._inherited += [self._file, self._ids]  # closing what was opened before a fork is not safe
        file = open_h5(self.path)
        if identity_of(file) != self._identity or read_digest(file) != self.digest:
            file.close()
            raise StorageError(f"{self.path} was replaced since it was opened: open it again")
        self._adopt(file)

    @property
    def is_current(self) -> bool:
        """Whether the file at the path is still the one that was opened and checked."""
        return self.path.is_file() and same_file(self.path) == self._identity

    @property
    def config(self) -> dict[str, Any]:
        """The configuration that made the dataset; empty in a shard.

        Raises
        ------
        StorageError
            Where what stands there is none.
        """
        return self.stated("config") if "config" in self.attributes else {}

    def stated(self, name: str) -> dict[str, Any]:
        """Return an attribute of ``/metadata`` that is a JSON object, or raise `StorageError`."""
        try:
            value = json.loads(self.attributes[name])
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise refuse(self.path, f"its {name} cannot be read ({error})") from error
        if not isinstance(value, dict):
            raise refuse(self.path, f"its {name} is no JSON object")
        return value

    def table(self, path: str) -> NDArray[Any]:
        """Return a whole table (coordinate, checksum array, timings); text as str, booleans as bool.

        Raises
        ------
        UnknownNameError
            Where the dataset has no such table.
        """
        spec = self._spec(path, TABLES)
        blocks: list[NDArray[Any]] = []
        self.copy_table(path, lambda _first, block: blocks.append(block))
        values = np.concatenate(blocks) if blocks else np.empty(spec.shape, stored_dtype(spec))
        if spec.dtype == "string":
            try:
                return np.char.decode(values, "utf-8")
            except UnicodeDecodeError as error:
                raise refuse(self.path, f"{path} holds what is no text ({error.reason})") from error
        return values.astype(bool) if spec.dtype == "bool" else values

    def copy_table(self, path: str, write: Callable[[int, NDArray[Any]], None]) -> None:
        """Call ``write(first row, rows)`` for consecutive blocks of a table as stored, of bounded size."""
        spec = self._spec(path, TABLES)
        step = max(1, BLOCK_BYTES // max(1, spec.raw_bytes // spec.shape[0]))
        for first in range(0, spec.shape[0] if spec.raw_bytes else 0, step):
            with self.opened() as file:
                block = np.asarray(dataset(file, path)[first : first + step])
            write(first, block.astype(stored_dtype(spec), copy=False))

    def document(self, path: str) -> str:
        """Return a text that stands in an array of its own."""
        spec = self._spec(path, {"document"})
        with self.opened() as file:
            data = np.asarray(dataset(file, spec.path)[()]).tobytes()
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise refuse(self.path, f"{path} holds what is no text ({error.reason})") from error

    def group_attributes(self, path: str) -> dict[str, Any]:
        """Return the attributes of a group."""
        with self.opened() as file:
            try:
                return {name: decode_attribute(value) for name, value in group(file, path).attrs.items()}
            except H5_ERRORS as error:
                raise refuse(self.path, error) from error

    def row(
        self, path: str, index: int, size: int | None = None, part: tuple[slice, ...] = ()
    ) -> NDArray[np.float32]:
        """Return one row of a field, float32 [..., size, size].

        Parameters
        ----------
        path
            ``inputs/fields``, ``outputs/fields`` or ``outputs/trajectories``.
        index
            The row, 0 … N − 1.
        size
            The side of the result: by default the row's native grid; less crops, more pads with NaN.
        part
            Slices of the first axes (realizations, frames): only chunks that hold some of it are read.

        Raises
        ------
        StorageError
            Where a chunk is damaged; the message names array, row and remedy.
        """
        spec = self._spec(path, {"field"})
        if not 0 <= index < self.layout.samples:
            raise IndexError(
                f"row {index} is out of range: {self.path} holds rows 0 to {self.layout.samples - 1}"
            )
        grid = int(self._grids[index])
        shape = row_shape(spec, grid)
        chosen = tuple(slice(*one.indices(length)) for one, length in zip(part, shape, strict=False))
        cut = (window_within(window, chosen) for window in self._stored_windows(spec, grid))
        windows = [window for window in cut if window is not None]
        shape = (*(max(0, one.stop - one.start) for one in chosen), *shape[len(chosen) :])
        values = np.empty(shape, np.float32)
        for window, data in self._chunks(spec, index, windows):
            try:
                self._decode(spec, data, window, values)
            except StorageError as error:
                raise self._damaged(spec.path, index, str(error)) from error
        if size is None or size <= grid:
            return np.ascontiguousarray(values[..., :size, :size])
        padded = np.full((*shape[:-2], size, size), np.nan, np.float32)
        padded[..., :grid, :grid] = values
        return padded

    def _stored_windows(self, spec: ArraySpec, grid: int) -> list[ChunkWindow]:
        if (spec.path, grid) not in self._windows:
            self._windows[spec.path, grid] = list(row_windows(spec, grid))
        return self._windows[spec.path, grid]

    def _chunks(
        self, spec: ArraySpec, index: int, windows: list[ChunkWindow]
    ) -> Iterator[tuple[ChunkWindow, bytes]]:
        """Yield the raw bytes of chunks of a row, compared with their checksums the first time."""
        crcs: NDArray[np.int64] | None = None
        for window in windows:
            place, offset = (index, *window.position), chunk_offset(spec, index, window.position)
            with _lock:
                file = self._current()
                try:
                    if spec.path not in self._ids:
                        self._ids[spec.path] = array_id(file, spec.path)
                    array = self._ids[spec.path]
                    if self._touched[spec.path][place]:
                        raw = array.read_direct_chunk(offset)[1]
                    else:
                        if crcs is None:
                            crcs = self._checksums(file, spec, index)
                        raw = read_sound_chunk(array, offset, int(crcs[window.position]))
                        self._touched[spec.path][place] = True
                except (StorageError, *H5_ERRORS) as error:
                    raise self._damaged(spec.path, index, f"a chunk {error}") from error
            yield window, raw

    def _checksums(self, file: h5py.File, spec: ArraySpec, index: int) -> NDArray[np.int64]:
        """Return the checksums of a row's chunks by position; those of many rows are read at a time."""
        first = index // BLOCK_ROWS * BLOCK_ROWS
        if (spec.path, first) not in self._crcs:
            if len(self._crcs) >= MOST_BLOCKS:
                self._crcs.clear()
            count = min(BLOCK_ROWS, self.layout.samples - first)
            self._crcs[spec.path, first] = read_rows(checksums_of(file, spec), first, count)
        return self._crcs[spec.path, first][index - first].reshape(spec.chunk_grid[1:])

    def _decode(self, spec: ArraySpec, data: bytes, window: ChunkWindow, values: NDArray[np.float32]) -> None:
        """Decode a chunk to its place in the row, at once where it is all of a contiguous part of it."""
        if spec.path not in self._forms:
            form = stored_dtype(spec), chunk_shape(spec)
            self._forms[spec.path] = (*form, prod(form[1]) * form[0].itemsize)
        dtype, shape, size = self._forms[spec.path]
        place, decode = values[window.row], find_codec(self.layout.compression).decode
        if place.shape == shape and place.dtype == dtype and place.flags.c_contiguous:
            decode(data, dtype.itemsize, size, place.reshape(-1).view(np.uint8))
        else:
            items = decode(data, dtype.itemsize, size, rooms.items(size))
            place[...] = items.view(dtype).reshape(shape)[window.chunk]

    def _damaged(self, array: str, row: int, what: str) -> StorageError:
        return StorageError(
            f"{self.path}: {array}, row {row} is damaged ({what}). What to do: run `spinlock validate` to "
            "list all damage and generate the dataset again (`spinlock generate --repair` keeps what is "
            "sound), or copy it again if it came from elsewhere"
        )

    def _spec(self, path: str, kinds: set[str]) -> ArraySpec:
        spec = self._specs.get(path)
        if spec is None or spec.kind not in kinds:
            known = {name: spec for name, spec in self._specs.items() if spec.kind in kinds}
            raise unknown_name("array", path, known)
        return spec

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
        text = h5py.check_string_dtype(item.dtype)
        dtype = f"text of {text.length} bytes" if text else item.dtype.name
        if path in self._specs and self._specs[path].dtype == "bool":
            dtype = "bool"
        layout = self.layout
        compression = f"{layout.compression} {layout.compression_level}" if is_chunked(item) else "none"
        stored = item.id.get_storage_size()
        return ArrayInfo(path, dims, item.shape, dtype, item.chunks, stored, item.nbytes, compression)

    def close(self) -> None:
        """Close the file; closing it twice is harmless."""
        with _lock:
            if self._file is not None and self._process == os.getpid():
                self._file.close()
            self._file, self._closed, self._ids = None, True, {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open handle behind: it means nothing in another process."""
        return {**self.__dict__, "_file": None, "_inherited": [], "_touched": {}, "_ids": {}, "_crcs": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
