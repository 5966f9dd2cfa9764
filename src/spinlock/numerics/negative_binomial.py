"""Negative binomial counts from keyed uniforms, by the inverse of the distribution function."""

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

Column = Float64[Tensor, "_"]

STAGES = (8, 24, 64)
"""Counts up to which terms are added one by one, for all pixels that are not done at the one before."""

BLOCK = 128


def negative_binomial_quantile(
    uniform: Float[Tensor, "*shape"], mean: Float64[Tensor, "*shape"], dispersion: Float64[Tensor, "*shape"]
) -> Float64[Tensor, "*shape"]:
    """Return the least count k with P(X ≤ k) ≥ u, for uniforms on 23 bits; variance μ + μ²/θ.

    P(0) = (θ/(θ + μ))^θ and P(k) = P(k − 1)·(1 + (θ − 1)/k)·q with q = μ/(θ + μ), summed up in float64.
    θ → ∞ is the Poisson law.
    """
    level, mean, dispersion = uniform.double().flatten(), mean.flatten(), dispersion.flatten()
    ratio = mean / (mean + dispersion)
    term = torch.exp(-dispersion * torch.log1p(mean / dispersion))
    cumulative = term.clone()
    count = (cumulative < level).double()
    state = level, ratio, ratio * (dispersion - 1.0), term, cumulative
    waiting = torch.arange(len(level), device=level.device)
    reached = 0
    for end in STAGES:
        count[waiting] += _one_by_one(state, reached + 1, end)
        waiting, state = _unfinished(waiting, state)
        reached = end
    while len(waiting):
        found, state = _block(state, reached + 1)
        count[waiting] += found
        reached += BLOCK
        waiting, state = _unfinished(waiting, state)
    return count.reshape(uniform.shape)


State = tuple[Column, Column, Column, Column, Column]
"""Level u, q, q·(θ − 1), last term and sum of each pixel."""


def _unfinished(waiting: Int64[Tensor, "_"], state: State) -> tuple[Tensor, State]:
    """Return the pixels whose sum is below their level, and what is known of them."""
    level, ratio, slope, term, cumulative = state
    kept = (cumulative < level).nonzero()[:, 0]
    return waiting[kept], (level[kept], ratio[kept], slope[kept], term[kept], cumulative[kept])


def _one_by_one(state: State, first: int, last: int) -> Column:
    """Add the terms ``first`` to ``last`` and return how many of the sums are below the level."""
    level, ratio, slope, term, cumulative = state
    found = torch.zeros_like(level, dtype=torch.uint8)  # bytes are counted much faster than float64
    below = torch.empty_like(level, dtype=torch.bool)
    factor = torch.empty_like(level)
    for k in range(first, last + 1):
        torch.add(ratio, slope, alpha=1.0 / k, out=factor)
        cumulative.add_(term.mul_(factor))
        found.add_(torch.lt(cumulative, level, out=below).view(torch.uint8))
    return found.double()


def _block(state: State, first: int) -> tuple[Column, State]:
    """Add a block of terms at once, for the few pixels far out in the tail."""
    level, ratio, slope, term, cumulative = state
    k = torch.arange(first, first + BLOCK, dtype=torch.float64, device=level.device)
    terms = term[:, None] * (ratio[:, None] + slope[:, None] / k).cumprod(dim=1)
    sums = cumulative[:, None] + terms.cumsum(dim=1)
    found = (sums < level[:, None]).double().sum(dim=1)
    return found, (level, ratio, slope, terms[:, -1], sums[:, -1])
