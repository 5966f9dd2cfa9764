"""Slopes, correlation length and components of critical fluctuations."""

import pytest
import torch

from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.critical_fluctuation import critical_spectrum
from spinlock.initial_conditions.scaling_laws import log_slope, power_law, ring_slopes
from spinlock.numerics.columns import spread
from spinlock.numerics.grid import Grid
from spinlock.numerics.spectral import half_spectrum_weights, normalized, power, radial_spectrum, ring_sums
from spinlock.testing.laws import draw_from, holds, power_law_noise, white_noise

ENTRY = registry["critical_fluctuation"]
ETAS = [0.25, 0.0363, 0.0]


@pytest.mark.parametrize("eta", ETAS)
def test_single_fields_at_the_critical_point_fall_as_a_power(eta):
    fields = generate("critical_fluctuation", 128, 3, range(6), correlation_length=None, eta=eta)
    slopes = ring_slopes(fields, 40)
    assert (slopes + 2 - eta).abs().max() < 0.15
    assert slopes.mean().item() == pytest.approx(eta - 2, abs=0.06)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("eta", ETAS)
def test_the_mean_spectrum_falls_as_a_power(eta, seed):
    fields = draw_from(ENTRY, seed)(256, 128, 3, correlation_length=None, eta=eta)
    rings = radial_spectrum(fields).mean(dim=(0, 1))[4:41]
    assert log_slope(torch.arange(4, 41), rings).item() == pytest.approx(eta - 2, abs=0.06)


def test_white_noise_and_other_slopes_are_told_apart():
    law = power_law(-1.75)
    assert not holds(law, white_noise())
    assert not holds(law, power_law_noise())
    assert holds(power_law(-2.0), power_law_noise())


@pytest.mark.parametrize("xi", [5.0, 15.0, 60.0])
def test_every_ring_has_the_power_of_the_formula(xi):
    fields = draw_from(ENTRY)(256, 64, 3, correlation_length=xi)
    grid = Grid(64)
    spectrum = normalized(critical_spectrum(grid, xi, 0.25)[0, 0].double(), grid) / 64**2
    expected = ring_sums(spectrum * half_spectrum_weights(grid), grid)[1:]
    measured = ring_sums(power(fields).mean(dim=(0, 1)), grid)[1:]
    assert (measured / expected - 1).abs().max() < 0.1


def test_the_spectrum_bends_at_the_correlation_length():
    """Flat below kξ = 1, a power law above."""
    grid = Grid(128)
    spectrum = critical_spectrum(grid, 16.0, 0.25)[0, 0, 0]
    kl = 16.0 * torch.arange(65) * 2.0 * torch.pi / 128
    assert torch.allclose(spectrum, (1.0 + kl.square()).pow(-0.875), rtol=1e-4)
    assert float(spectrum[60] / spectrum[30]) == pytest.approx(2**-1.75, rel=0.01)


def test_a_very_long_correlation_is_an_infinite_one():
    long = generate("critical_fluctuation", 64, 3, range(4), correlation_length=1e6)
    assert torch.allclose(
        long, generate("critical_fluctuation", 64, 3, range(4), correlation_length=None), atol=1e-3
    )


def test_correlation_length_scales_with_the_grid():
    small, large = (critical_spectrum(Grid(size), 15.0, 0.25)[0, 0, 0] for size in (64, 128))
    assert torch.allclose(small / small[0], large[:33] / large[0], rtol=1e-4)


def test_components_are_independent_and_alike():
    fields = draw_from(ENTRY)(128, 64, 3).double()
    values = fields.flatten(2)
    cross = torch.einsum("bcp,bdp->cd", values, values) / values[:, 0].numel()
    assert (cross - torch.eye(3)).abs().max() < 0.05
    assert spread(fields).square().mean(dim=0).std() < 0.05
