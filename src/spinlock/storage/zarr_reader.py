"""Reading a Zarr store: checked when it is opened, each chunk checked when it is read."""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.errors import SpinlockError, StorageError
from spinlock.storage.array_spec import ArraySpec
from spinlock.storage.digest import DIGEST
from spinlock.storage.opening import foreign, grid_faults, refuse
from spinlock.storage.raw_chunks import require_crc
from spinlock.storage.rows import stored_dtype
from spinlock.storage.schema import CHECKSUMS, Layout, arrays, checksum_path
from spinlock.storage.spin import ROWS_PER_SHARD
from spinlock.storage.stored import ArrayInfo, StoredDataset
from spinlock.storage.zarr_chunks import (
    ABSENT,
    Position,
    index_bytes,
    largest_frame,
    object_name,
    parse_index,
    unframed,
)
from spinlock.storage.zarr_documents import read_document
from spinlock.storage.zarr_entries import block_rows, read_block, read_text
from spinlock.storage.zarr_opening import (
    ZARR_ERRORS,
    Nodes,
    digest_faults,
    is_group,
    nodes_of,
    plain,
    structure_faults,
)
from spinlock.storage.zarr_store import Objects
from spinlock.storage.zarr_tree import METADATA

MOST_KEPT = 256
"""Indices of objects, and blocks of checksums, that one process keeps."""


_lock = Lock()


def _renew_lock() -> None:
    global _lock
    _lock = Lock()


# The lock a child inherits may be held, for ever, by a thread that only its parent has.
os.register_at_fork(after_in_child=_renew_lock)


