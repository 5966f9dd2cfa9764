"""Stored chunks as they are: compressed bytes, read past HDF5's filters and compared with their checksums."""

import zlib
from collections.abc import Callable, Iterable
from math import prod

import h5py
import h5py.h5d as h5d
import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.storage.chunks import chunk_offset
from spinlock.storage.object_facts import array_chunks, read_rows
from spinlock.storage.schema import ArraySpec, checksum_path
from spinlock.storage.walk import H5_ERRORS, array_id

Offset = tuple[int, ...]
"""The element at which a chunk begins."""


def checksums_of(file: h5py.File, spec: ArraySpec) -> h5d.DatasetID:
    """Return the array of a field's checksums, or raise `StorageError`."""
    return array_id(file, checksum_path(spec.path))


def row_checksums(checksums: h5d.DatasetID, spec: ArraySpec, row: int) -> NDArray[np.int64]:
    """Return the checksums of a row's chunks by position, -1 where none is stored."""
    return read_rows(checksums, row, 1).reshape(spec.chunk_grid[1:])


def read_chunk(array: h5d.DatasetID, offset: Offset) -> bytes | None:
    """Return the raw bytes of a chunk, None where none is stored.

    Raises
    ------
    StorageError
        Where it cannot be read, its size cannot be right, or it skips filters.
    """
    try:
        info = array.get_chunk_info_by_coord(offset)
        if info.byte_offset is None:
            return None
        largest = 2 * prod(array_chunks(array) or ()) * array.dtype.itemsize + 4096
        if info.size > largest or info.filter_mask:
            raise StorageError(
                f"has an impossible size ({info.size} bytes) or filter mask ({info.filter_mask})"
            )
        return array.read_direct_chunk(offset)[1]
    except H5_ERRORS as error:
        raise StorageError(f"cannot be read ({error})") from error


def read_sound_chunk(array: h5d.DatasetID, offset: Offset, crc: int) -> bytes:
    """Return the raw bytes of a chunk that has this CRC-32, or raise `StorageError`."""
    raw = read_chunk(array, offset)
    if raw is None:
        raise StorageError("is missing")
    require_crc(raw, crc)
    return raw


def require_crc(raw: bytes, crc: int) -> None:
    """Raise `StorageError` unless the bytes of a chunk have this CRC-32."""
    if zlib.crc32(raw) != crc:
        raise StorageError("does not have its checksum")


def checked_chunks(
    array: h5d.DatasetID,
    spec: ArraySpec,
    row: int,
    positions: Iterable[tuple[int, ...]],
    crcs: Callable[[], NDArray[np.int64]],
    checked: NDArray[np.bool_],
) -> list[bytes]:
    """Return raw chunks of a row, each compared with its CRC-32 the first time.

    Parameters
    ----------
    row
        The row of ``array``.
    crcs
        Gives the checksums of the row by position.
    checked
        By position, which were compared before; marked here.

    Raises
    ------
    StorageError
        Where a chunk is missing or does not have its checksum.
    """
    known: NDArray[np.int64] | None = None
    raw = []
    for position in positions:
        offset = chunk_offset(spec, row, position)
        if checked[position]:
            raw.append(array.read_direct_chunk(offset)[1])
            continue
        known = crcs() if known is None else known
        raw.append(read_sound_chunk(array, offset, int(known[position])))
        checked[position] = True
    return raw


def chunk_fault(array: h5d.DatasetID, offset: Offset, crc: int) -> str | None:
    """Return what is wrong with a chunk whose checksum is ``crc`` (-1: none should be stored), or None."""
    try:
        if crc >= 0:
            read_sound_chunk(array, offset, crc)
        elif read_chunk(array, offset) is not None:
            return "is stored where none should be"
    except StorageError as error:
        return str(error)
    return None
