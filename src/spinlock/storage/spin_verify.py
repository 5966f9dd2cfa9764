"""Verification of a `.spin` directory: its index as a file is verified, then every shard against it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import h5py

from spinlock.errors import StorageError
from spinlock.storage.chunks import chunk_offset, row_windows
from spinlock.storage.damage import Damage
from spinlock.storage.digest import read_digest
from spinlock.storage.locations import INDEX_NAME
from spinlock.storage.opening import open_h5
from spinlock.storage.raw_chunks import chunk_fault
from spinlock.storage.receipts import read_receipts, shard_path
from spinlock.storage.schema import field_arrays
from spinlock.storage.spin import SpinDirectory
from spinlock.storage.verify import verify
from spinlock.storage.walk import H5_ERRORS, array_id, error_text


def verify_spin(path: Path) -> list[Damage]:
    """Return all damage of a `.spin` directory; empty for a sound one. Nothing is raised, whatever it is.

    A shard's chunks are compared with the checksums of the index, its file with its receipt.
    """
    damage = verify(path / INDEX_NAME, with_fields=False)
    if damage:
        return damage
    try:
        with SpinDirectory(path) as spin:
            return [*_shard_damage(spin), *_receipt_damage(spin)]
    except H5_ERRORS as error:
        return [Damage("", None, f"HDF5 cannot read it ({error_text(error)})")]
    except StorageError as error:
        return [Damage("", None, str(error))]


def _shard_damage(spin: SpinDirectory) -> Iterator[Damage]:
    sizes: Counter[str] = Counter()
    sound = True
    for number in range(spin.num_shards):
        shard = shard_path(spin.path, number)
        first = number * spin.rows_per_shard
        last = min(first + spin.rows_per_shard, spin.layout.samples)
        if not shard.is_file():
            yield Damage(f"shards/{shard.name}", None, f"is missing, and rows {first} to {last - 1} with it")
            continue
        try:
            with closing(open_h5(shard)) as file:
                for damage in _chunk_damage(spin, file, first, last):
                    sound = False
                    yield damage
                for spec in field_arrays(spin.layout):
                    sizes[spec.path] += array_id(file, spec.path).get_storage_size()
            continue
        except StorageError as error:
            yield Damage(f"shards/{shard.name}", None, f"rows {first} to {last - 1}: {error}")
        except H5_ERRORS as error:
            what = f"rows {first} to {last - 1}: HDF5 cannot read it ({error_text(error)})"
            yield Damage(f"shards/{shard.name}", None, what)
        sound = False
    if sound and dict(sizes) != spin.field_bytes:
        yield Damage(
            "metadata", None, f"says that the fields take {spin.field_bytes} bytes, not {dict(sizes)}"
        )


def _chunk_damage(spin: SpinDirectory, file: h5py.File, first: int, last: int) -> Iterator[Damage]:
    read_digest(file)  # a file without one was never committed
    for spec in field_arrays(spin.layout):
        array = array_id(file, spec.path)
        for row in range(first, last):
            crcs = spin.chunk_checksums(spec, row)
            for window in row_windows(spec, int(spin.grids[row])):
                offset = chunk_offset(spec, row - first, window.position)
                fault = chunk_fault(array, offset, int(crcs[window.position]))
                if fault:
                    yield Damage(spec.path, row, f"chunk {window.position} {fault}")


def _receipt_damage(spin: SpinDirectory) -> Iterator[Damage]:
    """Yield the shards without a receipt, or whose bytes are not those that were committed."""
    rows, samples = spin.rows_per_shard, spin.layout.samples
    ranges = [(first, min(first + rows, samples)) for first in range(0, samples, rows)]
    scan = read_receipts(spin.path, str(spin.attributes.get("plan_digest")), deep=True, ranges=ranges)
    yield from (Damage(f"receipts/{path.name}", None, reason) for path, reason in scan.rejected.items())
    told = {path.stem for path in scan.rejected}
    for number in range(spin.num_shards):
        if number not in scan.valid and shard_path(spin.path, number).stem not in told:
            yield Damage(f"receipts/{shard_path(spin.path, number).stem}.json", None, "is missing")
