"""The order of an epoch: a keyed permutation that anyone can compute, in whole or from any place on."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinlock.errors import UsageError
from spinlock.keys import Key, Purpose, words

MOST_BLOCKS = 1 << 20


@dataclass(frozen=True)
class Order:
    """Places 0 … n − 1 in the order of an epoch: blocks are shuffled, then places within a buffer of blocks.

    Rows of a block stand near one another on disk, and a buffer mixes ``buffer`` blocks, so reading stays
    local where ``block`` · ``buffer`` is small. With one block of all n places it is a full permutation.
    Nothing of it depends on who computes which part.

    Parameters
    ----------
    places
        n.
    block
        Places in a block; blocks are longer where there would be more than 2²⁰ of them.
    buffer
        Blocks mixed at a time.
    seed, epoch
        What the order is keyed by; epochs lie in [0, 2¹⁶).
    shuffle
        False: ascending order.
    """

    places: int
    block: int = 64
    buffer: int = 16
    seed: int = 0
    epoch: int = 0
    shuffle: bool = True

    def __post_init__(self) -> None:
        """Refuse an order of nothing."""
        if min(self.places, self.block, self.buffer) < 1:
            raise UsageError("an order needs at least one place, a block of one and a buffer of one block")

    def __iter__(self) -> Iterator[int]:
        """Iterate over the places; memory is that of the block numbers and one buffer."""
        if not self.shuffle:
            yield from range(self.places)
            return
        block = max(self.block, -(-self.places // MOST_BLOCKS))
        blocks = _permutation(-(-self.places // block), Key(self.seed, "order/blocks"), self.epoch, 0)
        for number, first in enumerate(range(0, len(blocks), self.buffer)):
            starts = blocks[first : first + self.buffer] * block
            places = (starts[:, None] + np.arange(block)).ravel()
            places = places[places < self.places]
            mixed = _permutation(len(places), Key(self.seed, "order/buffer"), self.epoch, number)
            yield from places[mixed].tolist()


def _permutation(count: int, key: Key, epoch: int, number: int) -> NDArray[np.int64]:
    """Return 0 … count − 1 in the order of 64-bit random numbers, ties by place."""
    drawn = words(key, Purpose.CHOICE, [number], 2 * count, step=epoch)[0].astype(np.uint64)
    return np.argsort(drawn[0::2] << np.uint64(32) | drawn[1::2], kind="stable")
