"""Checksums of the global heaps: the part of an HDF5 file's structure that HDF5 does not protect itself.

They hold the names and references of dimensions (variable-length values). The library can loop for ever over
a damaged one, so they are compared as raw bytes before anything in them is read.
"""

import json
import mmap
import os
import zlib
from typing import Any

SIGNATURE = b"GCOL\x01\0\0\0"
HEADER = 16

LARGEST = 2**24
"""Bytes; those that HDF5 makes have a few thousand."""


def heap_checksums(data: bytes | mmap.mmap) -> str:
    """Return [address, size, CRC-32] of each global heap in a file whose arrays are still empty, as JSON."""
    found: list[list[int]] = []
    start = data.find(SIGNATURE)
    while start >= 0:
        size = int.from_bytes(data[start + 8 : start + HEADER], "little")
        if HEADER <= size <= len(data) - start:
            found.append([start, size, zlib.crc32(data[start : start + size])])
        start = data.find(SIGNATURE, start + 1)
    return json.dumps(found)


def heaps_are_sound(descriptor: int, checksums: str) -> bool:
    """Return whether every heap that `heap_checksums` listed still has its bytes in an open file.

    No byte is read twice, and no more at once than a heap has: a list that asks for it was not written here.
    """
    listed: list[Any] = json.loads(checksums)
    end = 0
    for address, size, crc in listed:
        if address < end or not HEADER <= size <= LARGEST:
            return False
        end = address + size
        if zlib.crc32(os.pread(descriptor, size, address)) != crc:
            return False
    return True
