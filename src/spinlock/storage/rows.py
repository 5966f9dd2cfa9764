"""Rows: what one sample stores, and its pure, thread-safe encoding to compressed chunks and table entries."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.registry import near_miss
from spinlock.storage.chunks import chunk_shape, row_shape, row_windows
from spinlock.storage.codecs import find_codec
from spinlock.storage.schema import ArraySpec, Layout, field_arrays, row_tables


@dataclass(frozen=True)
class Row:
    """What one sample stores, on its native grid g.

    Attributes
    ----------
    inputs
        Frame 0, float32 [C, g, g].
    outputs
        The final frames, float32 [M, C, g, g].
    trajectories
        The frames that the layout stores, float32 [M, F, C, g, g]; None where it stores none.
    table
        One entry for each table of the layout, by path (``metadata/ic_types``, ``parameters/params``, …).
    """

    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]
    trajectories: NDArray[np.float32] | None
    table: Mapping[str, Any]


@dataclass(frozen=True)
class Chunk:
    """A compressed chunk: its coordinates within the row, its bytes and their CRC-32."""

    position: tuple[int, ...]
    data: bytes
    crc: int


@dataclass(frozen=True)
class EncodedRow:
    """A row as it is written.

    Attributes
    ----------
    chunks
        The chunks of each field, in index order.
    entries
        The entry of each table, in its stored type.
    crc
        CRC-32 of the entries' bytes, in the order of the schema.
    """

    chunks: Mapping[str, tuple[Chunk, ...]]
    entries: Mapping[str, NDArray[Any]]
    crc: int

    @property
    def stored_bytes(self) -> int:
        """The size of all chunks and entries."""
        chunks = sum(len(chunk.data) for each in self.chunks.values() for chunk in each)
        return chunks + sum(entry.nbytes for entry in self.entries.values())


def encode_row(layout: Layout, row: Row) -> EncodedRow:
    """Return a row's compressed chunks and table entries; a pure function, safe in any thread.

    Raises
    ------
    StorageError
        Where an array's shape or type, or a table entry, is not what the layout says.
    """
    grid = row.inputs.shape[-1] if row.inputs.ndim else 0
    if grid not in layout.grids:
        raise StorageError(f"inputs/fields: grid {grid} is none of the layout's grids {list(layout.grids)}")
    given = {
        "inputs/fields": row.inputs,
        "outputs/fields": row.outputs,
        "outputs/trajectories": row.trajectories,
    }
    chunks = {}
    for spec in field_arrays(layout):
        chunks[spec.path] = _encode_field(layout, spec, given.pop(spec.path), grid)
    if given.get("outputs/trajectories") is not None:
        raise StorageError("outputs/trajectories: the row has trajectories, the layout stores none")
    entries = _encode_table(layout, row.table)
    if int(entries["metadata/grid_sizes"]) != grid:
        raise StorageError(
            f"metadata/grid_sizes: {entries['metadata/grid_sizes']} is not the grid of the fields, {grid}"
        )
    return EncodedRow(chunks, entries, entry_crc(entries.values()))


def entry_crc(entries: Any) -> int:
    """Return the CRC-32 of one row's table entries, given in the order of the schema."""
    crc = 0
    for entry in entries:
        crc = zlib.crc32(entry.tobytes(), crc)
    return crc


def chained_crcs(crcs: list[int], entries: NDArray[Any]) -> list[int]:
    """Return the CRC-32 of each row, gone on with its entries [n, …] in one more table."""
    rows = np.ascontiguousarray(entries).view(np.uint8).reshape(len(crcs), -1)  # the padding of text included
    return [zlib.crc32(row.data, crc) for row, crc in zip(rows, crcs, strict=True)]


def _encode_field(
    layout: Layout, spec: ArraySpec, values: NDArray[np.float32] | None, grid: int
) -> tuple[Chunk, ...]:
    shape = row_shape(spec, grid)
    if values is None:
        raise StorageError(f"{spec.path}: the layout stores it, the row has none")
    if values.shape != shape or values.dtype != np.float32:
        raise StorageError(
            f"{spec.path}: the row holds {values.dtype} {values.shape}, the layout wants float32 {shape}"
        )
    codec, level = find_codec(layout.compression), layout.compression_level
    stored = layout.storage_precision.encode(values)
    chunks = []
    for window in row_windows(spec, grid):
        buffer = np.full(chunk_shape(spec), np.nan, stored.dtype)
        buffer[window.chunk] = stored[window.row]
        data = codec.encode(buffer.reshape(-1).view(np.uint8), stored.dtype.itemsize, level)
        chunks.append(Chunk(window.position, data, zlib.crc32(data)))
    return tuple(chunks)


def stored_dtype(spec: ArraySpec) -> np.dtype[Any]:
    """Return the little-endian numpy type an array's entries are stored in (strings: UTF-8 bytes)."""
    if spec.dtype == "string":
        return np.dtype(f"S{spec.length}")
    return np.dtype("i1") if spec.dtype == "bool" else np.dtype(spec.dtype).newbyteorder("<")


def _encode_table(layout: Layout, table: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    specs = row_tables(layout)
    known = [spec.path for spec in specs]
    for path in table:
        if path not in known:
            near = near_miss(path, known)
            hint = f" (did you mean {near!r}?)" if near else ""
            raise StorageError(f"the layout has no table {path!r}{hint}; it has: {', '.join(known)}")
    missing = [path for path in known if path not in table]
    if missing:
        raise StorageError(f"the row has no entry for {', '.join(missing)}")
    return {spec.path: _encode_entry(spec, table[spec.path]) for spec in specs}


def _encode_entry(spec: ArraySpec, value: Any) -> NDArray[Any]:
    if spec.dtype == "string":
        return _encode_string(spec, value)
    plain = np.asarray(value)
    kinds = {
        "bool": "b", "uint16": "iu", "int32": "iu", "int64": "iu", "float32": "f", "float64": "fiu"
    }[spec.dtype]  # fmt: skip
    if plain.dtype.kind not in kinds or plain.shape != spec.shape[1:]:
        wanted = f"{spec.dtype} {spec.shape[1:]}" if spec.shape[1:] else spec.dtype
        raise StorageError(f"{spec.path}: {value!r} is not allowed, the layout wants {wanted}")
    entry = plain.astype(stored_dtype(spec))
    if plain.dtype.kind in "iu" and entry.dtype.kind in "iu" and not np.array_equal(entry, plain):
        raise StorageError(f"{spec.path}: {value!r} does not fit {spec.dtype}")
    return entry


def _encode_string(spec: ArraySpec, value: Any) -> NDArray[Any]:
    if not isinstance(value, str) or "\0" in value:
        raise StorageError(f"{spec.path}: {value!r} is not text without NUL characters")
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        raise StorageError(f"{spec.path}: {value!r} has no UTF-8 form") from error
    if len(data) > spec.length:
        raise StorageError(f"{spec.path}: {value!r} takes {len(data)} bytes, the layout allows {spec.length}")
    return np.array(data, dtype=stored_dtype(spec))
