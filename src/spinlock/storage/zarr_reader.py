"""Reading a Zarr store: checked when it is opened, each chunk checked when it is read."""

import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.errors import SpinlockError, StorageError
from spinlock.storage.array_spec import ArraySpec
from spinlock.storage.digest import DIGEST, OBJECTS
from spinlock.storage.object_facts import BLOCK_BYTES
from spinlock.storage.opening import grid_faults, refuse
from spinlock.storage.raw_chunks import require_crc
from spinlock.storage.rows import stored_dtype
from spinlock.storage.schema import CHECKSUMS, Layout, arrays, checksum_path
from spinlock.storage.spin import ROWS_PER_SHARD
from spinlock.storage.stored import ArrayInfo, StoredDataset
from spinlock.storage.zarr_chunks import ABSENT, Position, index_bytes, object_name, parse_index, unframed
from spinlock.storage.zarr_digest import (
    array_digest,
    canonical,
    digest_of,
    group_digest,
    listing,
    text_entries,
)
from spinlock.storage.zarr_store import Objects, quiet_zarr
from spinlock.storage.zarr_tree import METADATA, create_zarr_array

MOST_KEPT = 256
"""Indices of objects, and blocks of checksums, that one process keeps."""

ZARR_ERRORS = (OSError, ValueError, TypeError, LookupError, RuntimeError, AttributeError, MemoryError)
"""What zarr and its codecs raise over a store that is damaged, or not there."""


