"""The chunks of a dataset as Zarr's standard codecs read them, without compressing anything again.

A chunk's bytes (`Codec.encode`) stand in a Blosc frame of one block: 16 bytes of header, the block's offset,
the length of its stream, the stream. Shuffle, Zstandard and DEFLATE are those of Blosc, so the frame is what
Blosc itself might have written; LZ4 chunks are such frames already. Frame format: c-blosc,
README_CHUNK_FORMAT (version 2).

All chunks of a range of rows form one object of Zarr's ``sharding_indexed`` codec: the chunks, then an index
of (offset, length) pairs, then its CRC-32C.
"""

import struct
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.storage.array_spec import ArraySpec
from spinlock.storage.chunks import chunk_shape
from spinlock.storage.rows import stored_dtype
from spinlock.storage.schema import Layout

HEADER = struct.Struct("<BBBBIIIii")
"""Version, codec version, flags, item size, bytes, block bytes, frame bytes, block offset, stream bytes."""

FRAME_VERSION, CODEC_VERSION = 2, 1
BLOCK_OFFSET = 20
SHUFFLED, UNSPLIT = 0x01, 0x10
FORMATS = {"gzip": 3, "zstd": 4}
"""Blosc's number of each codec, in the highest three bits of the flags."""

BLOSC_CODECS: dict[str, tuple[str, str]] = {
    "gzip": ("zlib", "shuffle"),
    "zstd": ("zstd", "shuffle"),
    "lz4": ("lz4", "bitshuffle"),
}
"""Blosc's names for each compression and its shuffle; what is not here is stored as it is."""

PADDING = {"gzip": bytes(8), "zstd": struct.pack("<II", 0x184D2A50, 0)}
"""What follows a stream that is as long as what it decodes to, which Blosc would take for plain bytes: an
empty skippable frame (RFC 8878), or zeros that DEFLATE never reaches."""

ABSENT = 2**64 - 1
"""Offset and length of a chunk that is not stored."""

Position = tuple[int, ...]


def framed(layout: Layout, spec: ArraySpec, data: bytes) -> bytes:
    """Return a chunk's bytes in the frame that Zarr's ``blosc`` codec reads."""
    if layout.compression not in FORMATS:
        return data
    size, itemsize = _raw_bytes(spec), stored_dtype(spec).itemsize
    if len(data) == size:
        data += PADDING[layout.compression]
    flags = SHUFFLED | UNSPLIT | FORMATS[layout.compression] << 5
    sizes = size, size, HEADER.size + len(data)
    return HEADER.pack(FRAME_VERSION, CODEC_VERSION, flags, itemsize, *sizes, BLOCK_OFFSET, len(data)) + data


def unframed(layout: Layout, spec: ArraySpec, frame: bytes) -> bytes:
    """Return the bytes that `framed` was given, or raise `StorageError` where it did not write the frame."""
    if layout.compression not in FORMATS:
        return frame
    data, padding = frame[HEADER.size :], PADDING[layout.compression]
    if len(data) == _raw_bytes(spec) + len(padding) and data.endswith(padding):
        data = data[: -len(padding)]
    if framed(layout, spec, data) != frame:
        raise StorageError("has a damaged header")
    return data


def _raw_bytes(spec: ArraySpec) -> int:
    return prod(chunk_shape(spec)) * stored_dtype(spec).itemsize


def blosc_codec(layout: Layout, spec: ArraySpec) -> dict[str, Any] | None:
    """Return the configuration of Zarr's ``blosc`` codec for a field, None where nothing is compressed."""
    if layout.compression not in BLOSC_CODECS:
        return None
    name, shuffle = BLOSC_CODECS[layout.compression]
    level = min(layout.compression_level, 9)  # Blosc's own scale; a reader does not need it
    itemsize = stored_dtype(spec).itemsize
    return {"cname": name, "clevel": level, "shuffle": shuffle, "typesize": itemsize, "blocksize": 0}


def largest_frame(spec: ArraySpec) -> int:
    """Return the bytes that no frame of a field's chunk exceeds, whatever its codec made of it."""
    return 2 * _raw_bytes(spec) + 4096


def object_name(spec: ArraySpec, shard: int) -> str:
    """Return the name of the object that holds a field's chunks of a shard."""
    return "/".join([spec.path, "c", str(shard), *("0" for _ in spec.shape[1:])])


def index_shape(spec: ArraySpec, rows_per_shard: int) -> tuple[int, ...]:
    """Return the shape of an object's index: chunks along each axis, then (offset, length)."""
    return (rows_per_shard, *spec.chunk_grid[1:], 2)


def index_bytes(spec: ArraySpec, rows_per_shard: int) -> int:
    """Return the size of an object's index with its checksum."""
    return 8 * prod(index_shape(spec, rows_per_shard)) + 4


def shard_object(spec: ArraySpec, rows_per_shard: int, frames: Mapping[Position, bytes]) -> bytes:
    """Return the object of a shard: frames by (row within the shard, *position), in the order given."""
    index = np.full(index_shape(spec, rows_per_shard), ABSENT, "<u8")
    offset = 0
    for place, frame in frames.items():
        index[place] = offset, len(frame)
        offset += len(frame)
    return b"".join([*frames.values(), _sealed(index.tobytes())])


def _sealed(index: bytes) -> bytes:
    import google_crc32c

    return index + struct.pack("<I", google_crc32c.value(index))


def parse_index(spec: ArraySpec, rows_per_shard: int, end: bytes) -> NDArray[np.uint64]:
    """Return the index at the end of an object, or raise `StorageError` where it is damaged."""
    size = index_bytes(spec, rows_per_shard)
    if len(end) != size or _sealed(end[:-4]) != end:
        raise StorageError("stands in an object whose index is damaged")
    return np.frombuffer(end[:-4], "<u8").reshape(index_shape(spec, rows_per_shard))
