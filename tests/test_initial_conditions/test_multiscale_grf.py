"""Variance, spectrum and bands of multiscale_grf."""

import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.multiscale_grf import mean_spectrum
from spinlock.numerics.columns import spread
from spinlock.numerics.grid import Grid
from spinlock.numerics.spectral import half_spectrum_weights, power, ring_sums
from spinlock.testing.laws import draw_from

DRAW = draw_from(registry["multiscale_grf"])
ALIASES = {"low": (1, 4), "mid": (6, 14), "high": (20, 48)}


def centroid(name):
    fields = generate(name, 128, 1, range(16))
    energy = ring_sums(power(fields).mean(dim=(0, 1)), Grid(128))
    return float((energy * torch.arange(65)).sum() / energy.sum())


def test_variance_within_a_sample():
    fields = DRAW(256, 64, 4, variance=2.0)
    assert spread(fields).square().mean().item() == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize(
    "options",
    [
        {"scales": (0.02, 0.2), "weights": (3.0, 1.0)},
        {"bands": ((2.0, 4.0), (10.0, 20.0)), "weights": (1.0, 9.0)},
    ],
)
def test_the_spectrum_is_the_weighted_sum(options):
    grid = Grid(64)
    fields = DRAW(256, 64, 4, **options)
    measured = ring_sums(power(fields).mean(dim=(0, 1)), grid)
    expected = ring_sums(mean_spectrum(grid, **options).double() * half_spectrum_weights(grid), grid) / 64**2
    shown = expected > 1e-3
    assert (measured[shown] / expected[shown] - 1).abs().max() < 0.1
    unweighted = mean_spectrum(grid, **{**options, "weights": None}).double() * half_spectrum_weights(grid)
    assert (ring_sums(unweighted, grid)[shown] / 64**2 / expected[shown] - 1).abs().max() > 0.3


@pytest.mark.parametrize("band", ALIASES)
def test_an_alias_is_a_band_and_nothing_else(band):
    low, high = ALIASES[band]
    energy = power(generate(f"multiscale_grf_{band}", 128, 1, range(8))).mean(dim=(0, 1))
    cycles = Grid(128).cycles
    assert energy[(cycles < low) | (cycles >= high)].sum() < 1e-6 * energy.sum()


def test_centroids_are_ordered():
    low, mid, high = (centroid(f"multiscale_grf_{band}") for band in ALIASES)
    assert low < 4 < 6 < mid < 14 < 20 < high


def test_scales_replace_the_band_of_an_alias():
    assert torch.equal(
        generate("multiscale_grf_mid", 32, scales=[0.1]), generate("multiscale_grf", 32, scales=[0.1])
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bands": [[20, 48]]}, r"\[20, 48\) holds no wave number of a 16 grid, which ends at 11.3 cycles"),
        ({"bands": [[4, 1]]}, "the lower end is not below the upper"),
        ({"bands": [1, 4]}, "a list of pairs"),
        ({"bands": []}, "a list of pairs"),
        ({"weights": [1, 2]}, "scales need 5 weights"),
        ({"weights": [0, 0, 0, 0, 0]}, "not all of them 0"),
        ({"bands": [[1, 3]], "weights": [1, 2]}, "bands need 1 weights"),
        ({"bands": [[1, 3]], "scales": [0.1]}, "it acts only where bands is null"),
    ],
)
def test_components_that_do_not_fit_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        generate("multiscale_grf", 16, **options)
