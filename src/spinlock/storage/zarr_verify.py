"""Verification of a Zarr store: every fault, each named by array and row."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

from spinlock.errors import SpinlockError, StorageError
from spinlock.storage.array_spec import ArraySpec
from spinlock.storage.chunks import row_windows
from spinlock.storage.damage import Damage
from spinlock.storage.rows import chained_crcs
from spinlock.storage.schema import ROW_CHECKSUMS, field_arrays, row_tables
from spinlock.storage.zarr_reader import ZARR_ERRORS, ZarrStore


def verify_zarr(path: Path) -> list[Damage]:
    """Return all damage of a Zarr store; empty for a sound one. Nothing is raised for a damaged one."""
    try:
        store = ZarrStore(path, checked=False)
    except SpinlockError as error:
        return [Damage("", None, str(error))]
    damage: list[Damage] = []
    try:
        faults = dict(store.faults())
        damage += [Damage(where, None, what) for where, what in faults.items()]
        if faults.keys() & {spec.path for spec in row_tables(store.layout)}:
            damage += [Damage("tables", row, "changed since it was written") for row in _changed_rows(store)]
        if "metadata/grid_sizes" not in faults:
            for spec in field_arrays(store.layout):
                damage += _chunk_damage(store, spec)
    except (SpinlockError, *ZARR_ERRORS) as error:
        damage.append(Damage("", None, str(error)))
    return damage


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
