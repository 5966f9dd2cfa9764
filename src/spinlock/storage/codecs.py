"""Codecs: lossless compression of one chunk to bytes that plain h5py (with hdf5plugin) decodes.

The HDF5 filter pipeline that a codec names decodes its bytes, so chunks can be encoded in any thread, written
as they are, and read by any HDF5 program that has the filters. The same chunk always gives the same bytes:
no codec uses threads of its own. The heavy calls release the interpreter lock.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spinlock.errors import OptionError, StorageError
from spinlock.registry import unknown_name
from spinlock.storage.deflate import deflate_planes
from spinlock.storage.native import zstd_decoder
from spinlock.storage.shuffle import rooms, shuffle, unshuffle

SHUFFLE_FILTER = 2
DEFLATE_FILTER = 1
BLOSC_FILTER = 32001
ZSTD_FILTER = 32015

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

Filter = tuple[int, tuple[int, ...]]
"""An HDF5 filter number and its parameters."""


class Decoder(Protocol):
    """Decodes a chunk."""

    def __call__(
        self, data: bytes, itemsize: int, size: int, out: NDArray[np.uint8] | None = None, /
    ) -> NDArray[np.uint8]:
        """Return the ``size`` bytes that compressed bytes stand for, in ``out`` if it is given."""
        ...


@dataclass(frozen=True)
class Codec:
    """A lossless compression.

    Attributes
    ----------
    name, summary
        As in the configuration, and what it is good for.
    levels
        The lowest and the highest ``compression_level``.
    default_level
        The level where none is given.
    encode
        (bytes [n], item size, level) → compressed bytes.
    decode
        (compressed bytes, item size, n, where to put them) → bytes [n], in new memory if there is no place
        for them; raises `StorageError` where they are not n bytes.
    filters
        (level, item size) → the HDF5 filter pipeline that decodes.
    packages
        What must be installed to encode, decode and create arrays with it.
    """

    name: str
    summary: str
    levels: tuple[int, int]
    default_level: int
    encode: Callable[[NDArray[np.uint8], int, int], bytes]
    decode: Decoder
    filters: Callable[[int, int], tuple[Filter, ...]]
    packages: tuple[str, ...] = ()

    def check_level(self, level: int | None) -> int:
        """Return the level, the default where it is None, or raise `OptionError` where it is out of range."""
        if level is None:
            return self.default_level
        low, high = self.levels
        if isinstance(level, bool) or not isinstance(level, int) or not low <= level <= high:
            allowed = f"an integer from {low} to {high}" if low < high else f"left out or {low}"
            raise OptionError(
                f"compression_level {level!r} does not suit compression {self.name}: it must be {allowed}"
            )
        return level


CODECS: dict[str, Codec] = {}
"""Every codec by name."""


def register(codec: Codec) -> Codec:
    """Add a codec to the catalogue."""
    CODECS[codec.name] = codec
    return codec


def find_codec(name: str) -> Codec:
    """Return the codec of that name, or raise `UnknownNameError` with the near miss."""
    if name not in CODECS:
        raise unknown_name("compression", name, CODECS)
    return CODECS[name]


def _package(name: str, compression: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise StorageError(
            f"compression {compression} needs the package {package}, which is not installed here: "
            f"run `pip install {package}`, or choose compression: gzip, which needs nothing more"
        ) from error


def _refuse(compression: str, size: int, reason: object) -> StorageError:
    return StorageError(
        f"a {compression} chunk does not decode to the {size} bytes it should hold ({reason})"
    )


def _exactly(data: NDArray[np.uint8], size: int, compression: str) -> NDArray[np.uint8]:
    if data.size != size:
        raise _refuse(compression, size, f"it holds {data.size}")
    return data


def _zstd_encode(data: NDArray[np.uint8], itemsize: int, level: int) -> bytes:
    return _package("numcodecs.zstd", "zstd").compress(shuffle(data, itemsize), level)


def _room(out: NDArray[np.uint8] | None, size: int) -> NDArray[np.uint8]:
    return np.empty(size, np.uint8) if out is None else out


def _zstd_decode(
    data: bytes, itemsize: int, size: int, out: NDArray[np.uint8] | None = None, /
) -> NDArray[np.uint8]:
    zstd = _package("numcodecs.zstd", "zstd")
    if zstd_content_size(data) != size:
        raise _refuse("zstd", size, f"its header says {zstd_content_size(data)}")
    address, decoder = rooms.planes(size, itemsize), zstd_decoder()
    if decoder is None:
        try:
            zstd.decompress(data, rooms.view)
        except (RuntimeError, ValueError) as error:
            raise _refuse("zstd", size, error) from error
    elif decoder(data, address, size) != size:
        raise _refuse("zstd", size, "the compressed bytes are damaged")
    return rooms.unshuffled(_room(out, size))


def zstd_content_size(data: bytes) -> int | None:
    """Return the content size in a Zstandard frame header (RFC 8878, section 3.1.1.1), None without one.

    The decoder itself accepts a frame that fills less than the buffer.
    """
    if not data.startswith(ZSTD_MAGIC) or len(data) < 6:
        return None
    descriptor = data[4]
    single_segment = descriptor >> 5 & 1
    start = 5 + (1 - single_segment) + (0, 1, 2, 4)[descriptor & 3]
    width = (single_segment, 2, 4, 8)[descriptor >> 6]
    return (
        int.from_bytes(data[start : start + width], "little") + (256 if width == 2 else 0) if width else None
    )


def _gzip_encode(data: NDArray[np.uint8], itemsize: int, level: int) -> bytes:
    mixed = shuffle(data, itemsize)
    return deflate_planes(mixed, itemsize, level) if level else zlib.compress(mixed.data, level)


def _gzip_decode(
    data: bytes, itemsize: int, size: int, out: NDArray[np.uint8] | None = None, /
) -> NDArray[np.uint8]:
    stream = zlib.decompressobj()
    try:
        decoded = stream.decompress(
            data, size + 1
        )  # one byte more than allowed shows a stream that is too long
    except zlib.error as error:
        raise _refuse("gzip", size, error) from error
    if not stream.eof or stream.unused_data:
        raise _refuse("gzip", size, "the stream does not end where the chunk does")
    return unshuffle(_exactly(np.frombuffer(decoded, np.uint8), size, "gzip"), itemsize, _room(out, size))


def _blosc() -> Any:
    """Return numcodecs' Blosc without its threads: with them the order of blocks depends on timing."""
    blosc = _package("numcodecs.blosc", "lz4")
    blosc.use_threads = False
    return blosc


