"""Rows carried from one file into another as they are, each chunk compared with its checksum on the way."""

from collections.abc import Iterable

import h5py

from spinlock.errors import StorageError
from spinlock.storage.array_spec import ArraySpec
from spinlock.storage.chunks import chunk_offset, row_windows
from spinlock.storage.object_facts import read_rows, row_blocks
from spinlock.storage.raw_chunks import checksums_of, read_sound_chunk, row_checksums
from spinlock.storage.schema import Layout, arrays, field_arrays
from spinlock.storage.tree import write_table
from spinlock.storage.walk import array_id


class DamagedChunkError(StorageError):
    """A chunk that cannot be carried over: missing, unreadable or without its checksum."""


def copy_chunks(file: h5py.File, part: h5py.File, layout: Layout, first: int) -> None:
    """Copy the chunks of all rows of ``part`` to the rows from ``first`` on.

    Row by row, so that the bytes of the file do not depend on how its rows came in pieces.

    Raises
    ------
    DamagedChunkError
        Where a chunk is missing or does not have its checksum; it names the row of the target.
    """
    grids = array_id(part, "metadata/grid_sizes")
    fields = [
        (spec, array_id(part, spec.path), array_id(file, spec.path), checksums_of(part, spec))
        for spec in field_arrays(layout)
    ]
    for row, grid in enumerate(read_rows(grids, 0, grids.shape[0]).tolist()):
        for spec, source, target, checksums in fields:
            crcs = row_checksums(checksums, spec, row)
            for window in row_windows(spec, grid):
                offset = chunk_offset(spec, row, window.position)
                try:
                    raw = read_sound_chunk(source, offset, int(crcs[window.position]))
                except StorageError as error:
                    raise DamagedChunkError(f"a chunk of {spec.path}, row {first + row} {error}") from error
                target.write_direct_chunk((first + row, *offset[1:]), raw)


def carried_tables(layout: Layout) -> list[ArraySpec]:
    """Return the tables that go from file to file as they are: all but what a layout or a run decides."""
    return [spec for spec in arrays(layout) if spec.kind in ("table", "checksum")]


def copy_tables(file: h5py.File, part: h5py.File, specs: Iterable[ArraySpec], first: int) -> None:
    """Copy the rows of some tables of ``part`` to the rows from ``first`` on."""
    for spec in specs:
        for begin, block in row_blocks(array_id(part, spec.path)):
            write_table(file, spec, first + begin, block)
