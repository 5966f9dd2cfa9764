"""Families of laws that fields obey: what each states, how it is measured, and how far off is wrong.

Ensembles are 256 draws; tolerances are those of the published sampling error with room to spare, so that a
right generator passes for every seed but a few in a thousand, and one of another family does not.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from spinlock.initial_conditions.catalogue import Draw, Law
from spinlock.numerics.columns import spread
from spinlock.numerics.grid import Grid
from spinlock.numerics.spectral import half_spectrum_weights, normalized, power, ring_sums

DRAWS = 256
VISIBLE_SHARE = 1e-3
"""Rings with less of the predicted power than this are left out of comparisons."""


def near(what: str, measured: float, expected: float, tolerance: float) -> None:
    """Raise `AssertionError` unless two numbers agree within an absolute tolerance."""
    assert abs(measured - expected) <= tolerance, (
        f"{what} is {measured:.4g}, not {expected:.4g} ± {tolerance:.2g}"
    )


def under(options: dict[str, Any]) -> str:
    """Return the options that a law holds under, in words and brackets; nothing where there are none."""
    return f" ({', '.join(f'{name} {value}' for name, value in options.items())})" if options else ""


def moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return skewness and excess kurtosis over the last axis, float64."""
    centred = values.double() - values.double().mean(dim=-1, keepdim=True)
    second = centred.square().mean(dim=-1)
    return centred.pow(3).mean(dim=-1) / second.pow(1.5), centred.pow(4).mean(dim=-1) / second.square() - 3.0


def variance(value: float, tolerance: float = 0.05, **options: Any) -> Law:
    """Return the law: the mean variance within a sample is the option ``variance``."""

    def check(draw: Draw) -> None:
        measured = float(spread(draw(DRAWS, num_channels=4, variance=value, **options)).square().mean())
        near("mean variance within a sample", measured, value, tolerance * value)

    return Law(f"mean variance within a sample is {value:g} within {tolerance:.0%}{under(options)}", check)


def spectrum(predicted: Callable[[Grid], Tensor], tolerance: float = 0.1, **options: Any) -> Law:
    """Return the law: the power on each visible ring but k = 0 is that of a spectrum, up to one factor."""

    def check(draw: Draw) -> None:
        fields = draw(DRAWS, num_channels=3, **options)
        grid = Grid(fields.shape[-1])
        expected = ring_sums(normalized(predicted(grid).double(), grid) * half_spectrum_weights(grid), grid)
        expected = expected.flatten()[1:] / expected.sum()
        measured = ring_sums(power(fields).mean(dim=(0, 1)), grid)[1:]
        measured = measured / measured.sum()
        shown = expected > VISIBLE_SHARE
        worst = float((measured[shown] / expected[shown] - 1.0).abs().max())
        near("greatest relative error of the power on a ring", worst, 0.0, tolerance)

    return Law(f"power on each ring is the predicted one within {tolerance:.0%}{under(options)}", check)


def band(low: float, high: float, leak: float = 1e-6, **options: Any) -> Law:
    """Return the law: all power is at lo ≤ n < hi cycles per side."""

    def check(draw: Draw) -> None:
        fields = draw(16, **options)
        cycles = Grid(fields.shape[-1]).cycles
        energy = power(fields).mean(dim=(0, 1))
        outside = float(energy[(cycles < low) | (cycles >= high)].sum() / energy.sum())
        near("share of power outside the band", outside, 0.0, leak)

    return Law(f"power outside [{low:g}, {high:g}) cycles per side is below {leak:g}{under(options)}", check)


def normality(tolerance: float = 0.05, **options: Any) -> Law:
    """Return the law: pooled skewness and excess kurtosis are those of a normal distribution."""

    def check(draw: Draw) -> None:
        skewness, kurtosis = moments(draw(DRAWS, **options).flatten())
        near("pooled skewness", float(skewness), 0.0, tolerance)
        near("pooled excess kurtosis", float(kurtosis), 0.0, tolerance)

    return Law(f"pooled skewness and excess kurtosis are 0 within {tolerance:g}{under(options)}", check)


def median_kurtosis(least: float, **options: Any) -> Law:
    """Return the law: half of the fields have an excess kurtosis above ``least``."""

    def check(draw: Draw) -> None:
        measured = float(moments(draw(64, **options).flatten(2))[1].median())
        assert measured > least, f"median excess kurtosis of a field is {measured:.3g}, not above {least:g}"

    return Law(f"median excess kurtosis of a field is above {least:g}{under(options)}", check)


def interquantile_ratio(expected: float, tolerance: float = 0.03, **options: Any) -> Law:
    """Return the law: (q95 − q05)/(q75 − q25), McCulloch's measure of a stable law's tails."""

    def check(draw: Draw) -> None:
        pooled = draw(64, num_channels=1, **options).flatten().double()
        levels = torch.tensor([0.05, 0.25, 0.75, 0.95], dtype=torch.float64)
        q05, q25, q75, q95 = pooled.sort().values[(levels * (len(pooled) - 1)).round().long()].tolist()
        assert q75 > q25, "half of the values are equal"
        near("(q95 - q05)/(q75 - q25)", (q95 - q05) / (q75 - q25), expected, tolerance * expected)

    return Law(f"(q95 - q05)/(q75 - q25) is {expected:g} within {tolerance:.0%}{under(options)}", check)


def lines(count: int, share: float = 0.99, **options: Any) -> Law:
    """Return the law: ``count`` bins of the full spectrum hold nearly all variance of every field."""

    def check(draw: Draw) -> None:
        energy = torch.fft.fft2(draw(32, **options).double()).abs().square().flatten(2)
        energy[..., 0] = 0.0
        held = float((energy.topk(count).values.sum(dim=-1) / energy.sum(dim=-1)).min())
        assert held >= share, (
            f"the {count} strongest bins of a field hold {held:.3f} of its power, not {share:g}"
        )

    return Law(f"{count} spectral bins hold {share:.0%} of the power of a field{under(options)}", check)


def rank(most: int, **options: Any) -> Law:
    """Return the law: the channels of a sample, as vectors of pixels, have at most that rank."""

    def check(draw: Draw) -> None:
        singular = torch.linalg.svdvals(draw(8, **options).flatten(2).double())
        excess = float((singular[:, most:] / singular[:, :1]).max())
        near(f"relative singular value beyond the first {most}", excess, 0.0, 1e-5)

    return Law(f"the channels of a sample have rank {most} at most{under(options)}", check)


def no_blank_channel(least: float = 0.02, **options: Any) -> Law:
    """Return the law: every channel varies over space, by a share of the ensemble's spread."""

    def check(draw: Draw) -> None:
        spreads = spread(draw(DRAWS, **options))
        lowest = float(spreads.min() / spreads.square().mean().sqrt())
        assert lowest > least, f"a channel varies by only {lowest:.3g} of the ensemble's spread"

    return Law(f"every channel varies by more than {least:g} of the ensemble's spread{under(options)}", check)


def unit_spread(tolerance: float = 1e-4, **options: Any) -> Law:
    """Return the law: every channel has standard deviation 1 over its pixels."""

    def check(draw: Draw) -> None:
        worst = float((spread(draw(16, **options)) - 1.0).abs().max())
        near("departure of a channel's spread from 1", worst, 0.0, tolerance)

    return Law(f"every channel has standard deviation 1 within {tolerance:g}{under(options)}", check)
