"""Mean, variance, standard deviation, envelope, overlay: known answers."""

import colorsys
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spinlock.visualization.aggregates import EnsembleFrame, aggregates
from spinlock.visualization.aggregates.overlay import hue

VALUES = arrays.arrays("float32", (4, 2, 3, 3), elements=st.floats(-1e4, 1e4, width=32))


def drawn(name, fields):
    frame = EnsembleFrame.of(fields)
    assert frame is not None
    return aggregates[name](frame)


def two_valued(members, at_one, gap, channels=1):
    """Return fields of which so many realizations are 1 + gap and the others 1, [m, c, 2, 2]."""
    fields = torch.ones(members, channels, 2, 2)
    fields[:at_one] += gap
    return fields


@pytest.mark.parametrize(("members", "at_one"), [(2, 1), (4, 1), (10, 5), (10, 3), (7, 6)])
def test_two_values_have_their_known_spread(members, at_one):
    gap = 0.5
    fields = two_valued(members, at_one, gap)
    expected = gap**2 * at_one * (members - at_one) / (members * (members - 1))
    assert drawn("variance", fields).flatten().tolist() == pytest.approx([expected] * 4, rel=1e-7)
    assert drawn("stddev", fields).flatten().tolist() == pytest.approx([math.sqrt(expected)] * 4, rel=1e-7)
    assert drawn("envelope", fields).flatten().tolist() == [gap] * 4
    assert drawn("mean", fields).flatten().tolist() == pytest.approx([1 + gap * at_one / members] * 4)


def test_channels_join_by_their_norm():
    fields = torch.zeros(2, 2, 1, 1)
    fields[1, 0], fields[1, 1] = 3.0, 4.0
    assert drawn("envelope", fields).item() == 5.0
    assert drawn("stddev", fields).item() == pytest.approx(5.0 / math.sqrt(2.0))
    assert drawn("variance", fields).item() == pytest.approx(math.hypot(9.0, 16.0) / 2.0)


def test_a_small_spread_survives_a_large_offset():
    fields = torch.tensor([4096.0, 4096.0 + 2.0**-10]).view(2, 1, 1, 1)
    assert drawn("variance", fields).item() == 2.0**-21
    naive = fields.square().mean() - fields.mean().square()
    assert naive.item() != pytest.approx(2.0**-22, rel=0.5)


@given(VALUES)
def test_spreads_obey_their_inequalities(values):
    fields = torch.from_numpy(values)
    width, deviation = drawn("envelope", fields), drawn("stddev", fields)
    members = len(fields)
    slack = 1e-6 * width + 1e-30
    assert bool((deviation <= width * math.sqrt(members / (4.0 * (members - 1))) + slack).all())
    assert bool((deviation >= width / math.sqrt(2.0 * (members - 1)) - slack).all())


@given(VALUES)
def test_variance_is_half_the_mean_square_of_the_differences_of_pairs(values):
    fields = torch.from_numpy(values)[:, :1]
    pairs = torch.combinations(torch.arange(len(fields)))
    squares = (fields[pairs[:, 0]].double() - fields[pairs[:, 1]].double()).square().mean(dim=0) / 2
    assert torch.allclose(drawn("variance", fields).double(), squares, rtol=1e-6, atol=1e-30)


# --- overlay ---


def test_hues_are_saturated_distinct_and_fixed():
    colours = [hue(number) for number in range(10)]
    turns = [colorsys.rgb_to_hsv(*colour)[0] for colour in colours]
    assert hue(0) == (1.0, 0.0, 0.0)
    assert all(max(colour) == 1.0 and min(colour) == 0.0 for colour in colours)
    gaps = [min((a - b) % 1.0, (b - a) % 1.0) for i, a in enumerate(turns) for b in turns[:i]]
    assert min(gaps) > 0.05


def test_a_realization_that_stands_out_shows_its_hue():
    fields = torch.full((3, 2, 4, 4), 0.25)
    fields[2, :, 1, 1] += 3.0
    luminance, colour, weight = drawn("overlay", fields).split([1, 3, 1])
    away = torch.tensor(hue(2)) * 2 + torch.tensor(hue(0)) + torch.tensor(hue(1))
    assert torch.allclose(colour[:, 1, 1], away / 4)
    assert weight[0, 1, 1].item() == pytest.approx(2.0 * math.sqrt(2.0))
    assert luminance[0, 1, 1].item() == pytest.approx(1.25)
    colour[:, 1, 1] = 0.0
    weight[0, 1, 1] = 0.0
    assert not colour.any()
    assert not weight.any()
    assert luminance[0, 0, 0].item() == 0.25


def test_two_realizations_blend_half_and_half():
    fields = torch.zeros(2, 1, 1, 1)
    fields[1] = 1.0
    _, red, green, blue, weight = drawn("overlay", fields).flatten().tolist()
    expected = [(a + b) / 2 for a, b in zip(hue(0), hue(1), strict=True)]
    assert [red, green, blue] == pytest.approx(expected)
    assert weight == 0.5


def test_a_realization_keeps_its_hue_when_another_drops_out():
    fields = torch.zeros(3, 1, 1, 2)
    fields[0] = math.nan
    fields[2, 0, 0, 0] = 1.0
    colour = drawn("overlay", fields)[1:4, 0, 0].tolist()
    assert colour == pytest.approx([(a + b) / 2 for a, b in zip(hue(1), hue(2), strict=True)])
