"""Opening a dataset file: it must be whole, and what its layout declares."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from spinlock.errors import ForeignError, StorageError, UnavailableError, UnsoundError
from spinlock.registry import near_miss
from spinlock.storage.chunks import chunks_in_row
from spinlock.storage.digest import digest_faults
from spinlock.storage.heaps import heaps_are_sound
from spinlock.storage.locations import form_at
from spinlock.storage.object_facts import array_chunks, check_allocated
from spinlock.storage.schema import CHECKSUMS, ArraySpec, Layout, dimension_sizes, field_arrays
from spinlock.storage.tree import HEAPS, array_dtype, array_filters, arrays_of
from spinlock.storage.walk import (
    H5_ERRORS,
    array_id,
    attribute_text,
    dataset,
    error_text,
    group,
    has_text,
    walk,
)


def ways_to_mend(path: Path) -> str:
    """Return how a damaged dataset is made sound."""
    again = "`spinlock generate --repair` with its configuration keeps what is sound"
    if form_at(path) == "zarr":
        again = "`spinlock generate --force` with its configuration"
    return f"generate it again ({again}), or copy it again if it came from elsewhere"


def remedy(path: Path) -> str:
    """Return what to do about a damaged dataset."""
    return f"{ways_to_mend(path)}; `spinlock validate` lists all damage"


def foreign(reason: str) -> ForeignError:
    """Return the error for what Spinlock may not have made at all."""
    return ForeignError(
        reason,
        "give the path of a dataset, as `spinlock generate` prints it; if this was one, copy it again, or "
        "generate it again (`spinlock generate --repair` keeps what is sound)",
    )


def refuse(path: Path, reason: Exception | str) -> UnsoundError:
    """Return the error for a file that must not be read: where, why, and what to do."""
    instead = reason.instead if isinstance(reason, ForeignError) else remedy(path)
    if isinstance(reason, Exception) and not isinstance(reason, StorageError):
        reason = f"HDF5 cannot read it ({error_text(reason)})"
    error = UnsoundError(f"{path} is not a sound Spinlock dataset: {reason}. What to do: {instead}")
    error.reason, error.is_foreign = str(reason), isinstance(reason, ForeignError)
    return error


def missing(path: Path) -> UnavailableError:
    """Return the error for a path where nothing stands, with what may be meant instead."""
    if path.with_name(f"{path.name}.parts").is_dir():
        return UnavailableError(
            f"{path} does not exist yet: {path}.parts holds the work of a run that has not come to its end. "
            "Run the same `spinlock generate` command again: it goes on from there"
        )
    there = path.parent.iterdir() if path.parent.is_dir() else ()
    near = near_miss(path.name, [one.name for one in there if one.suffix in (".h5", ".spin", ".zarr")])
    hint = f" (did you mean '{path.with_name(near)}'?)" if near else ""
    return UnavailableError(
        f"{path} does not exist{hint}: give the path of a dataset file, as printed by `spinlock generate`"
    )


def open_h5(path: Path) -> h5py.File:
    """Open a file for reading, or raise `StorageError` with the reason in plain words."""
    if path.is_dir():
        raise StorageError(
            f"{path} is a directory: give the path of a dataset file, as printed by `spinlock generate`"
        )
    if not path.is_file():
        raise missing(path)
    try:
        return h5py.File(path, "r")
    except H5_ERRORS as error:
        if isinstance(error, PermissionError):
            raise UnavailableError(f"{path} may not be read: change its permissions") from error
        if isinstance(error, BlockingIOError):
            raise UnavailableError(
                f"{path} is in use: another program has it open for writing. Close it there (a notebook, "
                "h5py, a viewer), or wait until it ends"
            ) from error
        raise refuse(path, _reason(path, error_text(error))) from error


def _reason(path: Path, message: str) -> ForeignError | str:
    if path.stat().st_size == 0:
        return foreign("it is empty")
    if "truncated" in message:
        return "it is cut short (truncated)"
    if "consistency flags" in message or "already open for write" in message:
        return "it is half-written: its writer was killed or is still at work"
    if "signature" in message:
        return foreign("it is not an HDF5 file, or its beginning is damaged")
    return f"HDF5 cannot read it ({message})"


def read_layout(file: h5py.File) -> Layout:
    """Return the layout that a file declares, after looking that its references do not lead astray.

    Raises
    ------
    StorageError
        Where the file has none.
    """
    if "metadata" not in file:
        raise foreign("it has no /metadata: another program made it")
    if not has_text(group(file, "metadata"), "layout"):
        raise foreign("its /metadata has no layout: another program or an early version made it")
    require_sound_heaps(file)
    return Layout.from_json(attribute_text(group(file, "metadata"), "layout"))


def require_sound_heaps(file: h5py.File) -> None:
    """Raise `StorageError` where names and references of dimensions, which HDF5 itself believes, changed."""
    if not heaps_are_sound(descriptor_of(file), attribute_text(group(file, CHECKSUMS), HEAPS)):
        raise StorageError("the names and references of its dimensions are damaged")


def sound_layout(file: h5py.File, *, with_fields: bool = True) -> Layout:
    """Return the layout of a file whose objects, structure, digest and number of chunks are right.

    ``with_fields`` says whether the fields stand in it.

    Raises
    ------
    StorageError
        For the first fault, naming the array.
    """
    found = dict(walk(file))
    layout = read_layout(file)
    for path, what in chain(
        structure_faults(file, layout, with_fields=with_fields),
        digest_faults(file, found, {}).items(),
        count_faults(file, layout, with_fields=with_fields),
    ):
        raise StorageError(f"{path} {what}")
    return layout


def structure_faults(
    file: h5py.File, layout: Layout, *, with_fields: bool = True
) -> Iterator[tuple[str, str]]:
    """Yield (path, what) for each array that is not as the layout declares it."""
    checks: dict[str, Callable[[], None]] = {
        name: partial(_check_axis, file, name, size) for name, size in dimension_sizes(layout).items()
    } | {spec.path: partial(_check_array, file, layout, spec) for spec in arrays_of(layout, with_fields)}
    for path, check in checks.items():
        try:
            check()
        except StorageError as error:
            yield path, str(error).removeprefix(f"{path} ")
        except H5_ERRORS as error:
            yield path, f"cannot be read ({error_text(error)})"


def _check_axis(file: h5py.File, name: str, size: int) -> None:
    if array_id(file, name).shape != (size,):
        raise StorageError(f"is no axis of length {size}")


def _check_array(file: h5py.File, layout: Layout, spec: ArraySpec) -> None:
    array = array_id(file, spec.path)
    creation = array.get_create_plist()
    filters = [creation.get_filter(index)[0] for index in range(creation.get_nfilters())]
    for what, found, expected in (
        ("shape", array.shape, spec.shape),
        ("type", array.dtype, array_dtype(spec)),
        ("chunks", array_chunks(array), spec.chunks),
        ("filters", filters, [number for number, _ in array_filters(layout, spec)]),
    ):
        if found != expected:
            raise StorageError(f"has the {what} {found}, the layout says {expected}")
    if spec.chunks is None:
        check_allocated(file, array)


def grid_faults(grids: NDArray[np.int32], layout: Layout) -> Iterator[tuple[int, str]]:
    """Yield (row, what) for each row whose native grid is none of the layout's."""
    for row in np.flatnonzero(~np.isin(grids, layout.grids)):
        yield int(row), f"holds {grids[row]}, none of the grids {list(layout.grids)}"


