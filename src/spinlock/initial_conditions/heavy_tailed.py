"""Symmetric α-stable noise: rare pixels far above all others."""

import math
from typing import Annotated

import torch
from jaxtyping import Float64
from torch import Tensor

from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.laws import interquantile_ratio, median_kurtosis
from spinlock.numerics.columns import column
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.registry import Real
from spinlock.shapes import Fields, PerSample


def stable(
    angle: Float64[Tensor, "b 1 h w"],
    exponential: Float64[Tensor, "b 1 h w"],
    alpha: Float64[Tensor, "b 1 1 1"],
) -> Float64[Tensor, "b 1 h w"]:
    """Return standard symmetric α-stable numbers, characteristic function exp(−|t|^α).

    X = sin(αV)/cos(V)^(1/α)·[cos((1−α)V)/W]^((1−α)/α) with V uniform in (−π/2, π/2) and W exponential
    (Chambers, Mallows & Stuck 1976).
    """
    body = torch.sin(alpha * angle) / torch.cos(angle).pow(1.0 / alpha)
    return body * (exponential / torch.cos((1.0 - alpha) * angle)).pow((alpha - 1.0) / alpha)


def smoothed(
    values: Float64[Tensor, "b 1 h w"], width: Float64[Tensor, "b 1 1 1"], alpha: Float64[Tensor, "b 1 1 1"]
) -> Float64[Tensor, "b 1 h w"]:
    """Return the convolution on the torus with a Gaussian h of that width in px, scaled to Σ h^α = 1.

    A sum of stable numbers is stable with scale (Σ h^α)^(1/α), so the law of a pixel stays as it was.
    """
    grid = Grid(values.shape[-1], values.device)
    origin = torch.zeros((), dtype=torch.float32, device=values.device)
    offset = grid.offset(origin).double()
    profile = torch.exp(-0.5 * (offset / width[..., 0].clamp(min=0.05)).square())
    kernel = profile[..., :, None] * profile[..., None, :]
    kernel = kernel / kernel.pow(alpha).sum(dim=(-2, -1), keepdim=True).pow(1.0 / alpha)
    return torch.fft.irfft2(torch.fft.rfft2(values) * torch.fft.rfft2(kernel), s=values.shape[-2:])


@initial_condition(
    domain="general",
    tier="baseline",
    source="Chambers, Mallows & Stuck 1976; Samorodnitsky & Taqqu 1994",
    sites=("angle", "exponential"),
    native=1,
    cost="closed",
    laws=(interquantile_ratio(3.15, alpha=1.5), median_kurtosis(5.0, alpha=1.5)),
)
def heavy_tailed(
    grid: Grid,
    keys: SampleKeys,
    *,
    alpha: Annotated[PerSample, Real(1.1, 2.0)] = 1.5,
    variance: Annotated[PerSample, Real(1e-3, 10.0, log=True)] = 1.0,
    smoothing_px: Annotated[PerSample, Real(0.0, 6.0, "px")] = 0.0,
    clip: Annotated[PerSample | None, Real(1.0, 1e6, "scales", log=True)] = 20.0,
) -> Fields:
    """Symmetric α-stable field: each pixel has characteristic function exp(−γ^α|t|^α), γ = √(variance/2).

    P(|x| > z) falls as z^−α only, so for α < 2 the variance is infinite and ``variance`` sets the scale γ: at
    α = 2 the field is N(0, variance). ``smoothing_px`` > 0 convolves with a Gaussian of that width, scaled so
    that the law of a pixel stays. Values beyond ``clip`` scales γ are cut to it (null: none, and values of
    10⁵ occur).

    What to expect: single bright and dark pixels, or spots of the smoothing's size, on quiet ground; the more
    extreme the smaller ``alpha``.
    """
    shape = (1, grid.size, grid.size)
    exact_alpha = column(alpha).double()
    angle, tail = (keys.uniform(site, *shape).double() for site in ("angle", "exponential"))
    values = stable(math.pi * (angle - 0.5), -torch.log(tail), exact_alpha)
    width = grid.pixels(column(smoothing_px)).double()
    if bool((width > 0).any()):
        values = torch.where(width > 0, smoothed(values, width, exact_alpha), values)
    if clip is not None:
        limit = column(clip).double()
        values = torch.minimum(torch.maximum(values, -limit), limit)
    return (values * (column(variance).double() / 2.0).sqrt()).float()
