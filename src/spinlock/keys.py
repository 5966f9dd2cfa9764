"""Keyed randomness: every random number is a pure function of what it is for, and of nothing else.

Philox4x32-10 (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11) maps a
128-bit counter and a 64-bit key to 128 random bits. There is no state to save, to advance or to share:

====  ==============================  =========================================
word  holds                           limit
====  ==============================  =========================================
c0    element block (element // 4)    2**32 blocks
c1    step << 16 | site               2**16 steps, 2**16 sites
c2    sample index                    2**32 samples
c3    realization << 16 | purpose     2**16 realizations, 2**16 purposes
key   root seed, mixed with a domain  64 bits
====  ==============================  =========================================

Element ``e`` of an array is word ``e % 4`` of block ``e // 4``: a longer array begins with the shorter one.
The arithmetic is written with operators that numpy and torch arrays share (both wrap around in int64, which
makes ``(a * M) >> 32 & MASK`` exact), and gives the same integers on every device.
"""

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np

from spinlock.errors import UsageError

MASK = 0xFFFF_FFFF
MULTIPLIER_0, MULTIPLIER_1 = 0xD251_1F53, 0xCD9E_8D57
WEYL_0, WEYL_1 = 0x9E37_79B9, 0xBB67_AE85
ROUNDS = 10

MAX_INDEX = 2**32
MAX_STEP = 2**16
MAX_SITE = 2**16
MAX_REALIZATION = 2**16
MAX_ELEMENTS = 2**34

Words = tuple[Any, Any, Any, Any]
"""Four int64 arrays, numpy or torch, that hold 32-bit words."""


class Purpose(IntEnum):
    """What a random number is for; the low half of counter word c3. Values are part of the data format."""

    WEIGHTS = 1
    INITIAL_CONDITION = 2
    NOISE = 3
    DROPOUT = 4
    CHOICE = 5
    TWIN = 6
    SCRAMBLING = 7
    PROBE = 8


def philox4x32(counter: Words, key: tuple[int, int], rounds: int = ROUNDS) -> Words:
    """Return the four output words of Philox4x32 for each counter.

    Parameters
    ----------
    counter
        Four int64 arrays (numpy or torch) that broadcast together, each holding 32-bit words.
    key
        The two 32-bit key words.
    rounds
        10 in everything stored; fewer only to be studied.

    Notes
    -----
    One round is ``(c0, c1, c2, c3) -> (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0))``,
    after which the key moves on by the Weyl constants.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        product0, product1 = c0 * MULTIPLIER_0, c2 * MULTIPLIER_1
        c0, c1, c2, c3 = (
            ((product1 >> 32) & MASK) ^ c1 ^ k0,
            product1 & MASK,
            ((product0 >> 32) & MASK) ^ c3 ^ k1,
            product0 & MASK,
        )
        k0, k1 = (k0 + WEYL_0) & MASK, (k1 + WEYL_1) & MASK
    return c0, c1, c2, c3


@dataclass(frozen=True)
class Key:
    """The root seed and the domain (a part's name) that its numbers belong to.

    ``Key(42, "turing_pattern")`` and ``Key(42, "dla_cluster")`` are unrelated streams: the key words are the
    BLAKE2b hash (64 bits) of seed and domain. With the empty domain they are the root seed itself.
    """

    seed: int
    domain: str = ""

    def __post_init__(self) -> None:
        """Refuse a seed that does not fit the key."""
        if not 0 <= self.seed < 2**64:
            raise UsageError(f"seed {self.seed} is out of range: a seed is an integer in [0, 2**64)")

    def within(self, part: str) -> "Key":
        """Return the key of a part of this one, as ``Key(seed, "mixed/structured")``."""
        return replace(self, domain=f"{self.domain}/{part}" if self.domain else part)

    @property
    def words(self) -> tuple[int, int]:
        """The two 32-bit key words."""
        value = self.seed
        if self.domain:
            text = self.seed.to_bytes(8, "little") + self.domain.encode()
            value = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
        return value & MASK, value >> 32


def site_number(name: str) -> int:
    """Return the 16-bit number of a named site, from the CRC-32 of its name, whatever the call order."""
    return zlib.crc32(name.encode()) & 0xFFFF


def check_sites(owner: str, names: Iterable[str]) -> dict[str, int]:
    """Return the numbers of an owner's sites; `ValueError` where two names share one."""
    numbers: dict[str, int] = {}
    for name in names:
        number = site_number(name)
        clash = next((other for other, taken in numbers.items() if taken == number), None)
        if clash is not None:
            raise ValueError(f"{owner}: sites {clash!r} and {name!r} share the number {number}; rename one")
        numbers[name] = number
    return numbers


def check_counter(*, index: int = 0, step: int = 0, site: int = 0, realization: int = 0) -> None:
    """Raise `UsageError` where a coordinate does not fit its place in the counter."""
    limits = (
        ("sample index", index, MAX_INDEX),
        ("step", step, MAX_STEP),
        ("site", site, MAX_SITE),
        ("realization", realization, MAX_REALIZATION),
    )
    for what, value, limit in limits:
        if not 0 <= value < limit:
            raise UsageError(f"{what} {value} is out of range: it must be in [0, {limit})")


def words(
    key: Key,
    purpose: Purpose,
    indices: Any,
    count: int,
    *,
    site: int = 0,
    step: int = 0,
    realization: int = 0,
) -> np.ndarray:
    """Return ``count`` random 32-bit words for each sample index, as int64 [B, count].

    Row b depends on ``indices[b]`` alone, word e on e alone.

    Raises
    ------
    UsageError
        For indices that are no integers, or coordinates that have no place in the counter.
    """
    rows = np.asarray(indices if np.size(indices) else np.zeros(0, dtype=np.int64))
    if rows.dtype.kind not in "iu":
        raise UsageError(f"sample indices must be integers, not {rows.dtype}")
    if not 0 <= count <= MAX_ELEMENTS:
        raise UsageError(
            f"{count} elements were asked for: at most {MAX_ELEMENTS} have a place in the counter"
        )
    check_counter(step=step, site=site, realization=realization)
    for bound in (rows.min(), rows.max()) if rows.size else ():
        check_counter(index=int(bound))
    rows = rows.astype(np.int64).reshape(-1, 1)
    blocks = np.arange(-(-count // 4), dtype=np.int64)
    counter = (
        blocks[None, :],
        np.int64(step << 16 | site),
        rows,
        np.int64(realization << 16 | purpose),
    )
    with np.errstate(over="ignore"):
        output = philox4x32(counter, key.words)
    return np.stack(np.broadcast_arrays(*output), axis=-1).reshape(len(rows), 4 * len(blocks))[:, :count]


def uniforms(
    key: Key,
    purpose: Purpose,
    indices: Any,
    count: int,
    *,
    site: int = 0,
    step: int = 0,
    realization: int = 0,
) -> np.ndarray:
    """Return float64 uniforms [B, count], strictly inside (0, 1): ``(word + 1/2) / 2**32``, exact."""
    drawn = words(key, purpose, indices, count, site=site, step=step, realization=realization)
    return (drawn + 0.5) * 2.0**-32
