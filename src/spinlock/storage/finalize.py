"""Finalize: the shards of a dataset joined into one file, chunk by chunk, without recompression."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py

from spinlock.errors import StorageError
from spinlock.storage.atomic import Checkpoint, committed, no_checkpoint, write_errors
from spinlock.storage.chunk_copy import DamagedChunkError, carried_tables, copy_chunks, copy_tables
from spinlock.storage.digest import read_digest, seal
from spinlock.storage.feature_layout import EXTRACTION_TIME, FeatureFacts
from spinlock.storage.hashing import forget_cached, hashed_beside, one_ahead
from spinlock.storage.opening import open_h5
from spinlock.storage.reader import DatasetFile
from spinlock.storage.schema import Layout, arrays
from spinlock.storage.shards import ShardFile, is_as_committed, require_sound, writing
from spinlock.storage.tree import create_file, create_tree, write_table
from spinlock.storage.walk import decode_attribute, group


@dataclass(frozen=True)
class FinalFile:
    """A complete dataset: its path, its size in bytes, the digest it is sealed with.

    Attributes
    ----------
    sha256
        Of the bytes of a dataset that is one file.
    """

    path: Path
    size: int
    digest: str
    sha256: str | None = None


def finalize(
    path: Path,
    layout: Layout,
    shards: Sequence[ShardFile],
    attributes: Mapping[str, Any],
    checkpoint: Checkpoint = no_checkpoint,
    facts: FeatureFacts | None = None,
    mode_of: Path | None = None,
) -> FinalFile:
    """Join shards into one dataset file at ``path``: it appears there complete, or not at all.

    Every chunk's CRC-32 is compared on the way and in the finished file. Memory is that of a few chunks.

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
    facts
        What the file says about its features; given where the layout has features, and only there.
    mode_of
        A file whose permissions the new one gets.

    Raises
    ------
    StorageError
        Where a shard is damaged, foreign or missing (it is named), or the file cannot be written.
    """
    check_complete(layout, shards, attributes, facts)
    with committed(path, checkpoint) as temporary:
        checkpoint("create")
        with writing(path, lambda: create_file(temporary)) as file:
            with write_errors(path):
                create_tree(file, layout, {**attributes, "layout": layout.to_json(), "first_row": 0}, facts)
                write_seconds(file, layout, facts)
            _copy_shards(path, file, layout, shards, attributes["plan_digest"], checkpoint)
            checkpoint("seal")
            with write_errors(path):
                digest = seal(file)
            checkpoint("close")
        checkpoint("check")
        return checked_file(temporary, path, digest, mode_of)


def checked_file(temporary: Path, path: Path, digest: str, mode_of: Path | None) -> FinalFile:
    """Read back a file that will stand at ``path``; give it the permissions of another, if there.

    Raises
    ------
    StorageError
        Where what was written reads back wrong.
    """
    with write_errors(path), hashed_beside(temporary) as sha256:
        require_sound(temporary, path)
        with suppress(FileNotFoundError):  # what was opened can be read, though it was removed meanwhile
            if mode_of is not None and mode_of.is_file():
                shutil.copymode(mode_of, temporary)
        return FinalFile(path, temporary.stat().st_size, digest, sha256())


def write_seconds(file: h5py.File, layout: Layout, facts: FeatureFacts | None) -> None:
    """Write what each sample's extraction took."""
    if facts is None:
        return
    if facts.seconds.shape != (layout.samples,):
        raise StorageError(f"{EXTRACTION_TIME}: {facts.seconds.shape} times for {layout.samples} samples")
    for spec in arrays(layout):
        if spec.kind == "timing":
            write_table(file, spec, 0, facts.seconds)


def check_complete(
    layout: Layout, shards: Sequence[ShardFile], attributes: Mapping[str, Any], facts: FeatureFacts | None
) -> None:
    """Raise `StorageError` unless the shards hold every row once, and all is there that a dataset states."""
    if "plan_digest" not in attributes:
        raise StorageError("a dataset needs the attribute plan_digest")
    if (facts is None) != (layout.features is None):
        raise StorageError("facts about features go with a layout that has features")
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


def _copy_shards(
    path: Path,
    file: h5py.File,
    layout: Layout,
    shards: Sequence[ShardFile],
    plan_digest: str,
    checkpoint: Checkpoint,
) -> None:
    with closing(one_ahead(is_as_committed, shards)) as compared:
        for number, (shard, unchanged) in enumerate(compared):
            checkpoint(f"shard {number}")
            with write_errors(path):
                _copy_shard(file, layout, shard, plan_digest, unchanged)


def _copy_shard(file: h5py.File, layout: Layout, shard: ShardFile, plan_digest: str, unchanged: bool) -> None:
    try:
        with opened_shard(layout, shard, plan_digest, unchanged) as part:
            copy_chunks(file, part, layout, shard.lo)
            copy_tables(file, part, carried_tables(layout), shard.lo)
    except DamagedChunkError as error:
        raise StorageError(
            f"{shard.path}: {error}: delete the shard and run the same command again, which makes it anew"
        ) from error


@contextmanager
def opened_shard(layout: Layout, shard: ShardFile, plan_digest: str, unchanged: bool) -> Iterator[h5py.File]:
    """Open a shard to carry it over; afterwards its bytes leave the system's cache.

    Parameters
    ----------
    unchanged
        Its bytes are those that were committed, and were checked then; another shard is checked now.

    Raises
    ------
    StorageError
        Where it is another shard, or damaged.
    """
    try:
        if unchanged:
            with closing(open_h5(shard.path)) as part:
                if states(part, layout, shard, plan_digest):
                    yield part
                    return
        with DatasetFile(shard.path) as source:
            _check_shard(source, layout, shard, plan_digest)
            with source.opened() as part:
                yield part
    finally:
        forget_cached(shard.path)


def states(part: h5py.File, layout: Layout, shard: ShardFile, plan_digest: str) -> bool:
    """Return whether a shard's file says of itself that it is that shard of that plan."""
    stated = {
        "plan_digest": plan_digest,
        "first_row": shard.lo,
        "layout": replace(layout, samples=shard.hi - shard.lo).to_json(),
    }
    facts = {name: decode_attribute(value) for name, value in group(part, "metadata").attrs.items()}
    return facts == facts | stated and read_digest(part) == shard.digest


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
