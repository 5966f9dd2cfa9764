"""Verification: every fault of a file, each named by array and row, without ever stopping at the first."""

from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.storage.chunks import chunk_offset, row_windows
from spinlock.storage.damage import Damage
from spinlock.storage.digest import digest_faults
from spinlock.storage.object_facts import BLOCK_BYTES
from spinlock.storage.opening import grid_faults, open_h5, read_layout, structure_faults
from spinlock.storage.raw_chunks import checksums_of, chunk_fault, row_checksums
from spinlock.storage.rows import chained_crcs
from spinlock.storage.schema import (
    ROW_CHECKSUMS,
    ArraySpec,
    Layout,
    checksum_path,
    field_arrays,
    row_tables,
)
from spinlock.storage.walk import H5_ERRORS, ForbiddenObjectError, array_id, dataset, error_text, walk


def verify(path: Path, *, with_fields: bool = True) -> list[Damage]:
    """Return all damage of a file: structure, digest, tables row by row, every chunk; empty for a sound one.

    ``with_fields`` says whether the fields stand in it. Nothing is raised for a damaged file, whatever the
    damage; the cost is one read of the whole file.
    """
    try:
        file = open_h5(Path(path))
    except StorageError as error:
        return [Damage("", None, str(error))]
    damage: list[Damage] = []
    with closing(file):
        try:
            for found in file_damage(file, with_fields=with_fields):
                damage.append(found)  # noqa: PERF402 (what was found before an error stays)
        except StorageError as error:
            damage.append(Damage("", None, str(error)))
        except H5_ERRORS as error:
            damage.append(Damage("", None, f"HDF5 cannot read it ({error_text(error)})"))
    return damage


def file_damage(file: h5py.File, *, with_fields: bool = True) -> Iterator[Damage]:
    """Yield all damage of an open file; may raise where it is too damaged to go on."""
    unreadable: dict[str, StorageError] = {}
    found = dict(walk(file, unreadable.__setitem__))
    forbidden = [
        Damage(path, None, str(error))
        for path, error in unreadable.items()
        if isinstance(error, ForbiddenObjectError)
    ]
    yield from forbidden
    if forbidden:
        return
    layout = read_layout(file)
    structure = structure_faults(file, layout, with_fields=with_fields)
    faults = digest_faults(file, found, unreadable) | dict(structure)
    yield from (Damage(path, None, what) for path, what in faults.items())
    tables = [spec.path for spec in row_tables(layout)]
    suspects = [path for path in (*tables, ROW_CHECKSUMS) if path in faults]
    if suspects:
        yield from _table_damage(file, layout, ", ".join(suspects))
    if "metadata/grid_sizes" not in faults:
        grids = np.asarray(dataset(file, "metadata/grid_sizes")[:])
        yield from (Damage("metadata/grid_sizes", row, what) for row, what in grid_faults(grids, layout))
        for spec in field_arrays(layout):
            if spec.path in file and checksum_path(spec.path) in file:
                yield from chunk_damage(file, spec, grids, layout.grids)


def _table_damage(file: h5py.File, layout: Layout, suspects: str) -> Iterator[Damage]:
    try:
        yield from (
            Damage(suspects, row, "changed since it was written") for row in changed_rows(file, layout)
        )
    except (StorageError, *H5_ERRORS):
        return  # a table that cannot be read is reported already


def changed_rows(file: h5py.File, layout: Layout) -> Iterator[int]:
    """Yield the rows whose table entries do not have the stored checksum."""
    specs = row_tables(layout)
    row_bytes = max(1, sum(spec.raw_bytes for spec in specs) // layout.samples)
    step = max(1, BLOCK_BYTES // row_bytes)
    for first in range(0, layout.samples, step):
        last = min(first + step, layout.samples)
        stored = dataset(file, ROW_CHECKSUMS)[first:last]
        for row, crc in enumerate(entry_checksums(file, specs, first, last), first):
            if crc != stored[row - first]:
                yield row


def entry_checksums(file: h5py.File, specs: list[ArraySpec], first: int, last: int) -> list[int]:
    """Return the CRC-32 of each row's entries in the given tables, rows first … last − 1."""
    crcs = [0] * (last - first)
    for spec in specs:
        crcs = chained_crcs(crcs, np.asarray(dataset(file, spec.path)[first:last]))
    return crcs


def chunk_damage(
    file: h5py.File, spec: ArraySpec, grids: NDArray[np.int32], known: tuple[int, ...]
) -> Iterator[Damage]:
    """Yield the damaged, missing and superfluous chunks of a field."""
    array = array_id(file, spec.path)
    checksums = checksums_of(file, spec)
    for row, grid in enumerate(grids.tolist()):
        crcs = row_checksums(checksums, spec, row)
        wanted = {window.position for window in row_windows(spec, grid)} if grid in known else None
        for position in product(*map(range, spec.chunk_grid[1:])):
            crc = int(crcs[position])
            if wanted is not None and (position in wanted) != (crc >= 0):
                what = f"chunk {position} should {'' if position in wanted else 'not '}be stored"
                yield Damage(spec.path, row, what)
            fault = chunk_fault(array, chunk_offset(spec, row, position), crc)
            if fault:
                yield Damage(spec.path, row, f"chunk {position} {fault}")
