"""Philox blocks by compiled loops: the integers of `spinlock.keys.philox4x32`, several times as fast."""

import numpy as np
from jaxtyping import Int64

from spinlock.keys import MASK, MULTIPLIER_0, MULTIPLIER_1, ROUNDS, WEYL_0, WEYL_1
from spinlock.numerics.compiled import compilable, compiled

LOW, SHIFT = np.uint64(MASK), np.uint64(32)
FIRST, SECOND = np.uint64(MULTIPLIER_0), np.uint64(MULTIPLIER_1)
STEP_0, STEP_1 = np.uint64(WEYL_0), np.uint64(WEYL_1)


def philox_blocks(
    rows: Int64[np.ndarray, "3 b"], count: int, key: tuple[int, int]
) -> Int64[np.ndarray, "4 b count"]:
    """Return the words of blocks 0 … count − 1 for each row of counter words c1, c2, c3."""
    words = np.empty((4, rows.shape[1], count), np.int64)
    _fill(rows.astype(np.uint64), np.uint64(key[0]), np.uint64(key[1]), words.view(np.uint64))
    return words


@compilable
def philox(c0, c1, c2, c3, k0, k1):
    """Return the four words of one block, all uint64, as `spinlock.keys.philox4x32` does."""
    for _ in range(ROUNDS):
        product0, product1 = c0 * FIRST, c2 * SECOND
        c0, c1, c2, c3 = (
            (product1 >> SHIFT) ^ c1 ^ k0,
            product1 & LOW,
            (product0 >> SHIFT) ^ c3 ^ k1,
            product0 & LOW,
        )
        k0, k1 = (k0 + STEP_0) & LOW, (k1 + STEP_1) & LOW
    return c0, c1, c2, c3


@compiled
def _fill(rows, key0, key1, words):
    for row in range(words.shape[1]):
        w0, w1, w2, w3 = words[0, row], words[1, row], words[2, row], words[3, row]
        for block in range(words.shape[2]):
            w0[block], w1[block], w2[block], w3[block] = philox(
                np.uint64(block), rows[0, row], rows[1, row], rows[2, row], key0, key1
            )
