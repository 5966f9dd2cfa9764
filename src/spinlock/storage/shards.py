"""Shards: a range of rows in a file of its own, committed atomically, the same bytes every time."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.storage.abandon import abandon, close
from spinlock.storage.atomic import Checkpoint, committed, no_checkpoint, write_errors
from spinlock.storage.chunks import chunk_offset
from spinlock.storage.damage import Damage
from spinlock.storage.digest import seal
from spinlock.storage.feature_layout import EXTRACTION_TIME
from spinlock.storage.hashing import file_sha256
from spinlock.storage.read_back import read_back_damage
from spinlock.storage.rows import EncodedRow, stored_dtype
from spinlock.storage.schema import (
    ROW_CHECKSUMS,
    ArraySpec,
    Layout,
    arrays,
    checksum_path,
    field_arrays,
    row_tables,
)
from spinlock.storage.tree import write_table
from spinlock.storage.tree_image import tree_image
from spinlock.storage.verify import verify
from spinlock.storage.walk import array_id


@dataclass(frozen=True)
class ShardFile:
    """A committed shard: path, rows lo … hi − 1, size in bytes, sha256, and the digest it is sealed with.

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
    _check_part(layout, lo, hi, attributes)
    part = replace(layout, samples=hi - lo)
    facts = {**attributes, "layout": part.to_json()}
    with committed(path, checkpoint) as temporary:
        checkpoint("create")
        image = tree_image(part, facts)
        with writing(path, lambda: image.open_copy(temporary, lo)) as file:
            columns, crcs = _write_rows(path, file, part, rows, checkpoint)
            with write_errors(path):
                _write_columns(file, part, columns)
                digest = seal(file, image.filled_digests(file, columns))
            checkpoint("close")
        checkpoint("check")
        with write_errors(path):
            size = temporary.stat().st_size  # one that was removed meanwhile is no damage
            require_no_damage(read_back_damage(temporary, digest, crcs), path)
            sha256 = file_sha256(temporary)
    return ShardFile(path, lo, hi, size, sha256, digest)


def _check_part(layout: Layout, lo: int, hi: int, attributes: Mapping[str, Any]) -> None:
    if not 0 <= lo < hi <= layout.samples:
        raise StorageError(f"rows {lo} to {hi} are no part of a dataset of {layout.samples} samples")
    if "plan_digest" not in attributes:
        raise StorageError("a shard needs the attribute plan_digest")


def _write_columns(file: h5py.File, part: Layout, columns: Mapping[str, Any]) -> None:
    for spec in arrays(part):
        if spec.path in columns:
            write_table(file, spec, 0, columns[spec.path])


@contextmanager
def writing(path: Path, opened: Callable[[], h5py.File]) -> Iterator[h5py.File]:
    """Open an HDF5 file that will be committed at ``path``; close it at the end, or give it up."""
    with write_errors(path):
        file = opened()
    try:
        yield file
        with write_errors(path):
            file.flush()
    except BaseException:
        abandon(file)
        raise
    with write_errors(path):
        close(file)


def _write_rows(
    path: Path, file: h5py.File, layout: Layout, rows: Iterable[EncodedRow], checkpoint: Checkpoint
) -> tuple[dict[str, NDArray[Any]], dict[ArraySpec, NDArray[np.int64]]]:
    """Write the chunks of all rows; return what the tables hold, in its stored type, and the chunks' CRCs."""
    fields, tables = field_arrays(layout), row_tables(layout)
    targets = {spec.path: array_id(file, spec.path) for spec in fields}
    crcs = {spec: np.full(spec.chunk_grid, -1, np.int64) for spec in fields}
    entries: list[Mapping[str, Any]] = []
    row_crcs: list[int] = []
    for index, row in enumerate(rows):
        checkpoint(f"row {index}")
        if index == layout.samples:
            raise StorageError(f"a shard of {layout.samples} rows was given more")
        with write_errors(path):
            for spec in fields:
                for chunk in row.chunks[spec.path]:
                    offset = chunk_offset(spec, index, chunk.position)
                    targets[spec.path].write_direct_chunk(offset, chunk.data)
                    crcs[spec][(index, *chunk.position)] = chunk.crc
        entries.append(row.entries)
        row_crcs.append(row.crc)
    if len(entries) != layout.samples:
        raise StorageError(f"a shard of {layout.samples} rows was given {len(entries)}")
    columns = {spec.path: np.stack([entry[spec.path] for entry in entries]) for spec in tables}
    columns[ROW_CHECKSUMS] = np.array(row_crcs, np.uint32)
    if layout.features is not None:
        columns[EXTRACTION_TIME] = np.full(layout.samples, np.nan)  # a shard holds no times
    for spec, grid in crcs.items():
        columns[checksum_path(spec.path)] = grid.reshape(layout.samples, -1)
    kinds = {spec.path: stored_dtype(spec) for spec in arrays(layout)}
    stored = {name: np.ascontiguousarray(values, kinds[name]) for name, values in columns.items()}
    return stored, crcs


def require_sound(temporary: Path, path: Path, *, with_fields: bool = True) -> None:
    """Raise `StorageError` unless a file just written reads back sound, `OSError` where it was removed."""
    temporary.stat()
    require_no_damage(verify(temporary, with_fields=with_fields), path)


def require_no_damage(damage: list[Damage], path: Path) -> None:
    """Raise `StorageError` where a file that was to stand at ``path`` reads back with damage."""
    if damage:
        raise StorageError(
            f"{path} was written but reads back wrong ({damage[0]}): the disk or the memory of this machine "
            "may be faulty; the file was dropped, run the same command again"
        )


def is_as_committed(shard: ShardFile, stopping: Callable[[], bool] = lambda: False) -> bool:
    """Return whether a shard's file still has the bytes that were read back and found right."""
    try:
        return file_sha256(shard.path, stopping) == shard.sha256
    except OSError:
        return False
