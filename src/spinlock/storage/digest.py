"""The digest of a file: SHA-256 over everything in it but the raw chunks, whose CRCs it covers.

Each object has a digest of its own (type, shape, chunks, filters, fill, attributes, and the values where they
are not chunked), so damage is named; the digest of the file is that of the list of theirs.
"""

import hashlib
import json
from typing import Any

import h5py
import h5py.h5a as h5a
import numpy as np

from spinlock.errors import StorageError
from spinlock.storage.schema import CHECKSUMS, checksum_path
from spinlock.storage.tree import write_attribute
from spinlock.storage.walk import (
    H5_ERRORS,
    Object,
    attribute_text,
    error_text,
    group,
    is_chunked,
    is_scale,
    walk,
)

BLOCK_BYTES = 2**22
DIGEST, OBJECTS = "digest", "objects"


def object_digests(file: h5py.File) -> dict[str, str]:
    """Return the digest of every object by path; the root is ``/``."""
    return {path or "/": _object_digest(file, path, item) for path, item in walk(file)}


def seal(file: h5py.File) -> str:
    """Compute the digest of a complete file, store it at ``/metadata/checksums`` and return it."""
    objects = object_digests(file)
    digest = _digest(objects)
    write_attribute(group(file, CHECKSUMS), OBJECTS, _listing(objects))
    write_attribute(group(file, CHECKSUMS), DIGEST, digest)
    return digest


def read_digest(file: h5py.File) -> str:
    """Return the stored digest of a file, unchecked, or raise `StorageError` where it has none."""
    return attribute_text(group(file, CHECKSUMS), DIGEST)


def digest_faults(file: h5py.File) -> dict[str, str]:
    """Return the objects that are not as they were sealed, and what is wrong; empty for a sound file."""
    faults: dict[str, str] = {}
    objects: dict[str, str] = {}
    for path, item in walk(file, lambda path, error: faults.__setitem__(path or "/", str(error))):
        try:
            objects[path or "/"] = _object_digest(file, path, item)
        except StorageError as error:
            faults[path or "/"] = str(error)
        except H5_ERRORS as error:
            faults[path or "/"] = f"cannot be read ({error_text(error)})"
    listing = attribute_text(group(file, CHECKSUMS), OBJECTS)
    if not faults and _listing(objects) == listing and _digest(objects) == read_digest(file):
        return {}
    try:
        stored = dict(json.loads(listing))
    except (ValueError, TypeError):
        return faults | {CHECKSUMS: "holds a damaged list of checksums"}
    changed = [path for path in objects if path in stored and stored[path] != objects[path]]
    return (
        dict.fromkeys(changed, "changed since it was written")
        | {path: "was added since the file was written" for path in objects if path not in stored}
        | {path: "was removed since the file was written" for path in stored if path not in objects}
        | faults
    ) or {CHECKSUMS: "holds a damaged digest"}


def _digest(objects: dict[str, str]) -> str:
    return hashlib.sha256(_listing(objects).encode()).hexdigest()


def _listing(objects: dict[str, str]) -> str:
    return json.dumps(objects, sort_keys=True, separators=(",", ":"))


def _object_digest(file: h5py.File, path: str, item: Object) -> str:
    hasher = hashlib.sha256()
    facts: dict[str, Any] = {"attributes": _attributes(path, item)}
    if isinstance(item, h5py.Dataset):
        facts |= _array_facts(item)
    hasher.update(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode())
    if isinstance(item, h5py.Dataset):
        _hash_values(hasher, file, path, item)
    return hasher.hexdigest()


def _array_facts(array: h5py.Dataset) -> dict[str, Any]:
    creation = array.id.get_create_plist()
    filters = [creation.get_filter(index) for index in range(creation.get_nfilters())]
    return {
        "type": _type_name(array.dtype),
        "shape": array.shape,
        "maxshape": array.maxshape,
        "chunks": array.chunks,
        "filters": [(number, flags, list(values)) for number, flags, values, _name in filters],
        "fill": np.asarray(array.fillvalue).tobytes().hex(),
    }


def _type_name(dtype: np.dtype[Any]) -> str:
    text = h5py.check_string_dtype(dtype)
    return f"{text.encoding}:{text.length}" if text else np.dtype(dtype).str


def _attributes(path: str, item: Object) -> dict[str, Any]:
    skipped = (DIGEST, OBJECTS) if path == CHECKSUMS else ()
    opened = [h5a.open(item.id, index=index) for index in range(h5a.get_num_attrs(item.id))]
    return {
        attribute.name.decode(): _canonical(attribute)
        for attribute in opened
        if attribute.name.decode() not in skipped
    }


def _canonical(attribute: Any) -> list[Any]:
    """Return type, shape and value of an attribute; of one that refers to other objects, type and shape.

    Those are the lists by which dimensions and arrays name each other: addresses in the file, which the
    checksums of HDF5's own headers and of the heaps cover.
    """
    dtype = attribute.dtype
    facts = [_type_name(dtype), attribute.shape]
    if dtype.hasobject or attribute.shape is None:
        return facts
    value = np.empty(attribute.shape, dtype)
    attribute.read(value)
    return [*facts, value.tobytes().hex()]


def _hash_values(hasher: Any, file: h5py.File, path: str, array: h5py.Dataset) -> None:
    """Add the values of an array in blocks of bounded size; chunked ones are covered by their checksums."""
    if is_chunked(array):
        if checksum_path(path) not in file:
            raise StorageError("is chunked and has no checksums")
        return
    if is_scale(array):
        if array.id.get_storage_size():
            raise StorageError("names a dimension and should hold no values")
        return
    check_allocated(file, array)
    if not array.shape:
        hasher.update(np.asarray(array[()]).tobytes())
        return
    rows = array.shape[0]
    step = max(1, BLOCK_BYTES // max(1, array.nbytes // max(1, rows)))
    for first in range(0, rows if array.nbytes else 0, step):
        hasher.update(np.ascontiguousarray(array[first : first + step]).view(np.uint8).data)


def check_allocated(file: h5py.File, array: h5py.Dataset) -> None:
    """Raise `StorageError` unless an array stored in one piece has as many bytes as its shape says.

    So no claim about a size is believed before the file holds that much.
    """
    stored = array.id.get_storage_size()
    if array.shape is None or stored != array.nbytes or stored > file.id.get_filesize():
        raise StorageError(f"holds {stored} bytes where its shape {array.shape} asks for {array.nbytes}")
