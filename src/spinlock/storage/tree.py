"""The HDF5 form of the schema: files, groups, arrays, dimension scales and attributes, bytes without time.

The library version bounds are v1.10 on both sides: such a file is refused when its writer was killed, while
one with the default bounds opens and reads zeros. No object keeps the time of its making.
"""

import json
import mmap
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import h5py.h5a as h5a
import h5py.h5d as h5d
import h5py.h5ds as h5ds
import h5py.h5f as h5f
import h5py.h5g as h5g
import h5py.h5p as h5p
import h5py.h5s as h5s
import h5py.h5t as h5t
import h5py.h5z as h5z
import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.storage.codecs import Filter, find_codec
from spinlock.storage.feature_layout import FEATURES, SCHEMA, SDF, FeatureFacts, group_attributes
from spinlock.storage.heaps import heap_checksums
from spinlock.storage.rows import stored_dtype
from spinlock.storage.schema import CHECKSUMS, ArraySpec, Layout, arrays, dimension_sizes
from spinlock.storage.walk import Object, array_id, dataset, group

NETCDF_DIMENSION = "This is a netCDF dimension but not a netCDF variable. %9d"
"""The scale name by which netCDF readers know an axis that has a length and no values."""

MEMORY_STEP = 2**16
"""Bytes by which a file in memory grows."""

HEAPS = "heaps"
"""The attribute of ``/metadata/checksums`` that holds the checksums of the global heaps."""


def create_file(path: Path) -> h5py.File:
    """Return a new, empty file open for writing; an existing one is never touched (`FileExistsError`)."""
    return h5py.File(h5f.create(os.fsencode(path), h5f.ACC_EXCL, _creation(), _access()))


def create_memory_file() -> h5py.File:
    """Return a new, empty file that stands in memory alone and is gone when it is closed."""
    access = _access()
    access.set_fapl_core(MEMORY_STEP, False)
    name = f"spinlock-{threading.get_ident()}"  # HDF5 takes two files of one name for the same
    return h5py.File(h5f.create(name.encode(), h5f.ACC_EXCL, _creation(), access))


def memory_image(file: h5py.File) -> bytes:
    """Return the bytes of a file in memory, as they would stand on disk if it were closed now."""
    file.flush()
    return file.id.get_file_image()


def open_for_writing(path: Path) -> h5py.File:
    """Return a file that `create_file` could have made, open for writing."""
    return h5py.File(h5f.open(os.fsencode(path), h5f.ACC_RDWR, _access()))


def _access() -> Any:
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_sieve_buf_size(0)  # a table is written when it is written: what fails later, fails unheard
    return access


