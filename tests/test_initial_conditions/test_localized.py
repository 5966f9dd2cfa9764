"""Profile, integral, rank and sign of localized blobs."""

import math

import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.laws import moments
from spinlock.keys import Key
from spinlock.numerics.random import SampleKeys
from spinlock.testing.laws import draw_from, white_noise

DRAW = draw_from(registry["localized"])


def one_blob(width, size=128, count=8):
    return generate(
        "localized", size, 3, range(count), num_blobs=1, min_width=width, max_width=width
    ).double()


@pytest.mark.parametrize(("width", "step"), [(4.0, 4), (8.0, 8), (12.0, 12)])
def test_a_blob_falls_to_e_to_minus_a_half_at_one_width(width, step):
    """f(x + s)·f(x − s)/f(x)² = e^−1 for a Gaussian of width s, wherever its centre is between the pixels."""
    for field in one_blob(width)[:, 0]:
        row, column = divmod(int(field.abs().argmax()), 128)
        for axis, at in ((0, row), (1, column)):
            line = field.movedim(axis, 0).select(1, column if axis == 0 else row)
            ratio = math.sqrt(line[(at + step) % 128] * line[(at - step) % 128]) / abs(float(line[at]))
            assert ratio == pytest.approx(math.exp(-0.5), abs=1e-3)


@pytest.mark.parametrize("width", [2.5, 6.0, 12.0])
def test_a_blob_integrates_to_two_pi_s_squared_a(width):
    entry = registry["localized"]
    keys = SampleKeys.of(Key(0, "localized"), torch.arange(8), entry.sites)
    amplitude = 2.0 * keys.normal("amplitude", 50, 3)[:, 0].double()
    assert torch.allclose(one_blob(width).sum(dim=(-2, -1)), 2 * math.pi * width**2 * amplitude, rtol=0.01)


def test_width_scales_with_the_grid():
    small, large = one_blob(8.0, 64), one_blob(8.0, 256)
    assert torch.allclose(small, large[..., ::4, ::4], atol=1e-5)


@pytest.mark.parametrize("num_blobs", [1, 2])
def test_channels_share_their_blobs(num_blobs):
    channels = generate("localized", 64, 3, range(8), num_blobs=num_blobs).flatten(2).double()
    assert torch.linalg.matrix_rank(channels, rtol=1e-5).tolist() == [num_blobs] * 8
    noise = white_noise()(8).flatten(2).double()
    assert torch.linalg.matrix_rank(noise, rtol=1e-5).tolist() == [3] * 8


def test_sparse_blobs_have_heavy_tails_and_many_have_not():
    sparse = moments(DRAW(32, 64, 1, num_blobs=3, max_width=6.0).flatten(2))[1]
    dense = moments(DRAW(32, 64, 1, num_blobs=50, min_width=15.0).flatten(2))[1]
    assert sparse.median() > 1.0
    assert dense.median() < 1.0


def test_positive_blobs_are_the_same_blobs_upright():
    signed = generate("localized", 64, 3, range(16), num_blobs=1)
    assert torch.equal(signed.abs(), generate("localized", 64, 3, range(16), num_blobs=1, positive=True))
    assert (signed < 0).any()


def test_more_blobs_are_added_to_those_there():
    two, three = (generate("localized", 64, 3, range(16), num_blobs=number) for number in (2, 3))
    added = (three - two).flatten(2).double()
    assert torch.linalg.matrix_rank(added, atol=1e-5).max() == 1


@pytest.mark.parametrize(
    "options",
    [{"min_width": 20}, {"max_width": 3}, {"min_width": 12, "max_width_range": [10, 20]}],
)
def test_widths_out_of_order_are_refused(options):
    with pytest.raises(OptionError, match=r"min_width .* is above max_width"):
        generate("localized", 64, **options)
