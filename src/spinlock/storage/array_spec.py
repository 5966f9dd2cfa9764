"""One array of a dataset, declared independently of the file format."""

from dataclasses import dataclass
from math import ceil, prod
from typing import Any, Literal

ITEM_SIZES = {
    "float16": 2,
    "float32": 4,
    "float64": 8,
    "uint16": 2,
    "uint32": 4,
    "int32": 4,
    "int64": 8,
    "bool": 1,
}
"""Bytes of one value of each type; that of a string is its length."""


@dataclass(frozen=True)
class ArraySpec:
    """One array of the tree.

    Attributes
    ----------
    path
        Where it stands, without a leading slash.
    kind
        ``field``: large, chunked, compressed, a checksum for each chunk. ``table``: one small row a sample.
        ``coordinate``: fixed by the layout alone. ``checksum``: what proves the others. ``timing``: seconds,
        one a sample, which no two runs share: empty in shards, and outside the checksums of rows.
        ``document``: one text.
    dims, shape
        Names and sizes of the axes.
    dtype
        numpy name, or ``string`` with ``length`` bytes of UTF-8.
    chunks
        Shape of a chunk; None where the array is stored in one piece.
    attributes
        Attributes of the array beside ``description``, as (name, value) pairs.
    description
        What it holds, for people.
    """

    path: str
    kind: Literal["field", "table", "coordinate", "checksum", "timing", "document"]
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    description: str
    length: int = 0
    chunks: tuple[int, ...] | None = None
    attributes: tuple[tuple[str, Any], ...] = ()

    @property
    def chunk_grid(self) -> tuple[int, ...]:
        """The number of chunks along each axis."""
        return tuple(
            ceil(size / chunk) for size, chunk in zip(self.shape, self.chunks or self.shape, strict=True)
        )

    @property
    def raw_bytes(self) -> int:
        """The size of the whole array without compression."""
        return prod(self.shape) * ITEM_SIZES.get(self.dtype, self.length)
