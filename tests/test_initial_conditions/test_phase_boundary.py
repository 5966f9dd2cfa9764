"""Kink profile, tension, chemical potential and roughness of interfaces."""

import math

import pytest
import torch

from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.interface_laws import flat_equilibrium, laplacian, tension
from spinlock.initial_conditions.scaling_laws import log_slope
from spinlock.numerics.grid import Grid
from spinlock.testing.laws import draw_from, holds

ENTRY = registry["phase_boundary"]
DRAW = draw_from(ENTRY)
N = 128
EIGHT_TENTHS = 2.0 * math.sqrt(2.0) * math.atanh(0.8)
"""Distance between φ = −0.8 and 0.8 in units of ξ, 3.107."""


def upright(fields):
    """Return lamellae with the stripe along rows: a column cuts both interfaces."""
    phi = fields[:, 0]
    across = phi.double().mean(dim=2).abs().mean(dim=1) < phi.double().mean(dim=1).abs().mean(dim=1)
    return torch.where(across[:, None, None, None], fields.mT, fields)


def heights(fields, width):
    """Return the places where φ rises through 0 in each column, from a straight line, px."""
    found = []
    for phi in upright(fields)[:, 0].double():
        distance = torch.atanh(phi.clamp(-0.99999, 0.99999)) * math.sqrt(2.0) * width
        rising = (phi < 0) & (phi.roll(-1, 0) >= 0)
        assert (rising.sum(dim=0) == 1).all()
        row = rising.double().argmax(dim=0)
        low, high = (distance[(row + step) % len(phi), torch.arange(len(phi))] for step in (0, 1))
        place = row + low / (low - high)
        middle = place[0]
        place = (place - middle + len(phi) / 2) % len(phi) - len(phi) / 2
        found.append(place - place.mean())
    return torch.stack(found)


@pytest.mark.parametrize("width", [2.0, 3.0, 5.0])
def test_flat_interfaces_are_in_equilibrium(width):
    """Of channel 0 as it stands and in channel 2, far below what a profile of another width has."""
    flat_equilibrium(width)(lambda count, **options: DRAW(count, N, **options))
    fields = DRAW(4, N, interface_width=width, geometry="lamella", fluctuation_amplitude=0.0)
    phi = fields[:, 0].double()
    wrong = (phi.pow(3) - phi - (1.2 * width) ** 2 * laplacian(phi)).abs().max()
    assert wrong > 0.05


@pytest.mark.parametrize("width", [2.0, 3.0, 8.0])
def test_tension(width):
    tension(width)(lambda count, **options: DRAW(count, N, **options))


def test_additive_noise_is_no_equilibrium():
    noise = generate("gaussian_random_field", N, 3, range(8), kernel="white", variance=0.01)

    def noisy(count, **options):
        return DRAW(count, N, **options) + noise

    assert not holds(flat_equilibrium(3.0), noisy)


@pytest.mark.parametrize("angle", [0.0, 0.7, 2.0, 4.5])
@pytest.mark.parametrize("width", [2.0, 4.0])
def test_the_profile_is_a_kink_of_the_width_asked_for_in_the_direction_asked_for(width, angle):
    phi = generate(
        "phase_boundary", N, 1, [1], interface_width=width, interface_angle=angle, fluctuation_amplitude=0.0
    )[0, 0].double()
    rows, columns = torch.meshgrid(torch.arange(N) - 63.5, torch.arange(N) - 63.5, indexing="ij")
    along = math.sin(angle) * rows + math.cos(angle) * columns
    shown = phi.abs() < 0.95
    distance = torch.atanh(phi[shown])
    slope = torch.linalg.lstsq(
        torch.stack((along[shown], torch.ones(int(shown.sum()))), 1).double(), distance[:, None]
    )
    assert (slope.solution[0] * math.sqrt(2) * width).item() == pytest.approx(1.0, rel=0.01)
    assert slope.residuals.sum() < 1e-3
    assert 2 * math.atanh(0.8) / slope.solution[0].item() == pytest.approx(EIGHT_TENTHS * width, rel=0.03)


def test_a_rough_interface_is_as_thick_as_a_flat_one():
    """Along its own normal: |∇φ| at φ = 0 is 1/√2ξ whatever the slope of the line."""
    for options in ({}, {"geometry": "lamella"}, {"geometry": "droplet"}):
        phi = DRAW(8, N, interface_width=4.0, fluctuation_amplitude=3.0, **options)[:, 0].double()
        rise = [(phi.roll(-1, axis) - phi.roll(1, axis))[:, 1:-1, 1:-1] / 2 for axis in (1, 2)]
        at = phi[:, 1:-1, 1:-1].abs() < 0.05
        thickness = 1 / torch.hypot(*rise)[at]
        assert thickness.median().item() == pytest.approx(4.0 * math.sqrt(2), rel=0.03)


