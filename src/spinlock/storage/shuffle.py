"""Byte shuffle, HDF5's filter 2: the first byte of every item, then every second byte, …, and its inverse.

The inverse is Blosc's where there is one, which is vectorized: the planes stand in a Blosc frame of one block
that is stored as it is, so that decoding the frame does nothing but the unshuffle.
"""

import struct
import threading
from functools import cache

import numpy as np
from numpy.typing import NDArray

from spinlock.storage.native import blosc_decoder

HEADER = 24
"""Bytes of a Blosc frame of one block before its bytes: the header, the block's place, its length."""

FLAGS = 0x01 | 0x10
"""Byte-shuffled; a block is not split."""


def shuffle(data: NDArray[np.uint8], itemsize: int) -> NDArray[np.uint8]:
    """Return the bytes regrouped: first byte of every item, then every second byte, …."""
    items = data.view(f"<u{itemsize}")
    planes = np.empty((itemsize, items.size), np.uint8)
    for byte, plane in enumerate(planes):
        np.copyto(plane, items >> (8 * byte), casting="unsafe")  # faster than a transposed copy
    return planes.reshape(-1)


def unshuffle(
    data: NDArray[np.uint8], itemsize: int, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Return the bytes in item order again, in ``out`` if it is given: the inverse of `shuffle`."""
    items = np.empty(data.size, np.uint8) if out is None else out
    for byte, plane in enumerate(data.reshape(itemsize, -1)):
        items[byte::itemsize] = plane
    return items


class Rooms(threading.local):
    """Room for a chunk that is being decoded, its planes and its items, for each thread.

    It is used again for the next chunk: asking the system for memory takes as long as decoding.
    """

    def __init__(self) -> None:
        self._items = np.empty(0, np.uint8)
        self._kind = (0, 0)
        self._make(0)

    def _make(self, size: int) -> None:
        self._frame = np.empty(HEADER + size, np.uint8)
        self._address = self._frame.ctypes.data

    def items(self, size: int) -> NDArray[np.uint8]:
        """Return where to put ``size`` bytes of items; what stood there before is lost."""
        if self._items.size < size:
            self._items = np.empty(size, np.uint8)
        return self._items[:size]

    def planes(self, size: int, itemsize: int) -> int:
        """Return the address of room for the ``size`` bytes of the planes; what stood there is lost."""
        if self._frame.size < HEADER + size:
            self._make(size)
            self._kind = (0, 0)
        if self._kind != (size, itemsize):
            head = struct.pack("<4B5i", 2, 1, FLAGS, itemsize, size, size, HEADER + size, HEADER - 4, size)
            self._frame[:HEADER] = np.frombuffer(head, np.uint8)
            self._kind = (size, itemsize)
        return self._address + HEADER

    @property
    def view(self) -> NDArray[np.uint8]:
        """The planes that stand in their room."""
        return self._frame[HEADER : HEADER + self._kind[0]]

    def unshuffled(self, out: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return ``out``, contiguous, filled with the items whose planes stand in the room made for them."""
        size, itemsize = self._kind
        if out.size != size:
            raise ValueError(f"{size} bytes do not go into {out.size}")
        decode = blosc_decoder() if _blosc_unshuffles() else None
        if decode is None or not size or decode(self._address, out.ctypes.data, size) != size:
            unshuffle(self.view, itemsize, out)
        return out


rooms = Rooms()


@cache
def _blosc_unshuffles() -> bool:
    """Return whether Blosc unshuffles a frame as numpy does."""
    decode = blosc_decoder()
    if decode is None:
        return False
    tried = Rooms()
    for itemsize in (1, 2, 4, 8):
        data = (np.arange(itemsize * 1037, dtype=np.uint64) * 2654435761 >> 7).astype(np.uint8)
        out = np.zeros_like(data)
        tried.planes(data.size, itemsize)
        tried.view[:] = data
        decoded = decode(tried._address, out.ctypes.data, out.size)  # noqa: SLF001
        if decoded != data.size or not np.array_equal(out, unshuffle(data, itemsize)):
            return False
    return True
