"""The facts of an object in an HDF5 file: attributes, and of an array its form; plain values for a digest.

They are read through h5py's low-level interface: a file has as many attributes as a hundred small reads, and
its objects are looked at each time that a shard is written or opened.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import h5py
import h5py.h5a as h5a
import h5py.h5d as h5d
import h5py.h5s as h5s
import h5py.h5t as h5t
import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.storage.walk import ObjectId

BLOCK_BYTES = 2**22
"""The most bytes of an array's values in memory at once, where one row is not more."""

TYPES_KEPT = 512

REFERENCES = ("DIMENSION_LABELS", "DIMENSION_LIST", "REFERENCE_LIST")
"""The attributes by which dimensions and arrays name each other: the only ones of variable length."""


def object_facts(item: ObjectId, skipped: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the facts of a group or an array, without the attributes that are ``skipped``."""
    facts: dict[str, Any] = {"attributes": _attributes(item, skipped)}
    if isinstance(item, h5d.DatasetID):
        facts |= _array_facts(item)
    return facts


def array_chunks(array: h5d.DatasetID) -> tuple[int, ...] | None:
    """Return the shape of an array's chunks, None where it is stored in one piece."""
    creation = array.get_create_plist()
    return tuple(creation.get_chunk()) if creation.get_layout() == h5d.CHUNKED else None


def check_allocated(file: h5py.File, array: h5d.DatasetID) -> None:
    """Raise `StorageError` unless an array stored in one piece has as many bytes as its shape says.

    So no claim about a size is believed before the file holds that much.
    """
    stored, shape = array.get_storage_size(), array.shape
    wanted = 0 if shape is None else prod(shape) * array.dtype.itemsize
    if shape is None or stored != wanted or stored > file.id.get_filesize():
        raise StorageError(f"holds {stored} bytes where its shape {shape} asks for {wanted}")


def read_rows(array: h5d.DatasetID, first: int, count: int) -> NDArray[Any]:
    """Return consecutive rows [count, …] of an array stored in one piece."""
    shape = array.shape
    block = np.empty((count, *shape[1:]), array.dtype)
    if first == 0 and count == shape[0]:
        array.read(h5s.ALL, h5s.ALL, block)
        return block
    place = array.get_space()
    place.select_hyperslab((first,) + (0,) * (block.ndim - 1), block.shape)
    array.read(h5s.create_simple(block.shape), place, block)
    return block


def row_blocks(array: h5d.DatasetID) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield (first row, rows) of an array stored in one piece, in blocks of bounded size."""
    rows, *rest = array.shape
    row_bytes = prod(rest) * array.dtype.itemsize
    step = max(1, BLOCK_BYTES // max(1, row_bytes))
    for first in range(0, rows if row_bytes else 0, step):
        yield first, read_rows(array, first, min(step, rows - first))


def _array_facts(array: h5d.DatasetID) -> dict[str, Any]:
    creation = array.get_create_plist()
    filters = [creation.get_filter(index) for index in range(creation.get_nfilters())]
    limits = array.get_space().get_simple_extent_dims(True)
    fill = np.zeros((1,), array.dtype)
    creation.get_fill_value(fill)
    return {
        "type": _type_name(array.dtype),
        "shape": array.shape,
        "maxshape": limits and tuple(None if limit == h5s.UNLIMITED else limit for limit in limits),
        "chunks": creation.get_chunk() if creation.get_layout() == h5d.CHUNKED else None,
        "filters": [(number, flags, list(values)) for number, flags, values, _name in filters],
        "fill": np.asarray(fill[0]).tobytes().hex(),
    }


def _type_name(dtype: np.dtype[Any]) -> str:
    text = h5py.check_string_dtype(dtype)
    return f"{text.encoding}:{text.length}" if text else np.dtype(dtype).str


_types: dict[bytes, tuple[str, np.dtype[Any]]] = {}
"""Types of attributes by their HDF5 form: the same few occur thousands of times."""


def _stored_type(kind: h5t.TypeID) -> tuple[str, np.dtype[Any]]:
    """Return the name and the numpy form of a type."""
    encoded = kind.encode()
    if encoded not in _types:
        if len(_types) >= TYPES_KEPT:
            _types.clear()
        dtype = kind.dtype
        _types[encoded] = _type_name(dtype), dtype
    return _types[encoded]


def _attributes(item: ObjectId, skipped: tuple[str, ...]) -> dict[str, Any]:
    names: list[bytes] = []
    h5a.iterate(item, lambda name, *_: names.append(name))
    return {
        name.decode(): _canonical(name.decode(), h5a.open(item, name))
        for name in names
        if name.decode() not in skipped
    }


def _canonical(called: str, attribute: Any) -> list[Any]:
    """Return type, shape and value of an attribute; of one that refers to other objects, type and shape.

    Those are the lists by which dimensions and arrays name each other: addresses in the file, which the
    checksums of HDF5's own headers and of the heaps cover.
    """
    kind = attribute.get_type()
    name, dtype = _stored_type(kind)
    shape = attribute.shape
    if dtype.hasobject and called not in REFERENCES:
        raise StorageError(f"has the attribute {called!r} of variable length, which Spinlock does not write")
    if dtype.hasobject or shape is None:
        return [name, shape]
    value = np.empty(shape, dtype)
    attribute.read(value, kind)
    return [name, shape, value.tobytes().hex()]