class ZarrStore(StoredDataset):
    """A dataset in a Zarr store (format 3), on this machine or at a URL, read-only.

    Opening checks that every array is there and is the declared one, and the digest over all but the chunks
    of the fields.

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
        self._objects, self._checked = Objects(path), checked
        self._forget()
        try:
            self._open()
            for where, what in self.faults() if checked else ():
                raise StorageError(f"{where} {what}")
            grids = self._entries(self._specs["metadata/grid_sizes"], 0, self.layout.samples)
            for row, what in grid_faults(grids, self.layout) if checked else ():
                raise StorageError(f"metadata/grid_sizes: row {row} {what}")
        except (SpinlockError, *ZARR_ERRORS) as error:
            raise refuse(self.path, error if isinstance(error, StorageError) else _plain(error)) from error
        self._grids = grids

    def _forget(self) -> None:
        self._lock = RLock()
        self._kept: OrderedDict[Any, NDArray[Any]] = OrderedDict()

    def _open(self) -> None:
        attributes = dict(self._group[METADATA].attrs)
        self._adopt_layout(Layout.from_json(str(attributes["layout"])))
        rows = attributes[ROWS_PER_SHARD]
        if isinstance(rows, bool) or not isinstance(rows, int) or not 1 <= rows <= self.layout.samples:
            raise StorageError(f"it says that a shard has {rows!r} rows")
        self.attributes, self.rows_per_shard = attributes, rows
        self.digest = str(self._group[CHECKSUMS].attrs[DIGEST])

    @cached_property
    def _group(self) -> Any:
        import zarr

        with quiet_zarr():
            consolidated = None if self._checked else False
            store = self._objects.store()
            return zarr.open_group(store, mode="r", zarr_format=3, use_consolidated=consolidated)

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        return {spec.path: self._group[spec.path] for spec in arrays(self.layout)}

    def faults(self) -> Iterator[tuple[str, str]]:
        """Yield (path, what) for what is not as the layout declares it, or not as it was sealed."""
        groups = {path: item for path, item in self._members() if not hasattr(item, "shape")}
        yield from self._structure_faults()
        found = {path or "/": group_digest(path, dict(item.attrs)) for path, item in groups.items()}
        for spec in arrays(self.layout):
            found[spec.path] = array_digest(dict(self._arrays[spec.path].attrs), self._blocks(spec))
        sealed = str(self._group[CHECKSUMS].attrs[OBJECTS])
        if listing(found) == sealed and digest_of(found) == self.digest:
            return
        stored = json.loads(sealed)
        changed = [path for path in sorted({*found, *stored}) if found.get(path) != stored.get(path)]
        yield from ((path, "changed since it was written") for path in changed)
        if not changed:
            yield CHECKSUMS, "holds a damaged digest"

    def _members(self) -> list[tuple[str, Any]]:
        return [("", self._group), *self._group.members(max_depth=None)]

    def _structure_faults(self) -> Iterator[tuple[str, str]]:
        import zarr
        from zarr.storage import MemoryStore

        declared = zarr.create_group(MemoryStore())
        known = {spec.path: spec for spec in arrays(self.layout)}
        for path, item in self._members():
            if hasattr(item, "shape") and path not in known:
                yield path, "was added since the store was written"
        for path, spec in known.items():
            wanted = create_zarr_array(declared, self.layout, spec, self.rows_per_shard)
            if _stated(self._arrays[path]) != _stated(wanted):
                yield path, "is not the array that the layout declares"

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
            found = json.loads(self._objects.read(f"{CHECKSUMS}/zarr.json"))["attributes"][DIGEST]
        except (StorageError, ValueError, LookupError):
            return False
        return found == self.digest

    @property
    def stored_bytes(self) -> int:
        """The size of all its objects."""
        return self._objects.size()

    def group_attributes(self, path: str) -> dict[str, Any]:
        """Return the attributes of a group."""
        try:
            return dict(self._group[path].attrs)
        except ZARR_ERRORS as error:
            raise refuse(self.path, _plain(error)) from error

    def _entries(self, spec: ArraySpec, first: int, last: int) -> NDArray[Any]:
        try:
            values = self._arrays[spec.path][first:last]
            if spec.dtype == "string":
                return text_entries(spec, values)
            return np.asarray(values).astype(stored_dtype(spec), copy=False)
        except ZARR_ERRORS as error:
            raise refuse(self.path, f"{spec.path} cannot be read ({error})") from error

    def _text(self, spec: ArraySpec) -> bytes:
        try:
            return str(self._arrays[spec.path][()]).encode()
        except ZARR_ERRORS as error:
            raise refuse(self.path, f"{spec.path} cannot be read ({error})") from error

    def _blocks(self, spec: ArraySpec) -> Iterator[NDArray[Any]]:
        """Yield the values of an array in their stored type, in blocks; nothing of a field."""
        if spec.kind == "document":
            yield np.frombuffer(self._text(spec), np.uint8)
        elif spec.kind != "field":
            step = max(1, BLOCK_BYTES // max(1, spec.raw_bytes // max(1, spec.shape[0])))
            for first in range(0, spec.shape[0], step):
                yield self._entries(spec, first, min(first + step, spec.shape[0]))

    def chunk_checksums(self, spec: ArraySpec, row: int) -> NDArray[np.int64]:
        """Return the CRC-32 of the chunks of a row by position, -1 where none is stored."""
        table = self._specs[checksum_path(spec.path)]
        block = max(1, BLOCK_BYTES // max(1, table.raw_bytes // table.shape[0]))
        first = row // block * block
        last = min(first + block, table.shape[0])
        crcs = self._remembered((table.path, first), lambda: self._entries(table, first, last))
        return crcs[row - first].reshape(spec.chunk_grid[1:])

    def _remembered(self, key: Any, make: Any) -> NDArray[Any]:
        """Return what ``make`` gave for a key before, the oldest forgotten."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = make()
                if len(self._kept) > MOST_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

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
        name = object_name(spec, row // self.rows_per_shard)
        crcs = self.chunk_checksums(spec, row)
        places = [self._place(spec, row, position) for position in positions]
        if any(offset == ABSENT for offset, _ in places):
            raise StorageError("is missing")
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
        return [self._info(spec) for spec in sorted(arrays(self.layout), key=lambda spec: spec.path)]

    def _info(self, spec: ArraySpec) -> ArrayInfo:
        stored = int(self._arrays[spec.path].nbytes_stored())
        codec = self.compression if spec.kind == "field" else "zstd"
        shown = self._shown_type(spec.path, spec.dtype)
        return ArrayInfo(spec.path, spec.dims, spec.shape, shown, spec.chunks, stored, spec.raw_bytes, codec)

    def close(self) -> None:
        """Forget what was read; nothing is held open."""
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what each process makes for itself."""
        made = ("_group", "_arrays", "_lock", "_kept")
        return {name: value for name, value in self.__dict__.items() if name not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()


def _stated(array: Any) -> str:
    """Return the metadata of an array as text: NaN does not equal itself."""
    return canonical(array.metadata.to_dict())


def _plain(error: Exception) -> str:
    return f"zarr cannot read it ({' '.join(str(error).split()) or type(error).__name__})"
