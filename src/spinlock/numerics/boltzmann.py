"""The distribution p_i ~ exp(−β·i) on n symbols: its entropy, and the β that gives an entropy."""

import math

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

LEAST, GREATEST = 1e-6, 64.0
"""Of β: below, p departs from uniform by less than float32 holds; above, only one symbol is ever drawn."""

KNOTS = 1024


def log_partition(beta: Float64[Tensor, "*shape"], levels: int) -> Float64[Tensor, "*shape"]:
    """Return ln Z, Z = Σ_{i<n} exp(−β·i) = (1 − e^−βn)/(1 − e^−β)."""
    return torch.log(torch.expm1(-beta * levels) / torch.expm1(-beta))


def entropy(beta: Float64[Tensor, "*shape"], levels: int) -> Float64[Tensor, "*shape"]:
    """Return H(β) = (ln Z + β·⟨i⟩)/ln 2 in bits: log₂ n at β = 0, and falling to 0."""
    mean = 1.0 / torch.expm1(beta) - levels / torch.expm1(beta * levels)
    return (log_partition(beta, levels) + beta * mean) / math.log(2.0)


def inverse_temperature(target: Float64[Tensor, "*shape"], levels: int) -> Float64[Tensor, "*shape"]:
    """Return the β at which `entropy` is ``target`` bits, within 1e-5, clipped to [1e-6, 64].

    H falls from log₂ n to 0 as β rises: it is looked up in a table of knots, on straight lines in ln β.
    """
    ends = math.log(LEAST), math.log(GREATEST)
    knots = torch.linspace(ends[1], ends[0], KNOTS, dtype=torch.float64, device=target.device)
    known = entropy(knots.exp(), levels)
    above = torch.searchsorted(known, target.contiguous()).clamp(1, KNOTS - 1)
    low, high = known[above - 1], known[above]
    share = ((target - low) / (high - low).clamp(min=1e-300)).clamp(0.0, 1.0)
    return torch.lerp(knots[above - 1], knots[above], share).exp()


def boltzmann_symbols(
    uniform: Float64[Tensor, "*shape"], beta: Float64[Tensor, "*shape"], levels: int
) -> Int64[Tensor, "*shape"]:
    """Return the symbols of uniforms in (0, 1), by the inverse of P(i < j) = (1 − e^−βj)/(1 − e^−βn)."""
    place = -torch.log1p(uniform * torch.expm1(-beta * levels)) / beta
    return place.floor().clamp(max=levels - 1).long()


def surprisal(
    symbols: Int64[Tensor, "*shape"], beta: Float64[Tensor, "*shape"], levels: int
) -> Float64[Tensor, "*shape"]:
    """Return −log₂ p_i = (β·i + ln Z)/ln 2 in bits."""
    return (beta * symbols + log_partition(beta, levels)) / math.log(2.0)
