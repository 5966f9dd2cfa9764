"""Profiles, directions and fluctuations of thermal_gradient."""

import math

import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.front_laws import (
    conducted_flux,
    conduction_direction,
    gradient_direction,
    relative_fluctuations,
)
from spinlock.testing.laws import draw_from, holds, white_noise

DRAW = draw_from(registry["thermal_gradient"], seed=11)
QUIET = {"thermal_noise_amplitude": 0.0}


@pytest.mark.parametrize(
    ("beta", "ends"), [(1.0, (0.0, 1.0)), (0.3, (0.5, 1.0)), (0.5, (0.0, 2.0)), (3.0, (1.0, 5.0))]
)
def test_the_temperature_is_the_solution_of_fourier(beta, ends):
    """Along x, T^(1/β) is linear from end to end."""
    row = DRAW(1, 64, 1, gradient_direction="x", beta=beta, temperature_range=ends, **QUIET)[0, 0, 0].double()
    share = torch.linspace(0, 1, 64, dtype=torch.float64)
    low, high = (end ** (1 / beta) for end in ends)
    assert torch.allclose(row.pow(1 / beta), low + share * (high - low), rtol=1e-5, atol=1e-6)


def test_beta_bends_the_profile():
    """κ that grows with T makes the cold side steep: the middle is warmer than the mean, and the reverse."""
    for beta, sign in ((0.4, 1), (2.5, -1)):
        row = DRAW(1, 64, 1, gradient_direction="x", beta=beta, temperature_range=(0.1, 1.0), **QUIET)[
            0, 0, 0
        ]
        assert sign * (row[32] - 0.5 * (row[0] + row[-1])) > 0.05


@pytest.mark.parametrize(("name", "angle"), [("x", 0.0), ("y", math.pi / 2), ("diagonal", math.pi / 4)])
def test_named_directions(name, angle):
    fields = DRAW(2, 64, 3, gradient_direction=name, **QUIET).double()
    assert gradient_direction(fields).tolist() == pytest.approx([angle] * 2, abs=1e-6)
    assert fields[:, 1:].flatten(2).std(dim=2).max() < 1e-6


@pytest.mark.parametrize("angle", [0.1, 1.8, 3.3, 6.0])
def test_given_angles(angle):
    fields = DRAW(2, 64, 3, gradient_angle=angle).double()
    apart = torch.remainder(gradient_direction(fields) - angle + math.pi, 2 * math.pi) - math.pi
    assert apart.abs().max() < math.radians(8)  # with noise
    assert holds(conduction_direction(angle), DRAW)


def test_any_angle_is_drawn_for_every_draw_of_a_sample():
    fields = DRAW(64, 32, 6, **QUIET).double()
    turns = torch.remainder(gradient_direction(fields), 2 * math.pi) / (math.pi / 4)
    assert set(turns.long().tolist()) == set(range(8))
    second = gradient_direction(fields[:, 3:])
    assert (second - gradient_direction(fields)).abs().min() > 1e-4


def test_the_flux_is_in_lengths_of_sides():
    """Along x the temperature falls by 1 over nearly one side, so that |q| is 1 up to the half pixels."""
    flux = DRAW(1, 64, 3, gradient_direction="x", **QUIET)[0, 1:, 0, 0]
    assert flux.tolist() == pytest.approx([-64 / 63, 0.0], abs=1e-6)


@pytest.mark.parametrize("amplitude", [0.05, 0.5])
def test_temperatures_fluctuate_about_the_mean_and_stay_positive(amplitude):
    options = {"temperature_range": (1.0, 1.5), "thermal_length_scale": 2.0}
    quiet = DRAW(32, 64, 1, **options, **QUIET)
    ratio = DRAW(32, 64, 1, thermal_noise_amplitude=amplitude, **options) / quiet
    assert ratio.min() > 0
    assert ratio.mean().item() == pytest.approx(1.0, abs=0.02)
    assert ratio.std().item() == pytest.approx(amplitude, rel=0.05)


def test_fluctuations_of_one_size_everywhere_are_found():
    def additive(count, thermal_noise_amplitude, **_):
        return DRAW(count, **QUIET) + thermal_noise_amplitude * 0.5 * white_noise()(count)

    assert holds(relative_fluctuations(0.1), DRAW)
    assert not holds(relative_fluctuations(0.1), additive)


def test_a_wrong_conductivity_is_found():
    """A linear profile carries a constant flux only where κ is constant."""
    law = conducted_flux(beta=0.5, temperature_range=(0.2, 1.0))
    assert not holds(law, lambda count, **_: DRAW(count, temperature_range=(0.2, 1.0), **QUIET))


def test_length_of_the_fluctuations():
    fields = DRAW(64, 64, 1, temperature_range=(1.0, 1.1), thermal_length_scale=8.0)[:, 0].double()
    noise = fields - fields.mean(dim=0)
    correlation = (noise[:, :, 4:] * noise[:, :, :-4]).mean() / noise.square().mean()
    assert correlation.item() == pytest.approx(math.exp(-0.5), abs=0.08)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature_range": (1.0, 1.0)}, "must be above the cold one"),
        ({"temperature_range": (-1.0, 1.0)}, "temperature_range"),
        ({"gradient_direction": "x", "gradient_angle": 0.3}, "acts only where gradient_direction is angle"),
        ({"gradient_direction": "z"}, "diagonal"),
    ],
)
def test_what_cannot_be_conducted_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        generate("thermal_gradient", 32, **options)
