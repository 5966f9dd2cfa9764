"""Laws of interfering waves given as Re E, Im E and intensity: wave number, sign and speckle."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from spinlock.initial_conditions.catalogue import Law
from spinlock.initial_conditions.field_laws import at_least, at_most, field_law
from spinlock.numerics.grid import Grid

Planes = Float[Tensor, "b c n n"]
AXES = (-2, -1)


def positive_intensity(**options: Any) -> Law:
    """Return the law: the intensity is nowhere negative."""

    def check(fields: Planes) -> None:
        at_least("intensity", fields[:, 2], -1e-6)

    return field_law("the intensity is not negative", check, **options)


def local_wave_number(wavelength: float, tolerance: float = 0.1, **options: Any) -> Law:
    """Return the law: ∫|∇E|²/∫|E|² = k², k = 2π/wavelength, on a grid that resolves the wave well."""

    def check(fields: Planes) -> None:
        size = fields.shape[-1]
        wave = torch.complex(fields[:, 0], fields[:, 1])
        steepness = sum(step.abs().square().mean(dim=AXES) for step in (wave.diff(dim=1), wave.diff(dim=2)))
        k = (steepness / wave.abs().square().mean(dim=AXES)).sqrt()
        wanted = 2.0 * math.pi / Grid(size).pixels(wavelength)
        at_most("|k·wavelength/2π − 1|", (k / wanted - 1.0).abs(), tolerance)

    return field_law(
        f"√(∫|∇E|²/∫|E|²) is 2π/wavelength within {tolerance:.0%}",
        check,
        wavelength=wavelength,
        grid_size=128,
        **options,
    )


def speckle_contrast(tolerance: float = 0.08) -> Law:
    """Return the law: speckle intensity is exponential, its standard deviation and its mean are equal.

    Measured over all draws: one frame holds a few hundred grains.
    """

    def check(fields: Planes) -> None:
        intensity = fields[:, 2]
        contrast = (intensity.std(dim=AXES) / intensity.mean(dim=AXES)).mean()
        at_most("|mean contrast − 1|", (contrast - 1.0).abs(), tolerance)
        for level in (0.25, 1.0, 2.0):
            above = (intensity > level).double().mean()
            at_most(f"|share of I > {level:g} − e^−{level:g}|", (above - math.exp(-level)).abs(), 0.03)

    return field_law(
        f"speckle has contrast 1 within {tolerance:g} and exponential intensity",
        check,
        num_sources=0,
        wavelength=8.0,
        grid_size=128,
    )
