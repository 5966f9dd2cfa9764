"""The chunks of one row: which are stored for a native grid, and which part of the row each one holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil, prod

from spinlock.storage.schema import ArraySpec


@dataclass(frozen=True)
class ChunkWindow:
    """A chunk and its place.

    Attributes
    ----------
    position
        Chunk coordinates within the row: the sample axis is left out.
    row
        The part of the row [..., C, g, g] that the chunk holds.
    chunk
        Where that part stands in the chunk; the rest of the chunk is fill.
    """

    position: tuple[int, ...]
    row: tuple[slice, ...]
    chunk: tuple[slice, ...]


def chunk_shape(spec: ArraySpec) -> tuple[int, ...]:
    """Return the shape of a chunk within its row: the sample axis, of extent 1, is left out."""
    assert spec.chunks is not None
    return spec.chunks[1:]


def row_shape(spec: ArraySpec, grid: int) -> tuple[int, ...]:
    """Return the shape of one row on its native grid, [..., C, g, g]."""
    return (*spec.shape[1:-2], grid, grid)


def row_windows(spec: ArraySpec, grid: int) -> Iterator[ChunkWindow]:
    """Yield the chunks that a row with that native grid stores, in index order.

    A tile is stored exactly where its corner lies inside the native grid.
    """
    shape, chunks = row_shape(spec, grid), chunk_shape(spec)
    counts = [ceil(size / chunk) for size, chunk in zip(shape, chunks, strict=True)]
    for position in product(*map(range, counts)):
        starts = [index * chunk for index, chunk in zip(position, chunks, strict=True)]
        ends = [min(start + chunk, size) for start, chunk, size in zip(starts, chunks, shape, strict=True)]
        row = tuple(slice(start, end) for start, end in zip(starts, ends, strict=True))
        inner = tuple(slice(0, end - start) for start, end in zip(starts, ends, strict=True))
        yield ChunkWindow(position, row, inner)


def window_within(window: ChunkWindow, part: tuple[slice, ...]) -> ChunkWindow | None:
    """Return what a chunk holds of a part of the row, its place counted from there; None if nothing.

    ``part`` has a slice with start and stop for each of the first axes of the row.
    """
    row, chunk = list(window.row), list(window.chunk)
    for axis, wanted in enumerate(part):
        start, stop = max(row[axis].start, wanted.start), min(row[axis].stop, wanted.stop)
        if start >= stop:
            return None
        skipped = start - row[axis].start
        chunk[axis] = slice(skipped, skipped + stop - start)
        row[axis] = slice(start - wanted.start, stop - wanted.start)
    return ChunkWindow(window.position, tuple(row), tuple(chunk))


def chunk_offset(spec: ArraySpec, row: int, position: tuple[int, ...]) -> tuple[int, ...]:
    """Return the element at which a chunk of a row begins."""
    assert spec.chunks is not None
    return (row, *(index * chunk for index, chunk in zip(position, chunk_shape(spec), strict=True)))


def chunks_in_row(spec: ArraySpec, grid: int) -> int:
    """Return how many chunks a row with that native grid stores."""
    return prod(
        ceil(size / chunk) for size, chunk in zip(row_shape(spec, grid), chunk_shape(spec), strict=True)
    )