def count_faults(file: h5py.File, layout: Layout, *, with_fields: bool = True) -> Iterator[tuple[str, str]]:
    """Yield (path, what) for each field that does not store as many chunks as its rows' grids need."""
    grids = np.asarray(dataset(file, "metadata/grid_sizes")[:])
    for row, what in grid_faults(grids, layout):
        yield "metadata/grid_sizes", f"row {row} {what}"
        return
    sizes, counts = np.unique(grids, return_counts=True)
    for spec in field_arrays(layout) if with_fields else ():
        needed = sum(int(n) * chunks_in_row(spec, int(g)) for g, n in zip(sizes, counts, strict=True))
        try:
            stored = array_id(file, spec.path).get_num_chunks()
        except H5_ERRORS as error:
            yield spec.path, f"cannot be read ({error_text(error)})"
            continue
        if stored != needed:
            yield spec.path, f"stores {stored} chunks where its rows need {needed}"


def descriptor_of(file: h5py.File) -> int:
    """Return the descriptor of an open file: its path may lead to a replacement by now."""
    return file.id.get_vfd_handle()


def identity_of(file: h5py.File) -> tuple[int, int, int]:
    """Return what `same_file` tells of an open file."""
    return _identity(os.fstat(descriptor_of(file)))


def same_file(path: Path) -> tuple[int, int, int]:
    """Return what tells one file from its replacement: device, inode and size."""
    return _identity(os.stat(path))  # noqa: PTH116 (one call, no object)


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_dev, status.st_ino, status.st_size
