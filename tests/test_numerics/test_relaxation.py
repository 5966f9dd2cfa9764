"""Exact decay and diffusion of species without production, and bounds with it."""

import math

import pytest
import torch

from spinlock.keys import Key
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.relaxation import heat_kernel, relax


def variance(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("size", [16, 50, 65])
@pytest.mark.parametrize("width", [0.0, 0.4, 4.0, 30.0])
def test_the_kernel_is_a_normal_density_around_the_torus(size, width):
    kernel = heat_kernel(Grid(size), variance(width))[0]
    assert torch.allclose(kernel.sum(dim=1), torch.ones(size, dtype=torch.float64), atol=1e-13)
    assert torch.allclose(kernel, kernel.T, atol=1e-15)
    if width == 0:
        assert torch.allclose(kernel, torch.eye(size, dtype=torch.float64), atol=1e-13)
    if width > 1:
        pixel = torch.arange(size).double()
        images = [torch.exp(-0.5 * (pixel + turn * size).square() / width) for turn in range(-4, 5)]
        density = torch.stack(images).sum(dim=0) / math.sqrt(2 * math.pi * width)
        assert torch.allclose(kernel[0], density, atol=1e-8)


def test_kernels_of_two_times_make_that_of_their_sum():
    grid = Grid(32)
    first, second, both = heat_kernel(grid, variance(1.0, 2.5, 3.5))
    assert torch.allclose(first @ second, both, atol=1e-14)


@pytest.mark.parametrize("cycles", [(1, 0), (2, 5), (8, 8)])
def test_a_wave_without_production_decays_as_it_must(cycles):
    """exp(−t − D t·k²), whatever the step."""
    grid, steps, dt, diffusion = Grid(32), 7, 0.3, 0.9
    phase = [2 * math.pi * n / 32 for n in cycles]
    axis = grid.axis.double()
    wave = torch.cos(phase[0] * axis[:, None] + phase[1] * axis + 0.4)[None, None]
    kernel = heat_kernel(grid, variance(2 * diffusion * dt))
    end = relax(wave, torch.zeros_like, kernel, dt, steps)
    rate = 1.0 + diffusion * (phase[0] ** 2 + phase[1] ** 2)
    assert torch.allclose(end, wave * math.exp(-rate * dt * steps), atol=1e-13)


def test_species_and_samples_diffuse_apart():
    keys = SampleKeys.of(Key(0, "species"), torch.arange(3), ("start",))
    start = keys.normal("start", 2, 16, 16)
    kernels = heat_kernel(Grid(16), variance(0.0, 1.0, 9.0)).float()
    together = relax(start, torch.zeros_like, kernels, 0.1, 3)
    for row in range(3):
        alone = relax(start[row : row + 1], torch.zeros_like, kernels[row : row + 1], 0.1, 3)
        assert torch.allclose(together[row], alone[0], atol=1e-6)
    assert torch.allclose(together[0], start[0] * math.exp(-0.3), atol=1e-5)


def test_states_stay_within_the_bounds_of_the_production_and_the_start_is_kept():
    keys = SampleKeys.of(Key(1, "species"), torch.arange(2), ("start",))
    start = keys.uniform("start", 3, 16, 16)
    before = start.clone()
    kernel = heat_kernel(Grid(16), variance(4.0)).float()
    end = relax(start, lambda x: (x > 0.5).float(), kernel, 0.5, 20)
    assert torch.equal(start, before)
    assert -1e-6 < float(end.min()) <= float(end.max()) < 1 + 1e-6


def test_the_step_is_of_first_order():
    """x_t = x² − x from 0.5 is 1/(1 + e^t); half the step has half the error."""
    grid = Grid(16)
    start, kernel = torch.full((1, 1, 16, 16), 0.5, dtype=torch.float64), heat_kernel(grid, variance(0.0))
    exact = 1.0 / (1.0 + math.e)
    errors = [float(relax(start, torch.square, kernel, 1.0 / n, n)[0, 0, 0, 0]) - exact for n in (20, 40, 80)]
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(2.0, rel=0.03)
