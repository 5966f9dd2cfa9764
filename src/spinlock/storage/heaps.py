"""Checksums of the global heaps: the part of an HDF5 file's structure that HDF5 does not protect itself.

They hold the names and references of dimensions (variable-length values). The library can loop for ever over
a damaged one, so they are compared as raw bytes before anything in them is read.
"""

import json
import mmap
import zlib
from pathlib import Path
from typing import Any

SIGNATURE = b"GCOL\x01\0\0\0"
HEADER = 16


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


def heaps_are_sound(path: Path, checksums: str) -> bool:
    """Return whether every heap that `heap_checksums` listed still has its bytes."""
    listed: list[Any] = json.loads(checksums)
    with path.open("rb") as file:
        for address, size, crc in listed:
            file.seek(address)
            if zlib.crc32(file.read(size)) != crc:
                return False
    return True
