"""Diffusion-limited aggregation: random walkers from infinity that stick to what they meet.

A walker far away is not walked: one beyond the launch circle or line is put where its path first returns to
it (the Poisson kernel of the plane, the Cauchy law of the half plane). So no walker is lost, and none is
released from too near.
"""

import numpy as np
from jaxtyping import Int32, UInt64

from spinlock.numerics.compiled import compiled
from spinlock.numerics.stream import next_direction, next_uniform, next_word

LAUNCH = 2.0
"""Distance of the launch circle or line from the outermost cell, in cells."""

QUARTERS = np.uint64(3)


def grow_from_point(
    stream: UInt64[np.ndarray, " state"], size: int, cells: int, stickiness: float
) -> Int32[np.ndarray, "n n"]:
    """Return a cluster grown from one cell in the middle of a square of ``size`` cells a side.

    A walker comes in over a circle about the cluster and steps to one of its four neighbours at random;
    beside a cell of the cluster it joins it with probability ``stickiness`` at every visit. Values are the
    order of joining, 1 for the seed, and 0 where empty. A cluster that reaches the border ends there, with
    fewer than ``cells`` cells. Source: Witten & Sander, Phys. Rev. Lett. 47 (1981) 1400.
    """
    order = np.zeros((size, size), dtype=np.int32)
    _grow_from_point(stream, order, cells, stickiness)
    return order


def grow_from_line(
    stream: UInt64[np.ndarray, " state"], size: int, cells: int, stickiness: float
) -> Int32[np.ndarray, "n n"]:
    """Return a deposit grown from the first row of a square whose left and right borders are joined.

    The row is the seed, cells 1 to ``size``, and walkers come from the other side; all else as in
    `grow_from_point`. Source: Meakin, Phys. Rev. A 27 (1983) 2616.
    """
    order = np.zeros((size, size), dtype=np.int32)
    _grow_from_line(stream, order, cells, stickiness)
    return order


@compiled
def _occupied(order, y, x):
    return 0 <= y < order.shape[0] and 0 <= x < order.shape[1] and order[y, x] > 0


@compiled
def _step(stream):
    """Return one of the four lattice steps."""
    quarter = next_word(stream) & QUARTERS
    if quarter == 0:
        return 0, 1
    if quarter == 1:
        return 0, -1
    if quarter == 2:
        return 1, 0
    return -1, 0


@compiled
def _return_to_circle(stream, y, x, radius):
    """Return where a Brownian path from outside first meets a circle: a uniform point moved by Möbius."""
    cosine, sine = next_direction(stream)
    square = x * x + y * y
    ax, ay = radius * x / square, radius * y / square
    upper_x, upper_y = cosine + ax, sine + ay
    lower_x, lower_y = 1.0 + ax * cosine + ay * sine, ax * sine - ay * cosine
    norm = lower_x * lower_x + lower_y * lower_y
    new_x = (upper_x * lower_x + upper_y * lower_y) / norm
    new_y = (upper_y * lower_x - upper_x * lower_y) / norm
    return np.int64(np.rint(radius * new_y)), np.int64(np.rint(radius * new_x))


@compiled
def _land_on_cluster(stream, order, reach, stickiness):
    """Return the empty cell beside the cluster where one walker sticks."""
    centre = order.shape[0] // 2
    launch = reach + LAUNCH
    cosine, sine = next_direction(stream)
    y, x = np.int64(np.rint(launch * sine)), np.int64(np.rint(launch * cosine))
    while True:
        square = x * x + y * y
        if square > (launch + 1.0) ** 2:
            y, x = _return_to_circle(stream, y, x, launch)
        elif square <= (reach + 1.0) ** 2:
            row, column = y + centre, x + centre
            beside = (
                _occupied(order, row - 1, column)
                or _occupied(order, row + 1, column)
                or _occupied(order, row, column - 1)
                or _occupied(order, row, column + 1)
            )
            if beside and (stickiness >= 1.0 or next_uniform(stream) < stickiness):
                return row, column
        down, right = _step(stream)
        if not _occupied(order, y + down + centre, x + right + centre):
            y, x = y + down, x + right


@compiled
def _grow_from_point(stream, order, cells, stickiness):
    size = order.shape[0]
    centre = size // 2
    order[centre, centre] = 1
    reach = 0.0
    for number in range(2, cells + 1):
        row, column = _land_on_cluster(stream, order, reach, stickiness)
        if not (0 <= row < size and 0 <= column < size):
            return
        order[row, column] = number
        reach = max(reach, np.sqrt(np.float64((row - centre) ** 2 + (column - centre) ** 2)))


@compiled
def _land_on_deposit(stream, order, top, stickiness):
    """Return the empty cell beside the deposit where one walker sticks."""
    size = order.shape[0]
    launch = top + np.int64(LAUNCH)
    y, x = launch, np.int64(next_uniform(stream) * size)
    while True:
        if y > launch:
            cosine, sine = next_direction(stream)
            x = np.int64(np.rint(x + (y - launch) * (sine / cosine))) % size
            y = launch
        elif y <= top + 1:
            beside = (
                _occupied(order, y - 1, x)
                or _occupied(order, y + 1, x)
                or _occupied(order, y, (x - 1) % size)
                or _occupied(order, y, (x + 1) % size)
            )
            if beside and (stickiness >= 1.0 or next_uniform(stream) < stickiness):
                return y, x
        down, right = _step(stream)
        if not _occupied(order, y + down, (x + right) % size):
            y, x = y + down, (x + right) % size


@compiled
def _grow_from_line(stream, order, cells, stickiness):
    size = order.shape[0]
    for column in range(size):
        order[0, column] = column + 1
    top = 0
    for number in range(size + 1, cells + 1):
        row, column = _land_on_deposit(stream, order, top, stickiness)
        if row >= size:
            return
        order[row, column] = number
        top = max(top, row)
