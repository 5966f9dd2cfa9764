"""The Zarr form of the schema: the tree of a dataset file, with its names, axes and attributes."""

from collections.abc import Mapping
from math import ceil
from typing import Any

import numpy as np

from spinlock.storage.array_spec import ArraySpec
from spinlock.storage.chunks import chunk_shape
from spinlock.storage.feature_layout import FEATURES, SDF, FeatureFacts, group_attributes
from spinlock.storage.rows import stored_dtype
from spinlock.storage.schema import Layout, arrays
from spinlock.storage.zarr_chunks import blosc_codec
from spinlock.storage.zarr_entries import block_rows

METADATA = "metadata"


def create_zarr_tree(
    group: Any,
    layout: Layout,
    rows_per_shard: int,
    attributes: Mapping[str, Any],
    facts: FeatureFacts | None = None,
) -> dict[str, Any]:
    """Create every array of the schema in a new Zarr group, empty, with its axes and attributes; by path."""
    for path, stated in group_statements(layout, attributes, facts).items():
        made = group.require_group(path)
        made.attrs.update(stated)
    specs = arrays(layout)
    return {spec.path: create_zarr_array(group, layout, spec, rows_per_shard) for spec in specs}


def group_statements(
    layout: Layout, attributes: Mapping[str, Any], facts: FeatureFacts | None
) -> dict[str, dict[str, Any]]:
    """Return the attributes of every group that has some, by path."""
    stated: dict[str, dict[str, Any]] = {METADATA: dict(attributes)}
    if layout.features is not None:
        stated |= {path: dict(values) for path, values in group_attributes(layout.features).items()}
    if facts is not None:
        for path, values in ((FEATURES, facts.origin), (SDF, facts.conventions)):
            stated[path] = {**stated.get(path, {}), **values}
    return stated


def create_zarr_array(group: Any, layout: Layout, spec: ArraySpec, rows_per_shard: int) -> Any:
    """Create an array and return it."""
    stated = {"description": spec.description, **dict(spec.attributes)}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in stated.items()}
    options: dict[str, Any] = {"attributes": plain, "dimension_names": spec.dims}
    if spec.kind == "field":
        options |= _field_options(layout, spec, rows_per_shard)
    else:
        options |= _table_options(spec)
    kind = str if spec.dtype == "string" or spec.kind == "document" else zarr_dtype(spec)
    return group.create_array(spec.path, shape=spec.shape, dtype=kind, **options)


def zarr_dtype(spec: ArraySpec) -> np.dtype[Any]:
    """Return the numpy type of an array that holds no text."""
    return np.dtype(bool) if spec.dtype == "bool" else stored_dtype(spec)


def _table_options(spec: ArraySpec) -> dict[str, Any]:
    """Return chunks and compression of a table: every chunk is stored, so one that is missing is damage."""
    from zarr.codecs import ZstdCodec

    chunks = {"chunks": (block_rows(spec), *spec.shape[1:])} if spec.shape else {}
    return {"compressors": ZstdCodec(level=3), "config": {"write_empty_chunks": True}, **chunks}


def _field_options(layout: Layout, spec: ArraySpec, rows_per_shard: int) -> dict[str, Any]:
    """Return chunks, shards and compression of a field: an object holds all chunks of a range of rows."""
    from zarr.codecs import BloscCodec

    chunks = chunk_shape(spec)
    whole = (ceil(size / chunk) * chunk for size, chunk in zip(spec.shape[1:], chunks, strict=True))
    codec = blosc_codec(layout, spec)
    return {
        "chunks": (1, *chunks),
        "shards": (rows_per_shard, *whole),
        "compressors": None if codec is None else BloscCodec(**codec),
        "fill_value": np.nan,
    }
