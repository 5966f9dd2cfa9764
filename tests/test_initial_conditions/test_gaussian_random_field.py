"""Variance, covariance, spectral slope and normality of gaussian_random_field."""

import math

import pytest
import torch

from spinlock.initial_conditions import registry
from spinlock.initial_conditions.gaussian_random_field import kernel_spectrum
from spinlock.initial_conditions.laws import moments
from spinlock.numerics.columns import spread
from spinlock.numerics.grid import Grid
from spinlock.numerics.spectral import autocovariance, radial_spectrum
from spinlock.testing.laws import draw_from

DRAW = draw_from(registry["gaussian_random_field"], seed=7)


def fields(count, size=64, **options):
    return DRAW(count, size, 4, **options)


def slope(power, low, high):
    """Return the least-squares slope of log power against log ring number on rings low … high."""
    ring = torch.arange(low, high + 1, dtype=torch.float64).log()
    level = power[low : high + 1].log()
    return float(((ring - ring.mean()) * (level - level.mean())).sum() / (ring - ring.mean()).square().sum())


@pytest.mark.parametrize(("length", "scatter"), [(0.05, 0.12), (0.1, 0.26), (0.2, 0.47)])
def test_variance_within_a_sample(length, scatter):
    """Right in the mean over draws; single draws scatter as published, so they are not standardised."""
    variances = spread(fields(256, length_scale=length, variance=3.0)).square().flatten() / 3.0
    assert variances.mean().item() == pytest.approx(1.0, abs=0.05)
    assert variances.std().item() == pytest.approx(scatter, rel=0.15)


@pytest.mark.parametrize(("length", "expected"), [(0.05, 0.639), (0.1, 0.570)])
def test_correlation_at_lag_l(length, expected):
    """Not e^−1/2 = 0.607: k = 0 is gone and the torus is finite; the inverse transform of S says what."""
    count, size = 256, 128
    sample = DRAW(count, size, 1, length_scale=length)[:, 0].double()
    near = round(length * size)
    exact = autocovariance(kernel_spectrum(Grid(size), "rbf", length)[0, 0], Grid(size))[0]
    measured = (sample * sample.roll(near, 2)).mean(dim=(1, 2))
    error = measured.std() / math.sqrt(count)
    assert abs(measured.mean() - exact[near]) < 3 * error
    assert exact[near].item() == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize("nu", [0.5, 1.5])
def test_the_matern_spectrum_has_its_slope(nu):
    sample = DRAW(64, 128, 1, kernel="matern", nu=nu, length_scale=0.2)
    power = radial_spectrum(sample).mean(dim=(0, 1))
    assert slope(power, 16, 60) == pytest.approx(-2 * (nu + 1), abs=0.15)


def test_the_white_kernel_is_flat():
    power = radial_spectrum(fields(64, kernel="white")).mean(dim=(0, 1))
    assert slope(power, 1, 32) == pytest.approx(0.0, abs=0.05)


def test_values_are_normal():
    skewness, kurtosis = moments(fields(256, length_scale=0.05).flatten())
    assert abs(skewness) < 0.05
    assert abs(kurtosis) < 0.05


def test_zero_mean():
    assert fields(4, length_scale=0.4).mean(dim=(-2, -1)).abs().max() < 1e-5
    kept = fields(256, length_scale=0.4, zero_mean=False).double().mean(dim=(-2, -1))
    assert kept.square().mean().item() == pytest.approx(0.85, abs=0.1)


def test_variance_scales_the_field():
    once, four_times = fields(2), fields(2, variance=4.0)
    assert torch.allclose(2 * once, four_times)
