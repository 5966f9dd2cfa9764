"""What every stored dataset offers, whatever its form: facts, tables, rows decoded from checked chunks."""

import json
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.registry import unknown_name
from spinlock.storage.array_spec import ArraySpec
from spinlock.storage.chunks import ChunkWindow, chunk_shape, row_shape, row_windows, window_within
from spinlock.storage.closing import Closing
from spinlock.storage.codecs import find_codec
from spinlock.storage.object_facts import BLOCK_BYTES
from spinlock.storage.opening import refuse, remedy
from spinlock.storage.rows import stored_dtype
from spinlock.storage.schema import Layout, arrays
from spinlock.storage.shuffle import rooms

TABLES = {"table", "coordinate", "checksum", "timing"}
"""Kinds of arrays that are read as tables."""


@dataclass(frozen=True)
class ArrayInfo:
    """One array as it is stored, for people to read.

    Attributes
    ----------
    path
        Where it stands in the dataset.
    dims, shape
        Names and sizes of its axes.
    dtype, chunks, compression
        How it is stored; ``chunks`` is None for one in a single piece.
    stored_bytes, raw_bytes
        Its size as it is stored, and uncompressed.
    """

    path: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...] | None
    stored_bytes: int
    raw_bytes: int
    compression: str


class StoredDataset(Closing):
    """A stored dataset, read-only; its subclasses say how tables and chunks are read.

    It can be shared by threads and pickled; each process opens what it needs for itself.

    Attributes
    ----------
    path
        Where it stands.
    layout
        What decides its arrays.
    digest
        What it is sealed with: equal digests, equal contents.
    attributes
        The attributes of ``/metadata``.
    """

    path: Path
    layout: Layout
    digest: str
    attributes: dict[str, Any]

    def _adopt_layout(self, layout: Layout) -> None:
        self.layout = layout
        self._specs = {spec.path: spec for spec in arrays(layout)}
        self._windows: dict[tuple[str, int], list[ChunkWindow]] = {}
        self._forms: dict[str, tuple[np.dtype[Any], tuple[int, ...], int]] = {}

    @property
    @abstractmethod
    def grids(self) -> NDArray[np.int32]:
        """The native grid of every row, [N]."""

    @property
    @abstractmethod
    def is_current(self) -> bool:
        """Whether what stands at the path is still what was opened and checked."""

    @property
    @abstractmethod
    def stored_bytes(self) -> int:
        """The size of all its files."""

    @property
    def content(self) -> dict[str, Any]:
        """The attributes of ``/metadata`` that speak of the dataset, not of the form it is stored in."""
        return self.attributes

    @abstractmethod
    def group_attributes(self, path: str) -> dict[str, Any]:
        """Return the attributes of a group."""

    @abstractmethod
    def describe_arrays(self) -> list[ArrayInfo]:
        """Return every array, by path; axes that only name a dimension are left out."""

    @abstractmethod
    def _entries(self, spec: ArraySpec, first: int, last: int) -> NDArray[Any]:
        """Return the entries first … last − 1 of a table, in its stored type."""

    @abstractmethod
    def _text(self, spec: ArraySpec) -> bytes:
        """Return the bytes of a document."""

    @abstractmethod
    def _chunks(self, spec: ArraySpec, row: int, positions: Sequence[tuple[int, ...]]) -> list[bytes]:
        """Return chunks of a row as stored; raise `StorageError` for one that has not its checksum."""

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
        """Return a whole table [N, …], coordinate or checksum array; text as str, booleans as bool.

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

    def copy_table(self, path: str, write: Callable[[int, NDArray[Any]], object]) -> None:
        """Call ``write(first row, rows [B, …])`` for consecutive blocks of a table, of bounded size."""
        spec = self._spec(path, TABLES)
        count = spec.shape[0] if spec.raw_bytes else 0
        step = max(1, BLOCK_BYTES // max(1, spec.raw_bytes // spec.shape[0]))
        for first in range(0, count, step):
            block = self._entries(spec, first, min(first + step, count))
            write(first, block.astype(stored_dtype(spec), copy=False))

    def document(self, path: str) -> str:
        """Return a text that stands in an array of its own."""
        spec = self._spec(path, {"document"})
        try:
            return self._text(spec).decode()
        except UnicodeDecodeError as error:
            raise refuse(self.path, f"{path} holds what is no text ({error.reason})") from error

    def raw_row(self, spec: ArraySpec, row: int) -> list[tuple[tuple[int, ...], bytes]]:
        """Return the chunks of a row of a field as stored, each with its position.

        Raises
        ------
        StorageError
            Where a chunk is missing or does not have its checksum.
        """
        positions = [window.position for window in row_windows(spec, int(self.grids[row]))]
        return list(zip(positions, self._chunks(spec, row, positions), strict=True))

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
        IndexError
            Where there is no such row.
        StorageError
            Where a chunk is damaged; the message names array, row and remedy.
        """
        spec = self._spec(path, {"field"})
        if not 0 <= index < self.layout.samples:
            raise IndexError(
                f"row {index} is out of range: {self.path} holds rows 0 to {self.layout.samples - 1}"
            )
        grid = int(self.grids[index])
        shape = row_shape(spec, grid)
        chosen = tuple(slice(*one.indices(length)) for one, length in zip(part, shape, strict=False))
        cut = (window_within(window, chosen) for window in self._stored_windows(spec, grid))
        windows = [window for window in cut if window is not None]
        shape = (*(max(0, one.stop - one.start) for one in chosen), *shape[len(chosen) :])
        values = self._decoded(spec, index, windows, shape)
        if size is None or size <= grid:
            return np.ascontiguousarray(values[..., :size, :size])
        padded = np.full((*shape[:-2], size, size), np.nan, np.float32)
        padded[..., :grid, :grid] = values
        return padded

    def _decoded(
        self, spec: ArraySpec, row: int, windows: Sequence[ChunkWindow], shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        try:
            raw = self._chunks(spec, row, [window.position for window in windows])
        except StorageError as error:
            raise self._damaged(spec.path, row, f"a chunk {error}") from error
        values = np.empty(shape, np.float32)
        for window, data in zip(windows, raw, strict=True):
            try:
                self._decode(spec, data, window, values)
            except StorageError as error:
                raise self._damaged(spec.path, row, str(error)) from error
        return values

    def _stored_windows(self, spec: ArraySpec, grid: int) -> list[ChunkWindow]:
        """Return the chunks that a row with that native grid stores."""
        if (spec.path, grid) not in self._windows:
            self._windows[spec.path, grid] = list(row_windows(spec, grid))
        return self._windows[spec.path, grid]

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

    def _was_replaced(self) -> bool:
        """Whether what could not be read may be part of another dataset, which stands at the path now."""
        return False

    def _damaged(self, array: str, row: int, what: str) -> StorageError:
        if self._was_replaced():
            return StorageError(f"{self.path} was replaced since it was opened: open it again")
        return StorageError(
            f"{self.path}: {array}, row {row} is damaged ({what}). What to do: {remedy(self.path)}"
        )

    def _spec(self, path: str, kinds: set[str]) -> ArraySpec:
        spec = self._specs.get(path)
        if spec is None or spec.kind not in kinds:
            known = {name: spec for name, spec in self._specs.items() if spec.kind in kinds}
            raise unknown_name("array", path, known)
        return spec

    @property
    def compression(self) -> str:
        """Codec and level of the fields, in words."""
        return f"{self.layout.compression} {self.layout.compression_level}"

    def _shown_type(self, path: str, plain: str) -> str:
        """Return the type of an array in words; ``plain`` is that of one the layout does not know."""
        spec = self._specs.get(path)
        if spec is None:
            return plain
        return f"text of {spec.length} bytes" if spec.dtype == "string" else spec.dtype
