"""The `.spin` directory: shards as they were committed, their receipts, and an index of everything else.

``shards/part-000000.h5`` … hold the fields; ``index.h5`` holds every table, every checksum and all attributes
of the whole dataset, in the tree of a dataset file without its fields. Nothing is copied to make one, so it
needs no room beside the shards.
"""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.storage.locations import INDEX_NAME
from spinlock.storage.opening import foreign, open_h5, refuse
from spinlock.storage.raw_chunks import checked_chunks
from spinlock.storage.reader import DatasetFile
from spinlock.storage.receipts import shard_path
from spinlock.storage.schema import ArraySpec, field_arrays
from spinlock.storage.shared_file import SharedFile, all_of_hdf5
from spinlock.storage.stored import ArrayInfo, StoredDataset
from spinlock.storage.walk import H5_ERRORS

ROWS_PER_SHARD = "rows_per_shard"
"""The attribute of ``/metadata`` of an index that says which shard a row stands in."""

FIELD_BYTES = "field_bytes"
"""The attribute of ``/metadata`` of an index that says what each field takes in all shards, JSON."""

ABOUT_SHARDS = (ROWS_PER_SHARD, FIELD_BYTES)

MOST_OPEN = 64
"""Shards that one process keeps open."""


class SpinDirectory(StoredDataset):
    """A dataset in a `.spin` directory, read-only.

    Opening checks the index as a dataset file is checked. A shard is opened when a row of it is first asked
    for; its chunks are compared with the checksums of the index.

    Raises
    ------
    StorageError
        For a directory without a sound index.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not (self.path / INDEX_NAME).is_file():
            what = f"it is a directory without {INDEX_NAME}"
            raise refuse(
                self.path, foreign(f"{what}: no dataset, or one whose making did not come to its end")
            )
        self._index = DatasetFile(self.path / INDEX_NAME, with_fields=False)
        try:
            self.rows_per_shard, self.field_bytes = self._stated_rows_per_shard(), self._stated_field_bytes()
        except StorageError:
            self._index.close()
            raise
        self._adopt_layout(self._index.layout)
        self.digest, self.attributes = self._index.digest, self._index.attributes
        self._folder = self.path.absolute()  # whatever the working directory is when a shard is opened
        self._shards: OrderedDict[int, SharedFile] = OrderedDict()

    def _stated_rows_per_shard(self) -> int:
        rows = self._index.attributes.get(ROWS_PER_SHARD)
        if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
            raise refuse(self.path, f"its index says that a shard has {rows!r} rows")
        return rows

    def _stated_field_bytes(self) -> dict[str, int]:
        sizes, fields = self._index.stated(FIELD_BYTES), field_arrays(self._index.layout)
        if sizes.keys() != {spec.path for spec in fields} or not all(
            type(size) is int for size in sizes.values()
        ):
            raise refuse(self.path, f"its index says that the fields take {sizes!r:.80} bytes")
        return sizes

    @property
    def grids(self) -> NDArray[np.int32]:
        """The native grid of every row, [N]."""
        return self._index.grids

    @property
    def is_current(self) -> bool:
        """Whether the index at the path is still the one that was opened and checked."""
        return self._index.is_current

    def _was_replaced(self) -> bool:
        """Whether shards at the path may be those of another dataset."""
        return not self.is_current

    @property
    def num_shards(self) -> int:
        """The number of shards."""
        return -(-self.layout.samples // self.rows_per_shard)

    @property
    def stored_bytes(self) -> int:
        """The size of all its files."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    @property
    def content(self) -> dict[str, Any]:
        """The attributes of ``/metadata`` that do not speak of shards."""
        return {name: value for name, value in self.attributes.items() if name not in ABOUT_SHARDS}

    def group_attributes(self, path: str) -> dict[str, Any]:
        """Return the attributes of a group."""
        return self._index.group_attributes(path)

    def _entries(self, spec: ArraySpec, first: int, last: int) -> NDArray[Any]:
        return self._index._entries(spec, first, last)  # noqa: SLF001 (the same class one level up)

    def _text(self, spec: ArraySpec) -> bytes:
        return self._index._text(spec)  # noqa: SLF001 (the same class one level up)

    def chunk_checksums(self, spec: ArraySpec, row: int) -> NDArray[np.int64]:
        """Return the CRC-32 of the chunks of a row by position, -1 where none is stored."""
        return self._index.chunk_checksums(spec, row)

    def _chunks(self, spec: ArraySpec, row: int, positions: Sequence[tuple[int, ...]]) -> list[bytes]:
        number, local = divmod(row, self.rows_per_shard)
        shard = self._shard(number)
        with shard.opened():
            rows = min(self.rows_per_shard, self.layout.samples - number * self.rows_per_shard)
            checked = shard.checked(spec.path, (rows, *spec.chunk_grid[1:]))[local]
            crcs = partial(self.chunk_checksums, spec, row)
            try:
                return checked_chunks(shard.array(spec.path), spec, local, positions, crcs, checked)
            except H5_ERRORS as error:
                raise StorageError(f"of {shard.path} cannot be read ({error})") from error

    def _shard(self, number: int) -> SharedFile:
        """Return a shard, the latest asked for last; the oldest is let go of."""
        with self._index.opened():
            if number not in self._shards:
                path = shard_path(self._folder, number)
                self._shards[number] = SharedFile(path, partial(open_h5, path))
                if len(self._shards) > MOST_OPEN:
                    self._shards.popitem(last=False)[1].release()
            self._shards.move_to_end(number)
            return self._shards[number]

    def describe_arrays(self) -> list[ArrayInfo]:
        """Return every array, by path; a field's stored bytes are those of its chunks in all shards."""
        fields = [self._field_info(spec) for spec in field_arrays(self.layout)]
        return sorted([*self._index.describe_arrays(), *fields], key=lambda info: info.path)

    def _field_info(self, spec: ArraySpec) -> ArrayInfo:
        return ArrayInfo(
            spec.path,
            spec.dims,
            spec.shape,
            spec.dtype,
            spec.chunks,
            self.field_bytes[spec.path],
            spec.raw_bytes,
            self.compression,
        )

    def close(self) -> None:
        """Close its files; closing twice is harmless."""
        with all_of_hdf5():
            for shard in self._shards.values():
                shard.close()
            self._index.close()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the shards behind: each process opens its own."""
        return {**self.__dict__, "_shards": OrderedDict()}
