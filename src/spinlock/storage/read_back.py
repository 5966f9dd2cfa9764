"""Reading back a shard just written: every object and chunk is what was meant to be written."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import h5py.h5d as h5d
import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.storage.chunks import chunk_offset
from spinlock.storage.damage import Damage
from spinlock.storage.digest import digest_faults, read_digest
from spinlock.storage.opening import open_h5, require_sound_heaps
from spinlock.storage.raw_chunks import chunk_fault
from spinlock.storage.schema import ArraySpec
from spinlock.storage.walk import H5_ERRORS, error_text, walk


def read_back_damage(path: Path, digest: str, crcs: Mapping[ArraySpec, NDArray[np.int64]]) -> list[Damage]:
    """Return what differs in a closed file from what was written to it; empty where nothing does.

    It costs less than `verify`, which asks the file itself what it should hold. Here that is known: the
    digest that it was sealed with, which covers form, attributes and tables, and the CRC-32 of each chunk by
    position (-1 where none was written).
    """
    try:
        with closing(open_h5(path)) as file:
            return list(_differences(file, digest, crcs))
    except StorageError as error:
        return [Damage("", None, str(error))]
    except H5_ERRORS as error:
        return [Damage("", None, f"HDF5 cannot read it ({error_text(error)})")]


def _differences(
    file: h5py.File, digest: str, crcs: Mapping[ArraySpec, NDArray[np.int64]]
) -> Iterator[Damage]:
    unreadable: dict[str, StorageError] = {}
    found = dict(walk(file, unreadable.__setitem__))
    require_sound_heaps(file)
    for path, what in digest_faults(file, found, unreadable).items():
        yield Damage(path, None, what)
    if read_digest(file) != digest:
        yield Damage("", None, "it is sealed with another digest")
    for spec, expected in crcs.items():
        array = found.get(spec.path)
        if isinstance(array, h5d.DatasetID):
            yield from _chunk_differences(array, spec, expected)


def _chunk_differences(array: h5d.DatasetID, spec: ArraySpec, crcs: NDArray[np.int64]) -> Iterator[Damage]:
    places: Any = np.argwhere(crcs >= 0).tolist()
    stored = array.get_num_chunks()
    if stored != len(places):
        yield Damage(spec.path, None, f"stores {stored} chunks where {len(places)} were written")
    for row, *position in places:
        fault = chunk_fault(array, chunk_offset(spec, row, tuple(position)), int(crcs[(row, *position)]))
        if fault:
            yield Damage(spec.path, row, f"chunk {tuple(position)} {fault}")
