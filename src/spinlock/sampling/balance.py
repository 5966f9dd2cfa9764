"""How evenly each parameter fills its range, and how evenly random points do."""

import math

import numpy as np
from jaxtyping import Float64

MAX_STRATA = 64
LEAST_EXPECTED = 8
"""Points that a stratum should hold, for the chi-square distribution to describe its count."""


def strata_for(count: int) -> int:
    """Return the number of strata for N points: the largest power of two ≤ min(64, N / 8), at least 1."""
    return 1 << max(0, min(MAX_STRATA, count // LEAST_EXPECTED).bit_length() - 1)


def imbalances(points: Float64[np.ndarray, "n p"], strata: int) -> Float64[np.ndarray, "p"]:
    """Return the chi-square of the stratum counts of each column, Σ_s (n_s − N/B)² / (N/B), float64 [P]."""
    expected = len(points) / strata
    cells = (np.minimum((column * strata).astype(np.int64), strata - 1) for column in points.T)
    counts = (np.bincount(cell, minlength=strata) for cell in cells)
    return np.array([np.sum((count - expected) ** 2) / expected for count in counts], dtype=np.float64)


def random_imbalance(strata: int, dimensions: int, level: float = 0.95) -> float:
    """Return the quantile of the largest chi-square of P independent uniform columns in B ≥ 2 strata.

    Each follows chi-square with B − 1 degrees of freedom; the quantile solves F(x)^P = level.
    """
    from scipy.special import chdtri

    tail = -math.expm1(math.log(level) / dimensions)
    return float(chdtri(strata - 1, tail))
