"""Log-uniform values with the same bits on every machine."""

import numpy as np
from jaxtyping import Float64

MAX_RATIO = 2.0**500
"""Greatest high / low: the square of it must be finite."""

DIGITS = 53


def log_uniform(u: Float64[np.ndarray, "b"], low: float, high: float) -> Float64[np.ndarray, "b"]:
    """Return low · (high / low)**u for u [B] in [0, 1], within [low, high], to a few units in the last place.

    With the binary digits u = 0.b1 b2 b3 ... and r = high / low,

    r**u = √(r**b1 · √(r**b2 · √(r**b3 · ...))),

    the power from multiplications and square roots, which IEEE 754 rounds correctly everywhere. The
    exponential of a mathematical library differs in the last bit between processors, and every dataset would
    with it. Each root halves the relative error made so far, so all of them sum to that of a few roundings.
    """
    ratio = high / low
    digits = np.minimum(np.floor(u * 2.0**DIGITS), 2.0**DIGITS - 1).astype(np.int64)
    power = np.ones_like(u)
    for j in range(DIGITS):
        power = np.sqrt(np.where((digits >> j) & 1, ratio, 1.0) * power)
    return np.clip(low * power, low, high)
