"""What a Zarr store is made of: the shards of a run, or another stored dataset."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import count, islice
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError, UsageError
from spinlock.storage.array_spec import ITEM_SIZES
from spinlock.storage.atomic import Checkpoint, no_checkpoint
from spinlock.storage.chunk_copy import carried_tables
from spinlock.storage.chunks import chunk_offset, row_windows
from spinlock.storage.feature_copy import Block, feature_rows, feature_tables, sound_row
from spinlock.storage.feature_layout import EXTRACTION_TIME, FEATURES, SCHEMA, SDF, FeatureFacts
from spinlock.storage.finalize import FinalFile, check_complete, opened_shard
from spinlock.storage.locations import Url
from spinlock.storage.object_facts import read_rows
from spinlock.storage.raw_chunks import checksums_of, read_sound_chunk, row_checksums
from spinlock.storage.rows import chained_crcs
from spinlock.storage.schema import ROW_CHECKSUMS, ArraySpec, Layout, field_arrays
from spinlock.storage.shards import ShardFile, is_as_committed
from spinlock.storage.spin import ROWS_PER_SHARD
from spinlock.storage.stored import StoredDataset
from spinlock.storage.walk import array_id
from spinlock.storage.zarr_chunks import Position
from spinlock.storage.zarr_store import Objects
from spinlock.storage.zarr_writer import NewStore, write_store

WRITERS = 8
"""Threads that write objects at once: they wait for a disk or a network."""

OBJECT_BYTES = 2**26
"""The objects of a dataset that has no shards hold about this much, uncompressed."""

Columns = Mapping[str, NDArray[Any]]
"""The entries of tables, by path."""


def finalize_zarr(
    path: Path,
    layout: Layout,
    shards: Sequence[ShardFile],
    attributes: Mapping[str, Any],
    checkpoint: Checkpoint = no_checkpoint,
    facts: FeatureFacts | None = None,
) -> FinalFile:
    """Join shards to a Zarr store; the parameters are those of `spinlock.storage.finalize.finalize`.

    Each shard becomes one object of each field; several threads write them at once.

    Raises
    ------
    UsageError
        Where a package for such stores is missing.
    StorageError
        Where a shard is damaged, foreign or missing, or the store cannot be written.
    """
    check_complete(layout, shards, attributes, facts)

    def fill(store: NewStore) -> None:
        digest = attributes["plan_digest"]
        parts = [partial(publish_shard, store, number, one, digest) for number, one in enumerate(shards)]
        _together(parts, store, checkpoint)

    rows = shards[0].hi - shards[0].lo
    return write_store(path, layout, rows, attributes, facts, fill, checkpoint)


def _together(parts: Iterable[Callable[[], Columns]], store: NewStore, checkpoint: Checkpoint) -> None:
    """Run parts in several threads, and append the columns that they return, in their order.

    Few are under way at a time, so that few columns wait for those before them.
    """
    waiting: deque[Future[Columns]] = deque()
    queue = iter(parts)
    with ThreadPoolExecutor(WRITERS, thread_name_prefix="spinlock-zarr") as pool:
        try:
            for number in count():
                waiting.extend(pool.submit(part) for part in islice(queue, 2 * WRITERS - len(waiting)))
                if not waiting:
                    return
                columns = waiting.popleft().result()
                checkpoint(f"shard {number}")
                for path, entries in columns.items():
                    store.tables.append(path, entries)
        finally:
            for future in waiting:
                future.cancel()


def publish_shard(store: NewStore, number: int, shard: ShardFile, plan_digest: str) -> Columns:
    """Write the objects of a shard, and return its rows of all tables. Doing it again changes nothing."""
    layout = store.layout
    with opened_shard(layout, shard, plan_digest, is_as_committed(shard)) as part:
        grids = read_rows(array_id(part, "metadata/grid_sizes"), 0, shard.hi - shard.lo).tolist()
        for spec in field_arrays(layout):
            array, checksums = array_id(part, spec.path), checksums_of(part, spec)
            chunks: dict[Position, bytes] = {}
            for row, grid in enumerate(grids):
                crcs = row_checksums(checksums, spec, row)
                for window in row_windows(spec, grid):
                    place, crc = chunk_offset(spec, row, window.position), int(crcs[window.position])
                    try:
                        chunks[row, *window.position] = read_sound_chunk(array, place, crc)
                    except StorageError as error:
                        raise StorageError(
                            f"{shard.path}: a chunk of {spec.path}, row {shard.lo + row} {error}: delete the "
                            "shard and run the same command again, which makes it anew"
                        ) from error
            store.write_object(spec, number, chunks)
        tables = carried_tables(layout)
        return {spec.path: read_rows(array_id(part, spec.path), 0, len(grids)) for spec in tables}


def copy_to_zarr(source: StoredDataset, path: Path, checkpoint: Checkpoint = no_checkpoint) -> FinalFile:
    """Write a dataset, whatever its form, as a Zarr store, with everything that it holds."""
    layout = source.layout

    def fill(store: NewStore) -> None:
        _copy_fields(source, store, checkpoint)
        for spec in carried_tables(layout):
            source.copy_table(spec.path, lambda _, block, path=spec.path: store.tables.append(path, block))

    return write_store(
        path, layout, _rows_per_object(source), source.content, _facts(source), fill, checkpoint
    )


def _facts(source: StoredDataset) -> FeatureFacts | None:
    """Return what a dataset says about its features."""
    if source.layout.features is None:
        return None
    return FeatureFacts(
        origin=source.group_attributes(FEATURES),
        conventions=source.group_attributes(SDF),
        schema=source.document(SCHEMA),
        seconds=source.table(EXTRACTION_TIME),
    )


def zarr_with_features(
    source: StoredDataset,
    path: Path,
    layout: Layout,
    blocks: Iterable[Block],
    facts: FeatureFacts,
    checkpoint: Checkpoint = no_checkpoint,
) -> FinalFile:
    """Write a dataset, whatever its form, as a Zarr store with features; those that it has are left behind.

    Raises
    ------
    UsageError
        Where it would replace itself at a URL.
    StorageError
        Where the source is damaged, rows are missing, or the store cannot be written.
    """
    require_other_place(source, path)

    def fill(store: NewStore) -> None:
        checkpoint("copy")
        _copy_fields(source, store, checkpoint)
        crcs = np.zeros(layout.samples, np.uint32)
        for spec in carried_tables(replace(layout, features=None)):
            if spec.path != ROW_CHECKSUMS:
                source.copy_table(spec.path, partial(_append, store, spec, crcs))
        checkpoint("features")
        for first, tables in feature_rows(layout, blocks):
            for spec in feature_tables(layout):
                _append(store, spec, crcs, first, tables[spec.path])
        store.tables.append(ROW_CHECKSUMS, crcs)

    return write_store(path, layout, _rows_per_object(source), source.content, facts, fill, checkpoint)


def require_other_place(source: StoredDataset, path: Path) -> None:
    """Raise `UsageError` where a store at a URL would replace itself: there are no renames."""
    if isinstance(path, Url) and isinstance(source.path, Url) and Objects(path).is_same(source.path):
        raise UsageError(
            f"{path} cannot be replaced while it is read: give an --output, which gets the features"
        )


def _append(
    store: NewStore, spec: ArraySpec, crcs: NDArray[np.uint32], first: int, entries: NDArray[Any]
) -> None:
    """Append rows of a table, and go on with the checksums of its rows."""
    entries = store.tables.append(spec.path, entries)
    if spec.kind == "table":
        place = slice(first, first + len(entries))
        crcs[place] = chained_crcs(crcs[place].tolist(), entries)


def _copy_fields(source: StoredDataset, store: NewStore, checkpoint: Checkpoint) -> None:
    rows, samples = store.rows_per_shard, source.layout.samples

    def copy(number: int) -> Columns:
        for spec in field_arrays(source.layout):
            chunks = {
                (row - number * rows, *position): data
                for row in range(number * rows, min((number + 1) * rows, samples))
                for position, data in sound_row(source, spec, row)
            }
            store.write_object(spec, number, chunks)
        return {}

    _together([partial(copy, number) for number in range(-(-samples // rows))], store, checkpoint)


def _rows_per_object(source: StoredDataset) -> int:
    """Return the rows of a shard where the dataset has some, else as many as make objects of equal size."""
    if ROWS_PER_SHARD in source.attributes:
        return int(source.attributes[ROWS_PER_SHARD])
    largest = max(prod(spec.shape[1:]) * ITEM_SIZES[spec.dtype] for spec in field_arrays(source.layout))
    return max(1, min(OBJECT_BYTES // largest, source.layout.samples))
