"""Centred L2 discrepancy of points in the unit cube, and what it is for random points.

Hickernell, "A generalized discrepancy and quadrature error bound", Math. Comp. 67 (1998) 299-322.
"""

import numpy as np
from jaxtyping import Float64

STRIP = 8
"""Rows compared with all later ones at a time: a strip of 4,096 pairs of them stays in cache."""


def centred_discrepancy(points: Float64[np.ndarray, "n p"]) -> float:
    """Return the squared centred L2 discrepancy CD² of points [N, P] in the unit cube.

    With z = x − 1/2,

    CD² = (13/12)^P − (2/N) Σ_i Π_k (1 + |z_ik|/2 − z_ik²/2)
        + (1/N²) Σ_i Σ_j Π_k (1 + (|z_ik| + |z_jk| − |z_ik − z_jk|)/2).

    The last factor is 1 where the two coordinates lie on different sides of the centre, else one plus the
    smaller |z|. So it equals min(1 + p_i, 1 + p_j) · min(1 + q_i, 1 + q_j), p = max(z, 0) and q = max(−z, 0).
    Cost O(N² P), memory O(N P).
    """
    count, dimensions = points.shape
    centred = points.T - 0.5
    sides = np.ascontiguousarray(np.concatenate((np.maximum(centred, 0), np.maximum(-centred, 0))) + 1)
    total = 0.0
    pairs, smaller = np.empty((2, STRIP * count))
    for start in range(0, count, STRIP):
        height = min(STRIP, count - start)
        shape = height, count - start
        product = pairs[: shape[0] * shape[1]].reshape(shape)
        factor = smaller[: shape[0] * shape[1]].reshape(shape)
        product.fill(1.0)
        for side in sides:
            np.minimum(side[start : start + height, None], side[start:], out=factor)
            np.multiply(product, factor, out=product)
        # pairs beyond the strip's own square stand for both of their orders
        total += float(product[:, :height].sum() + 2 * product[:, height:].sum())
    single = np.prod(1 + np.abs(centred) / 2 - centred**2 / 2, axis=0).sum()
    return (13 / 12) ** dimensions - 2 * float(single) / count + total / count**2


def random_discrepancy(count: int, dimensions: int) -> float:
    """Return the expectation of CD² for N independent uniform points: ((5/4)^P − (13/12)^P) / N, exact."""
    return ((5 / 4) ** dimensions - (13 / 12) ** dimensions) / count
