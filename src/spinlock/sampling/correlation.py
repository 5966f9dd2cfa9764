"""The largest correlation between two parameters, and how large it is for random points."""

import math

import numpy as np
from jaxtyping import Float64

BLOCK = 4096


def correlations(points: Float64[np.ndarray, "n p"]) -> Float64[np.ndarray, "p p"]:
    """Return Pearson's r of every two columns of points [N, P]; 0 for a column that does not vary.

    Means are taken out first. Sums run in fixed blocks of rows and not through BLAS, so that the bits do not
    depend on the number of threads.
    """
    count, dimensions = points.shape
    mean = points.mean(axis=0)
    products = np.zeros((dimensions, dimensions))
    for start in range(0, count, BLOCK):
        block = np.ascontiguousarray((points[start : start + BLOCK] - mean).T)
        for i, row in enumerate(block):
            products[i, i:] += (row * block[i:]).sum(axis=1)
    spread = np.sqrt(products.diagonal())
    varies = spread > 1e-12 * math.sqrt(count)
    scale = np.where(varies, 1 / np.where(varies, spread, 1.0), 0.0)
    upper = np.triu(products * scale[:, None] * scale, k=1)
    return upper + upper.T + np.eye(dimensions)


def random_correlation(count: int, dimensions: int, level: float = 0.95) -> float:
    """Return the quantile of the largest |r| of N independent uniform points in P ≥ 2 dimensions.

    For one pair r² follows Beta(1/2, (N − 2)/2); the K = P(P − 1)/2 pairs are taken as independent, so the
    quantile solves F(r²)^K = level.
    """
    from scipy.special import betaincinv

    pairs = dimensions * (dimensions - 1) // 2
    # one minus the K-th root of the level, without the cancellation
    tail = -math.expm1(math.log(level) / pairs)
    return math.sqrt(1 - float(betaincinv((count - 2) / 2, 0.5, tail)))
