"""Chunks carried from one file into another as they are, each compared with its checksum on the way."""

from typing import Any

import h5py

from spinlock.errors import StorageError
from spinlock.storage.array_spec import ArraySpec
from spinlock.storage.chunks import chunk_offset, row_windows
from spinlock.storage.raw_chunks import read_sound_chunk, row_checksums
from spinlock.storage.reader import DatasetFile
from spinlock.storage.schema import Layout, field_arrays
from spinlock.storage.walk import dataset


def copy_chunks(file: h5py.File, source: DatasetFile, layout: Layout, first: int) -> None:
    """Copy the chunks of all rows of ``source`` to the rows from ``first`` on.

    Row by row, so that the bytes of the file do not depend on how its rows came in pieces.

    Raises
    ------
    StorageError
        Where a chunk is missing or does not have its checksum; it names the row of the target.
    """
    fields = field_arrays(layout)
    grids = source.table("metadata/grid_sizes")
    with source.opened() as part:
        for row, grid in enumerate(grids.tolist()):
            for spec in fields:
                _copy_row(dataset(file, spec.path).id, part, spec, row, first + row, grid)


def _copy_row(target: Any, part: h5py.File, spec: ArraySpec, row: int, target_row: int, grid: int) -> None:
    array = dataset(part, spec.path)
    crcs = row_checksums(part, spec, row)
    for window in row_windows(spec, grid):
        offset = chunk_offset(spec, row, window.position)
        try:
            raw = read_sound_chunk(array, offset, int(crcs[window.position]))
        except StorageError as error:
            raise StorageError(f"a chunk of {spec.path}, row {target_row} {error}") from error
        target.write_direct_chunk((target_row, *offset[1:]), raw)
