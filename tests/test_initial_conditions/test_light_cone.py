"""Causality, the retarded wave of two dimensions, and the events inside a cone."""

import math

import pytest
import torch

from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.causal_laws import energy_outside, reach
from spinlock.initial_conditions.light_cone import waves
from spinlock.keys import Key
from spinlock.numerics.grid import Grid
from spinlock.numerics.klein_gordon import evolve
from spinlock.numerics.random import SampleKeys
from spinlock.testing.laws import white_noise

ENTRY = registry["light_cone"]
N, RADIUS, WIDTH = 128, 20.0, 2.0


def fields_of(count, size, **options):
    return generate("light_cone", size, 3, range(count), **options)


def unscaled(count=4, num_cones=1, num_events=8, mass=0.0, radius=RADIUS):
    keys = SampleKeys.of(Key(0, "light_cone"), torch.arange(count), ENTRY.sites)
    options = (torch.full((count,), value) for value in (radius, WIDTH, num_cones, num_events, mass))
    return waves(Grid(N), keys, *options)


def distance(fields):
    """Return the distance of each pixel from the apex, which is where channel 2 is greatest."""
    apex = SampleKeys.of(Key(0, "light_cone"), torch.arange(len(fields)), ENTRY.sites).uniform("apexes", 3, 2)
    offset = Grid(N).offset(N * apex[:, 0])
    return torch.hypot(offset[:, 0, :, None], offset[:, 1, None, :])


@pytest.mark.parametrize(
    "options",
    [{}, {"num_cones": 3, "num_events": 64}, {"cone_radius": 42.0, "smoothing": 5.0}, {"mass": 0.5}],
)
def test_no_signal_is_faster_than_light(options):
    width = options.get("smoothing", WIDTH)
    outside = energy_outside(fields_of(4, N, **options), 4.0 * width)
    assert outside.max() < 1e-6
    assert energy_outside(fields_of(4, N, **options), 0.0).min() > 1e-3


@pytest.mark.parametrize(("size", "share"), [(16, 1e-5), (50, 1e-5), (64, 1e-5), (96, 1e-6)])
def test_sources_as_narrow_as_a_pixel_leak_a_little(size, share):
    """The width is one pixel up to a 64 grid: its spectrum is cut off, and rings."""
    margin = 4.0 * max(Grid(size).pixels(WIDTH), 1.0)
    assert float(energy_outside(fields_of(16, size), margin).max()) < share


def test_noise_is_everywhere():
    noise = white_noise()(4, N)
    noise[:, 2] = fields_of(4, N)[:, 2]
    assert energy_outside(noise, 4.0 * WIDTH).min() > 0.5


def test_the_wave_goes_on_at_the_speed_of_light():
    fields = unscaled()
    later = torch.stack(
        (*evolve(fields[:, 0].double(), fields[:, 1].double(), 0.0, 10.0), fields[:, 2].double()), dim=1
    )
    assert energy_outside(later, 10.0 + 4.0 * WIDTH).max() < 1e-6
    assert energy_outside(later, 4.0 * WIDTH).min() > 1e-3


def test_the_bare_wave_is_the_retarded_green_function():
    """Away from its rim φ = 1/(2π·√(t² − r²)): a wake that fills the disc, unlike in three dimensions."""
    phi, r = unscaled(num_events=0)[:, 0].double(), distance(unscaled(num_events=0))
    inside = r < RADIUS - 4.0 * WIDTH
    expected = 1.0 / (2.0 * math.pi * (RADIUS**2 - r.double().square()).clamp(min=1.0).sqrt())
    assert ((phi / expected - 1.0).abs()[inside] < 0.06).all()
    assert ((phi / expected - 1.0).abs()[r < RADIUS / 3] < 0.02).all()


@pytest.mark.parametrize("radius", [12.0, 20.0, 40.0])
def test_the_crest_is_at_the_rim(radius):
    phi = fields_of(8, N, num_events=0, cone_radius=radius)[:, 0]
    for field, r in zip(phi, distance(phi), strict=True):
        assert float(r.flatten()[field.argmax()]) == pytest.approx(radius, abs=2.0 * WIDTH)


def test_a_massive_wave_lags_and_swings():
    light, heavy = (unscaled(num_events=0, mass=mass)[:, 0] for mass in (0.0, 0.5))
    r = distance(light)
    assert light[r < RADIUS - 8].min() > 0
    assert heavy[r < RADIUS - 4].min() < 0


def test_channel_two_is_the_proper_time():
    tau, r = fields_of(4, N)[:, 2], distance(fields_of(4, N))
    assert torch.allclose(tau, (1 - (r / RADIUS).square()).clamp(min=0).sqrt(), atol=1e-5)


def test_cones_add_up():
    one, two = unscaled(num_cones=1), unscaled(num_cones=2)
    assert (two[:, 2] >= one[:, 2]).all()
    added = two[:, :2] - one[:, :2]
    region = reach((two[:, 2] > one[:, 2]).double(), RADIUS + 4 * WIDTH)
    assert (added * (1 - region[:, None])).abs().max() < 1e-5 * added.abs().max()
    assert added.abs().max() > 0


def test_later_events_add_to_those_there():
    few, more = unscaled(num_events=3), unscaled(num_events=4)
    added = torch.stack((*(more - few)[:, :2].unbind(dim=1), few[:, 2]), dim=1)
    assert energy_outside(added, 4.0 * WIDTH).max() < 1e-6
    assert (added[:, :2].abs().amax(dim=(1, 2, 3)) > 1e-4).all()
    assert torch.equal(unscaled(num_events=64)[:, 2], few[:, 2])


def test_a_source_narrower_than_a_pixel_is_widened():
    """At 16 pixels a side two px of a 128 grid are a quarter of one: the wave would ring outside."""
    fields = generate("light_cone", 64, 3, range(4), smoothing=1.0)
    assert energy_outside(fields, 4.0).max() < 1e-4
