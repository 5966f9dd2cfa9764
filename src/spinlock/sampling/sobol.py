"""Points of a scrambled Sobol sequence, addressed by index: there is no stream and no state.

Sobol, "On the distribution of points in a cube and the approximate evaluation of integrals" (1967), with the
direction numbers of Joe and Kuo (2008). Points stand in natural order: coordinate d of point i is the
exclusive or of the direction numbers at the binary digits of i. (Implementations that update point by point
visit the same points in Gray-code order: their point i is point ``i ^ (i >> 1)`` here.) Any 2**m points that
start at a multiple of 2**m are a digital net in either order.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from spinlock.errors import UsageError
from spinlock.keys import MAX_INDEX
from spinlock.sampling.directions import BITS, MAX_DIMENSIONS, direction_numbers
from spinlock.sampling.scrambling import dimension_keys, owen_scramble

BLOCK = 2**15
"""Coordinates worked on at a time, so that the temporaries of the hash stay in cache."""


def sobol_integers(indices: Any, directions: Any) -> Any:
    """Return the 32-bit coordinates of Sobol points before scrambling, int64 [B, D].

    x_d(i) = XOR of directions[d, j] over the binary digits j set in i, for int64 arrays (numpy or torch)
    ``indices`` [B] in [0, 2**32) and ``directions`` [D, 32].
    """
    rows = indices[:, None]
    coordinates = (rows & 1) * directions[:, 0]
    for j in range(1, BITS):
        coordinates = coordinates ^ (((rows >> j) & 1) * directions[:, j])
    return coordinates


def sobol_points(
    indices: Iterable[int] | np.ndarray, dimensions: int, *, seed: int, scramble: bool = True
) -> Float64[np.ndarray, "b dimensions"]:
    """Return points of the Sobol sequence, float64 [B, D] strictly inside the unit cube.

    u_d(i) = (x_d(i) + 1/2) / 2**32, exact, with x_d(i) the scrambled 32-bit coordinate. Entry [b, d] depends
    on ``indices[b]``, d and ``seed`` alone: neither other rows nor the number of columns changes it.

    Parameters
    ----------
    indices
        Which points: integers in [0, 2**32), in any order, repeated or not.
    dimensions
        How many coordinates D, at most 128.
    seed
        Root seed of the scrambling; without effect if ``scramble`` is false.
    scramble
        Whether to apply nested uniform scrambling, which makes every point uniform on the cube (so that
        averages are unbiased) and keeps each digital net a net.

    Raises
    ------
    UsageError
        For indices that are no integers in [0, 2**32), more than 128 dimensions, or a seed beyond 64 bits.
    """
    if not 0 <= dimensions <= MAX_DIMENSIONS:
        raise UsageError(
            f"{dimensions} Sobol dimensions were asked for; at most {MAX_DIMENSIONS} can be had. Leave some "
            "parameters out of the space: one that has a fixed value takes no dimension"
        )
    rows = _checked(indices)
    directions = direction_numbers()[:dimensions]
    keys = dimension_keys(seed, dimensions)
    points = np.empty((len(rows), dimensions))
    height = max(1, BLOCK // max(1, dimensions))
    for start in range(0, len(rows), height):
        block = slice(start, start + height)
        coordinates = sobol_integers(rows[block], directions)
        points[block] = (owen_scramble(coordinates, keys) if scramble else coordinates) + 0.5
    points *= 2.0**-BITS
    return points


def _checked(indices: Iterable[int] | np.ndarray) -> Int64[np.ndarray, "b"]:
    """Return indices as int64 [B], refusing what is no 32-bit index."""
    given = np.asarray(indices if isinstance(indices, np.ndarray | range) else list(indices))
    if given.size == 0:
        return np.zeros(0, dtype=np.int64)
    whole = given.dtype.kind in "iu" or all(type(index) is int for index in given.flat)
    if given.ndim != 1 or not whole:
        raise UsageError(
            f"Sobol indices must be a list of integers, not {given.dtype} of shape {given.shape}"
        )
    for index in (given.min(), given.max()):
        if not 0 <= index < MAX_INDEX:
            raise UsageError(f"sample index {index} is out of range: it must be in [0, {MAX_INDEX})")
    return given.astype(np.int64)
