"""Storage precision: which values a stored number may take, and how far that is from the computed one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinlock.errors import OptionError

FLOAT32_MANTISSA = 23
FLOAT16_LIMIT = 65520.0
"""Magnitudes from here on round to infinity in float16 (65504 is its largest number)."""


@dataclass(frozen=True)
class Precision:
    """How float32 values are stored.

    Attributes
    ----------
    name
        As in the configuration: ``float32``, ``float16`` or ``bitround:K``.
    dtype
        The numpy name of the stored type.
    mantissa_bits
        Explicit mantissa bits that are kept.
    error_bound
        The stated bound on |stored − computed|, in words; it is an attribute of every array it holds for.
    relative_error
        The bound relative to |computed|, where that is a normal number of the stored type.
    limit
        A value overflows where |value| ≥ limit; it is stored as NaN.
    """

    name: str
    dtype: str
    mantissa_bits: int
    error_bound: str
    relative_error: float
    limit: float

    def encode(self, values: NDArray[np.float32]) -> NDArray[np.floating]:
        """Return the values as they are stored: same shape, type ``dtype``, little-endian.

        NaN stays NaN and, but for float16, keeps its bits.
        """
        return _ENCODERS[self.dtype, self.mantissa_bits < FLOAT32_MANTISSA](values, self.mantissa_bits)

    def overflows(self, values: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return where a value cannot be stored as a finite number (NaN does not count)."""
        return np.abs(values) >= self.limit


def _identity(values: NDArray[np.float32], _bits: int) -> NDArray[np.floating]:
    return values.astype("<f4", copy=False)


def _half(values: NDArray[np.float32], _bits: int) -> NDArray[np.floating]:
    with np.errstate(over="ignore", under="ignore"):
        stored = values.astype("<f2")
    stored[np.isinf(stored)] = np.nan
    return stored


def _bitround(values: NDArray[np.float32], bits: int) -> NDArray[np.floating]:
    """Round to the nearest float32 with ``bits`` mantissa bits, ties to the even one.

    Adding (half − 1 + lowest kept bit) before cutting the tail carries into the exponent exactly where the
    nearest such number is the next power of two. Near the largest float32 the carry would reach infinity:
    there the tail is cut without rounding.
    """
    drop = FLOAT32_MANTISSA - bits
    words = np.ascontiguousarray(values, dtype="<f4").view("<u4")
    keep = np.uint32(0xFFFF_FFFF << drop & 0xFFFF_FFFF)
    odd = (words >> np.uint32(drop)) & np.uint32(1)
    rounded = ((words + (np.uint32((1 << (drop - 1)) - 1) + odd)) & keep).view("<f4")
    rounded = np.where(np.isinf(rounded), (words & keep).view("<f4"), rounded)
    return np.where(np.isfinite(values), rounded, values).astype("<f4", copy=False)


_ENCODERS: dict[tuple[str, bool], Callable[[NDArray[np.float32], int], NDArray[np.floating]]] = {
    ("float32", False): _identity,
    ("float32", True): _bitround,
    ("float16", True): _half,
}


def parse_precision(text: str) -> Precision:
    """Return the precision of that name: ``float32``, ``float16`` or ``bitround:K`` with 1 ≤ K ≤ 22.

    Raises
    ------
    OptionError
        For any other text.

    Notes
    -----
    bitround (Zender 2016, Geosci. Model Dev. 9, 3199; Klöwer et al. 2021, Nat. Comput. Sci. 1, 713) rounds to
    K mantissa bits, so that the compressor finds the rest empty: |error| ≤ 2^-(K+1) |value|.
    """
    if text == "float32":
        return Precision("float32", "float32", FLOAT32_MANTISSA, "exact", 0.0, np.inf)
    if text == "float16":
        bound = "|error| <= 2**-11 |value| for 2**-14 <= |value| < 65520, <= 2**-25 below; from 65520 on NaN"
        return Precision("float16", "float16", 10, bound, 2.0**-11, FLOAT16_LIMIT)
    kind, _, digits = text.partition(":")
    if kind == "bitround" and digits.isascii() and digits.isdigit() and len(digits) <= 2:
        bits = int(digits)
        if 1 <= bits < FLOAT32_MANTISSA:
            bound = f"|error| <= 2**-{bits + 1} |value| for 2**-126 <= |value| <= 2**127"
            return Precision(f"bitround:{bits}", "float32", bits, bound, 2.0 ** -(bits + 1), np.inf)
    raise OptionError(
        f"storage precision {text!r} is not allowed: it must be float32 (exact), float16, or bitround:K with "
        "K mantissa bits kept, K from 1 to 22 (bitround:10 keeps about three decimal digits)"
    )
