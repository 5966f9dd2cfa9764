"""Spatially correlated noise: the stated covariance on the torus, of equal strength, white at length 0."""

import math

import numpy as np
import pytest
import torch

from spinlock.numerics.noise import torus_covariance, torus_filter
from test_numerics.noise_samples import ADDITIVE, TYPES, added, deviation, keyed_field, rms, stream

LAGS = [
    (0, 0),
    (1, 0),
    (0, 1),
    (1, 1),
    (2, 3),
    (4, 0),
    (0, 6),
    (5, 5),
    (9, 2),
    (12, 12),
    (31, 0),
    (0, 29),
    (16, 16),
]


def direct_covariance(size, correlation, lag):
    """Σₙ exp(−|r + nL|²/2(ℓL)²) over a plane of images, 1 at r = 0; written without the product form."""
    shifts = np.arange(-8, 9) * size

    def total(dy, dx):
        squares = (dy + shifts[:, None]) ** 2 + (dx + shifts[None, :]) ** 2
        return np.exp(-squares / (2 * (correlation * size) ** 2)).sum()

    return total(*lag) / total(0, 0)


@pytest.mark.parametrize("correlation", [0.01, 0.05, 0.2, 0.5])
@pytest.mark.parametrize("size", [16, 33])
def test_covariance_along_the_axes_is_the_periodised_gaussian(size, correlation):
    axis = torus_covariance(size, correlation)
    for dy, dx in LAGS:
        expected = direct_covariance(size, correlation, (dy % size, dx % size))
        assert axis[dy % size] * axis[dx % size] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("correlation", [1e-6, 0.02, 0.1, 0.3, 0.5])
@pytest.mark.parametrize("size", [16, 17, 48, 64])
def test_filter_squared_is_the_covariance(size, correlation):
    root = torus_filter(size, correlation)
    assert root is not None
    lags = (np.arange(size)[:, None] - np.arange(size)[None, :]) % size
    target = torus_covariance(size, correlation)[lags]
    product = root.double() @ root.double()
    assert torch.equal(root, root.T)
    assert np.abs(product.numpy() - target).max() < 1e-6
    wrong = torus_covariance(size, correlation + 0.02)[lags]
    assert np.abs(product.numpy() - wrong).max() > 1e-3


def covariance_in_standard_errors(fields, target):
    """The largest deviation of the measured covariance from ``target(dy, dx)``, and the largest error."""
    spectrum = torch.fft.fft2(fields.double())
    measured = torch.fft.ifft2(spectrum.abs() ** 2).real / fields.shape[-1] ** 2
    deviations, errors = [], []
    for dy, dx in LAGS:
        values = measured[:, dy, dx].numpy()
        errors.append(values.std(ddof=1) / math.sqrt(len(values)))
        deviations.append(abs(values.mean() - target(dy, dx)) / errors[-1])
    return max(deviations), max(errors)


@pytest.mark.parametrize("correlation", [0.03, 0.1])
@pytest.mark.parametrize("noise_type", ADDITIVE)
def test_measured_covariance_is_the_stated_one(noise_type, correlation):
    source = stream(noise_type=noise_type, spatial_correlation=correlation, size=32)
    fields = added(source, torch.zeros(1, 4, 32, 32), range(500)).reshape(-1, 32, 32)
    off, error = covariance_in_standard_errors(fields, lambda *lag: direct_covariance(32, correlation, lag))
    assert off < 4.5
    assert error < 0.02
    wrong, _ = covariance_in_standard_errors(
        fields, lambda *lag: direct_covariance(32, correlation * 0.8, lag)
    )
    assert wrong > 6


@pytest.mark.parametrize("noise_type", TYPES)
def test_strength_does_not_depend_on_correlation(noise_type):
    x = keyed_field(size=32)
    source = stream(noise_type=noise_type, spatial_correlation=0.06, size=32)
    assert rms(added(source, x, range(300))) == pytest.approx(1.0, abs=0.03)


def test_channels_and_steps_of_correlated_noise_are_independent():
    source = stream(spatial_correlation=0.05, size=32)
    fields = added(source, torch.zeros(1, 2, 32, 32), range(400)).double()
    between_channels = (fields[:, 0] * fields[:, 1]).mean(dim=(-2, -1))
    between_steps = (fields[1:] * fields[:-1]).mean(dim=(-3, -2, -1))
    for products in (between_channels, between_steps):
        assert deviation(products, 0.0, float(products.std())) < 4.5


def test_no_correlation_is_white_and_a_vanishing_length_changes_nothing():
    assert torus_filter(32, 0.0) is None
    white = added(stream(size=32), torch.zeros(1, 4, 32, 32), range(200)).reshape(-1, 32, 32)
    off, _ = covariance_in_standard_errors(white, lambda dy, dx: float((dy, dx) == (0, 0)))
    assert off < 4.5
    nearly = added(stream(size=32, spatial_correlation=1e-4), torch.zeros(1, 4, 32, 32), range(5))
    assert torch.allclose(nearly.reshape(-1, 32, 32), white[:20], atol=1e-6)
