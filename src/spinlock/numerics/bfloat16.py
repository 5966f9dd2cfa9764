"""bfloat16, the upper half of a float32, in compiled loops and numpy, which have no such type.

Numbers are float32, or uint16 that hold the bits of a bfloat16; `widened` and `stored` take both.
"""

import inspect
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

F = np.float32
HALF_WORD, BELOW_HALF, QUIET = np.uint32(16), np.uint32(0x7FFF), np.uint32(0x0040)
ONE = np.uint32(1)


def widened(values: Any) -> Any:
    """Return numbers as float32."""
    if values.dtype == np.float32:
        return values
    return (values.astype(np.uint32) << HALF_WORD).view(F)


def stored(values: Any, like: Any) -> Any:
    """Return float32 numbers in the form of ``like``, as bfloat16 rounded to nearest even."""
    if like.dtype == np.float32:
        return values
    bits = values.view(np.uint32)
    rounded = (bits + BELOW_HALF + ((bits >> HALF_WORD) & ONE)) >> HALF_WORD
    return np.where(np.isnan(values), (bits >> HALF_WORD) | QUIET, rounded).astype(np.uint16)


@overload(widened)
def _compiled_widened(values):
    if values is types.float32:
        return lambda values: values
    return lambda values: np.uint32(np.uint32(values) << HALF_WORD).view(F)


@overload(stored)
def _compiled_stored(values, like):  # noqa: ARG001 (numba asks for the arguments by name)
    if like is types.float32:
        return lambda values, like: values  # noqa: ARG005
    return inspect.unwrap(_rounded)


def _rounded(values, like):  # noqa: ARG001
    bits = F(values).view(np.uint32)
    upper = np.uint32(bits >> HALF_WORD)
    rounded = np.uint32(np.uint32(bits + BELOW_HALF + (upper & ONE)) >> HALF_WORD)
    return np.uint16(upper | QUIET) if values != values else np.uint16(rounded)
