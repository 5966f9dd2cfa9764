"""Linear block codes over GF(2): generator and check matrices of numpy uint8.

A code word is c = m·G mod 2 for a message m of k bits, and every word has H·c = 0 mod 2.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import UInt8

from spinlock.keys import Key, Purpose, uniforms, words

Matrix = UInt8[np.ndarray, "_ _"]

CODE_KEY = Key(0, "linear_codes")
"""Codes that are drawn at random are part of a type, not of a sample: they never change."""

GALLAGER_ROW, GALLAGER_COLUMN = 6, 3
FILLERS = 4


@dataclass(frozen=True)
class LinearCode:
    """A generator matrix G [k, n] and a check matrix H [m, n] with H·Gᵀ = 0 mod 2."""

    generator: UInt8[np.ndarray, "k n"]
    checks: UInt8[np.ndarray, "m n"]

    @property
    def length(self) -> int:
        """Bits of a word, n."""
        return self.generator.shape[1]

    @property
    def dimension(self) -> int:
        """Bits of a message, k."""
        return self.generator.shape[0]


def null_space(checks: Matrix) -> Matrix:
    """Return a basis of the words c with H·c = 0 mod 2, one a row, by Gauss and Jordan's elimination."""
    reduced = checks.copy()
    pivots: list[int] = []
    for column in range(reduced.shape[1]):
        row = len(pivots)
        below = np.flatnonzero(reduced[row:, column])
        if not len(below):
            continue
        reduced[[row, row + below[0]]] = reduced[[row + below[0], row]]
        others = np.flatnonzero(reduced[:, column])
        reduced[others[others != row]] ^= reduced[row]
        pivots.append(column)
        if len(pivots) == reduced.shape[0]:
            break
    free = np.setdiff1d(np.arange(reduced.shape[1]), pivots)
    basis = np.zeros((len(free), reduced.shape[1]), dtype=np.uint8)
    basis[np.arange(len(free)), free] = 1
    basis[:, pivots] = reduced[: len(pivots), free].T
    return basis


@cache
def extended_hamming(length: int) -> LinearCode:
    """Return the [2^r, 2^r − r − 1, 4] code: an overall parity over the binary numbers of the columns."""
    bits = (length - 1).bit_length()
    if length != 2**bits or bits < 2:
        raise ValueError(f"an extended Hamming code has 4, 8, 16, … bits, not {length}")
    numbers = np.arange(length)
    rows = [
        np.ones(length, dtype=np.uint8),
        *(((numbers >> bit) & 1).astype(np.uint8) for bit in range(bits)),
    ]
    checks = np.stack(rows)
    return LinearCode(null_space(checks), checks)


@cache
def single_parity(length: int) -> LinearCode:
    """Return the [n, n − 1, 2] code of words with an even number of ones."""
    checks = np.ones((1, length), dtype=np.uint8)
    return LinearCode(null_space(checks), checks)


@cache
def repetition(length: int, dimension: int) -> LinearCode:
    """Return the [n, k] code that repeats each message bit n/k times, in runs that differ by one at most."""
    run = np.arange(length) * dimension // length
    generator = (run == np.arange(dimension)[:, None]).astype(np.uint8)
    inner = np.flatnonzero(run[1:] == run[:-1])
    checks = np.zeros((len(inner), length), dtype=np.uint8)
    checks[np.arange(len(inner)), inner] = checks[np.arange(len(inner)), inner + 1] = 1
    return LinearCode(generator, checks)


@cache
def random_systematic(length: int, dimension: int) -> LinearCode:
    """Return one [n, k] code with G = [I | P] and H = [Pᵀ | I], P of fair bits that never change.

    Rows of P that are all zero are drawn again: every bit is in a check, and a single error is always seen.
    """
    spare = length - dimension
    parity = np.zeros((dimension, spare), dtype=np.uint8)
    attempt = 0
    while not parity.any(axis=1).all():
        coordinates = {"site": 1, "step": dimension, "realization": attempt}
        drawn = words(CODE_KEY, Purpose.CHOICE, [length], dimension * spare, **coordinates)
        fair = (drawn[0] & 1).astype(np.uint8).reshape(dimension, spare)
        parity = np.where(parity.any(axis=1, keepdims=True), parity, fair)
        attempt += 1
    identity = [np.eye(size, dtype=np.uint8) for size in (dimension, spare)]
    return LinearCode(np.hstack([identity[0], parity]), np.hstack([parity.T, identity[1]]))


@cache
def gallager(length: int) -> LinearCode:
    """Return a (3, 6) low-density parity-check code of ``length`` − 4 bits, and 4 parities of its quarters.

    Each bit of the code is in 3 checks and each check holds 6 bits: n/6 checks on runs of six, and the same
    twice with the columns shuffled. The last 4 bits are the parities of the four quarters of the others, so
    that the words fill an array. Source: Gallager, IRE Trans. Inf. Theory 8 (1962) 21.
    """
    inner = length - FILLERS
    if inner % GALLAGER_ROW:
        raise ValueError(f"{length} bits less {FILLERS} is not a multiple of {GALLAGER_ROW}")
    runs = (np.arange(inner) // GALLAGER_ROW == np.arange(inner // GALLAGER_ROW)[:, None]).astype(np.uint8)
    shuffles = uniforms(CODE_KEY, Purpose.CHOICE, range(GALLAGER_COLUMN - 1), inner, site=2, step=length)
    layers = [runs, *(runs[:, np.argsort(row)] for row in shuffles)]
    quarters = (np.arange(inner) * FILLERS // inner == np.arange(FILLERS)[:, None]).astype(np.uint8)
    low_density = np.hstack([np.vstack(layers), np.zeros((len(runs) * len(layers), FILLERS), dtype=np.uint8)])
    checks = np.vstack([low_density, np.hstack([quarters, np.eye(FILLERS, dtype=np.uint8)])])
    return LinearCode(null_space(checks), checks)


@cache
def toric(side: int) -> LinearCode:
    """Return the cycles of Kitaev's toric code on ``side``² bits, ``side`` even, in Wen's layout.

    Bits are the corners of a chequerboard on the torus, the links of the lattice of its white faces. A word
    has an even number of ones at the corners of every black face; words are sums of white faces and of the
    two loops around the torus, a row and a column. Source: Kitaev, Ann. Phys. 303 (2003) 2; Wen, Phys. Rev.
    Lett. 90 (2003) 016803.
    """
    if side % 2:
        raise ValueError(f"a chequerboard on the torus has an even number of faces a side, not {side}")
    rows, columns = np.divmod(np.arange(side * side), side)
    faces = np.zeros((side * side, side * side), dtype=np.uint8)
    for down in (0, 1):
        for across in (0, 1):
            corner = (rows + down) % side * side + (columns + across) % side
            faces[np.arange(side * side), corner] = 1
    black = (rows + columns) % 2 == 0
    loops = np.stack([rows == 0, columns == 0]).astype(np.uint8)
    white = faces[~black][:-1]  # all white faces together add up to nothing
    return LinearCode(np.vstack([white, loops]), faces[black])
