"""Direction numbers of the Sobol sequence, from primitive polynomials by their recurrence."""

import functools

import numpy as np
from jaxtyping import Int64

from spinlock.sampling.joe_kuo import JOE_KUO

BITS = 32
"""Binary digits of a coordinate and of an index."""

MAX_DIMENSIONS = 128
"""Dimensions of the Sobol sequence: a space has at most one parameter fewer."""


def _directions_of(degree: int, coefficients: int, initial: list[int]) -> list[int]:
    """Return the direction numbers of one primitive polynomial.

    v_j = a_1 v_(j-1) ^ ... ^ a_(s-1) v_(j-s+1) ^ v_(j-s) ^ (v_(j-s) >> s), from v_j = m_(j+1) 2**(31-j).
    """
    directions = [m << (BITS - 1 - j) for j, m in enumerate(initial)]
    for j in range(degree, BITS):
        value = directions[j - degree] ^ (directions[j - degree] >> degree)
        for lag in range(1, degree):
            if coefficients >> (degree - 1 - lag) & 1:
                value ^= directions[j - lag]
        directions.append(value)
    return directions


@functools.cache
def direction_numbers() -> Int64[np.ndarray, "dimensions bits"]:
    """Return the 32-bit direction numbers of all dimensions, read-only int64 [128, 32].

    Entry [d, j] is what digit j (from the lowest) of an index contributes to coordinate d; its highest bit is
    the half of the unit interval. Bit 31 − j of it is set and all lower ones are clear, so the 32 numbers of
    a dimension form an upper triangular matrix over the field of two elements.
    """
    first = [1 << (BITS - 1 - j) for j in range(BITS)]
    rows = [[int(word) for word in line.split()] for line in JOE_KUO.split("\n") if line]
    numbers = np.array([first, *(_directions_of(s, a, m) for _, s, a, *m in rows)], dtype=np.int64)
    assert numbers.shape == (MAX_DIMENSIONS, BITS)
    numbers.setflags(write=False)
    return numbers