def _lz4_encode(data: NDArray[np.uint8], itemsize: int, level: int) -> bytes:
    blosc = _blosc()
    return blosc.compress(data.view(f"<u{itemsize}"), b"lz4", level, blosc.BITSHUFFLE)


def _lz4_decode(
    data: bytes, _itemsize: int, size: int, out: NDArray[np.uint8] | None = None, /
) -> NDArray[np.uint8]:
    blosc = _blosc()
    header_size = int.from_bytes(data[4:8], "little")
    if len(data) < 16 or header_size != size or int.from_bytes(data[12:16], "little") != len(data):
        raise _refuse("lz4", size, f"its header says {header_size}")
    decoded = _room(out, size)
    try:
        blosc.decompress(data, decoded)
    except (RuntimeError, ValueError) as error:
        raise _refuse("lz4", size, error) from error
    return decoded


def _plain_encode(data: NDArray[np.uint8], _itemsize: int, _level: int) -> bytes:
    return data.tobytes()


def _plain_decode(
    data: bytes, _itemsize: int, size: int, out: NDArray[np.uint8] | None = None, /
) -> NDArray[np.uint8]:
    decoded = _room(out, size)
    decoded[:] = _exactly(np.frombuffer(data, np.uint8), size, "none")
    return decoded


register(
    Codec(
        "zstd",
        "byte shuffle and Zstandard: small and fast, the default",
        (1, 22),
        3,
        _zstd_encode,
        _zstd_decode,
        lambda level, itemsize: ((SHUFFLE_FILTER, (itemsize,)), (ZSTD_FILTER, (level,))),
        ("hdf5plugin", "numcodecs"),
    )
)
register(
    Codec(
        "gzip",
        "byte shuffle and DEFLATE: slower, read by every HDF5 program",
        (0, 9),
        4,
        _gzip_encode,
        _gzip_decode,
        lambda level, itemsize: ((SHUFFLE_FILTER, (itemsize,)), (DEFLATE_FILTER, (level,))),
    )
)
register(
    Codec(
        "lz4",
        "Blosc: bit shuffle and LZ4, the fastest",
        (1, 9),
        5,
        _lz4_encode,
        _lz4_decode,
        lambda level, _itemsize: ((BLOSC_FILTER, (0, 0, 0, 0, level, 2, 1)),),
        ("hdf5plugin", "numcodecs"),
    )
)
register(
    Codec("none", "no compression", (0, 0), 0, _plain_encode, _plain_decode, lambda _level, _itemsize: ())
)
