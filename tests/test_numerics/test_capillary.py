"""Heights of capillary waves: rms, spectrum, cut-off, derivatives."""

import math

import pytest
import torch

from spinlock.keys import Key
from spinlock.numerics.capillary import capillary_heights
from spinlock.numerics.random import SampleKeys

COUNT, MODES = 512, 48


def heights(width=3.0, roughness=2.0, first=1, period=128.0, step=1.0):
    numbers = SampleKeys.of(Key(0, "waves"), torch.arange(COUNT), ("waves",)).normal("waves", 2, MODES)
    places = torch.arange(0.0, period, step).expand(COUNT, 1, -1)
    one = torch.ones(COUNT, 1, 1)
    return capillary_heights(numbers, places, period * one, width * one, roughness * one, first)


@pytest.mark.parametrize("width", [1.5, 3.0, 8.0])
def test_the_rms_is_the_one_asked_for(width):
    value = heights(width).value
    assert value.square().mean().sqrt().item() == pytest.approx(2.0, rel=0.05)
    assert value.mean(dim=2).abs().max() < 1e-3


def test_powers_fall_as_one_over_q_squared_up_to_the_cut_off():
    power = torch.fft.rfft(heights(1.5).value[:, 0], norm="forward").abs().square().mean(dim=0)
    order = torch.arange(1.0, 14.0)
    scaled = power[1:14] * order.square()
    assert (scaled / scaled.mean() - 1).abs().max() < 0.2
    assert power[14:].max() < 1e-3 * power[13]


@pytest.mark.parametrize(("first", "missing"), [(1, [0]), (2, [0, 1])])
def test_low_orders_are_left_out(first, missing):
    power = torch.fft.rfft(heights(first=first).value[:, 0], norm="forward").abs().square().mean(dim=0)
    assert power[missing].max() < 1e-6 * power[first]


def test_a_wide_interface_keeps_its_longest_wave():
    power = torch.fft.rfft(heights(width=100.0).value[:, 0], norm="forward").abs().square().mean(dim=0)
    assert power[1] > 1.0
    assert power[2:].max() < 1e-3


def test_derivatives_are_those_of_the_height():
    found = heights(step=0.25)
    for lower, higher in (
        (found.value, found.first),
        (found.first, found.second),
        (found.second, found.third),
    ):
        slope = (lower.roll(-1, 2) - lower.roll(1, 2)) / 0.5
        assert (slope - higher).abs().max() < 0.02 * higher.abs().max()


def test_no_roughness_is_flat():
    flat = heights(roughness=0.0)
    assert not any(part.any() for part in (flat.value, flat.first, flat.second, flat.third))
    assert math.isfinite(float(flat.value.sum()))
