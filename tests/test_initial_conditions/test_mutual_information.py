"""Shared bits of Gaussian fields: at the pixel, half a side apart, and octave by octave."""

import math

import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.mutual_information import correlation, information
from spinlock.numerics.grid import Grid
from spinlock.testing.laws import draw_from, white_noise

DRAW = draw_from(registry["mutual_information"])


def mean_bits(fields, first=0, second=1):
    return float(information(fields[:, first], fields[:, second]).mean())


def test_bits_and_correlation_are_inverse():
    bits = torch.tensor([0.01, 0.5, 1.0, 3.0], dtype=torch.float64)
    rho = correlation(bits)
    assert torch.allclose(-0.5 * torch.log2(1 - rho.square()), bits)
    assert float(rho[2]) == pytest.approx(math.sqrt(0.75))


@pytest.mark.parametrize("pattern", ["local", "hierarchical"])
@pytest.mark.parametrize("bits", [0.1, 1.0, 2.5])
def test_fields_share_the_bits_asked_for(pattern, bits):
    fields = DRAW(64, 128, 3, mi_bits=bits, correlation_pattern=pattern)
    assert mean_bits(fields) == pytest.approx(bits, rel=0.03, abs=0.002)
    assert mean_bits(fields, 0, 2) < 0.02
    assert mean_bits(fields, 1, 2) < 0.02


def test_the_noise_scale_sets_the_correlation():
    fields = DRAW(64, 64, 2, local_noise_scale=0.3)
    assert mean_bits(fields) == pytest.approx(-0.5 * math.log2(1 - 0.7**2), rel=0.03)
    with pytest.raises(OptionError, match="mi_bits: has no effect"):
        generate("mutual_information", 64, local_noise_scale=0.3, mi_bits=1.0)


@pytest.mark.parametrize("size", [64, 65])
def test_partners_stand_half_a_side_apart(size):
    fields = DRAW(32, size, 3, correlation_pattern="long_range", num_channels_correlated=3)
    half = size // 2
    assert mean_bits(fields) < 0.02
    down = information(fields[:, 0].roll(-half, -2), fields[:, 1])
    across = information(fields[:, 0].roll(-half, -1), fields[:, 2])
    assert float(down.mean()) == pytest.approx(1.0, abs=0.03)
    assert float(across.mean()) == pytest.approx(1.0, abs=0.03)
    if size % 2:
        assert float(information(fields[:, 0].roll(half, -2), fields[:, 1]).mean()) < 0.9


@pytest.mark.parametrize("pattern", ["local", "hierarchical"])
def test_three_fields_may_be_exchangeable(pattern):
    fields = DRAW(64, 64, 3, num_channels_correlated=3, correlation_pattern=pattern)
    for pair in ((0, 1), (0, 2), (1, 2)):
        assert mean_bits(fields, *pair) == pytest.approx(1.0, rel=0.03)
    two = DRAW(4, 64, 3, correlation_pattern=pattern)
    assert torch.allclose(fields[:4, :2], two[:, :2], atol=1e-5)


def coherence(fields):
    """Return the correlation of the Fourier amplitudes of two fields in each octave."""
    first, second = (torch.fft.rfft2(fields[:, c].double()) for c in (0, 1))
    octave = Grid(fields.shape[-1]).cycles.clamp(min=1).log2().floor()
    found = []
    for number in range(5):
        here = octave == number
        cross = (first * second.conj()).real[:, here].sum()
        found.append(
            float(cross / (first.abs().square()[:, here].sum() * second.abs().square()[:, here].sum()).sqrt())
        )
    return torch.tensor(found)


def test_coarse_octaves_share_twice_the_bits_of_the_next():
    fields = DRAW(128, 64, 2, correlation_pattern="hierarchical", mi_bits=0.5)
    bits = -0.5 * torch.log2(1 - coherence(fields).square())
    ratio = bits[:-1] / bits[1:]
    assert torch.allclose(ratio, torch.full((4,), 2.0), rtol=0.2)
    flat = coherence(DRAW(128, 64, 2, mi_bits=0.5))
    assert torch.allclose(flat, torch.full((5,), math.sqrt(0.5)), atol=0.05)


@pytest.mark.parametrize("length", [0.0, 0.02, 0.1])
def test_fields_have_variance_one(length):
    fields = DRAW(128, 64, 3, latent_length_scale=length).double()
    assert float(fields.square().mean()) == pytest.approx(1.0, abs=0.05)
    assert float(fields.mean(dim=(2, 3)).abs().max()) < 1e-5


def test_unrelated_fields_share_nothing():
    assert mean_bits(white_noise()(64)) < 0.001
