"""Contraction, momentum, speed and energy of relativistic wave packets."""

import math

import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.causal_laws import axis_ratios
from spinlock.initial_conditions.relativistic_wave_packet import packet
from spinlock.keys import Key
from spinlock.numerics.grid import Grid
from spinlock.numerics.klein_gordon import evolve, wave_numbers
from spinlock.numerics.random import SampleKeys

ENTRY = registry["relativistic_wave_packet"]
N, COUNT = 128, 8
GRID = Grid(N)


def keys():
    return SampleKeys.of(Key(0, "relativistic_wave_packet"), torch.arange(COUNT), ENTRY.sites)


def waves(velocity, wavenumber=0.4, sigma=10.0):
    return packet(GRID, keys(), *(torch.full((COUNT,), value) for value in (velocity, sigma, wavenumber)))


def direction():
    angle = 2 * math.pi * keys().uniform("packet", 3)[:, :1].double()
    return torch.cat((torch.sin(angle), torch.cos(angle)), dim=1)


def mass(velocity, wavenumber):
    return wavenumber * math.sqrt(1 - velocity**2) / velocity


@pytest.mark.parametrize("velocity", [0.1, 0.3, 0.6, 0.9, 0.95])
def test_a_packet_is_contracted_along_its_momentum(velocity):
    field = torch.fft.ifft2(waves(velocity).spectrum.to(torch.complex128))
    ratios = axis_ratios(field.abs().square())
    assert (ratios / math.sqrt(1 - velocity**2) - 1).abs().max() < 0.02


@pytest.mark.parametrize(("velocity", "tolerance"), [(0.3, 0.01), (0.6, 0.01), (0.9, 0.03)])
def test_momentum_over_energy_is_the_velocity(velocity, tolerance):
    wave = waves(velocity)
    density = wave.spectrum.abs().double().square()
    k = wave_numbers(GRID).double()
    energy = (density * wave.omega.square()).sum(dim=(1, 2))
    momenta = torch.stack([(density * wave.omega * axis).sum(dim=(1, 2)) for axis in (k[:, None], k)], dim=1)
    measured = momenta / energy[:, None]
    assert (measured.norm(dim=1) / velocity - 1).abs().max() < tolerance
    assert (measured / measured.norm(dim=1, keepdim=True) * direction()).sum(dim=1).min() > 0.999


@pytest.mark.parametrize("velocity", [0.3, 0.6])
def test_it_moves_at_its_velocity_from_the_channels_alone(velocity):
    """Re φ and Re π start the wave equation; the centre of φ_t² + |∇φ|² + m²φ² moves by v·t."""
    fields = generate("relativistic_wave_packet", N, 3, range(COUNT), velocity=velocity, wavenumber=0.4)
    wave = waves(velocity)
    strength = wave.spectrum.abs().double().square()
    mean_omega = (strength * wave.omega).sum(dim=(1, 2)) / strength.sum(dim=(1, 2))
    phi = fields[:, 0].double()
    pi = fields[:, 1].double() * mean_omega[:, None, None]
    heavy, time = mass(velocity, 0.4), 20.0
    places = [centre(*evolve(phi, pi, heavy, t), heavy) for t in (0.0, time)]
    way = (places[1] - places[0] + N / 2) % N - N / 2
    assert (way.norm(dim=1) / (velocity * time) - 1).abs().max() < 0.03
    assert ((way * direction()).sum(dim=1) > 0).all()
    standing = centre(*evolve(phi, torch.zeros_like(pi), heavy, time), heavy)
    still = (standing - places[0] + N / 2) % N - N / 2
    assert (still.norm(dim=1) < 0.5 * velocity * time).all()


def centre(phi, pi, heavy):
    """Return the centre of the energy of a real wave on the torus, from its first harmonic, px."""
    k = wave_numbers(GRID).double()
    spectrum = torch.fft.fft2(phi)
    slopes = [torch.fft.ifft2(1j * axis * spectrum).real for axis in (k[:, None], k)]
    energy = pi.square() + slopes[0].square() + slopes[1].square() + heavy**2 * phi.square()
    turn = torch.exp(2j * math.pi * torch.arange(N) / N)
    marginals = energy.sum(dim=2), energy.sum(dim=1)
    angles = [torch.angle((marginal * turn).sum(dim=1)) for marginal in marginals]
    return torch.stack(angles, dim=1) * N / (2 * math.pi)


def test_channels_have_their_scales():
    fields = generate("relativistic_wave_packet", N, 3, range(COUNT)).double()
    assert (fields[:, 0].square().mean(dim=(1, 2)) - 1).abs().max() < 1e-4
    assert (fields[:, 2].mean(dim=(1, 2)) - 1).abs().max() < 1e-4
    assert fields[:, 2].min() >= 0
    quarter = fields[:, 1].square().mean(dim=(1, 2))
    assert ((quarter > 0.3) & (quarter < 3.0)).all()


def test_energy_is_that_of_the_complex_wave():
    """From Re φ and Re π the imaginary part follows, Im φ = ω⁻¹·Re π for positive frequencies."""
    velocity = 0.5
    fields = generate("relativistic_wave_packet", N, 3, range(COUNT), velocity=velocity, wavenumber=0.4)
    wave = waves(velocity)
    strength = wave.spectrum.abs().double().square()
    mean_omega = ((strength * wave.omega).sum(dim=(1, 2)) / strength.sum(dim=(1, 2)))[:, None, None]
    real = torch.fft.fft2(fields[:, 0].double())
    imaginary = torch.fft.fft2(fields[:, 1].double() * mean_omega) / wave.omega.double()
    spectrum = real + 1j * imaginary
    k, heavy = wave_numbers(GRID).double(), mass(velocity, 0.4)
    parts = (wave.omega.double(), k[:, None], k[None, :], torch.tensor(heavy))
    energy = sum(torch.fft.ifft2(spectrum * part).abs().square() for part in parts)
    energy = energy / energy.mean(dim=(1, 2), keepdim=True)
    assert (energy - fields[:, 2]).abs().max() < 1e-3 * fields[:, 2].max()


def test_the_momentum_is_the_wavenumber_asked_for():
    spectrum = waves(0.3, 0.3).spectrum.abs().double().square()
    k = wave_numbers(GRID).double()
    total = spectrum.sum(dim=(1, 2))
    means = [(spectrum * axis).sum(dim=(1, 2)) / total for axis in (k[:, None], k)]
    assert (torch.stack(means, dim=1) - 0.3 * direction()).abs().max() < 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"velocity": 0.95, "sigma": 5.0, "wavenumber": 0.5}, r"contracted to 1.56 px.*raise sigma to 7"),
        ({"velocity": 0.8}, r"above velocity 0.7.*raise wavenumber to 0.2"),
        ({"velocity_range": [0.5, 0.9], "wavenumber": 0.1}, "above velocity 0.7"),
        ({"velocity": 1.0}, "must be a number in"),
    ],
)
def test_packets_that_the_grid_does_not_hold_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        generate("relativistic_wave_packet", 64, **options)
