"""Making a `.spin` directory: an index is written beside the shards, and the folder is renamed."""

import errno
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py

from spinlock.errors import StorageError, UsageError
from spinlock.storage.atomic import (
    Checkpoint,
    committed,
    fsync,
    no_checkpoint,
    publish_folder,
    temporary_beside,
    write_errors,
)
from spinlock.storage.chunk_copy import carried_tables, copy_tables
from spinlock.storage.digest import seal
from spinlock.storage.feature_copy import Block, copy_old_tables, write_blocks, write_row_checksums
from spinlock.storage.feature_layout import FeatureFacts
from spinlock.storage.finalize import FinalFile, check_complete, states, write_seconds
from spinlock.storage.folders import remove_tree
from spinlock.storage.locations import INDEX_NAME
from spinlock.storage.locks import LOCK_NAME
from spinlock.storage.opening import open_h5
from spinlock.storage.schema import Layout, field_arrays
from spinlock.storage.shards import ShardFile, require_sound, writing
from spinlock.storage.spin import FIELD_BYTES, ROWS_PER_SHARD, SpinDirectory
from spinlock.storage.stored import StoredDataset
from spinlock.storage.tree import create_file, create_tree, write_attribute
from spinlock.storage.walk import array_id, group

KEPT_BESIDE_INDEX = ("shards", "receipts", "plan.json")
"""What a `.spin` directory holds beside its index."""


FAILING = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOENT))
"""What no copy mends."""


def finalize_spin(
    path: Path,
    layout: Layout,
    shards: Sequence[ShardFile],
    attributes: Mapping[str, Any],
    checkpoint: Checkpoint = no_checkpoint,
    facts: FeatureFacts | None = None,
) -> FinalFile:
    """Turn the run directory in which the shards stand into the `.spin` directory at ``path``.

    Their tables are joined into an index beside them; then the folder is renamed. What stood at ``path`` is
    gone afterwards.

    Parameters
    ----------
    shards
        In order, all of equal length but the last; together exactly the rows 0 … N − 1.
    checkpoint
        Called with the name of each step as it begins; raise in it to leave everything as it was.

    Raises
    ------
    StorageError
        Where a shard is damaged, foreign or missing (it is named), or the disk fails.
    """
    check_complete(layout, shards, attributes, facts)
    work = shards[0].path.parents[1]
    sizes: Counter[str] = Counter()
    stated = {
        **attributes,
        "layout": layout.to_json(),
        "first_row": 0,
        ROWS_PER_SHARD: shards[0].hi - shards[0].lo,
    }

    def fill(file: h5py.File) -> None:
        for number, shard in enumerate(shards):
            checkpoint(f"shard {number}")
            with write_errors(path):
                sizes.update(_copy_tables(file, layout, shard, attributes["plan_digest"]))
        with write_errors(path):
            write_seconds(file, layout, facts)
            write_attribute(group(file, "metadata"), FIELD_BYTES, dict(sizes))

    final = _write_index(work / INDEX_NAME, layout, stated, facts, fill, checkpoint)
    _publish(work, path, checkpoint)
    return FinalFile(path, final.size + sum(shard.size for shard in shards), final.digest)


def _publish(work: Path, path: Path, checkpoint: Checkpoint) -> None:
    """Make a run directory with an index the dataset at ``path``.

    What is replaced would stand where the run directory stood for a moment, like the work of another run: a
    folder of links is put in its place instead, and the run directory removed at the very end.
    """
    published = temporary_beside(path) if path.exists() else work
    try:
        if published is not work:
            with write_errors(path):
                _link(work, published)
                os.replace(work / INDEX_NAME, published / INDEX_NAME)  # noqa: PTH105 (a rename, never a copy)
        publish_folder(published, path, checkpoint)
    finally:
        if published is not work:
            remove_tree(published)
    with write_errors(path):
        remove_lock(path)


def remove_lock(path: Path) -> None:
    """Remove the lock of the run that became the `.spin` directory at ``path``, if one is left there."""
    if (path / INDEX_NAME).is_file():
        (path / LOCK_NAME).unlink(missing_ok=True)


