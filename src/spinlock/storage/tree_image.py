"""The empty tree of a shard as bytes, made once for each layout and then written with one call.

Making its objects one by one costs more than filling them. With the image go the digests of its objects as
far as they are known before there are values, so a shard is sealed without reading it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import h5py.h5d as h5d
import numpy as np

from spinlock.storage.abandon import abandon
from spinlock.storage.digest import facts_hash, object_digest
from spinlock.storage.schema import Layout
from spinlock.storage.tree import (
    create_memory_file,
    create_tree,
    memory_image,
    open_for_writing,
    set_first_row,
)
from spinlock.storage.walk import group, walk

IMAGES_KEPT = 4
"""A run has two: full shards, and the last one with fewer rows."""

_images: dict[tuple[Layout, str], "TreeImage"] = {}


@dataclass(frozen=True)
class TreeImage:
    """An empty tree.

    Attributes
    ----------
    data
        The file.
    digests
        The digest of each object, as it is while the tree is empty.
    begun
        SHA-256 over the facts of each array, to which its values are added (`hashlib`'s objects).
    """

    data: bytes
    digests: Mapping[str, str]
    begun: Mapping[str, Any]

    def open_copy(self, path: Path, first_row: int) -> h5py.File:
        """Write the tree to a new file, with ``first_row`` in it, and return that open for writing."""
        with path.open("xb") as file:
            file.write(self.data)
        copy = open_for_writing(path)
        try:
            set_first_row(copy, first_row)
        except BaseException:
            abandon(copy)
            raise
        return copy

    def filled_digests(self, file: h5py.File, columns: Mapping[str, np.ndarray]) -> dict[str, str]:
        """Return the digests that the objects of a copy must have once its tables hold ``columns``."""
        digests = {**self.digests, "metadata": object_digest(file, "metadata", group(file, "metadata").id)}
        for path, values in columns.items():
            hasher = self.begun[path].copy()
            hasher.update(values.view(np.uint8).data)
            digests[path] = hasher.hexdigest()
        return digests


def tree_image(layout: Layout, attributes: Mapping[str, Any]) -> TreeImage:
    """Return the empty tree of a shard with these attributes of ``/metadata``; ``first_row`` is 0 in it."""
    key = layout, json.dumps(dict(attributes), default=repr)
    image = _images.get(key)
    if image is None:
        image = _make(layout, {**attributes, "first_row": 0})
        if len(_images) >= IMAGES_KEPT:
            _images.clear()
        _images[key] = image
    return image


def _make(layout: Layout, attributes: Mapping[str, Any]) -> TreeImage:
    with create_memory_file() as file:
        create_tree(file, layout, attributes)
        found = dict(walk(file))
        digests = {path or "/": object_digest(file, path, item) for path, item in found.items()}
        begun = {
            path: facts_hash(path, item) for path, item in found.items() if isinstance(item, h5d.DatasetID)
        }
        return TreeImage(memory_image(file), digests, begun)