class ZarrStore(StoredDataset):
    """A dataset in a Zarr store (format 3), on this machine or at a URL, read-only.

    Opening checks that every array is there and is the declared one, and the digest over all but the chunks
    of the fields. What is read later must be what was read then.

    Parameters
    ----------
    path
        The store.
    checked
        False opens a store that may be damaged, to look what is wrong with it.

    Raises
    ------
    UsageError
        Where a package for such stores is missing.
    StorageError
        For a store that is missing, foreign, unfinished or damaged.
    """

    def __init__(self, path: Path, *, checked: bool = True) -> None:
        self.path = path
        self._objects, self._opened, self._closed = Objects(path), False, False
        self._read: dict[tuple[str, int], bytes] = {}
        self._forget()
        try:
            nodes = nodes_of(self._objects, consolidated=checked)
            self._open(nodes)
            for where, what in self.faults(nodes) if checked else ():
                raise StorageError(f"{where or '/'} {what}")
            grids = self.entries(self._specs["metadata/grid_sizes"])
            for row, what in grid_faults(grids, self.layout) if checked else ():
                raise StorageError(f"metadata/grid_sizes: row {row} {what}")
        except (SpinlockError, *ZARR_ERRORS) as error:
            reason = error if isinstance(error, StorageError) else plain(error)
            raise refuse(
                self.path, foreign(str(reason)) if isinstance(error, FileNotFoundError) else reason
            ) from error
        self._grids, self._opened = grids, True

    def _forget(self) -> None:
        self._kept: OrderedDict[Any, NDArray[Any]] = OrderedDict()

    def _open(self, nodes: Nodes) -> None:
        self._stated = {path: dict(node.attrs) for path, node in nodes.items() if is_group(node)}
        attributes = self._stated.get(METADATA, {})
        if "layout" not in attributes:
            raise foreign("its /metadata has no layout: another program or an early version made it")
        self._adopt_layout(Layout.from_json(str(attributes["layout"])))
        rows = attributes[ROWS_PER_SHARD]
        if isinstance(rows, bool) or not isinstance(rows, int) or not 1 <= rows <= self.layout.samples:
            raise StorageError(f"it says that a shard has {rows!r} rows")
        self.attributes, self.rows_per_shard = attributes, rows
        self.digest = str(self._stated[CHECKSUMS][DIGEST])

    def faults(self, nodes: Nodes) -> Iterator[tuple[str, str]]:
        """Yield (path, what) for what is not as the layout declares it, or not as it was sealed."""
        yield from structure_faults(nodes, self.layout, self.rows_per_shard)
        yield from digest_faults(nodes, self.layout, self._blocks).items()

    @property
    def grids(self) -> NDArray[np.int32]:
        """The native grid of every row, [N]."""
        return self._grids

    @property
    def content(self) -> dict[str, Any]:
        """The attributes of ``/metadata`` that do not speak of shards."""
        return {name: value for name, value in self.attributes.items() if name != ROWS_PER_SHARD}

    @property
    def is_current(self) -> bool:
        """Whether the store at the path has the digest of the one that was opened."""
        try:
            found = read_document(self._objects, CHECKSUMS)["attributes"][DIGEST]
        except (StorageError, LookupError, TypeError):
            return False
        return found == self.digest

    @property
    def stored_bytes(self) -> int:
        """The size of all its objects."""
        return self._objects.size()

    def group_attributes(self, path: str) -> dict[str, Any]:
        """Return the attributes of a group."""
        try:
            return dict(self._stated[path])
        except KeyError:
            raise refuse(self.path, f"it has no group {path}") from None

    def _block(self, spec: ArraySpec, number: int) -> NDArray[Any]:
        """Return a chunk of a table, or a document, which must be what it was when it was first read."""
        if self._closed:
            raise StorageError("cannot be read: the dataset was closed, open it again")
        if spec.kind == "document":
            block = np.frombuffer(read_text(self._objects, spec), np.uint8)
        else:
            block = read_block(self._objects, spec, number)
        found = hashlib.sha256(block.tobytes()).digest()
        if self._read.setdefault((spec.path, number), found) != found:
            raise StorageError("was replaced, or damaged, since the dataset was opened: open it again")
        return block

    def _blocks(self, spec: ArraySpec) -> Iterator[NDArray[Any]]:
        """Yield the values of an array in their stored type, in blocks; nothing of a field."""
        if spec.kind == "document":
            yield self._block(spec, 0)
        elif spec.kind != "field" and spec.raw_bytes:
            yield from (self._block(spec, number) for number in range(-(-spec.shape[0] // block_rows(spec))))

    def _entries(self, spec: ArraySpec, first: int, last: int) -> NDArray[Any]:
        if first >= last or not spec.raw_bytes:
            return np.empty((max(0, last - first), *spec.shape[1:]), stored_dtype(spec))
        rows = block_rows(spec)
        numbers = range(first // rows, (last - 1) // rows + 1)
        try:
            found = [self._block(spec, number) for number in numbers]
        except StorageError as error:
            raise self._refused(f"{spec.path} {error}") from error
        start = first - numbers[0] * rows
        return (found[0] if len(found) == 1 else np.concatenate(found))[start : start + last - first]

    def _was_replaced(self) -> bool:
        """Whether objects at the path may be those of another dataset."""
        return self._opened and not self._closed and not self.is_current

    def _refused(self, what: str) -> StorageError:
        if self._was_replaced():
            return StorageError(f"{self.path} was replaced since it was opened: open it again")
        return refuse(self.path, what)

    def _text(self, spec: ArraySpec) -> bytes:
        try:
            return self._block(spec, 0).tobytes()
        except StorageError as error:
            raise self._refused(f"{spec.path} {error}") from error

    def chunk_checksums(self, spec: ArraySpec, row: int) -> NDArray[np.int64]:
        """Return the CRC-32 of the chunks of a row by position, -1 where none is stored."""
        table = self._specs[checksum_path(spec.path)]
        rows = block_rows(table)
        number = row // rows
        last = min((number + 1) * rows, table.shape[0])
        crcs = self._remembered((table.path, number), lambda: self._entries(table, number * rows, last))
        return crcs[row - number * rows].reshape(spec.chunk_grid[1:])

    def _remembered(self, key: Any, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return what ``make`` gave for a key before, the oldest forgotten."""
        with _lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()
        with _lock:
            self._kept[key] = made
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return made

    def entries(self, spec: ArraySpec) -> NDArray[Any]:
        """Return all rows of a table in its stored type."""
        return self._entries(spec, 0, spec.shape[0])

    def stores_chunk(self, spec: ArraySpec, row: int, position: Position) -> bool:
        """Return whether the index of a row's object names a chunk."""
        return self._place(spec, row, position)[0] != ABSENT

    def raw_chunk(self, spec: ArraySpec, row: int, position: Position) -> bytes:
        """Return a chunk as it is stored, or raise `StorageError` where it does not have its checksum."""
        return self._chunks(spec, row, [position])[0]

    def _place(self, spec: ArraySpec, row: int, position: Position) -> tuple[int, int]:
        """Return offset and length of a chunk in its object."""
        name, rows = object_name(spec, row // self.rows_per_shard), self.rows_per_shard
        index = self._remembered(
            name, lambda: parse_index(spec, rows, self._objects.read(name, -index_bytes(spec, rows)))
        )
        offset, length = index[(row % rows, *position)].tolist()
        return offset, length

    def _chunks(self, spec: ArraySpec, row: int, positions: Sequence[Position]) -> list[bytes]:
        if self._closed:
            raise StorageError("cannot be read: the dataset was closed, open it again")
        name = object_name(spec, row // self.rows_per_shard)
        crcs = self.chunk_checksums(spec, row)
        places = [self._place(spec, row, position) for position in positions]
        if any(offset == ABSENT for offset, _ in places):
            raise StorageError("is missing")
        if any(length > largest_frame(spec) for _, length in places):
            raise StorageError("has an impossible size")
        chunks = []
        for position, frame in zip(positions, self._frames(name, places), strict=True):
            data = unframed(self.layout, spec, frame)
            require_crc(data, int(crcs[position]))
            chunks.append(data)
        return chunks

    def _frames(self, name: str, places: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        """Yield the bytes at (offset, length) places of an object, in one read where they are neighbours."""
        if not places:
            return
        begin, end = min(offset for offset, _ in places), max(offset + length for offset, length in places)
        if end - begin == sum(length for _, length in places):
            whole = self._objects.read(name, begin, end)
            yield from (whole[offset - begin : offset - begin + length] for offset, length in places)
        else:
            yield from (self._objects.read(name, offset, offset + length) for offset, length in places)

    def describe_arrays(self) -> list[ArrayInfo]:
        """Return every array, by path."""
        stored = dict.fromkeys((spec.path for spec in arrays(self.layout)), 0)
        for name, size in self._objects.sizes().items():
            path = name.removesuffix("/zarr.json").partition("/c/")[0].removesuffix("/c")
            if path in stored:
                stored[path] += size
        ordered = sorted(arrays(self.layout), key=lambda spec: spec.path)
        return [self._info(spec, stored[spec.path]) for spec in ordered]

    def _info(self, spec: ArraySpec, stored: int) -> ArrayInfo:
        codec = self.compression if spec.kind == "field" else "zstd"
        shown = self._shown_type(spec.path, spec.dtype)
        return ArrayInfo(spec.path, spec.dims, spec.shape, shown, spec.chunks, stored, spec.raw_bytes, codec)

    def close(self) -> None:
        """Let go of what was read; closing twice is harmless."""
        self._closed = True
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what each process makes for itself."""
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()