def _copy_tables(file: h5py.File, layout: Layout, shard: ShardFile, plan_digest: str) -> dict[str, int]:
    """Copy the tables of a shard to the index; return the bytes that each of its fields takes."""
    remedy = "delete it and run the same command again, which makes it anew"
    try:
        with closing(open_h5(shard.path)) as part:
            if states(part, layout, shard, plan_digest):
                copy_tables(file, part, carried_tables(layout), shard.lo)
                fields = field_arrays(layout)
                return {spec.path: array_id(part, spec.path).get_storage_size() for spec in fields}
    except (StorageError, KeyError) as error:
        raise StorageError(f"{shard.path} is damaged ({error}): {remedy}") from error
    raise StorageError(
        f"{shard.path} is not the shard of rows {shard.lo} to {shard.hi} of this plan: {remedy}"
    )


def _write_index(
    path: Path,
    layout: Layout,
    stated: Mapping[str, Any],
    facts: FeatureFacts | None,
    fill: Callable[[h5py.File], None],
    checkpoint: Checkpoint,
) -> FinalFile:
    """Commit an index: its tree, then what ``fill`` writes, sealed and read back."""
    with committed(path, checkpoint) as temporary:
        checkpoint("create")
        with writing(path, lambda: create_file(temporary)) as file:
            with write_errors(path):
                create_tree(file, layout, stated, facts, with_fields=False)
            fill(file)
            checkpoint("seal")
            with write_errors(path):
                digest = seal(file)
        checkpoint("check")
        with write_errors(path):
            require_sound(temporary, path, with_fields=False)
            size = temporary.stat().st_size
        checkpoint(f"sealed {digest}")
    return FinalFile(path, size, digest)


def spin_with_features(
    source: StoredDataset,
    path: Path,
    layout: Layout,
    blocks: Iterable[Block],
    facts: FeatureFacts,
    checkpoint: Checkpoint = no_checkpoint,
) -> FinalFile:
    """Write a `.spin` directory again with features: only its index is new.

    At another path the shards are hard links of the source's where the file system allows it, else copies.

    Raises
    ------
    UsageError
        Where the source is no `.spin` directory.
    StorageError
        Where the source is damaged, rows are missing, or the disk fails.
    """
    require_shards(source, path)

    def fill(file: h5py.File) -> None:
        checkpoint("copy")
        with write_errors(path):
            write_seconds(file, layout, facts)
            copy_old_tables(file, source, layout)
        checkpoint("features")
        write_blocks(path, file, layout, blocks)
        with write_errors(path):
            write_row_checksums(file, layout)

    stated = {**source.attributes, "layout": layout.to_json()}
    if path == source.path:
        return _write_index(path / INDEX_NAME, layout, stated, facts, fill, checkpoint)
    work = temporary_beside(path)
    try:
        with write_errors(path):
            _link(source.path, work)
        final = _write_index(work / INDEX_NAME, layout, stated, facts, fill, checkpoint)
        publish_folder(work, path, checkpoint)
    finally:
        remove_tree(work)
    return FinalFile(path, final.size, final.digest)


def require_shards(source: StoredDataset, path: Path) -> None:
    """Raise `UsageError` where a dataset has no shards, of which ``path`` could be made."""
    if not isinstance(source, SpinDirectory):
        raise UsageError(
            f"--output {path}: a .spin directory is made of shards, which {source.path} does not have; give "
            "an --output ending in .h5 or .zarr"
        )


def _link(source: Path, target: Path) -> None:
    """Make ``target`` hold the shards and receipts of ``source``."""
    target.mkdir()
    for name in KEPT_BESIDE_INDEX:
        place = source / name
        if place.is_dir():
            shutil.copytree(place, target / name, copy_function=link_or_copy)
            fsync(target / name)
        elif place.exists():
            link_or_copy(place, target / name)


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """Make a file stand at ``target`` too: a hard link, or a copy on disk where links cannot lead there."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in FAILING:
            raise
        shutil.copyfile(source, target)
        fsync(Path(target))


def plan_of(directory: Path) -> dict[str, Any]:
    """Return what a run directory, or a `.spin` directory, says of its plan; `StorageError` where nothing."""
    try:
        stated = json.loads((directory / "plan.json").read_text())
        return {name: stated[name] for name in ("digest", "config", "total_samples", "rows_per_shard")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{directory} holds no plan.json that can be read ({error}): it is neither the work of a run nor "
            "a .spin directory"
        ) from None
