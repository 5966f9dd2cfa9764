"""The digest of a Zarr store: SHA-256 over everything in it but the chunks of fields, whose CRCs it covers.

Each group and array has a digest of its own (attributes, and the values of a table as a dataset file holds
them), so damage is named; the digest of the store is that of the list of theirs. How tables are cut and
compressed is not covered: the layout decides it, and it is compared on opening.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.storage.array_spec import ArraySpec
from spinlock.storage.digest import DIGEST, OBJECTS
from spinlock.storage.schema import CHECKSUMS

UNCOVERED = (DIGEST, OBJECTS)
"""Attributes of the group of checksums that hold the digest itself."""


def begun(attributes: Mapping[str, Any]) -> Any:
    """Return SHA-256 over attributes, ready for the values of an array (`hashlib`'s object)."""
    return hashlib.sha256(canonical(dict(attributes)).encode())


def group_digest(path: str, attributes: Mapping[str, Any]) -> str:
    """Return the digest of a group."""
    skipped = UNCOVERED if path == CHECKSUMS else ()
    return begun({name: value for name, value in attributes.items() if name not in skipped}).hexdigest()


def array_digest(attributes: Mapping[str, Any], blocks: Iterable[NDArray[Any]]) -> str:
    """Return the digest of an array: attributes, then values in their stored type."""
    hasher = begun(attributes)
    for block in blocks:
        hasher.update(np.ascontiguousarray(block).tobytes())
    return hasher.hexdigest()


def listing(objects: Mapping[str, str]) -> str:
    """Return the list of digests as it is stored."""
    return canonical(dict(objects))


def digest_of(objects: Mapping[str, str]) -> str:
    """Return the digest of a store from those of its groups and arrays."""
    return hashlib.sha256(listing(objects).encode()).hexdigest()


def canonical(value: Any) -> str:
    """Return JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def text_entries(spec: ArraySpec, values: Any) -> NDArray[Any]:
    """Return texts as a dataset file holds them: UTF-8 of fixed length; `ValueError` where one is longer."""
    encoded = [str(value).encode() for value in np.atleast_1d(np.asarray(values)).tolist()]
    if max(map(len, encoded), default=0) > spec.length:
        raise ValueError(f"holds text longer than {spec.length} bytes")
    return np.array(encoded, f"S{spec.length}")
