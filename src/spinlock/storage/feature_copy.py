"""A dataset written again with features: everything else is carried over, bit for bit."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.storage.array_spec import ArraySpec
from spinlock.storage.atomic import Checkpoint, committed, no_checkpoint, write_errors
from spinlock.storage.chunk_copy import carried_tables
from spinlock.storage.chunks import chunk_offset
from spinlock.storage.digest import seal
from spinlock.storage.feature_layout import FEATURES, FeatureFacts, FeatureLayout
from spinlock.storage.finalize import FinalFile, checked_file, write_seconds
from spinlock.storage.object_facts import BLOCK_BYTES
from spinlock.storage.schema import ROW_CHECKSUMS, Layout, arrays, field_arrays, row_tables
from spinlock.storage.shards import writing
from spinlock.storage.stored import StoredDataset
from spinlock.storage.tree import create_file, create_tree, write_table
from spinlock.storage.verify import entry_checksums
from spinlock.storage.walk import array_id

Block = tuple[int, Mapping[str, NDArray[Any]]]
"""The first row, and the entries of each feature table from there on, by path."""


def copy_with_features(
    source: StoredDataset,
    path: Path,
    features: FeatureLayout,
    blocks: Iterable[Block],
    facts: FeatureFacts,
    checkpoint: Checkpoint = no_checkpoint,
) -> FinalFile:
    """Write ``source`` with these features to ``path``: it appears there complete, or not at all.

    Features that the source has are left behind. Every chunk's CRC-32 is compared on the way and again in
    the finished file. Memory does not grow with the number of samples.

    Parameters
    ----------
    source
        The dataset; ``path`` may be its own, and is then replaced in one step.
    blocks
        The rows of the feature tables, in order and without gaps.
    checkpoint
        Called with the name of each step as it begins (``create``, ``copy``, ``features``, ``seal``,
        ``sealed``, ``check``, ``fsync``, ``rename``, ``fsync directory``); raise in it to abandon the file.

    Raises
    ------
    StorageError
        Where the source is damaged, rows are missing, or the file cannot be written.
    """
    layout = replace(source.layout, features=features)
    stated = {**source.content, "layout": layout.to_json()}
    with committed(path, checkpoint) as temporary:
        checkpoint("create")
        with writing(path, lambda: create_file(temporary)) as file:
            with write_errors(path):
                create_tree(file, layout, stated, facts)
                write_seconds(file, layout, facts)
            checkpoint("copy")
            with write_errors(path):
                _copy(file, source, layout)
            checkpoint("features")
            write_blocks(path, file, layout, blocks)
            with write_errors(path):
                write_row_checksums(file, layout)
            checkpoint("seal")
            with write_errors(path):
                digest = seal(file)
        checkpoint("check")
        final = checked_file(temporary, path, digest, path if path.exists() else source.path)
        checkpoint(f"sealed {digest}")
    return final


def _copy(file: h5py.File, source: StoredDataset, layout: Layout) -> None:
    copy_rows(file, source)
    copy_old_tables(file, source, layout)


def copy_rows(file: h5py.File, source: StoredDataset) -> None:
    """Copy the chunks of all rows as they are; row by row, so that the bytes do not depend on the source."""
    fields = [(spec, array_id(file, spec.path)) for spec in field_arrays(source.layout)]
    for row in range(source.layout.samples):
        for spec, target in fields:
            for position, raw in sound_row(source, spec, row):
                target.write_direct_chunk(chunk_offset(spec, row, position), raw)


def sound_row(source: StoredDataset, spec: ArraySpec, row: int) -> list[tuple[tuple[int, ...], bytes]]:
    """Return the chunks of a row, or raise `StorageError` that says what to do about a damaged one."""
    try:
        return source.raw_row(spec, row)
    except StorageError as error:
        raise StorageError(
            f"{source.path}: a chunk of {spec.path}, row {row} {error}. What to do: run `spinlock validate` "
            "to list all damage, and generate the dataset again (`spinlock generate --repair` keeps what is "
            "sound), or copy it again if it came from elsewhere"
        ) from error


def copy_old_tables(file: h5py.File, source: StoredDataset, layout: Layout) -> None:
    """Copy every table but those of features, and the checksums that cover them."""
    for spec in carried_tables(replace(layout, features=None)):
        if spec.path != ROW_CHECKSUMS:
            source.copy_table(spec.path, partial(write_table, file, spec))


def write_blocks(path: Path, file: h5py.File, layout: Layout, blocks: Iterable[Block]) -> None:
    """Write the rows of the feature tables; raise `StorageError` where some are missing."""
    for first, tables in feature_rows(layout, blocks):
        with write_errors(path):
            for spec in feature_tables(layout):
                write_table(file, spec, first, tables[spec.path])


def feature_tables(layout: Layout) -> list[ArraySpec]:
    """Return the tables of features."""
    return [spec for spec in row_tables(layout) if spec.path.startswith(f"{FEATURES}/")]


def feature_rows(layout: Layout, blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield the blocks; raise `StorageError` where rows are missing among them."""
    expected = 0
    for first, tables in blocks:
        counts = {len(tables[spec.path]) for spec in feature_tables(layout)}
        if first != expected or len(counts) != 1:
            raise StorageError(f"features of rows {expected} to {first} are missing, or of unequal number")
        yield first, tables
        expected += counts.pop()
    if expected != layout.samples:
        raise StorageError(f"features of rows {expected} to {layout.samples} are missing")


def write_row_checksums(file: h5py.File, layout: Layout) -> None:
    """Write the CRC-32 of each row's entries in all tables, which are there."""
    specs = row_tables(layout)
    (checksums,) = (spec for spec in arrays(layout) if spec.path == ROW_CHECKSUMS)
    step = max(1, BLOCK_BYTES // max(1, sum(spec.raw_bytes for spec in specs) // layout.samples))
    for first in range(0, layout.samples, step):
        last = min(first + step, layout.samples)
        write_table(file, checksums, first, np.array(entry_checksums(file, specs, first, last), np.uint32))
