"""Clusters of discs that do not overlap, on the unit torus."""

import numpy as np
from jaxtyping import Float64, Int64, UInt64

from spinlock.numerics.compiled import compiled
from spinlock.numerics.stream import next_uniform

FOUNDERS = 3
"""The first cells belong to the first clusters in turn, so that each of these has one at least."""

WIDENING = 0.02
"""Share by which a cluster spreads out at every place that is taken: a tight one holds few discs."""

TRIALS = 20000


def place_discs(
    stream: UInt64[np.ndarray, " state"],
    count: int,
    parents: int,
    radius: float,
    clustered: float,
    width: float,
) -> tuple[Float64[np.ndarray, "count 2"], Int64[np.ndarray, " count"]] | None:
    """Return the places of disc centres in [0, 1)² and the cluster of each, or None if one found no room.

    ``parents`` points are uniform. A disc belongs with probability ``clustered`` to a parent drawn at random,
    and its centre is normal about it with standard deviation ``width`` on each axis; else it is uniform, and
    counts to the nearest parent. A centre closer than 2·``radius`` to an earlier one is drawn again, each
    time from a wider normal. Without radius this is the process of Thomas. Source: Thomas 1949; Matérn 1960.
    """
    places = np.zeros((count, 2))
    clusters = np.zeros(count, dtype=np.int64)
    if not _place(stream, places, clusters, parents, radius, clustered, width):
        return None
    return places, clusters


@compiled
def _squared_distance(y, x, other):
    down, across = abs(y - other[0]), abs(x - other[1])
    down, across = min(down, 1.0 - down), min(across, 1.0 - across)
    return down * down + across * across


@compiled
def _normals(stream):
    """Return two standard normals by Marsaglia's polar method."""
    while True:
        a, b = 2.0 * next_uniform(stream) - 1.0, 2.0 * next_uniform(stream) - 1.0
        square = a * a + b * b
        if 0.0 < square < 1.0:
            factor = np.sqrt(-2.0 * np.log(square) / square)
            return a * factor, b * factor


@compiled
def _nearest(y, x, centres):
    nearest, least = 0, 2.0
    for number in range(len(centres)):
        square = _squared_distance(y, x, centres[number])
        if square < least:
            nearest, least = number, square
    return nearest


@compiled
def _place(stream, places, clusters, parents, radius, clustered, width):
    centres = np.empty((parents, 2))
    for number in range(parents):
        centres[number, 0], centres[number, 1] = next_uniform(stream), next_uniform(stream)
    closest = (2.0 * radius) ** 2
    for cell in range(len(places)):
        in_cluster = next_uniform(stream) < clustered
        parent = min(np.int64(next_uniform(stream) * parents), parents - 1)
        parent = cell if cell < FOUNDERS else parent
        y, x = 0.0, 0.0
        for trial in range(TRIALS + 1):
            if trial == TRIALS:
                return False
            if in_cluster:
                down, across = _normals(stream)
                reach = width * (1.0 + WIDENING * trial)
                y, x = (centres[parent, 0] + reach * down) % 1.0, (centres[parent, 1] + reach * across) % 1.0
            else:
                y, x = next_uniform(stream), next_uniform(stream)
            free = True
            for other in range(cell if radius > 0.0 else 0):
                if _squared_distance(y, x, places[other]) < closest:
                    free = False
                    break
            if free:
                break
        places[cell, 0], places[cell, 1] = y, x
        clusters[cell] = parent if in_cluster or cell < FOUNDERS else _nearest(y, x, centres)
    return True
