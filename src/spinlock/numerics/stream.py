"""Keyed random numbers one after another, inside compiled loops that cannot say how many they need.

Number e of a stream is element e of the array that `SampleKeys` would draw at the same site.
"""

import numpy as np
from jaxtyping import UInt64

from spinlock.numerics.blocks import philox
from spinlock.numerics.compiled import compiled
from spinlock.numerics.random import SampleKeys

ONE = np.uint64(1)

POSITION, BUFFER, LENGTH = 6, 7, 11
"""A stream is an array: counter words 0-3, key words 4-5, words used of the block, the block's four words."""


def streams(keys: SampleKeys, site: str, step: int = 0) -> UInt64[np.ndarray, "b state"]:
    """Return a stream at its beginning for each sample, a row each; reading a row moves it on."""
    rows = np.zeros((len(keys), LENGTH), dtype=np.uint64)
    rows[:, 1] = step << 16 | keys.sites[site]
    rows[:, 2] = keys.indices.cpu().numpy()
    rows[:, 3] = (keys.draws.cpu().numpy() << 16) | int(keys.purpose)
    rows[:, 4:6] = keys.key.words
    rows[:, POSITION] = 4
    return rows


@compiled
def _refill(stream):
    """Compute the next block by Philox4x32-10, as `spinlock.keys.philox4x32` does."""
    words = philox(stream[0], stream[1], stream[2], stream[3], stream[4], stream[5])
    stream[BUFFER], stream[BUFFER + 1], stream[BUFFER + 2], stream[BUFFER + 3] = words
    stream[0] += ONE
    stream[POSITION] = 0


@compiled
def next_word(stream):
    """Return the next 32-bit word of a stream, as uint64."""
    if stream[POSITION] == 4:
        _refill(stream)
    word = stream[BUFFER + np.int64(stream[POSITION])]
    stream[POSITION] += ONE
    return word


@compiled
def next_uniform(stream):
    """Return the next uniform in (0, 1) of a stream, on 32 bits: (word + 1/2) / 2**32, exact in float64."""
    return (np.float64(next_word(stream)) + 0.5) * 2.0**-32


@compiled
def next_direction(stream):
    """Return a unit vector in a uniform direction, from square roots alone: the same bits with every libm."""
    while True:
        x = 2.0 * next_uniform(stream) - 1.0
        y = 2.0 * next_uniform(stream) - 1.0
        square = x * x + y * y
        if 1e-6 < square <= 1.0:
            length = np.sqrt(square)
            return x / length, y / length
