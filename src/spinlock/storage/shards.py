"""Shards: a range of rows in a file of its own, committed atomically, the same bytes every time."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.storage.atomic import Checkpoint, committed, no_checkpoint, write_errors
from spinlock.storage.chunks import chunk_offset
from spinlock.storage.digest import seal
from spinlock.storage.feature_layout import EXTRACTION_TIME
from spinlock.storage.rows import Chunk, EncodedRow
from spinlock.storage.schema import (
    ROW_CHECKSUMS,
    ArraySpec,
    Layout,
    arrays,
    checksum_path,
    field_arrays,
    row_tables,
)
from spinlock.storage.tree import create_file, create_tree, write_table
from spinlock.storage.verify import verify
from spinlock.storage.walk import dataset


@dataclass(frozen=True)
class ShardFile:
    """A committed shard: rows lo … hi − 1, its size and SHA-256, and the digest its file is sealed with.

    The digest covers the CRC-32 of every chunk, so it stands for all of them.
    """

    path: Path
    lo: int
    hi: int
    size: int
    sha256: str
    digest: str


def write_shard(
    path: Path,
    layout: Layout,
    lo: int,
    hi: int,
    rows: Iterable[EncodedRow],
    attributes: Mapping[str, Any],
    checkpoint: Checkpoint = no_checkpoint,
) -> ShardFile:
    """Write rows lo … hi − 1 to a new shard file at ``path``, or leave everything as it was.

    Parameters
    ----------
    path
        Where the shard will stand; an older file there is replaced in one step.
    layout
        The layout of the whole dataset.
    rows
        Exactly hi − lo encoded rows in index order; each is written as it comes.
    attributes
        Attributes of ``/metadata``; ``plan_digest`` must be among them. For equal bytes they must be equal.
    checkpoint
        Called with the name of each step as it begins (``create``, ``row 0``, …, ``close``, ``check``,
        ``fsync``, ``rename``, ``fsync directory``); raise in it to abandon the shard.

    Raises
    ------
    StorageError
        Where the file cannot be written, the rows are not hi − lo, or what was written reads back wrong.
    """
    if not 0 <= lo < hi <= layout.samples:
        raise StorageError(f"rows {lo} to {hi} are no part of a dataset of {layout.samples} samples")
    part = replace(layout, samples=hi - lo)
    facts = {**attributes, "layout": part.to_json(), "first_row": lo}
    if "plan_digest" not in attributes:
        raise StorageError("a shard needs the attribute plan_digest")
    with committed(path, checkpoint) as temporary:
        checkpoint("create")
        with writing(temporary, path) as file:
            with write_errors(path):
                create_tree(file, part, facts)
            _write_rows(path, file, part, rows, checkpoint)
            with write_errors(path):
                digest = seal(file)
            checkpoint("close")
        checkpoint("check")
        with write_errors(path):
            require_sound(temporary, path)
            size, sha256 = temporary.stat().st_size, file_sha256(temporary)
    return ShardFile(path, lo, hi, size, sha256, digest)


@contextmanager
def writing(temporary: Path, path: Path) -> Iterator[h5py.File]:
    """Create an HDF5 file that will be committed at ``path``, and close it at the end."""
    with write_errors(path):
        file = create_file(temporary)
    try:
        yield file
    finally:
        with write_errors(path):
            file.close()


def _write_rows(
    path: Path, file: h5py.File, layout: Layout, rows: Iterable[EncodedRow], checkpoint: Checkpoint
) -> None:
    fields, tables = field_arrays(layout), row_tables(layout)
    crcs = {spec.path: np.full(spec.chunk_grid, -1, np.int64) for spec in fields}
    entries: list[Mapping[str, Any]] = []
    row_crcs: list[int] = []
    for index, row in enumerate(rows):
        checkpoint(f"row {index}")
        if index == layout.samples:
            raise StorageError(f"a shard of {layout.samples} rows was given more")
        with write_errors(path):
            for spec in fields:
                write_chunks(file, spec, index, row.chunks[spec.path], crcs[spec.path])
        entries.append(row.entries)
        row_crcs.append(row.crc)
    if len(entries) != layout.samples:
        raise StorageError(f"a shard of {layout.samples} rows was given {len(entries)}")
    columns = {spec.path: np.stack([entry[spec.path] for entry in entries]) for spec in tables}
    columns[ROW_CHECKSUMS] = np.array(row_crcs, np.uint32)
    if layout.features is not None:
        columns[EXTRACTION_TIME] = np.full(layout.samples, np.nan)  # a shard holds no times
    columns |= {checksum_path(field): grid.reshape(layout.samples, -1) for field, grid in crcs.items()}
    with write_errors(path):
        for spec in arrays(layout):
            if spec.path in columns:
                write_table(file, spec, 0, columns[spec.path])


def write_chunks(
    file: h5py.File, spec: ArraySpec, row: int, chunks: Iterable[Chunk], crcs: NDArray[np.int64]
) -> None:
    """Write the chunks of one row of a field as they are, and note their checksums in ``crcs``."""
    target = dataset(file, spec.path).id
    for chunk in chunks:
        target.write_direct_chunk(chunk_offset(spec, row, chunk.position), chunk.data)
        crcs[(row, *chunk.position)] = chunk.crc


def require_sound(temporary: Path, path: Path) -> None:
    """Raise `StorageError` unless a file just written reads back sound."""
    damage = verify(temporary)
    if damage:
        raise StorageError(
            f"{path} was written but reads back wrong ({damage[0]}): the disk or the memory of this machine "
            "may be faulty; the file was dropped, run the same command again"
        )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
