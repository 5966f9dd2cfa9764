"""Everything an HDF5 file holds: groups and arrays that stand in the file itself, nothing hidden."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import h5py
import h5py.h5a as h5a
import h5py.h5d as h5d
import h5py.h5ds as h5ds
import h5py.h5g as h5g
import h5py.h5i as h5i
import h5py.h5l as h5l
import h5py.h5o as h5o
import h5py.h5p as h5p
import h5py.h5t as h5t
import numpy as np

from spinlock.errors import StorageError
from spinlock.storage.codecs import BLOSC_FILTER, DEFLATE_FILTER, SHUFFLE_FILTER, ZSTD_FILTER

Object = h5py.Group | h5py.Dataset

DEEPEST = 16
"""Levels of groups; a dataset has six."""

LARGEST_TEXT = 2**26
"""Bytes of an attribute that is read as text."""

ObjectId: TypeAlias = "h5g.GroupID | h5d.DatasetID"

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


class ForbiddenObjectError(StorageError):
    """An object that leads out of the file, or that Spinlock never writes: the file is not read."""


Fault = Callable[[str, StorageError], None]
"""Called with the path of an object that is forbidden or cannot be read, and what is wrong."""


def refuse_fault(path: str, error: StorageError) -> None:
    """Raise the fault, naming the object."""
    raise type(error)(f"{path or '/'} {error}") from error


def walk(file: h5py.File, fault: Fault = refuse_fault) -> Iterator[tuple[str, ObjectId]]:
    """Yield every object as (path without leading slash, identifier), sorted by path, the root as ``""``.

    Nothing outside the file is ever opened. A fault is: a soft or external link, a second link to one object,
    groups nested too deep, a named type, an array whose values stand outside the file or in a form that
    Spinlock does not write, and what HDF5 cannot read. Identifiers are HDF5's own: h5py's objects cost
    several times as much to make.

    Raises
    ------
    StorageError
        For the first fault, unless ``fault`` does otherwise; the object is then left out.
    """
    yield from _walk(group(file, "/").id, "", set(), fault)


def _walk(parent: h5g.GroupID, path: str, seen: set[int], fault: Fault) -> Iterator[tuple[str, ObjectId]]:
    yield path, parent
    if path.count("/") >= DEEPEST:
        fault(path, ForbiddenObjectError("is nested deeper than anything in a dataset"))
        return
    try:
        if _is_compressed(parent):
            fault(path, ForbiddenObjectError("is a compressed group, which Spinlock does not write"))
            return
        names = sorted(parent)
        seen.add(h5o.get_info(parent).addr)
    except H5_ERRORS as error:
        fault(path, StorageError(f"has unreadable contents ({error_text(error)})"))
        return
    for name in names:
        plain = name.decode("utf-8", "surrogateescape")
        child_path = f"{path}/{plain}" if path else plain
        try:
            child = _child(parent, name, seen)
        except StorageError as error:
            fault(child_path, error)
        except H5_ERRORS as error:
            fault(child_path, StorageError(f"cannot be read ({error_text(error)})"))
        else:
            if isinstance(child, h5g.GroupID):
                yield from _walk(child, child_path, seen, fault)
            else:
                yield child_path, child


def _is_compressed(parent: h5g.GroupID) -> bool:
    """Return whether the members of a group are listed in compressed form.

    To read that, HDF5 would look for libraries with the filter, and load them.
    """
    creation = parent.get_create_plist()
    filters = h5p.PropDCID(creation.id)  # the only class of h5py that asks for filters, here of a group
    h5i.inc_ref(filters)
    return filters.get_nfilters() > 0


def _child(parent: h5g.GroupID, name: bytes, seen: set[int]) -> ObjectId:
    """Return a member that stands in this file, for the first time and in a known form."""
    if parent.links.get_info(name).type != h5l.TYPE_HARD:
        raise ForbiddenObjectError("is a link that leads elsewhere; a dataset holds its own arrays only")
    child = h5o.open(parent, name)
    address = h5o.get_info(child).addr
    if address in seen:
        raise ForbiddenObjectError("is a second name of another object")
    seen.add(address)
    if isinstance(child, h5d.DatasetID):
        _check_storage(child)
        return child
    if isinstance(child, h5g.GroupID):
        return child
    raise ForbiddenObjectError("is neither a group nor an array")


def error_text(error: Exception) -> str:
    """Return what h5py says, without the quotes that a `KeyError` adds."""
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)


def _check_storage(array: h5d.DatasetID) -> None:
    creation = array.get_create_plist()
    if creation.get_layout() not in (h5d.CONTIGUOUS, h5d.CHUNKED):
        raise ForbiddenObjectError("is a virtual array, or of a form that Spinlock does not write")
    if creation.get_external_count():
        raise ForbiddenObjectError("keeps its values in another file")
    for number, _flags, _values, _name in map(creation.get_filter, range(creation.get_nfilters())):
        if number not in ALLOWED_FILTERS:
            raise ForbiddenObjectError(f"is compressed by the unknown HDF5 filter {number}")


def group(file: h5py.File, path: str) -> h5py.Group:
    """Return the group at a path, or raise `StorageError`."""
    found = _object(file, path)
    if not isinstance(found, h5py.Group):
        raise StorageError(f"{path} is not a group")
    return found


def dataset(file: h5py.File, path: str) -> h5py.Dataset:
    """Return the array at a path, or raise `StorageError`."""
    found = _object(file, path)
    if not isinstance(found, h5py.Dataset):
        raise StorageError(f"{path} is not an array")
    return found


def array_id(file: h5py.File, path: str) -> h5d.DatasetID:
    """Return the identifier of the array at a path, or raise `StorageError`."""
    try:
        found = h5o.open(file.id, path.encode())
    except H5_ERRORS as error:
        raise StorageError(f"{path} is missing or cannot be read ({error_text(error)})") from error
    if not isinstance(found, h5d.DatasetID):
        raise StorageError(f"{path} is not an array")
    return found


def _object(file: h5py.File, path: str) -> Any:
    try:
        return file[path]
    except H5_ERRORS as error:
        raise StorageError(f"{path} is missing or cannot be read ({error_text(error)})") from error


def attribute_text(item: Object, name: str) -> str:
    """Return an attribute that is text, or raise `StorageError`."""
    data = _fixed_text(item, name.encode())
    if data is None:
        raise StorageError(f"{item.name} has no attribute {name}")
    return data.rstrip(b"\0").decode(errors="replace")


def has_text(item: Object, name: str) -> bool:
    """Return whether an attribute is there and is text."""
    return _fixed_text(item, name.encode()) is not None


def _fixed_text(item: Object, name: bytes) -> bytes | None:
    """Return an attribute that is one text of fixed length; no other form is looked at, as none is written.

    Texts of variable length stand in heaps that HDF5 reads without a check of its own.
    """
    if not h5a.exists(item.id, name):
        return None
    attribute = h5a.open(item.id, name)
    kind = attribute.get_type()
    if not isinstance(kind, h5t.TypeStringID) or kind.is_variable_str() or attribute.shape != ():
        return None
    if kind.get_size() > LARGEST_TEXT:
        raise StorageError(f"{item.name} has an attribute {name.decode()} of {kind.get_size()} bytes")
    value = np.empty((), kind.dtype)
    attribute.read(value, kind)
    return value.tobytes()


def is_chunked(array: h5py.Dataset) -> bool:
    """Return whether an array is stored in chunks."""
    return array.chunks is not None


def is_scale(array: h5d.DatasetID) -> bool:
    """Return whether an array only names a dimension: it holds no values."""
    return h5ds.is_scale(array)


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
