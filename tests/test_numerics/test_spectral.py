"""Spectra: exact sums over the half spectrum, exact variance, known covariances."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spinlock.errors import UsageError
from spinlock.keys import Key
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.spectral import (
    angular,
    autocovariance,
    half_spectrum_weights,
    matern_spectrum,
    normalized,
    power,
    radial_spectrum,
    rbf_spectrum,
    ring_sums,
    rings,
    spectral,
)

SIZES = st.integers(16, 80)


def white(count, size, seed=0):
    keys = SampleKeys.of(Key(seed, "spectral"), torch.arange(count), ("white",))
    return keys.normal("white", 1, size, size)


def rbf(grid, length):
    return rbf_spectrum(angular(grid) * grid.side(length))


@given(SIZES)
def test_the_half_spectrum_counts_every_bin_once(size):
    assert half_spectrum_weights(Grid(size)).sum().item() * size == size**2


@settings(deadline=None)
@given(SIZES, st.integers(0, 2**32 - 1))
def test_power_sums_to_the_mean_square(size, seed):
    fields = white(2, size, seed) + 0.3
    assert torch.allclose(
        power(fields).sum(dim=(-2, -1)), fields.double().square().mean(dim=(-2, -1)), rtol=1e-12
    )


@settings(deadline=None)
@given(SIZES, st.floats(0.01, 0.4), st.booleans())
def test_a_normalized_spectrum_has_variance_one(size, length, zero_mean):
    grid = Grid(size)
    scaled = normalized(rbf(grid, length).double(), grid, zero_mean=zero_mean)
    assert (scaled * half_spectrum_weights(grid)).sum().item() / size**2 == pytest.approx(1.0, rel=1e-12)
    assert (scaled[0, 0] == 0) == zero_mean
    full = torch.fft.irfft2(scaled + 0j, s=(size, size))
    assert full[0, 0].item() == pytest.approx(1.0, rel=1e-12)


def test_normalizing_leaves_its_argument():
    spectrum = rbf(Grid(16), 0.1)
    normalized(spectrum, Grid(16))
    assert spectrum[0, 0] == 1


def test_an_empty_spectrum_is_refused():
    with pytest.raises(UsageError, match="zero at every wave number of a 16 grid"):
        spectral(torch.zeros(16, 9), white(1, 16))
    constant = torch.zeros(16, 9)
    constant[0, 0] = 1.0
    with pytest.raises(UsageError, match="zero at every"):
        normalized(constant, Grid(16))
    assert normalized(constant, Grid(16), zero_mean=False)[0, 0] == 16**2


@pytest.mark.parametrize("size", [16, 17, 64])
def test_a_flat_spectrum_gives_the_noise_back(size):
    noise = white(2, size)
    flat = torch.ones(size, size // 2 + 1)
    assert torch.allclose(spectral(flat, noise, zero_mean=False), noise, atol=1e-5)
    centred = spectral(flat, noise)
    assert centred.mean(dim=(-2, -1)).abs().max() < 1e-6
    scale = math.sqrt(size**2 / (size**2 - 1))
    assert torch.allclose(centred, (noise - noise.mean(dim=(-2, -1), keepdim=True)) * scale, atol=1e-5)


def test_a_single_ring_passes_only_its_waves():
    grid = Grid(32)
    field = spectral((rings(grid) == 5).float(), white(4, 32))
    shares = ring_sums(power(field), grid)
    assert torch.allclose(shares[..., 5], shares.sum(dim=-1), rtol=1e-9)


@pytest.mark.parametrize("size", [33, 64])
@pytest.mark.parametrize("length", [0.05, 0.2])
def test_covariance_at_every_lag_is_that_of_the_spectrum(size, length):
    """Cov(r) of 400 draws against the inverse transform of S, within five standard errors of each lag."""
    grid = Grid(size)
    fields = spectral(rbf(grid, length), white(400, size)).double()
    spectrum = torch.fft.rfft2(fields).abs().square()
    lags = torch.fft.irfft2(spectrum, s=(size, size))[:, 0] / size**2
    error = lags.std(dim=0) / 20.0
    excess = (lags.mean(dim=0) - autocovariance(rbf(grid, length), grid)).abs() / error
    assert excess.max() < 5.0
    wrong = (lags.mean(dim=0) - autocovariance(rbf(grid, 1.5 * length), grid)).abs() / error
    assert wrong.max() > 5.0


def test_the_rbf_covariance_is_the_gaussian_wrapped_round_the_torus():
    grid = Grid(64)
    lags = torch.arange(64, dtype=torch.float64)
    gaussian = sum(torch.exp(-0.5 * ((lags + 64 * turn) / 6.4).square()) for turn in range(-3, 4))
    expected = gaussian[:, None] * gaussian
    measured = autocovariance(rbf(grid, 0.1).double(), grid, zero_mean=False)
    assert torch.allclose(measured, expected / expected[0, 0], atol=1e-6)


@pytest.mark.parametrize(("length", "share"), [(0.05, 0.016), (0.1, 0.06), (0.2, 0.25), (0.4, 0.85)])
def test_share_of_variance_in_the_mean(length, share):
    grid = Grid(128)
    scaled = normalized(rbf(grid, length).double(), grid, zero_mean=False)
    assert scaled[0, 0].item() / 128**2 == pytest.approx(share, rel=0.05)


@pytest.mark.parametrize("nu", [0.5, 1.5, 4.0])
def test_the_matern_spectrum_falls_as_a_power(nu):
    far = matern_spectrum(torch.tensor([1e3, 1e4], dtype=torch.float64).reshape(1, 2), nu).flatten().log10()
    assert (far[1] - far[0]).item() == pytest.approx(-2 * (nu + 1), abs=1e-4)


def test_a_smooth_matern_spectrum_is_the_rbf_one():
    kl = torch.linspace(0, 4, 50, dtype=torch.float64).reshape(1, 50)
    assert torch.allclose(matern_spectrum(kl, 1e6), rbf_spectrum(kl), atol=1e-5)
    assert not torch.allclose(matern_spectrum(kl, 5.0), rbf_spectrum(kl), atol=1e-2)


def test_the_exponential_matern_covariance():
    """ν = 1/2 has Cov(r) = exp(−r/l), up to what the torus and the pixels cut off."""
    grid = Grid(256)
    kl = angular(grid).double() * 12.0
    covariance = autocovariance(matern_spectrum(kl, 0.5), grid, zero_mean=False)[0]
    ratio = covariance[10:40] / covariance[11:41]
    assert torch.allclose(ratio, torch.full_like(ratio, math.exp(1 / 12)), rtol=0.01)


def test_white_noise_has_equal_power_on_every_ring():
    measured = radial_spectrum(white(300, 32)).mean(dim=(0, 1)) * 32**2
    assert torch.allclose(measured[1:], torch.ones(16, dtype=torch.float64), atol=0.12)
    assert measured[0].item() == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize("size", [16, 17])
def test_rings_hold_every_bin_within_the_circle(size):
    grid = Grid(size)
    counts = ring_sums(half_spectrum_weights(grid).expand(size, -1), grid)
    axis = torch.fft.fftfreq(size, 1 / size)
    number = torch.hypot(axis[:, None], axis[None, :]).round()
    assert counts.tolist() == [int((number == ring).sum()) for ring in range(size // 2 + 1)]
