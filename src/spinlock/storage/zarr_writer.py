"""Making a Zarr store: an object for each field and shard, tables, a digest, the root at the very end."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from spinlock.errors import StorageError
from spinlock.storage.array_spec import ArraySpec
from spinlock.storage.atomic import (
    Checkpoint,
    no_checkpoint,
    publish_folder,
    temporary_beside,
    write_errors,
)
from spinlock.storage.damage import Damage
from spinlock.storage.digest import DIGEST, OBJECTS
from spinlock.storage.feature_layout import EXTRACTION_TIME, SCHEMA, FeatureFacts
from spinlock.storage.finalize import FinalFile
from spinlock.storage.folders import remove_tree
from spinlock.storage.locations import ZARR_ROOT, Url
from spinlock.storage.schema import CHECKSUMS, Layout, arrays
from spinlock.storage.shards import require_no_damage
from spinlock.storage.spin import ROWS_PER_SHARD
from spinlock.storage.zarr_chunks import Position, framed, object_name, shard_object
from spinlock.storage.zarr_digest import array_digest, digest_of, group_digest, listing
from spinlock.storage.zarr_documents import document_name, own_documents, stored_form, together
from spinlock.storage.zarr_store import Objects
from spinlock.storage.zarr_tables import StoreTables
from spinlock.storage.zarr_tree import create_zarr_tree
from spinlock.storage.zarr_verify import verify_zarr

ROOT: Mapping[str, Any] = {"attributes": {}, "zarr_format": 3, "node_type": "group"}
"""The document of the root."""


class NewStore:
    """A store that is being made; objects of different shards may be written by any threads or machines.

    Parameters
    ----------
    root
        Where it stands; nothing else may stand there.
    layout
        The layout of the dataset.
    rows_per_shard
        Rows whose chunks stand in one object of each field.
    attributes
        Attributes of ``/metadata``.
    facts
        What it says about its features; given where the layout has features.
    """

    def __init__(
        self,
        root: Path,
        layout: Layout,
        rows_per_shard: int,
        attributes: Mapping[str, Any],
        facts: FeatureFacts | None,
    ) -> None:
        import zarr

        self.layout, self.rows_per_shard = layout, rows_per_shard
        self.objects = Objects(root)
        stated = {**attributes, "layout": layout.to_json(), "first_row": 0, ROWS_PER_SHARD: rows_per_shard}
        self._group = zarr.create_group(rootless(self.objects.store(read_only=False)), zarr_format=3)
        made = create_zarr_tree(self._group, layout, rows_per_shard, stated, facts)
        self.tables = StoreTables(made, arrays(layout))
        if layout.timesteps:
            self.tables.append("outputs/timesteps", np.array(layout.timesteps))
        if facts is not None:
            self.tables.append(EXTRACTION_TIME, facts.seconds)
            self.tables.document(SCHEMA, facts.schema)

    def write_object(self, spec: ArraySpec, shard: int, chunks: Mapping[Position, bytes]) -> None:
        """Write the chunks of a field by (row within the shard, *position)."""
        frames = {place: framed(self.layout, spec, data) for place, data in chunks.items()}
        self.objects.write(object_name(spec, shard), shard_object(spec, self.rows_per_shard, frames))

    def seal(self) -> str:
        """Finish the tables, store the digest and the metadata put together; return the digest."""
        digests = dict(self.tables.finish())
        groups = [path for path, item in self._group.members(max_depth=None) if not hasattr(item, "shape")]
        for spec in arrays(self.layout):
            if spec.kind == "field":
                digests[spec.path] = array_digest(dict(self._group[spec.path].attrs), ())
        for path in groups:
            digests[path] = group_digest(path, dict(self._group[path].attrs))
        digests["/"] = group_digest("", dict(self._group.attrs))
        digest = digest_of(digests)
        self._group[CHECKSUMS].attrs.update({OBJECTS: listing(digests), DIGEST: digest})
        documents = own_documents(self.objects, [*groups, *(spec.path for spec in arrays(self.layout))])
        documents = {**documents, "": ROOT}
        for path in (*groups, ""):  # the root is last: with it the store is complete
            self.objects.write(document_name(path), stored_form(together(documents, path)))
        self.objects.flush()
        return digest


def rootless(store: Any) -> Any:
    """Return a store of zarr's to which the document of the root is not written."""
    from zarr.storage import WrapperStore

    class Rootless(WrapperStore):
        async def set(self, key: str, value: Any) -> None:
            if key != ZARR_ROOT:
                await super().set(key, value)

        async def set_if_not_exists(self, key: str, value: Any) -> None:
            if key != ZARR_ROOT:
                await super().set_if_not_exists(key, value)

    return Rootless(store)


@contextmanager
def new_root(path: Path, checkpoint: Checkpoint) -> Iterator[Path]:
    """Give the place where a store is built that will stand at ``path``.

    On this machine that is a folder beside it, renamed at the end. A URL has no renames: what stood there
    before is removed first, and readers know a store that is complete by its digest.
    """
    if isinstance(path, Url):
        objects = Objects(path)
        objects.remove()
        try:
            yield path
        except StorageError:
            objects.remove()  # what does not read back must not stand there
            raise
        return
    work = temporary_beside(path)
    try:
        yield work
        publish_folder(work, path, checkpoint)
    finally:
        remove_tree(work)


def write_store(
    path: Path,
    layout: Layout,
    rows_per_shard: int,
    attributes: Mapping[str, Any],
    facts: FeatureFacts | None,
    fill: Callable[[NewStore], None],
    checkpoint: Checkpoint = no_checkpoint,
) -> FinalFile:
    """Make a store at ``path``; ``fill`` writes objects and rows. It is read back before it counts.

    Raises
    ------
    UsageError
        Where a package for such stores is missing.
    StorageError
        Where it cannot be written, or reads back wrong.
    """
    with write_errors(path), new_root(path, checkpoint) as root:
        checkpoint("create")
        store = NewStore(root, layout, rows_per_shard, attributes, facts)
        fill(store)
        checkpoint("seal")
        digest = store.seal()
        checkpoint("check")
        damage: list[Damage] = verify_zarr(root)
        require_no_damage(damage, path)
        size = store.objects.size()
        checkpoint(f"sealed {digest}")
    return FinalFile(path, size, digest)
