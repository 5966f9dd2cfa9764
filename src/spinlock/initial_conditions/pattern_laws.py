"""Laws of patterns with one length and one character: wave number, skewness and direction of channel 0."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from spinlock.initial_conditions.catalogue import Law
from spinlock.initial_conditions.field_laws import at_least, at_most, field_law
from spinlock.initial_conditions.laws import moments
from spinlock.numerics.grid import REFERENCE_SIZE, Grid
from spinlock.numerics.spectral import power

Planes = Float[Tensor, "b c n n"]
PerField = Float[Tensor, "b"]
AXES = (-2, -1)
BAND = (0.7, 1.3)


def relative_power(fields: Planes, wavelength: float) -> tuple[Tensor, Tensor]:
    """Return the share of power of each bin but k = 0, and its wave number over that of a wavelength."""
    energy = power(fields[:, 0])
    energy[:, 0, 0] = 0.0
    cycles = REFERENCE_SIZE / wavelength
    return energy / energy.sum(dim=AXES, keepdim=True), Grid(fields.shape[-1]).cycles.double() / cycles


def wave_number(wavelength: float, tolerance: float = 0.08, **options: Any) -> Law:
    """Return the law: the mean |k| of each field's spectrum is 2π/wavelength."""

    def check(fields: Planes) -> None:
        share, ratio = relative_power(fields, wavelength)
        at_most("|mean |k|·wavelength/2π − 1|", ((share * ratio).sum(dim=AXES) - 1.0).abs(), tolerance)

    return field_law(
        f"mean |k| is 2π/wavelength within {tolerance:.0%}", check, wavelength=wavelength, **options
    )


def band_share(wavelength: float, least: float, **options: Any) -> Law:
    """Return the law: most power of each field is at wave numbers near 2π/wavelength."""

    def check(fields: Planes) -> None:
        share, ratio = relative_power(fields, wavelength)
        inside = (ratio >= BAND[0]) & (ratio <= BAND[1])
        at_least("share of power in the band", (share * inside).sum(dim=AXES), least)

    return field_law(
        f"{least:.0%} of the power is within 30 % of 2π/wavelength", check, wavelength=wavelength, **options
    )


def skewness(low: float, high: float, **options: Any) -> Law:
    """Return the law: the skewness of each field's values is in a range."""

    def check(fields: Planes) -> None:
        measured, _ = moments(fields[:, 0].flatten(1))
        at_least("skewness", measured, low)
        at_most("skewness", measured, high)

    return field_law(f"skewness is in [{low:g}, {high:g}]", check, **options)


def coherence(fields: Float[Tensor, "b n n"]) -> PerField:
    """Return (λ₁ − λ₂)/(λ₁ + λ₂) of the structure tensor ⟨∇f ∇fᵀ⟩: 1 for parallel bands, 0 for none."""
    size = fields.shape[-1]
    down = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64)[:, None]
    across = torch.fft.rfftfreq(size, 1 / size, dtype=torch.float64)
    energy = power(fields)
    rows, columns, mixed = (
        (energy * weight).sum(dim=AXES) for weight in (down.square(), across.square(), down * across)
    )
    return ((rows - columns).square() + 4.0 * mixed.square()).sqrt() / (rows + columns)


def orientation(low: float, high: float = math.inf, **options: Any) -> Law:
    """Return the law: the coherence of each field's structure tensor is in a range."""

    def check(fields: Planes) -> None:
        measured = coherence(fields[:, 0])
        at_least("structure-tensor coherence", measured, low)
        at_most("structure-tensor coherence", measured, high)

    return field_law(f"structure-tensor coherence is in [{low:g}, {high:g}]", check, **options)
