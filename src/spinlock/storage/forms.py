"""The forms of a dataset (one HDF5 file, a `.spin` directory, a Zarr store): opened, verified and made."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from spinlock.storage.atomic import Checkpoint, no_checkpoint
from spinlock.storage.damage import Damage
from spinlock.storage.feature_copy import Block, copy_with_features
from spinlock.storage.feature_layout import FeatureFacts, FeatureLayout
from spinlock.storage.finalize import FinalFile
from spinlock.storage.finalize import finalize as finalize_hdf5
from spinlock.storage.locations import form_at, form_for, form_to_make, location
from spinlock.storage.reader import DatasetFile
from spinlock.storage.schema import Layout
from spinlock.storage.shards import ShardFile
from spinlock.storage.stored import StoredDataset
from spinlock.storage.verify import verify as verify_hdf5


def open_stored(where: Path | str) -> StoredDataset:
    """Open whatever form of dataset (or shard) stands at a path or URL.

    Raises
    ------
    StorageError
        Where nothing stands there that is a sound dataset.
    """
    path = location(where)
    form = form_at(path)
    if form == "zarr":
        from spinlock.storage.zarr_reader import ZarrStore

        return ZarrStore(path)
    if form == "spin":
        from spinlock.storage.spin import SpinDirectory

        return SpinDirectory(path)
    return DatasetFile(path)


def verify(where: Path | str) -> list[Damage]:
    """Return all damage of a dataset: structure, digest, tables, every chunk; empty for a sound one."""
    path = location(where)
    form = form_at(path)
    if form == "zarr":
        from spinlock.storage.zarr_verify import verify_zarr

        return verify_zarr(path)
    if form == "spin":
        from spinlock.storage.spin_verify import verify_spin

        return verify_spin(path)
    return verify_hdf5(path)


def finalize(
    path: Path,
    layout: Layout,
    shards: Sequence[ShardFile],
    attributes: Mapping[str, Any],
    checkpoint: Checkpoint = no_checkpoint,
    facts: FeatureFacts | None = None,
    mode_of: Path | None = None,
) -> FinalFile:
    """Join shards to the dataset that the end of the path's name asks for; it appears there complete.

    The parameters and errors are those of `spinlock.storage.finalize.finalize`; ``mode_of`` concerns files.
    """
    form = form_to_make(path)
    if form == "zarr":
        from spinlock.storage.zarr_sources import finalize_zarr

        return finalize_zarr(path, layout, shards, attributes, checkpoint, facts)
    if form == "spin":
        from spinlock.storage.spin_writer import finalize_spin

        return finalize_spin(path, layout, shards, attributes, checkpoint, facts)
    return finalize_hdf5(path, layout, shards, attributes, checkpoint, facts, mode_of)


def require_writable_form(source: StoredDataset, path: Path) -> None:
    """Raise `UsageError` where `with_features` cannot write a dataset to ``path`` in the form asked for."""
    form = form_for(source.path, path)
    if form == "zarr":
        from spinlock.storage.zarr_sources import require_other_place

        require_other_place(source, path)
    if form == "spin":
        from spinlock.storage.spin_writer import require_shards

        require_shards(source, path)


def with_features(
    source: StoredDataset,
    path: Path,
    features: FeatureLayout,
    blocks: Iterable[Block],
    facts: FeatureFacts,
    checkpoint: Checkpoint = no_checkpoint,
) -> FinalFile:
    """Write a dataset with features to ``path``, in the form that the end of its name asks for.

    The parameters and errors are those of `spinlock.storage.feature_copy.copy_with_features`.
    """
    form = form_for(source.path, path)
    layout = replace(source.layout, features=features)
    if form == "zarr":
        from spinlock.storage.zarr_sources import zarr_with_features

        return zarr_with_features(source, path, layout, blocks, facts, checkpoint)
    if form == "spin":
        from spinlock.storage.spin_writer import spin_with_features

        return spin_with_features(source, path, layout, blocks, facts, checkpoint)
    return copy_with_features(source, path, features, blocks, facts, checkpoint)
