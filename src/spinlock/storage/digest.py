"""The digest of a file: SHA-256 over everything in it but the raw chunks, whose CRCs it covers.

Each object has a digest of its own (type, shape, chunks, filters, fill, attributes, and the values where they
are not chunked), so damage is named; the digest of the file is that of the list of theirs.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import h5py
import h5py.h5d as h5d
import h5py.h5s as h5s
import numpy as np

from spinlock.errors import StorageError
from spinlock.storage.object_facts import check_allocated, object_facts, row_blocks
from spinlock.storage.schema import CHECKSUMS, checksum_path
from spinlock.storage.tree import write_attribute
from spinlock.storage.walk import H5_ERRORS, ObjectId, attribute_text, error_text, group, is_scale, walk

DIGEST, OBJECTS = "digest", "objects"


def object_digests(file: h5py.File) -> dict[str, str]:
    """Return the digest of every object by path; the root is ``/``."""
    return {path or "/": object_digest(file, path, item) for path, item in walk(file)}


def seal(file: h5py.File, objects: Mapping[str, str] | None = None) -> str:
    """Store the digest of a complete file at ``/metadata/checksums`` and return it.

    ``objects`` are the digests that its objects must have, where they are known; else they are read.
    """
    objects = dict(objects) if objects is not None else object_digests(file)
    digest = _digest(objects)
    write_attribute(group(file, CHECKSUMS), OBJECTS, _listing(objects))
    write_attribute(group(file, CHECKSUMS), DIGEST, digest)
    return digest


def read_digest(file: h5py.File) -> str:
    """Return the stored digest of a file, unchecked, or raise `StorageError` where it has none."""
    return attribute_text(group(file, CHECKSUMS), DIGEST)


def digest_faults(
    file: h5py.File, found: Mapping[str, ObjectId], unreadable: Mapping[str, StorageError]
) -> dict[str, str]:
    """Return the objects that are not as they were sealed, and what is wrong; empty for a sound file.

    ``found`` and ``unreadable`` are what a `walk` over the file met.
    """
    faults = {path or "/": str(error) for path, error in unreadable.items()}
    objects: dict[str, str] = {}
    for path, item in found.items():
        try:
            objects[path or "/"] = object_digest(file, path, item)
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


def object_digest(file: h5py.File, path: str, item: ObjectId) -> str:
    """Return the digest of one object: SHA-256 of its facts, then of its values."""
    facts = _facts(path, item)
    hasher = _begin(facts)
    if isinstance(item, h5d.DatasetID):
        _hash_values(hasher, file, path, item, chunked=facts["chunks"] is not None)
    return hasher.hexdigest()


def facts_hash(path: str, item: ObjectId) -> Any:
    """Return SHA-256 over the facts of an object, ready for its values (`hashlib`'s object)."""
    return _begin(_facts(path, item))


def value_hasher(path: str, array: h5d.DatasetID, shape: tuple[int, ...]) -> Any:
    """Return SHA-256 over the facts of an array as if it had another shape, ready for its values."""
    return _begin(_facts(path, array) | {"shape": shape, "maxshape": shape})


def _facts(path: str, item: ObjectId) -> dict[str, Any]:
    return object_facts(item, (DIGEST, OBJECTS) if path == CHECKSUMS else ())


def _begin(facts: dict[str, Any]) -> Any:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode())


def _hash_values(hasher: Any, file: h5py.File, path: str, array: h5d.DatasetID, *, chunked: bool) -> None:
    """Add the values of an array in blocks of bounded size; chunked ones are covered by their checksums."""
    if chunked:
        if checksum_path(path) not in file:
            raise StorageError("is chunked and has no checksums")
        return
    if is_scale(array):
        if array.get_storage_size():
            raise StorageError("names a dimension and should hold no values")
        return
    check_allocated(file, array)
    if not array.shape:
        value = np.zeros((), array.dtype)
        array.read(h5s.ALL, h5s.ALL, value)
        hasher.update(np.asarray(value[()]).tobytes())
        return
    for _first, block in row_blocks(array):
        hasher.update(block.view(np.uint8).data)
