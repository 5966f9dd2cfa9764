"""Maps to colours: an affine map to RGB or to a place in a colormap, and the overlay's blend."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spinlock.visualization.colour import to_bytes

NOTHING, STRIPE = (205, 205, 205), (150, 150, 150)
"""Colours of a cell that has no values: a realization, or all of them, diverged."""

STRIPE_PERIOD, STRIPE_WIDTH = 8, 2
"""In pixels, along a row."""


@dataclass(frozen=True)
class Affine:
    """u = A·(x − c) + b, clamped to [0, 1]: red, green and blue, or one number for a colormap.

    Attributes
    ----------
    matrix, centre, offset
        A [k, d], c [d], b, with k = 1 or 3.
    bounds
        What becomes 0 and 1, where that is the same for every channel.
    table
        The colormap of k = 1.
    """

    matrix: NDArray[np.float64]
    centre: NDArray[np.float64]
    offset: NDArray[np.float64]
    bounds: tuple[float, float] | None = None
    table: NDArray[np.uint8] | None = None

    @cached_property
    def _rounded(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """A, c and b in float32; what c loses goes into b, so a small range far from 0 keeps its colours."""
        largest = np.finfo(np.float32).max
        centre = self.centre.clip(-largest, largest).astype(np.float32)
        offset = self.offset + self.matrix @ (centre - self.centre)
        with np.errstate(over="ignore"):
            return self.matrix.astype(np.float32), centre[:, None], offset.astype(np.float32)[:, None]

    def __call__(self, maps: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return maps [d, h, w] as RGB bytes [h, w, 3]."""
        return _with_stripes(maps, self._colours)

    def _colours(self, maps: NDArray[np.float32]) -> NDArray[np.uint8]:
        matrix, centre, offset = self._rounded
        product = np.multiply if matrix.size == 1 else np.matmul
        with np.errstate(over="ignore", invalid="ignore"):
            unit = product(matrix, maps.reshape(len(maps), -1) - centre) + offset
        values = to_bytes(np.fmax(unit, 0.0))  # ∞ − ∞, of values whose colours overflow, becomes 0
        colours = values.T if self.table is None else self.table.take(values[0], axis=0)
        return np.ascontiguousarray(colours).reshape(*maps.shape[1:], 3)


@dataclass(frozen=True)
class Blend:
    """The overlay: grey by luminance, and over it each realization's hue where it departs from the mean.

    colour = (1 − a)·grey + a·hue with a = deviation / ``deviation`` and grey = (luminance − low) / (high −
    low), both clamped to [0, 1].
    """

    bounds: tuple[float, float]
    deviation: float
    table: NDArray[np.uint8] | None = None

    def __call__(self, maps: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return maps [5, h, w] (luminance, hue, greatest deviation) as RGB bytes [h, w, 3]."""
        return _with_stripes(maps, self._colours)

    def _colours(self, maps: NDArray[np.float32]) -> NDArray[np.uint8]:
        grey = _share(maps[:1], *self.bounds)
        share = _share(maps[4:], 0.0, self.deviation) if self.deviation > 0 else 0.0
        return np.ascontiguousarray(to_bytes(grey + share * (maps[1:4] - grey)).transpose(1, 2, 0))


Paint = Affine | Blend
"""Colours the maps of one cell: called with [d, h, w], it returns RGB bytes [h, w, 3]."""


def _share(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """Return where values lie between two bounds, clamped to [0, 1]; one half between equal ones."""
    if not low < high:
        return np.full_like(values, 0.5)
    near = np.clip(values, low, high, dtype=np.float64)
    return ((near - low) / (high - low)).astype(np.float32)


def _with_stripes(
    maps: NDArray[np.float32], colours: Callable[[NDArray[np.float32]], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """Return the colours of maps [d, h, w], with stripes where not all of them are finite."""
    finite = np.isfinite(maps).all(axis=0)
    if finite.all():
        return colours(maps)
    picture = colours(np.where(finite, maps, np.float32(0.0)))
    stripes = np.add.outer(*(np.arange(size) for size in finite.shape)) % STRIPE_PERIOD < STRIPE_WIDTH
    picture[~finite] = np.where(stripes[..., None], STRIPE, NOTHING)[~finite]
    return picture
