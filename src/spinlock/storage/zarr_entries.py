"""The tables of a Zarr store as they are read: whole chunks, none larger than the layout says.

They are decoded here and not by zarr, which gives fill values for a chunk that is missing and believes what a
chunk says of its size.
"""

from importlib import import_module
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.storage.array_spec import ArraySpec
from spinlock.storage.codecs import zstd_content_size
from spinlock.storage.object_facts import BLOCK_BYTES
from spinlock.storage.rows import stored_dtype
from spinlock.storage.zarr_digest import text_entries
from spinlock.storage.zarr_store import Objects

LENGTH_BYTES = 4
"""Before each text stands its length, before all texts their number (numcodecs, vlen-utf8)."""


def block_rows(spec: ArraySpec) -> int:
    """Return the rows of a chunk of a table: blocks of bounded size."""
    rows = max(1, BLOCK_BYTES // max(1, spec.raw_bytes // max(1, spec.shape[0])))
    return min(rows, spec.shape[0])


def read_block(objects: Objects, spec: ArraySpec, number: int) -> NDArray[Any]:
    """Return the rows of a chunk of a table in their stored type.

    Raises
    ------
    StorageError
        Where it is missing, or is not what the layout says.
    """
    rows = block_rows(spec)
    kept = min(rows, spec.shape[0] - number * rows)
    name = "/".join([spec.path, "c", str(number), *("0" for _ in spec.shape[1:])])
    if spec.dtype == "string":
        data = _decoded(objects, name, LENGTH_BYTES + rows * (LENGTH_BYTES + spec.length))
        return text_entries(spec, _texts(data, rows)[:kept])
    dtype = stored_dtype(spec)
    size = rows * prod(spec.shape[1:]) * dtype.itemsize
    data = _decoded(objects, name, size)
    if len(data) != size:
        raise StorageError(f"has a chunk of {len(data)} bytes where the layout says {size}")
    return np.frombuffer(data, dtype).reshape(rows, *spec.shape[1:])[:kept]


def read_text(objects: Objects, spec: ArraySpec) -> bytes:
    """Return the bytes of a document, or raise `StorageError`."""
    data = _decoded(objects, f"{spec.path}/c", 2 * LENGTH_BYTES + spec.length)
    return str(_texts(data, 1)[0]).encode()


def _decoded(objects: Objects, name: str, largest: int) -> bytes:
    zstd = import_module("numcodecs.zstd")
    most = largest + largest // 64 + 1024  # what does not compress is a little larger
    data = objects.read(name, 0, most + 1)
    size = zstd_content_size(data)
    if len(data) > most or size is None or size > largest:
        raise StorageError(f"has a chunk of more than the {largest} bytes that it can hold, or a damaged one")
    decoded = np.empty(size, np.uint8)
    try:
        zstd.decompress(data, decoded)
    except (RuntimeError, ValueError) as error:
        raise StorageError(f"has a chunk that cannot be decoded ({error})") from error
    return decoded.tobytes()


def _texts(data: bytes, count: int) -> list[str]:
    from numcodecs.vlen import VLenUTF8

    if int.from_bytes(data[:LENGTH_BYTES], "little") != count:
        raise StorageError(f"has a chunk that does not hold {count} texts")
    try:
        return VLenUTF8().decode(data).tolist()
    except (RuntimeError, ValueError) as error:
        raise StorageError(f"has a chunk whose texts cannot be read ({error})") from error
