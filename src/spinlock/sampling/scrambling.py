"""Nested uniform (Owen) scrambling of 32-bit coordinates, by a hash of the digits above each digit.

Owen, "Randomly permuted (t,m,s)-nets and (t,s)-sequences" (1995): digit k of a coordinate is permuted by a
permutation that depends on the k digits above it. In base 2 a permutation is one bit, flip or keep; a binary
tree with a random bit at each node holds them all. Here the bit is a hash of (dimension, node), so that the
tree needs no memory and any coordinate is scrambled alone.

Everything here is written with operators that numpy and torch int64 arrays share.
"""

from typing import Any

import numpy as np
from jaxtyping import Int64

from spinlock.keys import Key, Purpose, words
from spinlock.sampling.directions import BITS, MAX_DIMENSIONS

# Constants are the signed readings of unsigned 64-bit numbers: int64 arithmetic wraps around alike.
GOLDEN_GAMMA = 0x9E37_79B9_7F4A_7C15 - 2**64
MIX_1 = 0xBF58_476D_1CE4_E5B9 - 2**64
MIX_2 = 0x94D0_49BB_1331_11EB - 2**64


def mix64(z: Any) -> Any:
    """Return Stafford's variant 13 of the 64-bit finaliser, the output function of SplitMix64.

    z ^= z >>> 30; z *= 0xBF58476D1CE4E5B9; z ^= z >>> 27; z *= 0x94D049BB133111EB; z ^= z >>> 31, on int64
    arrays (Steele, Lea & Flood, "Fast splittable pseudorandom number generators", 2014).
    """
    # An arithmetic shift copies the sign bit into the places that a logical one clears: the mask clears them.
    z = (z ^ ((z >> 30) & (2**34 - 1))) * MIX_1
    z = (z ^ ((z >> 27) & (2**37 - 1))) * MIX_2
    return z ^ ((z >> 31) & (2**33 - 1))


def dimension_keys(seed: int, dimensions: int) -> Int64[np.ndarray, "dimensions"]:
    """Return the 64-bit scrambling key of each dimension; that of dimension d depends on (seed, d) alone."""
    drawn = words(Key(seed), Purpose.SCRAMBLING, np.arange(MAX_DIMENSIONS), 2)[:dimensions]
    return drawn[:, 0] << 32 | drawn[:, 1]


def owen_scramble(coordinates: Any, keys: Any) -> Any:
    """Return coordinates under nested uniform scrambling, int64 as they came.

    Parameters
    ----------
    coordinates
        32-bit coordinates, int64 (numpy or torch) that broadcast against ``keys``; usually [B, D].
    keys
        64-bit dimension keys, int64 of the same library; usually [D].

    Notes
    -----
    Bit k (from the highest) is flipped where the highest bit of mix64(key + node · 0x9E3779B97F4A7C15) is
    set. Here node = 2**k | (the k bits above bit k) numbers the nodes of the binary tree, from 1 at the root.
    """
    flips = 0
    for k in range(BITS):
        node = (coordinates >> (BITS - k)) | (1 << k)
        hashed = mix64(node * GOLDEN_GAMMA + keys)
        flips = flips | ((hashed >> (BITS + k)) & (1 << (BITS - 1 - k)))
    return coordinates ^ flips
