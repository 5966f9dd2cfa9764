"""Finalize: the shards of a dataset joined into one file, chunk by chunk, without recompression."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py

from spinlock.errors import StorageError
from spinlock.storage.atomic import Checkpoint, committed, no_checkpoint, write_errors
from spinlock.storage.chunks import chunk_offset, row_windows
from spinlock.storage.digest import seal
from spinlock.storage.raw_chunks import read_sound_chunk, row_checksums
from spinlock.storage.reader import DatasetFile
from spinlock.storage.schema import ArraySpec, Layout, arrays, field_arrays
from spinlock.storage.shards import ShardFile, require_sound, writing
from spinlock.storage.tree import create_tree, write_table
from spinlock.storage.walk import dataset


@dataclass(frozen=True)
class FinalFile:
    """A complete dataset file: where it stands, its size, and the digest it is sealed with."""

    path: Path
    size: int
    digest: str


def finalize(
    path: Path,
    layout: Layout,
    shards: Sequence[ShardFile],
    attributes: Mapping[str, Any],
    checkpoint: Checkpoint = no_checkpoint,
) -> FinalFile:
    """Join shards into one dataset file at ``path``: it appears there complete, or not at all.

    Every chunk's CRC-32 is compared on the way and again in the finished file. Memory does not grow with the
    number of samples.

    Parameters
    ----------
    path
        The dataset file; an older one is replaced in one step.
    layout
        The layout of the whole dataset.
    shards
        In order; together exactly the rows 0 … N − 1.
    attributes
        Attributes of ``/metadata``: ``plan_digest`` (every shard must have the same), ``config``, ….
    checkpoint
        Called with the name of each step as it begins (``create``, ``shard 0``, …, ``seal``, ``close``,
        ``check``, ``fsync``, ``rename``, ``fsync directory``); raise in it to abandon the file.

    Raises
    ------
    StorageError
        Where a shard is damaged, foreign or missing (it is named), or the file cannot be written.
    """
    _check_cover(layout, shards)
    if "plan_digest" not in attributes:
        raise StorageError("a dataset needs the attribute plan_digest")
    with committed(path, checkpoint) as temporary:
        checkpoint("create")
        with writing(temporary, path) as file:
            with write_errors(path):
                create_tree(file, layout, {**attributes, "layout": layout.to_json(), "first_row": 0})
            for number, shard in enumerate(shards):
                checkpoint(f"shard {number}")
                with write_errors(path):
                    _copy_shard(file, layout, shard, attributes["plan_digest"])
            checkpoint("seal")
            with write_errors(path):
                digest = seal(file)
            checkpoint("close")
        checkpoint("check")
        with write_errors(path):
            require_sound(temporary, path)
            size = temporary.stat().st_size
    return FinalFile(path, size, digest)


def _check_cover(layout: Layout, shards: Sequence[ShardFile]) -> None:
    expected = 0
    for shard in shards:
        if shard.lo != expected or shard.hi <= shard.lo:
            raise StorageError(
                f"rows {expected} to {shard.lo} are in no shard: generate them before finalizing"
            )
        expected = shard.hi
    if expected != layout.samples:
        raise StorageError(
            f"rows {expected} to {layout.samples} are in no shard: generate them before finalizing"
        )


def _copy_shard(file: h5py.File, layout: Layout, shard: ShardFile, plan_digest: str) -> None:
    with DatasetFile(shard.path) as source:
        _check_shard(source, layout, shard, plan_digest)
        _copy_chunks(file, source, layout, shard)
        for spec in arrays(layout):
            if spec.kind in ("table", "checksum"):
                source.copy_table(
                    spec.path,
                    lambda first, block, spec=spec: write_table(file, spec, shard.lo + first, block),
                )


def _check_shard(source: DatasetFile, layout: Layout, shard: ShardFile, plan_digest: str) -> None:
    facts = source.attributes
    for what, found, wanted in (
        ("plan", facts.get("plan_digest"), plan_digest),
        ("first row", facts.get("first_row"), shard.lo),
        ("layout", source.layout, replace(layout, samples=shard.hi - shard.lo)),
        ("digest", source.digest, shard.digest),
    ):
        if found != wanted:
            raise StorageError(
                f"{shard.path} is not the shard of rows {shard.lo} to {shard.hi} of this plan (its {what} is "
                f"{found}, not {wanted}): delete it and run the same command again, which makes it anew"
            )


def _copy_chunks(file: h5py.File, source: DatasetFile, layout: Layout, shard: ShardFile) -> None:
    """Copy row by row, so that the bytes of the file do not depend on how its rows were cut into shards."""
    fields = field_arrays(layout)
    grids = source.table("metadata/grid_sizes")
    with source.opened() as part:
        for row, grid in enumerate(grids):
            for spec in fields:
                _copy_row(dataset(file, spec.path).id, part, spec, shard, row, int(grid))


def _copy_row(target: Any, part: h5py.File, spec: ArraySpec, shard: ShardFile, row: int, grid: int) -> None:
    array = dataset(part, spec.path)
    crcs = row_checksums(part, spec, row)
    for window in row_windows(spec, grid):
        offset = chunk_offset(spec, row, window.position)
        try:
            raw = read_sound_chunk(array, offset, int(crcs[window.position]))
        except StorageError as error:
            raise StorageError(
                f"{shard.path}: a chunk of {spec.path}, row {shard.lo + row} {error}: delete the shard and "
                "run the same command again, which makes it anew"
            ) from error
        target.write_direct_chunk((shard.lo + row, *offset[1:]), raw)
