"""Spectrum of an ensemble: single waves, Parseval, the floor, zero frequency in the centre."""

import math

import pytest
import torch

from spinlock.keys import Key
from spinlock.numerics.random import SampleKeys
from spinlock.visualization.aggregates import EnsembleFrame
from spinlock.visualization.aggregates.spectral import hermitian_plane, spectral


def noise(count, *shape, seed=0):
    keys = SampleKeys.of(Key(seed, "spectral"), torch.arange(count), ("noise",))
    return keys.normal("noise", *shape)


def drawn(fields):
    frame = EnsembleFrame.of(fields)
    assert frame is not None
    return spectral(frame)[0]


def wave(ky, kx, height, width, amplitude=1.0):
    """Return A·cos(2π(k_y y/H + k_x x/W)), [1, 1, H, W] float32."""
    y, x = (torch.arange(n, dtype=torch.float64) for n in (height, width))
    phase = ky * y[:, None] / height + kx * x[None, :] / width
    return (amplitude * torch.cos(2.0 * math.pi * phase)).float()[None, None]


@pytest.mark.parametrize(("ky", "kx"), [(3, 5), (-4, 7), (0, 2), (6, 0), (-1, -1)])
@pytest.mark.parametrize("size", [(32, 32), (24, 40), (17, 21)])
def test_a_wave_is_two_peaks_and_nothing_else(ky, kx, size):
    height, width = size
    amplitude = 0.3
    maps = drawn(wave(ky, kx, height, width, amplitude))
    peak = 2.0 * math.log10(amplitude * height * width / 2.0)
    places = [(height // 2 + s * ky, width // 2 + s * kx) for s in (1, -1)]
    assert [maps[place].item() for place in places] == pytest.approx([peak] * 2, abs=1e-5)
    for place in places:
        maps[place] = peak - 14.0
    assert torch.allclose(maps, torch.full_like(maps, peak - 14.0), atol=1e-5)


def test_a_constant_is_one_peak_in_the_centre():
    maps = drawn(torch.full((2, 1, 8, 12), 3.0))
    assert maps[4, 6].item() == pytest.approx(2.0 * math.log10(3.0 * 8 * 12), abs=1e-6)
    assert (maps > maps.min()).sum() == 1


def test_a_checkerboard_is_one_peak_in_the_corner():
    board = wave(0, 4, 8, 8) * wave(4, 0, 8, 8)
    maps = drawn(board)
    assert maps[0, 0].item() == pytest.approx(2.0 * math.log10(64.0), abs=1e-6)
    assert (maps > maps.min()).sum() == 1


@pytest.mark.parametrize("size", [(16, 16), (15, 18), (4, 5)])
@pytest.mark.parametrize(("members", "channels"), [(1, 1), (3, 2), (10, 3)])
def test_powers_sum_to_the_mean_square(members, channels, size):
    fields = noise(members, channels, *size) + 0.5
    powers = 10.0 ** drawn(fields).double()
    pixels = size[0] * size[1]
    assert powers.sum().item() == pytest.approx(
        pixels * fields.double().square().sum().item() / (members * channels), rel=1e-5
    )


@pytest.mark.parametrize("size", [(16, 16), (15, 18), (16, 17), (1, 2), (5, 1)])
def test_it_agrees_with_the_full_transform(size):
    fields = noise(3, 2, *size)
    powers = torch.fft.fft2(fields.double()).abs().square().mean(dim=(0, 1))
    expected = torch.fft.fftshift(powers).log10().float()
    assert torch.allclose(drawn(fields), expected, atol=1e-4)


def test_the_half_plane_gives_back_an_even_plane():
    plane = torch.fft.fft2(noise(1, 7, 10)[0].double()).abs()
    assert torch.allclose(hermitian_plane(plane[:, :6], 10), plane, rtol=1e-12)


def test_powers_are_averaged_before_the_logarithm():
    fields = torch.cat((wave(0, 3, 16, 16, 1.0), wave(0, 3, 16, 16, 3.0)))
    expected = math.log10((1.0 + 9.0) / 2.0 * (16 * 16 / 2) ** 2)
    assert drawn(fields)[8, 11].item() == pytest.approx(expected, abs=1e-6)
    joined = drawn(fields.view(1, 2, 16, 16))
    assert joined[8, 11].item() == pytest.approx(expected, abs=1e-6)


def test_a_field_of_zeros_is_constant_and_below_every_other():
    zeros = drawn(torch.zeros(2, 1, 8, 8))
    assert torch.equal(zeros, zeros[0, 0].expand(8, 8))
    assert zeros[0, 0].item() == pytest.approx(math.log10(torch.finfo(torch.float32).tiny))
    assert drawn(wave(1, 2, 8, 8, 1e-8)).min() > zeros[0, 0]


def test_powers_of_greatest_fields_are_finite():
    assert bool(drawn(noise(2, 1, 16, 16) * 1e30).isfinite().all())