def test_channels_are_functionals_of_the_field():
    width = 4.0
    fields = DRAW(8, N, interface_width=width, fluctuation_amplitude=2.0, geometry="lamella").double()
    phi = fields[:, 0]
    potential = phi.pow(3) - phi - width**2 * laplacian(phi)
    assert (potential - fields[:, 2]).abs().max() < 0.02
    assert fields[:, 2].abs().max() > 0.1
    k = 2 * math.pi * torch.fft.fftfreq(N, dtype=torch.float64)
    spectrum = torch.fft.fft2(phi)
    slopes = [torch.fft.ifft2(1j * q * spectrum).real for q in (k[:, None], k)]
    energy = (phi.square() - 1).square() / 4 + width**2 / 2 * (slopes[0].square() + slopes[1].square())
    assert (energy - fields[:, 1]).abs().max() < 0.01


def test_the_roughness_has_its_rms_and_its_spectrum():
    h = heights(DRAW(256, N, interface_width=1.5, fluctuation_amplitude=2.0, geometry="lamella"), 1.5)
    assert h.square().mean().sqrt().item() == pytest.approx(2.0, rel=0.1)
    power = torch.fft.rfft(h).abs().square().mean(dim=0)
    assert log_slope(torch.arange(1, 13), power[1:13]).item() == pytest.approx(-2.0, abs=0.3)
    assert power[16:].max() < 0.05 * power[12]


def test_a_flat_lamella_has_flat_heights():
    assert heights(DRAW(4, N, fluctuation_amplitude=0.0, geometry="lamella"), 3.0).abs().max() < 1e-3


def test_a_droplet_has_the_chemical_potential_of_its_curvature():
    """At φ = 0 of a round drop of radius R it is ξ/(√2·R)."""
    fields = DRAW(8, N, fluctuation_amplitude=0.0, geometry="droplet").double()
    for phi, potential in fields[:, [0, 2]]:
        radius = math.sqrt(float((0.5 * (1 + phi)).sum()) / math.pi)
        at = phi.abs() < 0.1
        assert potential[at].mean().item() == pytest.approx(3.0 / (math.sqrt(2) * radius), rel=0.05)
        assert 0.19 * N < radius < 0.31 * N


@pytest.mark.parametrize("geometry", ["single", "lamella", "droplet"])
def test_the_roughest_interfaces_keep_both_phases(geometry):
    phi = DRAW(256, 64, 1, geometry=geometry, fluctuation_amplitude=8.0)
    shares = (phi > 0).double().mean(dim=(1, 2, 3))
    assert shares.min() > 0.1
    assert shares.max() < 0.9


def test_lamellae_and_droplets_close_on_the_torus():
    for geometry in ("lamella", "droplet"):
        phi = DRAW(32, 64, 1, geometry=geometry)[:, 0].double()
        for axis in (1, 2):
            steps = (phi.roll(-1, axis) - phi).abs().movedim(axis, 0)
            assert steps[-1].max() <= steps[:-1].max() * 1.1


def direction(fields):
    """Return the angle of the mean gradient of φ, from columns towards rows."""
    down, across = (fields.diff(dim=axis).mean(dim=(1, 2)) for axis in (1, 2))
    return torch.remainder(torch.atan2(down, across), 2 * math.pi)


def test_a_null_angle_is_any_for_every_draw():
    fields = generate("phase_boundary", 64, 6, range(64), fluctuation_amplitude=0.0).double()
    first, second = direction(fields[:, 0]), direction(fields[:, 3])
    assert (torch.histc(first, 4, 0.0, 2 * math.pi) > 5).all()
    assert (torch.cos(first - second) < 0.99).sum() > 50
    fixed = generate("phase_boundary", 64, 1, range(8), interface_angle=1.0, fluctuation_amplitude=0.0)
    assert (direction(fixed[:, 0].double()) - 1.0).abs().max() < 0.05


def test_widths_scale_with_the_grid():
    small, large = (Grid(size).pixels(3.0) for size in (64, 128))
    flat = {"fluctuation_amplitude": 0.0, "geometry": "lamella"}
    first, second = (DRAW(4, size, **flat)[:, 1].double().mean(dim=(1, 2)) * size for size in (64, 128))
    assert torch.allclose(first / small, second / large, rtol=0.01)
