"""Exact evolution of waves: plane waves, conservation, causality, reversal."""

import math

import pytest
import torch

from spinlock.keys import Key
from spinlock.numerics.grid import Grid
from spinlock.numerics.klein_gordon import dispersion, evolve, sine_over, wave_numbers
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.spectral import angular, power

N = 32


def noise():
    keys = SampleKeys.of(Key(0, "waves"), torch.arange(1), ("field",))
    return keys.normal("field", 2, N, N)[0].double()


def energy(phi, pi, mass):
    k = angular(Grid(N)).double()
    return float((power(pi) + (k.square() + mass**2) * power(phi)).sum())


def test_wave_numbers_of_both_transforms_agree():
    full = torch.hypot(wave_numbers(Grid(N))[:, None], wave_numbers(Grid(N))[None, : N // 2 + 1])
    assert torch.allclose(full, angular(Grid(N)))


def test_no_frequency_lets_a_wave_grow_in_proportion_to_time():
    assert sine_over(torch.tensor(0.0), torch.tensor(3.0)) == 3.0
    assert sine_over(torch.tensor(0.5), torch.tensor(3.0)) == pytest.approx(math.sin(1.5) / 0.5)


@pytest.mark.parametrize("mass", [0.0, 0.3])
def test_a_plane_wave_moves_at_its_phase_velocity(mass):
    k = 2 * math.pi * 3 / N
    x, omega = torch.arange(N, dtype=torch.float64), dispersion(torch.tensor(k, dtype=torch.float64), mass)
    phi, pi = torch.cos(k * x).expand(N, N), (omega * torch.sin(k * x)).expand(N, N)
    later, _ = evolve(phi, pi, mass, 2.5)
    assert torch.allclose(later, torch.cos(k * x - omega * 2.5).expand(N, N), atol=1e-6)


@pytest.mark.parametrize("mass", [0.0, 0.5])
def test_energy_is_kept_and_time_runs_back(mass):
    phi, pi = noise()
    later = evolve(phi, pi, mass, 7.0)
    assert energy(*later, mass) == pytest.approx(energy(phi, pi, mass), rel=1e-6)
    back = evolve(*later, mass, -7.0)
    assert torch.allclose(back[0], phi, atol=1e-5)
    assert torch.allclose(back[1], pi, atol=1e-5)
    assert not torch.allclose(later[0], phi, atol=0.1)
