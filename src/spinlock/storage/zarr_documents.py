"""The metadata of a Zarr store: a document for each group and array, put together again in each group.

What is put together ("consolidated") lets a reader open a store with one request, and is a copy: this module
writes it and proves it equal to what it was made of.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from spinlock.errors import StorageError
from spinlock.storage.locations import ZARR_ROOT
from spinlock.storage.zarr_store import Objects

CONSOLIDATED = "consolidated_metadata"

Documents = Mapping[str, Mapping[str, Any]]
"""The documents of groups and arrays by path, without what is put together; the root is the empty path."""


def document_name(path: str) -> str:
    """Return the name of the object that holds the document of a group or array."""
    return f"{path}/{ZARR_ROOT}" if path else ZARR_ROOT


def read_document(objects: Objects, path: str) -> dict[str, Any]:
    """Return a document as it is stored, or raise `StorageError`."""
    name = document_name(path)
    try:
        found = json.loads(objects.read(name))
    except StorageError as error:
        raise StorageError(f"{name} {error}") from error
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{name} cannot be read ({error})") from error
    if not isinstance(found, dict):
        raise StorageError(f"{name} is no JSON object")
    return found


def own_documents(objects: Objects, paths: Iterable[str]) -> Documents:
    """Return the documents of groups and arrays as each says it of itself."""
    return {path: _own(read_document(objects, path)) for path in paths}


def _own(document: Any) -> Any:
    return {name: value for name, value in dict(document).items() if name != CONSOLIDATED}


def together(documents: Documents, path: str) -> dict[str, Any]:
    """Return the document of a group with those of all that stands below it put together."""
    prefix = f"{path}/" if path else ""
    below = {name: doc for name, doc in documents.items() if name and name.startswith(prefix)}
    return {**documents[path], CONSOLIDATED: _inline({name[len(prefix) :]: below[name] for name in below})}


def _inline(below: Documents) -> dict[str, Any]:
    empty = {"kind": "inline", "must_understand": False}
    metadata = {
        name: dict(doc)
        if doc.get("node_type") == "array"
        else {**doc, CONSOLIDATED: {**empty, "metadata": {}}}
        for name, doc in sorted(below.items())
    }
    return {**empty, "metadata": metadata}


def stored_form(document: Mapping[str, Any]) -> bytes:
    """Return the bytes of a document."""
    return json.dumps(document, indent=2).encode()


def copies_differ(objects: Objects, documents: Documents, path: str) -> bool:
    """Return whether what a group's document puts together is not what stands below it."""
    return read_document(objects, path) != together(documents, path)
