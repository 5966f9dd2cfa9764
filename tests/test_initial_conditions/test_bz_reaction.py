"""Defects, wavelengths and amplitudes of reaction waves."""

import math

import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.bz_reaction import (
    AMPLITUDE,
    SELECTED,
    distances,
    oscillate,
    separated,
    spirals,
)
from spinlock.initial_conditions.defect_laws import amplitude, phase_gradient
from spinlock.keys import Key
from spinlock.numerics import barkley
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.winding import winding_numbers
from spinlock.testing.laws import white_noise

ENTRY = registry["bz_reaction"]
N = 128


def fields_of(count, size, **options):
    return generate("bz_reaction", size, 3, range(count), **options)


def count(wave):
    windings = winding_numbers(wave)
    assert not windings.sum(dim=(1, 2)).any()
    return (windings != 0).sum(dim=(1, 2))


def turns(wave, wavelength):
    """Return the median of |∇ arg A|·wavelength/2π away from the defects of each field."""
    size, slope = wave.abs(), phase_gradient(wave)
    clear = size > 0.85 * size.amax(dim=(1, 2), keepdim=True)
    medians = [float(part[where].median()) for part, where in zip(slope, clear, strict=True)]
    return torch.tensor(medians) * wavelength / (2 * math.pi)


def check_spirals(draws, **options):
    fields = fields_of(draws, N, **options)
    wave = amplitude(fields)
    assert (count(wave) == options.get("num_spirals", 2)).double().mean() >= 0.8
    assert wave.abs().amin(dim=(1, 2)).max() < 0.35
    medians = wave.abs().flatten(1).median(dim=1).values
    assert (medians - AMPLITUDE).abs().max() < 0.03
    assert (turns(wave, options.get("wavelength", 24.0)) - 1).abs().max() < 0.1


@pytest.mark.parametrize("options", [{}, {"num_spirals": 8}, {"wavelength": 16.0}])
def test_spirals(options):
    check_spirals(4, **options)


@pytest.mark.slow
@pytest.mark.parametrize("wavelength", [16.0, 24.0, 48.0])
@pytest.mark.parametrize("num_spirals", [2, 4, 6, 8])
def test_all_spirals(num_spirals, wavelength):
    fields = fields_of(32, N, num_spirals=num_spirals, wavelength=wavelength)
    assert (count(amplitude(fields)) == num_spirals).double().mean() >= 0.8
    if wavelength * math.sqrt(num_spirals) <= 70.0:
        check_spirals(32, num_spirals=num_spirals, wavelength=wavelength)


@pytest.mark.parametrize("steps", [50, 300])
def test_waves_that_go_outwards_last(steps):
    """The other sign of the start unwinds: its waves grow long, where those of the right one stay."""
    grid = Grid(64)
    keys = SampleKeys.of(Key(0, "bz_reaction"), torch.arange(4), ENTRY.sites)
    unit = torch.full((4, 1, 1), 2 * math.pi / SELECTED / 12.0)
    places = separated(keys)[:, :2]
    start = spirals(grid, places, unit)
    nearest = (distances(grid, places) * unit[:, None]).amin(dim=1)
    inward = start * torch.polar(torch.ones_like(nearest), 2 * SELECTED * nearest)
    ends = (oscillate(grid, "spiral", places, wave, unit, steps) for wave in (start, inward))
    out, inwards = (turns(end.to(torch.complex128), 12.0) for end in ends)
    assert (out - 1).abs().max() < 0.1
    if steps == 300:
        assert inwards.max() < 0.85


def test_spirals_stand_where_they_were_put_and_apart():
    keys = SampleKeys.of(Key(0, "bz_reaction"), torch.arange(64), ENTRY.sites)
    places = separated(keys)
    apart = (places[:, :, None] - places[:, None]).abs()
    distance = torch.minimum(apart, 1 - apart).square().sum(dim=-1).sqrt() + torch.eye(8)
    assert distance.min() > 0.1
    assert distance[:, :2, :2].min() > 0.4
    fields = generate("bz_reaction", N, 3, range(4), num_spirals=4)
    for field, centres in zip(amplitude(fields), places[:, :4] * N, strict=False):
        for core in winding_numbers(field).nonzero():
            offset = (core + 0.5 - centres + N / 2) % N - N / 2
            assert offset.norm(dim=1).min() < 6.0


def test_a_target_is_rings_without_defects():
    wave = amplitude(fields_of(4, N, pattern_type="target"))
    assert not count(wave).any()
    assert (turns(wave, 24.0) - 1).abs().max() < 0.1
    assert wave.abs().min() > 0.8


def test_the_pacemaker_keeps_its_rings():
    wave = amplitude(fields_of(2, 64, pattern_type="target", steps=300))
    assert (turns(wave, 12.0) - 1).abs().max() < 0.1


@pytest.mark.slow
def test_turbulence_has_many_defects():
    defects = count(amplitude(fields_of(16, N, pattern_type="turbulent")))
    assert defects.min() > 20
    assert 50 < defects.double().mean() < 100


def test_noise_is_told_from_turbulence_and_from_spirals():
    wave = amplitude(white_noise()(2, N))
    assert count(wave).min() > 1000
    assert (turns(wave, 24.0) - 1).abs().min() > 0.5


@pytest.mark.parametrize("pattern", ["spiral", "target", "turbulent"])
def test_the_phase_offset_turns_the_pattern(pattern):
    """The equation has no preferred phase; turbulence forgets by rounding alone, so it is run shortly."""
    options = {"pattern_type": pattern, "steps": 50}
    turned = amplitude(fields_of(2, 64, phase_offset=1.0, **options))
    plain = amplitude(fields_of(2, 64, **options)) * torch.exp(torch.tensor(1.0j))
    assert (turned - plain).abs().max() < 1e-3


def test_an_excitable_medium_is_at_rest_or_excited():
    fields = fields_of(4, N, model="barkley", num_spirals=4)
    assert (count(amplitude(fields, barkley.CENTRE)) == 4).all()
    u = fields[:, 0]
    assert ((u < 0.1) | (u > 0.9)).double().mean() > 0.7
    assert 0.1 < (u > 0.5).double().mean() < 0.5
    oscillating = fields_of(4, N)[:, 0]
    scaled = (oscillating - oscillating.min()) / (oscillating.max() - oscillating.min())
    assert ((scaled < 0.1) | (scaled > 0.9)).double().mean() < 0.5


@pytest.mark.parametrize("pattern", ["target", "turbulent"])
def test_an_excitable_medium_keeps_spirals_only(pattern):
    with pytest.raises(OptionError, match=f"no {pattern} pattern.*use pattern_type spiral"):
        generate("bz_reaction", 32, model="barkley", pattern_type=pattern)


@pytest.mark.parametrize("number", [1, 3, 10])
def test_a_torus_holds_as_many_spirals_of_either_sign(number):
    with pytest.raises(OptionError, match=r"one of 2, 4, 6, 8"):
        generate("bz_reaction", 32, num_spirals=number)
