"""Everything an HDF5 file holds: groups and arrays that stand in the file itself, nothing hidden."""

from collections.abc import Iterator
from typing import Any

import h5py
import h5py.h5d as h5d
import h5py.h5l as h5l
import h5py.h5o as h5o

from spinlock.errors import StorageError
from spinlock.storage.codecs import BLOSC_FILTER, DEFLATE_FILTER, SHUFFLE_FILTER, ZSTD_FILTER

Object = h5py.Group | h5py.Dataset

H5_ERRORS = (
    OSError,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    OverflowError,
    MemoryError,
)
"""What h5py raises on damaged input."""

ALLOWED_FILTERS = (SHUFFLE_FILTER, DEFLATE_FILTER, BLOSC_FILTER, ZSTD_FILTER)


def walk(file: h5py.File) -> Iterator[tuple[str, Object]]:
    """Yield every object as (path without leading slash, object), sorted by path, the root as ``""``.

    Raises
    ------
    StorageError
        For a soft or external link, a second link to one object, a named type, and an array whose values
        stand outside the file or in a form that Spinlock does not write: nothing outside is ever opened.
    """
    yield from _walk(group(file, "/"), "", set())


def _walk(parent: h5py.Group, path: str, seen: set[int]) -> Iterator[tuple[str, Object]]:
    seen.add(h5o.get_info(parent.id).addr)
    yield path, parent
    for name in sorted(parent.keys()):
        child_path = f"{path}/{name}" if path else name
        if parent.id.links.get_info(name.encode()).type != h5l.TYPE_HARD:
            raise StorageError(
                f"{child_path} is a link that leads elsewhere; a dataset holds its own arrays only"
            )
        child = parent[name]
        address = h5o.get_info(child.id).addr
        if address in seen:
            raise StorageError(f"{child_path} is a second name of another object")
        seen.add(address)
        if isinstance(child, h5py.Group):
            yield from _walk(child, child_path, seen)
        elif isinstance(child, h5py.Dataset):
            _check_storage(child, child_path)
            yield child_path, child
        else:
            raise StorageError(f"{child_path} is neither a group nor an array")


def _check_storage(array: h5py.Dataset, path: str) -> None:
    creation = array.id.get_create_plist()
    if creation.get_layout() not in (h5d.CONTIGUOUS, h5d.CHUNKED):
        raise StorageError(
            f"{path} is a virtual array (or a form Spinlock does not write); its values may stand elsewhere"
        )
    if creation.get_external_count():
        raise StorageError(f"{path} keeps its values in another file")
    for number, _flags, _values, _name in map(creation.get_filter, range(creation.get_nfilters())):
        if number not in ALLOWED_FILTERS:
            raise StorageError(f"{path} is compressed by the unknown HDF5 filter {number}")


def group(file: h5py.File, path: str) -> h5py.Group:
    """Return the group at a path, or raise `StorageError`."""
    found = file.get(path)
    if not isinstance(found, h5py.Group):
        raise StorageError(f"{path} is missing")
    return found


def dataset(file: h5py.File, path: str) -> h5py.Dataset:
    """Return the array at a path, or raise `StorageError`."""
    found = file.get(path)
    if not isinstance(found, h5py.Dataset):
        raise StorageError(f"{path} is missing")
    return found


def attribute_text(item: Object, name: str) -> str:
    """Return an attribute that is text, or raise `StorageError`."""
    value = item.attrs.get(name)
    if not isinstance(value, bytes):
        raise StorageError(f"{item.name} has no attribute {name}")
    return value.decode(errors="replace")


def is_chunked(array: h5py.Dataset) -> bool:
    """Return whether an array is stored in chunks."""
    return array.chunks is not None


def is_scale(array: h5py.Dataset) -> bool:
    """Return whether an array only names a dimension: it holds no values."""
    return array.attrs.get("CLASS") == b"DIMENSION_SCALE"


def decode_attribute(value: Any) -> Any:
    """Return an attribute as plain Python: text, number, or a list of texts."""
    if isinstance(value, bytes):
        return value.decode()
    if hasattr(value, "tolist"):
        plain = value.tolist()
        return (
            [item.decode() if isinstance(item, bytes) else item for item in plain]
            if isinstance(plain, list)
            else plain
        )
    return value
