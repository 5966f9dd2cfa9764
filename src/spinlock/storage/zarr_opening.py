"""Opening a Zarr store: its groups and arrays must be what its layout declares, and what was sealed."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.storage.array_spec import ArraySpec
from spinlock.storage.digest import DIGEST, OBJECTS
from spinlock.storage.schema import CHECKSUMS, Layout, arrays
from spinlock.storage.zarr_digest import array_digest, canonical, digest_of, group_digest, listing
from spinlock.storage.zarr_store import Objects
from spinlock.storage.zarr_tree import create_zarr_array

ZARR_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, OSError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip
"""What zarr raises over a store that is damaged, or not there."""

Nodes = Mapping[str, Any]
"""The groups and arrays of a store, as the package zarr gives them, by path; the root is the empty path."""

Blocks = Callable[[ArraySpec], Iterable[NDArray[Any]]]
"""Gives the values of an array in blocks."""


def nodes_of(objects: Objects, *, consolidated: bool) -> dict[str, Any]:
    """Return the groups and arrays of a store: as its root has put them together, or each by its own word."""
    import warnings

    import zarr

    with warnings.catch_warnings():
        # a stray object is no damage, and metadata that was put together is read on purpose
        warnings.simplefilter("ignore")
        root = zarr.open_group(
            objects.store(), mode="r", zarr_format=3, use_consolidated=None if consolidated else False
        )
        return {"": root, **dict(root.members(max_depth=None))}


def is_group(node: Any) -> bool:
    """Return whether a node is a group."""
    return not hasattr(node, "shape")


def structure_faults(nodes: Nodes, layout: Layout, rows_per_shard: int) -> Iterator[tuple[str, str]]:
    """Yield (path, what) for each array that is not as the layout declares it, and for each one too many."""
    wanted = _declared(layout, rows_per_shard)
    for path, node in nodes.items():
        if not is_group(node) and path not in wanted:
            yield path, "was added since the store was written"
    for path, stated in wanted.items():
        if path not in nodes or is_group(nodes[path]):
            yield path, "is missing"
        elif _stated(nodes[path]) != stated:
            yield path, "is not the array that the layout declares"


@lru_cache(maxsize=8)
def _declared(layout: Layout, rows_per_shard: int) -> dict[str, str]:
    """Return the metadata of every array that the layout declares, by path."""
    import zarr
    from zarr.storage import MemoryStore

    group = zarr.create_group(MemoryStore())
    return {
        spec.path: _stated(create_zarr_array(group, layout, spec, rows_per_shard)) for spec in arrays(layout)
    }


def _stated(array: Any) -> str:
    """Return the metadata of an array as text: NaN does not equal itself."""
    return canonical(array.metadata.to_dict())


def digest_faults(nodes: Nodes, layout: Layout, blocks: Blocks) -> dict[str, str]:
    """Return what is wrong, by path, with groups and arrays that are not as they were sealed."""
    unreadable: dict[str, str] = {}
    found = {
        path or "/": group_digest(path, dict(node.attrs)) for path, node in nodes.items() if is_group(node)
    }
    for spec in arrays(layout):
        try:
            found[spec.path] = array_digest(dict(nodes[spec.path].attrs), blocks(spec))
        except StorageError as error:
            unreadable[spec.path] = str(error)
        except ZARR_ERRORS as error:
            unreadable[spec.path] = plain(error)
    try:
        stated = nodes[CHECKSUMS].attrs
        sealed, digest = str(stated[OBJECTS]), str(stated[DIGEST])
        if listing(found) == sealed and digest_of(found) == digest:
            return unreadable
        stored = dict(json.loads(sealed))
    except ZARR_ERRORS as error:
        return {CHECKSUMS: f"holds a damaged digest ({plain(error)})", **unreadable}
    changed = [path for path in sorted({*found, *stored}) if found.get(path) != stored.get(path)]
    told = {path: "changed since it was written" for path in changed if path not in unreadable}
    return {**unreadable, **told} or {CHECKSUMS: "holds a damaged digest"}


def plain(error: Exception) -> str:
    """Return in words what zarr said."""
    return f"zarr cannot read it ({' '.join(str(error).split()) or type(error).__name__})"
