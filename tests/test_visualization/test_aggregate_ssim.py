"""Structural similarity of realizations: scikit-image as the oracle, known answers, small grids."""

import itertools

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from spinlock.keys import Key
from spinlock.numerics.random import SampleKeys
from spinlock.visualization.aggregates import EnsembleFrame
from spinlock.visualization.aggregates.ssim import RADIUS, circular_window, ssim


def noise(count, *shape, seed=0):
    keys = SampleKeys.of(Key(seed, "ssim"), torch.arange(count), ("noise",))
    return keys.normal("noise", *shape)


def alike(members, channels, height, width, share=0.4):
    """Return realizations that share a smooth pattern and differ by noise."""
    pattern = noise(1, channels, height, width, seed=1)
    pattern = pattern + pattern.roll(1, -1) + pattern.roll(1, -2)
    return pattern + share * noise(members, channels, height, width)


def drawn(fields, low=None, high=None):
    frame = EnsembleFrame.of(fields, low, high)
    assert frame is not None
    return ssim(frame)[0]


def oracle(fields, padding):
    """Return scikit-image's map of fields wrapped around by so many pixels, mean over pairs and channels."""
    values = np.pad(fields.double().numpy(), [(0, 0), (0, 0), (padding, padding), (padding, padding)], "wrap")
    maps = [
        structural_similarity(
            values[i, channel],
            values[j, channel],
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=np.ptp(values[:, channel]),
            full=True,
        )[1]
        for channel in range(values.shape[1])
        for i, j in itertools.combinations(range(len(values)), 2)
    ]
    height, width = fields.shape[-2:]
    return np.mean(maps, axis=0)[padding : padding + height, padding : padding + width]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-7)])
@pytest.mark.parametrize("offset", [0.0, 30.0])
@pytest.mark.parametrize(
    ("members", "channels", "size"), [(2, 1, (24, 32)), (4, 3, (16, 16)), (10, 1, (9, 20))]
)
def test_it_agrees_with_scikit_image_on_the_torus(members, channels, size, offset, dtype, tolerance):
    fields = alike(members, channels, *size).to(dtype) + offset
    got = drawn(fields).double().numpy()
    assert np.abs(got - oracle(fields, 2 * RADIUS)).max() < tolerance
    assert got.std() > 0.005


def test_it_agrees_with_scikit_image_inside_an_image():
    fields = alike(3, 1, 32, 32)
    difference = np.abs(drawn(fields).double().numpy() - oracle(fields, 0))
    assert difference[RADIUS:-RADIUS, RADIUS:-RADIUS].max() < 1e-5
    assert difference.max() > 1e-3


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (10, 4)])
def test_the_window_wraps_around_small_grids(size):
    fields = alike(3, 1, *size)
    tiled = fields.repeat(1, 1, 4, 4)
    assert (drawn(fields) - drawn(tiled)[: size[0], : size[1]]).abs().max() < 1e-5


@pytest.mark.parametrize("size", [1, 2, 4, 10, 11, 12, 64])
def test_the_window_averages(size):
    window = circular_window(size, torch.zeros(1, dtype=torch.float64))
    ones = torch.ones(size, dtype=torch.float64)
    assert torch.allclose(window @ ones, ones, rtol=1e-12)
    assert torch.equal(window, window.T)
    assert (window[0] > 0).sum() == min(size, 2 * RADIUS + 1)


def test_equal_realizations_are_fully_similar():
    field = noise(1, 2, 16, 16) * 1e3 + 0.1
    assert torch.equal(drawn(field.expand(4, -1, -1, -1)), torch.ones(16, 16))
    assert torch.equal(drawn(field), torch.ones(16, 16))


def test_a_channel_that_is_constant_over_the_clip_is_fully_similar():
    noisy = noise(3, 1, 16, 16)
    fields = torch.cat((noisy, torch.full_like(noisy, -7.3)), dim=1)
    assert torch.allclose(drawn(fields), (drawn(noisy) + 1.0) / 2.0, atol=1e-6)
    assert torch.equal(drawn(fields[:, 1:]), torch.ones(16, 16))


def test_two_constants_differ_by_their_luminance():
    low, high, one, other = 0.0, 2.0, 0.5, 1.5
    fields = torch.tensor([one, other]).view(2, 1, 1, 1).expand(2, 1, 16, 16)
    constant = (0.01 * (high - low)) ** 2
    expected = (2 * one * other + constant) / (one**2 + other**2 + constant)
    got = drawn(fields, torch.tensor([low]), torch.tensor([high]))
    assert (got - expected).abs().max() < 1e-4


def test_opposite_patterns_have_negative_similarity():
    x = torch.arange(32)
    board = (1.0 - 2.0 * ((x[:, None] + x) % 2)).view(1, 1, 32, 32)
    assert drawn(torch.cat((board, -board))).max() < -0.9


def test_another_range_of_the_clip_changes_the_map():
    fields = alike(2, 1, 16, 16)
    wide = drawn(fields, torch.tensor([-50.0]), torch.tensor([50.0]))
    assert wide.mean() > drawn(fields).mean() + 0.1
