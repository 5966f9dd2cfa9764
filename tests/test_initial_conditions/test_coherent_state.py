"""Coherent states: eigenvalue, photon numbers, uncertainty, motion in the trap, cats."""

import math

import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.coherent_state import amplitudes
from spinlock.initial_conditions.wave_laws import wave_function
from spinlock.keys import Key
from spinlock.numerics.random import SampleKeys

ENTRY = registry["coherent_state"]
N, COUNT = 128, 6
X = torch.arange(N, dtype=torch.float64) - (N - 1) / 2
K = 2 * math.pi * torch.fft.fftfreq(N, dtype=torch.float64)


def state(**options):
    psi = wave_function(generate("coherent_state", N, 3, range(COUNT), **options))
    return psi / psi.abs().square().sum(dim=(1, 2), keepdim=True).sqrt()


def alphas(modulus=1.0, angle=0.0):
    keys = SampleKeys.of(Key(0, "coherent_state"), torch.arange(COUNT), ENTRY.sites)
    return amplitudes(keys, modulus, angle).to(torch.complex128)


def along(values, axis):
    return values[:, None] if axis == 0 else values


def derivative(psi, axis):
    return torch.fft.ifft2(1j * along(K, axis) * torch.fft.fft2(psi))


def annihilate(psi, sigma, axis):
    """Return aψ, a = (x/l + l·∂_x)/√2."""
    length = math.sqrt(2) * sigma
    return (along(X, axis) / length * psi + length * derivative(psi, axis)) / math.sqrt(2)


def number(psi, sigma):
    """Return nψ, n = Σ (x²/l² − l²·∂_x² − 1)/2."""
    length = math.sqrt(2) * sigma
    total = -psi
    for axis in (0, 1):
        total = total + along(X, axis).square() / (2 * length**2) * psi
        total = total - length**2 / 2 * derivative(derivative(psi, axis), axis)
    return total


def mean(psi, operated):
    return (psi.conj() * operated).sum(dim=(1, 2))


@pytest.mark.parametrize(("sigma", "alpha"), [(6.0, 1.0), (6.0, 3.0), (10.0, 1.2), (4.0, 2.0)])
def test_it_is_an_eigenstate_of_annihilation(sigma, alpha):
    psi, expected = state(sigma=sigma, alpha=alpha), alphas(alpha)
    for axis in (0, 1):
        lowered = annihilate(psi, sigma, axis)
        assert (mean(psi, lowered) - expected[:, axis]).abs().max() < 0.01 * alpha
        rest = lowered - expected[:, axis, None, None] * psi
        assert rest.abs().square().sum(dim=(1, 2)).sqrt().max() < 0.03
    photons = mean(psi, number(psi, sigma)).real
    assert (photons - alpha**2).abs().max() < 0.01 * alpha**2


def test_a_packet_of_another_width_is_no_eigenstate():
    psi = state(sigma=6.0)
    rest = annihilate(psi, 9.0, 0)
    rest = rest - mean(psi, rest)[:, None, None] * psi
    assert rest.abs().square().sum(dim=(1, 2)).sqrt().min() > 0.1


def test_photon_numbers_are_poissonian_unlike_those_of_a_cat():
    def mandel(psi):
        counted = number(psi, 6.0)
        first = mean(psi, counted).real
        return (counted.abs().square().sum(dim=(1, 2)) - first.square()) / first - 1

    assert mandel(state(alpha=1.5)).abs().max() < 0.05
    assert mandel(state(alpha=1.0, num_modes=2)).abs().min() > 0.2


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_cat_is_an_eigenstate_of_that_many_annihilations(count):
    psi, expected = state(alpha=2.0, num_modes=count), alphas(2.0)
    for axis in (0, 1):
        lowered = psi
        for _ in range(count):
            lowered = annihilate(lowered, 6.0, axis)
        rest = lowered - expected[:, axis, None, None] ** count * psi
        assert rest.abs().square().sum(dim=(1, 2)).sqrt().max() < 0.05
    once = annihilate(psi, 6.0, 0) - mean(psi, annihilate(psi, 6.0, 0))[:, None, None] * psi
    assert once.abs().square().sum(dim=(1, 2)).sqrt().max() > 0.5


def test_parity():
    def parity(psi):
        return mean(psi, psi.flip(1, 2)).real

    assert (parity(state(num_modes=2, alpha=2.0)) - 1).abs().max() < 0.01
    assert (parity(state(alpha=1.0)) - math.exp(-2.0)).abs().max() < 0.01


def width(psi, axis):
    density = psi.abs().square().sum(dim=2 - axis)
    centre = density @ X
    return (density @ X.square() - centre.square()).sqrt()


def test_it_moves_round_the_trap_without_spreading():
    """Split-step evolution of i·ψ_t = (−l²∇² + r²/l²)ψ/2, ω = 1, over one period of 200 steps."""
    length, step = math.sqrt(2) * 6.0, 2 * math.pi / 200
    psi = start = state(alpha=1.5)
    half = torch.exp(-0.5j * step * (X[:, None].square() + X.square()) / (2 * length**2))
    kinetic = torch.exp(-1j * step * length**2 / 2 * (K[:, None].square() + K.square()))
    moved = 0.0
    for number_of_step in range(200):
        psi = half * torch.fft.ifft2(kinetic * torch.fft.fft2(half * psi))
        if number_of_step % 20 == 0:
            for axis in (0, 1):
                assert (width(psi, axis) / 6.0 - 1).abs().max() < 0.01
            moved = max(moved, float(1 - mean(start, psi).abs().min()))
    assert mean(start, psi).abs().min() > 0.999
    assert moved > 0.5


def test_time_turns_alpha():
    psi = state(time=3.0, oscillation_frequency=0.5)
    lowered = torch.stack([mean(psi, annihilate(psi, 6.0, axis)) for axis in (0, 1)], dim=1)
    assert (lowered - alphas() * torch.exp(torch.tensor(-1.5j))).abs().max() < 0.01
    period = state(time=20 * math.pi, oscillation_frequency=0.2)
    assert (mean(period, state()).abs() - 1).abs().max() < 1e-3
    assert torch.equal(state(oscillation_frequency=5.0), state())


def test_no_displacement_is_the_vacuum():
    psi = state(alpha=0.0)
    assert (psi - psi[:1]).abs().max() < 1e-6
    assert mean(psi, number(psi, 6.0)).abs().max() < 1e-3


@pytest.mark.parametrize(
    "options", [{"sigma": 10.0, "alpha": 1.5}, {"alpha_range": [0.5, 3.0], "sigma": 8.0}, {"sigma": 16.0}]
)
def test_states_that_reach_the_edge_are_refused(options):
    with pytest.raises(OptionError, match=r"reaches the edge.*keep alpha at most"):
        generate("coherent_state", 64, **options)
    generate("coherent_state", 32, sigma=10.0, alpha=1.2)
