"""Straight lines and parabolas through series over time, t = 0 … T − 1, by least squares."""

import torch
from jaxtyping import Float64
from torch import Tensor

Series = Float64[Tensor, "*rows t"]


def centred_times(like: Series) -> Float64[Tensor, "t"]:
    """Return t − (T − 1)/2."""
    t = like.shape[-1]
    return torch.arange(t, dtype=like.dtype, device=like.device) - 0.5 * (t - 1)


def slope(series: Series) -> Float64[Tensor, "*rows"]:
    """Return the slope of the straight line, Σ τ y / Σ τ² with τ the centred times."""
    times = centred_times(series)
    return (series - series[..., :1]) @ times / times.square().sum()


def quadratic_coefficient(series: Series) -> Float64[Tensor, "*rows"]:
    """Return the coefficient of t² in the parabola, by projection on τ² − ⟨τ²⟩, orthogonal to lines."""
    squares = centred_times(series).square()
    bend = squares - squares.mean()
    return (series - series[..., :1]) @ bend / bend.square().sum()


def residual_variance(series: Series) -> Float64[Tensor, "*rows"]:
    """Return the mean square of what the straight line leaves."""
    times = centred_times(series)
    departures = series - series.mean(dim=-1, keepdim=True)
    share = departures @ times / times.square().sum()
    return (departures - share[..., None] * times).square().mean(dim=-1)
