"""Entropy of an ensemble: known splits, bounds, and a histogram of each pixel as the oracle."""

import math

import numpy as np
import pytest
import torch

from spinlock.keys import Key
from spinlock.numerics.random import SampleKeys
from spinlock.visualization.aggregates import EnsembleFrame
from spinlock.visualization.aggregates.entropy import bin_counts, bins_of, entropy


def drawn(fields, low=None, high=None):
    frame = EnsembleFrame.of(fields, low, high)
    assert frame is not None
    return entropy(frame)


def of_shares(*counts):
    """Return the entropy in bits of so many values in each bin."""
    total = sum(counts)
    return sum(-count / total * math.log2(count / total) for count in counts if count)


def split(members, at_one):
    """Return fields of which so many realizations are 1 and the others 0, [m, 1, 2, 3]."""
    fields = torch.zeros(members, 1, 2, 3)
    fields[:at_one] = 1.0
    return fields


def test_bins_follow_sturges_rule():
    assert [bins_of(m) for m in (1, 2, 3, 4, 5, 8, 9, 10, 16, 17)] == [1, 2, 3, 3, 4, 4, 5, 5, 5, 6]
    assert all(bins_of(m) == math.ceil(math.log2(m)) + 1 for m in range(1, 2000))


@pytest.mark.parametrize("members", [2, 4, 10, 64])
def test_two_values_half_and_half_are_one_bit(members):
    assert drawn(split(members, members // 2)).flatten().tolist() == [1.0] * 6


@pytest.mark.parametrize(("members", "at_one"), [(4, 1), (3, 1), (10, 3), (10, 9), (200, 60)])
def test_other_splits_have_their_entropy(members, at_one):
    expected = of_shares(at_one, members - at_one)
    assert drawn(split(members, at_one)).flatten().tolist() == pytest.approx([expected] * 6, rel=1e-6)


def test_one_value_in_each_bin_is_the_greatest_entropy():
    fields = torch.arange(5.0).repeat(2).view(10, 1, 1, 1)
    assert drawn(fields).item() == pytest.approx(math.log2(5), rel=1e-6)


def test_bins_are_those_of_the_clip():
    fields = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)
    assert drawn(fields).item() == 1.0
    assert drawn(fields, torch.tensor([-10.0]), torch.tensor([10.0])).item() == 0.0
    assert drawn(fields, torch.tensor([-0.5]), torch.tensor([1.5])).item() == 1.0


def test_a_channel_that_is_constant_over_the_clip_has_none():
    fields = torch.cat((split(4, 2), torch.full((4, 1, 2, 3), 7.0)), dim=1)
    assert drawn(fields).flatten().tolist() == [0.5] * 6
    assert not drawn(fields[:, 1:]).any()


def test_the_least_span_still_makes_bins():
    least = torch.finfo(torch.float32).smallest_normal
    assert drawn(split(2, 1) * least).flatten().tolist() == [1.0] * 6


@pytest.mark.parametrize("members", [1, 2, 3, 10, 15, 31, 32, 63, 127, 128, 200])
def test_counts_are_those_of_each_bin(members):
    bins = bins_of(members)
    keys = SampleKeys.of(Key(1, "entropy"), torch.arange(members), ("bin",))
    numbers = keys.integers("bin", bins, 2, 3, 4).to(torch.int32)
    counts = torch.stack(bin_counts(numbers, bins)).long()
    expected = torch.nn.functional.one_hot(numbers.long(), bins).sum(dim=0).movedim(-1, 0)
    assert torch.equal(counts, expected)
    full = torch.full((members, 1, 1, 1), bins - 1, dtype=torch.int32)
    assert [int(count) for count in bin_counts(full, bins)] == [0] * (bins - 1) + [members]


@pytest.mark.parametrize(("members", "channels"), [(10, 1), (7, 3), (150, 2)])
def test_it_agrees_with_a_histogram_of_each_pixel(members, channels):
    keys = SampleKeys.of(Key(2, "entropy"), torch.arange(members), ("values",))
    fields = keys.normal("values", channels, 8, 9)
    low, high = fields.amin(dim=(0, 2, 3)), fields.amax(dim=(0, 2, 3))
    expected = np.zeros((8, 9))
    for channel, row, column in np.ndindex(channels, 8, 9):
        limits = low[channel].item(), high[channel].item()
        counts, _ = np.histogram(fields[:, channel, row, column].numpy(), bins_of(members), limits)
        expected[row, column] += of_shares(*counts.tolist()) / channels
    assert np.abs(drawn(fields)[0].numpy() - expected).max() < 1e-6
