"""Zstandard and Blosc without the checks of their Python wrappers, which take as long as a small chunk.

The functions are those of the libraries inside numcodecs. Where it is missing, or does not show them, there
are none, and callers use the wrappers.
"""

import ctypes
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

CONTENT = ctypes.c_void_p


class _Contexts(threading.local):
    """A decompression context for each thread: making one takes as long as decoding 50 kB."""

    def __init__(self) -> None:
        self.context: int | None = None


_contexts = _Contexts()


def _library(path: str | None) -> ctypes.CDLL | None:
    """Return the library that a compiled module is, None where it is none."""
    try:
        return ctypes.CDLL(path) if path and Path(path).suffix in (".so", ".pyd", ".dylib") else None
    except OSError:
        return None


@cache
def zstd_decoder() -> Callable[[bytes, int, int], int] | None:
    """Return (compressed bytes, address, room there) → bytes written there, which raises nothing.

    What does not decode gives a number above any size.
    """
    try:
        from numcodecs import zstd  # pyright: ignore[reportAttributeAccessIssue] (compiled, without stubs)
    except ImportError:
        return None
    library = _library(zstd.__file__)
    if not all(hasattr(library, name) for name in ("ZSTD_decompressDCtx", "ZSTD_createDCtx")):
        return None
    assert library is not None
    create, decode = library.ZSTD_createDCtx, library.ZSTD_decompressDCtx
    create.restype, create.argtypes = CONTENT, []
    decode.restype = ctypes.c_size_t
    decode.argtypes = [CONTENT, CONTENT, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]

    def decoder(data: bytes, address: int, room: int) -> int:
        if _contexts.context is None:
            _contexts.context = create()
        return decode(_contexts.context, address, room, data, len(data))

    return decoder


@cache
def blosc_decoder() -> Callable[[int, int, int], int] | None:
    """Return (address of a Blosc frame, address, room there) → bytes written there; it uses no threads."""
    try:
        from numcodecs import blosc  # pyright: ignore[reportAttributeAccessIssue] (compiled, without stubs)
    except ImportError:
        return None
    library = _library(blosc.__file__)
    if not hasattr(library, "blosc_decompress_ctx"):
        return None
    assert library is not None
    decode: Any = library.blosc_decompress_ctx
    decode.restype = ctypes.c_int
    decode.argtypes = [CONTENT, CONTENT, ctypes.c_size_t, ctypes.c_int]

    def decoder(frame: int, address: int, room: int) -> int:
        return decode(frame, address, room, 1)

    return decoder