def _creation() -> Any:
    creation = h5p.create(h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    return creation


def create_tree(
    file: h5py.File,
    layout: Layout,
    attributes: Mapping[str, Any],
    facts: FeatureFacts | None = None,
    *,
    with_fields: bool = True,
) -> None:
    """Create every array of the schema, empty, with its dimensions; the fields only ``with_fields``.

    ``attributes`` go to ``/metadata``, the ``facts`` about features to their groups.
    """
    scales = {name: _create_scale(file, name, size) for name, size in dimension_sizes(layout).items()}
    for spec in arrays_of(layout, with_fields):
        array = _create_array(file, layout, spec)
        for axis, dim in enumerate(spec.dims):
            h5ds.set_label(array.id, axis, dim.encode())
            if dim in scales:
                h5ds.attach_scale(array.id, scales[dim].id, axis)
        for name, value in (("description", spec.description), *spec.attributes):
            write_attribute(array, name, value)
    metadata = group(file, "metadata")
    for name, value in attributes.items():
        write_attribute(metadata, name, value)
    _describe_features(file, layout, facts)
    write_attribute(group(file, CHECKSUMS), HEAPS, _heap_checksums(file))


def arrays_of(layout: Layout, with_fields: bool) -> list[ArraySpec]:
    """Return the arrays of a file with that layout, which may be without its fields."""
    return [spec for spec in arrays(layout) if with_fields or spec.kind != "field"]


def _heap_checksums(file: h5py.File) -> str:
    if file.driver == "core":
        return heap_checksums(memory_image(file))
    file.flush()
    with Path(file.filename).open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return heap_checksums(data)


def set_first_row(file: h5py.File, first_row: int) -> None:
    """Replace the attribute of ``/metadata`` that says which row the file begins with."""
    h5a.open(group(file, "metadata").id, b"first_row").write(np.array(first_row, np.int64))


def _describe_features(file: h5py.File, layout: Layout, facts: FeatureFacts | None) -> None:
    if layout.features is None:
        return
    for path, attributes in group_attributes(layout.features).items():
        for name, value in attributes.items():
            write_attribute(group(file, path), name, value)
    if facts is not None:
        for path, attributes in ((FEATURES, facts.origin), (SDF, facts.conventions)):
            for name, value in attributes.items():
                write_attribute(group(file, path), name, value)
        _write_document(dataset(file, SCHEMA), facts.schema)


def write_attribute(target: Object, name: str, value: Any) -> None:
    """Write an attribute: text (fixed-length UTF-8), a number, texts, integers, or a mapping as JSON."""
    if isinstance(value, Mapping):
        value = json.dumps(value, sort_keys=True)
    if isinstance(value, str):
        target.attrs.create(name, _text(value))
    elif isinstance(value, tuple | list) and all(isinstance(item, int) for item in value):
        target.attrs.create(name, np.array(value, np.int64))
    elif isinstance(value, tuple | list):
        texts = [text.encode() for text in value]
        target.attrs.create(name, np.array(texts, dtype=text_dtype(max(map(len, texts)))))
    elif isinstance(value, int | float):
        target.attrs.create(name, np.float64(value) if isinstance(value, float) else np.int64(value))
    else:
        raise StorageError(
            f"attribute {name}: {type(value).__name__} cannot be stored; use text, numbers or a mapping"
        )


def text_dtype(length: int) -> np.dtype[Any]:
    """Return the type of fixed-length UTF-8 text of that many bytes."""
    return h5py.string_dtype("utf-8", length)


def array_dtype(spec: ArraySpec) -> np.dtype[Any]:
    """Return the stored type of an array, strings marked as UTF-8."""
    return text_dtype(spec.length) if spec.dtype == "string" else stored_dtype(spec)


def array_filters(layout: Layout, spec: ArraySpec) -> tuple[Filter, ...]:
    """Return the filter pipeline of an array."""
    if spec.chunks is None:
        return ()
    return find_codec(layout.compression).filters(layout.compression_level, stored_dtype(spec).itemsize)


def write_table(file: h5py.File, spec: ArraySpec, first: int, entries: NDArray[Any]) -> None:
    """Write consecutive entries [n, …] of a table or checksum array from row ``first`` on."""
    values = np.ascontiguousarray(entries, dtype=stored_dtype(spec))
    target = array_id(file, spec.path)
    place = target.get_space()
    place.select_hyperslab((first,) + (0,) * (values.ndim - 1), values.shape)
    # The type in memory is that in the file: numpy's bytes alone would be taken for ASCII, not UTF-8.
    target.write(h5s.create_simple(values.shape), place, values, target.get_type())


def _text(value: str) -> Any:
    data = value.encode()
    return np.array(data, dtype=text_dtype(max(1, len(data))))


def _write_document(array: h5py.Dataset, text: str) -> None:
    data = text.encode()
    if len(data) != array.dtype.itemsize:
        raise StorageError(f"{array.name} has {len(data)} bytes, the layout says {array.dtype.itemsize}")
    value = np.array(data, dtype=np.dtype(f"S{len(data)}"))
    array.id.write(h5s.create(h5s.SCALAR), array.id.get_space(), value, array.id.get_type())


def _require_group(file: h5py.File, path: str) -> h5py.Group:
    """Return the group at a path; it and its parents are created where they are missing."""
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        if "/".join(parts[:depth]) not in file:
            creation = h5p.create(h5p.GROUP_CREATE)
            creation.set_obj_track_times(False)
            h5g.create(file.id, "/".join(parts[:depth]).encode(), gcpl=creation)
    return group(file, path)


def _create_scale(file: h5py.File, name: str, size: int) -> h5py.Dataset:
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_obj_track_times(False)
    scale = h5py.Dataset(
        h5d.create(file.id, name.encode(), h5t.STD_I8LE, h5s.create_simple((size,)), creation)
    )
    h5ds.set_scale(scale.id, (NETCDF_DIMENSION % size).encode())
    write_attribute(scale, "description", f"The axis {name}: it has a length and no values.")
    return scale


def _create_array(file: h5py.File, layout: Layout, spec: ArraySpec) -> h5py.Dataset:
    folder, _, name = spec.path.rpartition("/")
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_obj_track_times(False)
    if spec.chunks is None:
        creation.set_alloc_time(h5d.ALLOC_TIME_EARLY)  # in one place, whoever writes to it first
    else:
        if find_codec(layout.compression).packages:
            import hdf5plugin  # noqa: F401 (registers the filters, without which HDF5 refuses to name them)
        creation.set_chunk(spec.chunks)
        creation.set_fill_value(np.array(np.nan, dtype=array_dtype(spec)))
        for number, values in array_filters(layout, spec):
            creation.set_filter(number, h5z.FLAG_OPTIONAL, values)
    kind = h5t.py_create(array_dtype(spec), logical=True)
    space = h5s.create_simple(spec.shape) if spec.shape else h5s.create(h5s.SCALAR)
    created = h5py.Dataset(h5d.create(_require_group(file, folder).id, name.encode(), kind, space, creation))
    if spec.dtype == "bool":
        write_attribute(created, "dtype", "bool")  # xarray's own mark for 0 and 1 that mean false and true
    if spec.kind == "coordinate":
        created[...] = np.array(layout.timesteps, dtype=array_dtype(spec))
    return created
