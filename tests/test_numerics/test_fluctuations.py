"""Mean, spread, sign and length of positive factors; numbers given or drawn."""

import math

import pytest
import torch

from spinlock.keys import Key
from spinlock.numerics.columns import spread
from spinlock.numerics.fluctuations import positive_factors
from spinlock.numerics.given import given_or_uniform
from spinlock.numerics.random import SampleKeys

KEYS = SampleKeys.of(Key(0, "fluctuations"), torch.arange(64), ("white", "angle"))
WHITE = KEYS.normal("white", 1, 64, 64)


@pytest.mark.parametrize("amplitude", [0.05, 0.5])
def test_mean_one_and_the_spread_asked_for(amplitude):
    factors = positive_factors(amplitude, 1.5, WHITE)
    assert factors.min() > 0
    assert factors.mean().item() == pytest.approx(1.0, abs=0.01)
    assert factors.std().item() == pytest.approx(amplitude, rel=0.05)


def test_no_amplitude_is_exactly_one():
    assert torch.equal(positive_factors(0.0, 3.0, WHITE), torch.ones_like(WHITE, dtype=torch.float64))


def test_amplitudes_are_per_sample():
    factors = positive_factors(torch.linspace(0.0, 0.3, 64), 2.0, WHITE)
    assert spread(factors)[0].item() == 0.0
    assert (spread(factors[32:]) > spread(factors[:32]).mean()).all()


def test_neighbours_correlate_over_the_length():
    noise = positive_factors(0.05, 4.0, WHITE)[:, 0] - 1.0
    correlation = (noise * noise.roll(4, 1)).mean() / noise.square().mean()
    assert correlation.item() == pytest.approx(math.exp(-0.5), abs=0.05)


def test_given_numbers_are_taken_and_others_drawn():
    assert given_or_uniform(KEYS, "angle", 0.25, (0.0, 1.0)).tolist() == [0.25] * 64
    own = torch.linspace(0, 1, 64)
    assert torch.equal(given_or_uniform(KEYS, "angle", own, (0.0, 1.0)), own.double())
    drawn = given_or_uniform(KEYS, "angle", None, (2.0, 6.0))
    assert drawn.min() > 2.0
    assert drawn.max() < 6.0
    assert len(drawn.unique()) == 64
    assert drawn.mean().item() == pytest.approx(4.0, abs=0.5)
