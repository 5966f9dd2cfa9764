"""DEFLATE for shuffled numbers: one zlib stream (RFC 1950), with what cannot shrink stored as it is.

The low bytes of floating-point numbers are noise in most fields: zlib spends most of its time looking there
for repeats and finds none. So each byte plane (every number's first byte, every number's second, …) is looked
at first; one that would not shrink becomes stored blocks, the others are compressed as ever. Every inflater
reads the result.
"""

import zlib
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

Buffer = bytes | memoryview

HEADER = b"\x78\x5e"
"""RFC 1950: DEFLATE with a window of 32 KiB, no dictionary."""

EMPTY_FINAL_BLOCK = b"\x01\x00\x00\xff\xff"
STORED_LIMIT = 2**16 - 1
"""The most bytes that a stored block holds (RFC 1951, section 3.2.4)."""

SAMPLE = 4096
"""Bytes whose frequencies are counted; planes of fewer are not judged."""

CONCENTRATION = 11 * (SAMPLE + SAMPLE * SAMPLE // 256) // 10
"""The sum of squared frequencies up to which bytes are noise: a tenth more than equal chances give.

Huffman codes would gain less than 1 % there. Counts are integers, so every machine decides alike.
"""

WINDOW = 2**15
"""How far DEFLATE looks back."""

HASH, CHOSEN = np.uint32(2654435761), np.uint32(28)
"""Of the words of four bytes, at any place, those whose product with the first begins with four zero bits are
compared: a sixteenth, chosen by what they are, so that a copy's words are chosen wherever it begins."""

REPEATS = 0.01
"""The part of those words that may occur twice in noise."""


def deflate_planes(data: NDArray[np.uint8], planes: int, level: int) -> bytes:
    """Return bytes [planes · n], plane after plane, as one zlib stream; the same bytes each time.

    ``level`` is zlib's, 1 to 9, for the planes that are not noise.
    """
    table = data.reshape(planes, -1)
    runs = [(noise, [plane for plane, _ in run]) for noise, run in groupby(enumerate(_noise(table)), _second)]
    parts: list[Buffer] = [HEADER]
    for noise, run in runs:
        segment = table[run[0] : run[-1] + 1].reshape(-1)
        last = run[-1] == planes - 1
        parts += _stored(segment, last=last) if noise else _compressed(segment, level, last=last)
    parts.append(zlib.adler32(data.data).to_bytes(4, "big"))
    return b"".join(parts)


def _second(pair: tuple[int, bool]) -> bool:
    return pair[1]


def _noise(table: NDArray[np.uint8]) -> list[bool]:
    """Return for each plane whether its bytes are of nearly equal frequency, with hardly a repeat."""
    planes, size = table.shape
    if size < SAMPLE:
        return [False] * planes
    step = (size // SAMPLE - 1) | 1  # odd: an even one could keep to a few columns of the grid
    sample = table[:, : SAMPLE * step : step] + np.arange(planes, dtype=np.int64)[:, None] * 256
    counts = np.bincount(sample.reshape(-1), minlength=256 * planes).reshape(planes, 256)
    level = (counts * counts).sum(1) <= CONCENTRATION
    return [flat and _seldom_repeats(plane) for flat, plane in zip(level.tolist(), table, strict=True)]


def _seldom_repeats(plane: NDArray[np.uint8]) -> bool:
    """Return whether the words of the first window differ: channels, or realizations, may be copies."""
    window = plane[:WINDOW]
    shifted = (window[first : first + (window.size - first) // 4 * 4].view("<u4") for first in range(4))
    words = np.concatenate(list(shifted))
    chosen = np.sort(words[(words * HASH) >> CHOSEN == 0])
    return bool(np.count_nonzero(chosen[1:] == chosen[:-1]) < REPEATS * max(chosen.size, 1))


def _stored(segment: NDArray[np.uint8], *, last: bool) -> list[Buffer]:
    """Return stored blocks: each a flag, its length, the complement of that, its bytes."""
    parts: list[Buffer] = []
    for first in range(0, segment.size, STORED_LIMIT):
        block = segment[first : first + STORED_LIMIT]
        parts += [b"\0", block.size.to_bytes(2, "little"), (block.size ^ 0xFFFF).to_bytes(2, "little")]
        parts.append(block.data)
    return [*parts, EMPTY_FINAL_BLOCK] if last else parts


def _compressed(segment: NDArray[np.uint8], level: int, *, last: bool) -> list[bytes]:
    """Return compressed blocks; where others follow, they end at a whole byte."""
    stream = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return [stream.compress(segment.data), stream.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)]
