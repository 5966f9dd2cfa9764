"""Laws of waves with phase singularities, given as the real and imaginary part of a complex amplitude."""

import math
from typing import Any

import torch
from jaxtyping import Complex128, Float, Float64
from torch import Tensor

from spinlock.initial_conditions.catalogue import Law
from spinlock.initial_conditions.field_laws import at_least, at_most, field_law
from spinlock.initial_conditions.laws import near
from spinlock.numerics.grid import Grid
from spinlock.numerics.winding import winding_numbers

Wave = Complex128[Tensor, "b n n"]
CLEAR = 0.85
"""Share of the greatest amplitude above which a place is between the defects and not at one."""


def amplitude(fields: Float[Tensor, "b c n n"], centre: tuple[float, float] = (0.0, 0.0)) -> Wave:
    """Return the first two channels, less their values at a defect, as one complex amplitude."""
    return torch.complex(fields[:, 0].double() - centre[0], fields[:, 1].double() - centre[1])


def phase_gradient(wave: Wave) -> Float64[Tensor, "b n n"]:
    """Return |∇ arg A| in rad/px, by central differences."""
    steps = (torch.angle(wave.roll(-1, axis) * wave.roll(1, axis).conj()) / 2.0 for axis in (1, 2))
    return torch.hypot(*steps)


def defect_count(
    count: int, share: float = 0.8, centre: tuple[float, float] = (0.0, 0.0), **options: Any
) -> Law:
    """Return the law: most fields have as many phase singularities as asked for, half of either sign."""

    def check(fields: Tensor) -> None:
        windings = winding_numbers(amplitude(fields, centre))
        assert not bool(windings.sum(dim=(1, 2)).any()), "the winding numbers of a field do not add up to 0"
        held = float(((windings != 0).sum(dim=(1, 2)) == count).double().mean())
        assert held >= share, f"only {held:.0%} of the fields have {count} defects, not {share:.0%}"

    return field_law(f"{share:.0%} of the fields have {count} phase singularities", check, **options)


def many_defects(least: int, draws: int = 16, **options: Any) -> Law:
    """Return the law: every field has more phase singularities than this, and |A| stays near 1."""

    def check(fields: Tensor) -> None:
        wave = amplitude(fields)
        count = (winding_numbers(wave) != 0).sum(dim=(1, 2))
        at_least("the number of defects", count, least + 1)
        at_most("|A|", wave.abs(), 1.5)

    return field_law(f"every field has more than {least} phase singularities", check, draws, **options)


def singular_cores(limit: float = 0.35, **options: Any) -> Law:
    """Return the law: |A| falls to nearly 0 in every field, and channel 2 is |A|."""

    def check(fields: Tensor) -> None:
        size = amplitude(fields).abs()
        at_most("the least |A| of a field", size.amin(dim=(1, 2)), limit)
        at_most("the difference of |A| and its channel", (size - fields[:, 2]).abs(), 1e-5)

    return field_law(f"|A| falls below {limit:g} in every field", check, **options)


def median_amplitude(value: float, tolerance: float = 0.03, **options: Any) -> Law:
    """Return the law: the median of |A| is that of the plane wave."""

    def check(fields: Tensor) -> None:
        medians = amplitude(fields).abs().flatten(1).median(dim=1).values
        at_most("the departure of the median of |A|", (medians - value).abs(), tolerance)

    return field_law(
        f"the median of |A| is {value:.3g} within {tolerance:g} in every field", check, **options
    )


def local_wavelength(length: float, tolerance: float = 0.1, **options: Any) -> Law:
    """Return the law: the phase turns once in a wavelength, px of a 128 grid, away from the defects."""

    def check(fields: Tensor) -> None:
        wave = amplitude(fields)
        expected = 2.0 * math.pi / Grid(fields.shape[-1]).pixels(length)
        for sample, gradient in zip(wave.abs(), phase_gradient(wave), strict=True):
            measured = float(gradient[sample > CLEAR * sample.max()].median())
            near("median |∇ arg A|/(2π/wavelength)", measured / expected, 1.0, tolerance)

    words = f"|∇ arg A| is 2π/{length:g} px within {tolerance:.0%} away from the defects"
    return field_law(words, check, wavelength=length, **options)
