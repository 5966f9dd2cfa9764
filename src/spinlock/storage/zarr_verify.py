"""Verification of a Zarr store: every fault, each named by array and row."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

from spinlock.errors import SpinlockError, StorageError
from spinlock.storage.array_spec import ArraySpec
from spinlock.storage.chunks import row_windows
from spinlock.storage.damage import Damage
from spinlock.storage.locations import ZARR_ROOT
from spinlock.storage.opening import grid_faults
from spinlock.storage.rows import chained_crcs
from spinlock.storage.schema import ROW_CHECKSUMS, field_arrays, row_tables
from spinlock.storage.zarr_documents import copies_differ, own_documents
from spinlock.storage.zarr_opening import ZARR_ERRORS, Nodes, is_group, nodes_of, plain
from spinlock.storage.zarr_reader import ZarrStore
from spinlock.storage.zarr_store import Objects


def verify_zarr(path: Path) -> list[Damage]:
    """Return all damage of a Zarr store; empty for a sound one. Nothing is raised for a damaged one."""
    damage: list[Damage] = []
    try:
        for found in _store_damage(path):
            damage.append(found)  # noqa: PERF402 (what was found before an error stays)
    except SpinlockError as error:
        damage.append(Damage("", None, str(error)))
    except ZARR_ERRORS as error:
        damage.append(Damage("", None, plain(error)))
    return damage


def _store_damage(path: Path) -> Iterator[Damage]:
    store, objects = ZarrStore(path, checked=False), Objects(path)
    nodes = nodes_of(objects, consolidated=False)
    added = dict.fromkeys(_documented(objects) - nodes.keys(), "was added since the store was written")
    faults = added | dict(store.faults(nodes))
    yield from (Damage(where, None, what) for where, what in faults.items())
    if not faults:
        yield from _copy_damage(objects, nodes)
    if faults.keys() & {spec.path for spec in row_tables(store.layout)}:
        yield from _row_damage(store)
    if "metadata/grid_sizes" not in faults:
        wrong = dict(grid_faults(store.grids, store.layout))
        yield from (Damage("metadata/grid_sizes", row, what) for row, what in wrong.items())
        for spec in () if wrong else field_arrays(store.layout):
            yield from _chunk_damage(store, spec)


def _documented(objects: Objects) -> set[str]:
    """Return the paths of all documents that stand there, put together with the others or not."""
    names = (name for name in objects.sizes() if name.endswith(f"/{ZARR_ROOT}"))
    return {name.removesuffix(f"/{ZARR_ROOT}") for name in names}


def _copy_damage(objects: Objects, nodes: Nodes) -> Iterator[Damage]:
    """Yield the groups whose metadata, put together, is not that of what stands below them."""
    documents = own_documents(objects, nodes)
    for path in (path for path, node in nodes.items() if is_group(node)):
        if copies_differ(objects, documents, path):
            yield Damage(path or "/", None, "puts together metadata that is not that of its arrays")


def _row_damage(store: ZarrStore) -> Iterator[Damage]:
    try:
        rows = list(_changed_rows(store))
    except StorageError:
        return  # a table that cannot be read is reported already
    yield from (Damage("tables", row, "changed since it was written") for row in rows)


def _changed_rows(store: ZarrStore) -> Iterator[int]:
    crcs = [0] * store.layout.samples
    for spec in row_tables(store.layout):
        crcs = chained_crcs(crcs, store.entries(spec))
    for row, (found, stored) in enumerate(zip(crcs, store.table(ROW_CHECKSUMS).tolist(), strict=True)):
        if found != stored:
            yield row


def _chunk_damage(store: ZarrStore, spec: ArraySpec) -> Iterator[Damage]:
    for row, grid in enumerate(store.grids.tolist()):
        wanted = {window.position for window in row_windows(spec, grid)}
        for position in product(*map(range, spec.chunk_grid[1:])):
            try:
                if store.stores_chunk(spec, row, position) != (position in wanted):
                    what = f"should {'' if position in wanted else 'not '}be stored"
                    yield Damage(spec.path, row, f"chunk {position} {what}")
                elif position in wanted:
                    store.raw_chunk(spec, row, position)
            except StorageError as error:
                yield Damage(spec.path, row, f"chunk {position} {error}")
