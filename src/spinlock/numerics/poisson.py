"""Poisson counts from keyed uniforms: the exact inverse of the distribution function, for any mean.

Small means are summed up term by term. Large ones start from the expansion of the quantile in the mean, whose
error is far below 1, and consult the distribution function only where the expansion lands close to a whole
number. Source: Giles 2016, "Algorithm 955: approximation of the inverse Poisson cumulative distribution
function".
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

SUMMED_MEAN = 32.0
"""Means up to here are summed term by term."""

TERMS = 96
"""P(X > 96) at the mean 32 is 4e-20, below the least uniform."""

CLOSE = 0.1
"""Twice the error of the expansion at the mean 32 and the least uniform, where it is greatest: 0.05."""


def poisson_quantile(
    uniform: Float[Tensor, "*shape"], mean: Float64[Tensor, "*shape"]
) -> Float64[Tensor, "*shape"]:
    """Return the least count k with P(X ≤ k | mean) ≥ u, for uniforms on 23 bits and means ≥ 0."""
    level = uniform.double()
    small = mean <= SUMMED_MEAN
    return torch.where(small, _summed(level, mean * small), _expanded(level, mean, ~small))


def _summed(level: Tensor, mean: Tensor) -> Tensor:
    """Count the k whose P(X ≤ k) is below the level, p(k) = p(k−1)·mean/k from p(0) = exp(−mean)."""
    term = torch.exp(-mean)
    cumulative = term.clone()
    count = (level > cumulative).double()
    for k in range(1, TERMS + 1):
        term = term * (mean / k)
        cumulative = cumulative + term
        above = level > cumulative
        if not bool(above.any()):
            break
        count += above
    return count


def _expanded(level: Tensor, mean: Tensor, large: Tensor) -> Tensor:
    """Return the whole part of the expanded quantile, put right by P(X ≤ k) where it is close to a step."""
    quantile = expansion(level, mean.clamp(min=SUMMED_MEAN))
    result = (quantile + CLOSE).floor()
    near = (quantile - result < CLOSE) & large
    step = result[near]
    reached = torch.special.gammaincc(step, mean[near]) >= level[near]  # P(X ≤ step − 1)
    result[near] = step - reached.double()
    return result


def expansion(level: Float64[Tensor, "*shape"], mean: Float64[Tensor, "*shape"]) -> Float64[Tensor, "*shape"]:
    """Return Q with count = floor(Q) but for a small error: the Cornish–Fisher series to order 1/mean.

    Q = μ + √μ w + (1/3 + w²/6) − (w/36 + w³/72)/√μ + (−8/405 + 7w²/810 + w⁴/270)/μ with w = Φ⁻¹(u), which
    inverts the distribution function continued to real arguments.
    """
    w = torch.special.ndtri(level)
    root = mean.sqrt()
    square = w * w
    return (
        mean
        + root * w
        + (1.0 / 3.0 + square / 6.0)
        - (w / 36.0 + w * square / 72.0) / root
        + (-8.0 / 405.0 + 7.0 * square / 810.0 + square * square / 270.0) / mean
    )
