"""A wave packet of a relativistic particle, moving and contracted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from jaxtyping import Complex64, Float32
from torch import Tensor

from spinlock.errors import OptionError
from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.causal_laws import length_contraction
from spinlock.numerics.columns import column, rms
from spinlock.numerics.grid import Grid
from spinlock.numerics.klein_gordon import dispersion, wave_numbers
from spinlock.numerics.random import SampleKeys
from spinlock.registry import Real
from spinlock.shapes import Fields, PerSample

SHORTEST = 2.0
"""Least length of a contracted packet, px of a 128 grid: shorter ones fall between the pixels."""

FAST, CYCLES = 0.7, 2.0
"""Above this speed k₀·σ must be this large: else waves of every direction make up the packet."""

TURN = 2.0 * math.pi


def lorentz_factor(velocity: Tensor) -> Tensor:
    """Return γ = 1/√(1 − v²)."""
    return (1.0 - velocity.square()).rsqrt()


def check_packet(values: Mapping[str, Any], _grid_size: int | None) -> None:
    """Refuse packets that are contracted below the grid or have no direction."""
    velocity, sigma, wavenumber = values["velocity"], values["sigma"], values["wavenumber"]
    gamma = 1.0 / math.sqrt(1.0 - velocity**2)
    if sigma / gamma < SHORTEST:
        raise OptionError(
            f"a packet of sigma {sigma:g} px at velocity {velocity:g} is contracted to {sigma / gamma:.3g}"
            f" px: it must keep {SHORTEST:g} px; raise sigma to {math.ceil(SHORTEST * gamma)} or slow it down"
        )
    if velocity > FAST and wavenumber * sigma < CYCLES:
        raise OptionError(
            f"above velocity {FAST:g} wavenumber·sigma must be at least {CYCLES:g}, and {wavenumber:g}·"
            f"{sigma:g} is {wavenumber * sigma:.3g}: raise wavenumber to {CYCLES / sigma:.3g} or sigma"
        )


@dataclass(frozen=True)
class Packet:
    """A packet in Fourier space: φ̂(k), its frequency ω(k) and mass, k in rad/px along each axis."""

    spectrum: Complex64[Tensor, "b n n"]
    omega: Float32[Tensor, "b n n"]
    mass: Float32[Tensor, "b 1 1"]


def packet(
    grid: Grid, keys: SampleKeys, velocity: PerSample, sigma: PerSample, wavenumber: PerSample
) -> Packet:
    """Return φ̂ ~ exp(−(κ_∥²/γ² + κ_⊥²)·σ² − ik·r₀), κ = k − k₀, for a random place and direction."""
    speed, length, k0 = column(velocity, 2), grid.pixels(column(sigma, 2)), column(wavenumber, 2)
    k0 = k0 / grid.pixels(1.0)
    gamma = lorentz_factor(speed)
    angle, *place = keys.uniform("packet", 3)[..., None, None].unbind(dim=1)
    down, across = torch.sin(TURN * angle), torch.cos(TURN * angle)
    k = wave_numbers(grid)
    rows, columns = k[:, None], k[None, :]
    # the transform of samples is periodic in k: a wave beyond the Nyquist one shows as its alias
    apart = [
        torch.remainder(axis - k0 * part + math.pi, TURN) - math.pi
        for axis, part in ((rows, down), (columns, across))
    ]
    along, aside = apart[0] * down + apart[1] * across, apart[1] * down - apart[0] * across
    size = torch.exp(-((along / gamma).square() + aside.square()) * length.square())
    phase = -grid.side(place[0]) * rows - grid.side(place[1]) * columns
    mass = k0 / (gamma * speed)
    return Packet(torch.polar(size, phase), dispersion(torch.hypot(rows, columns), mass), mass)


def energy_density(grid: Grid, wave: Packet) -> Float32[Tensor, "b n n"]:
    """Return ½(|π|² + |∇φ|² + m²|φ|²), π̂ = −iωφ̂."""
    k = wave_numbers(grid)
    parts = torch.stack(
        (
            wave.spectrum * wave.omega,
            wave.spectrum * k[:, None],
            wave.spectrum * k[None, :],
            wave.spectrum * wave.mass,
        ),
        dim=1,
    )
    values = torch.fft.ifft2(parts)
    return 0.5 * (values.real.square() + values.imag.square()).sum(dim=1)


@initial_condition(
    domain="relativity",
    tier=4,
    source="Jackson 1999, chapter 11; Peskin & Schroeder 1995, chapter 2",
    sites=("packet",),
    cost="fft",
    drawn={"wavenumber": (0.1, 0.5)},
    laws=(
        length_contraction(1.25, 0.05, velocity=0.6, wavenumber=0.5),
        length_contraction(2.294, 0.05, velocity=0.9, wavenumber=0.5),
    ),
    check=check_packet,
)
def relativistic_wave_packet(
    grid: Grid,
    keys: SampleKeys,
    *,
    velocity: Annotated[PerSample, Real(0.05, 0.95)] = 0.5,
    sigma: Annotated[PerSample, Real(2.0, 12.0, "px", log=True)] = 10.0,
    wavenumber: Annotated[PerSample, Real(0.05, math.pi / 2, "rad/px", log=True)] = 0.3,
) -> Fields:
    """Boosted packet of positive frequency of the Klein–Gordon equation φ_tt = ∇²φ − m²φ (c = 1).

    φ = exp(−(γ²x_∥² + x_⊥²)/4σ²)·exp(ik₀x_∥), a Gaussian of width σ = ``sigma`` px in its rest frame, at a
    random place and in a random direction. Its ``velocity`` v contracts it by γ = 1/√(1 − v²) along the
    momentum k₀ = γ·m·v = ``wavenumber`` (rad/px of a 128 grid, drawn from 0.1 to 0.5 by default), which sets
    the mass m. π̂ = −iω(k)·φ̂ with ω = √(k² + m²), and p/E = v. Channels are Re φ and Re π, what a wave
    equation of second order starts from, and the energy density ½(|π|² + |∇φ|² + m²|φ|²). Re φ is scaled to
    rms 1, Re π by the same and the mean of ω, the energy density to mean 1.

    What to expect: one packet, striped across its direction and flattened along it, the more the faster.
    Good values: 0.3 to 0.9. Raises `OptionError` for packets shorter than 2 px, and for waves longer than
    the packet above v = 0.7.
    """
    wave = packet(grid, keys, velocity, sigma, wavenumber)
    strength = wave.spectrum.abs().double().square()
    frequency = (strength * wave.omega).sum(dim=(1, 2)) / strength.sum(dim=(1, 2))
    pair = torch.fft.ifft2(torch.stack((wave.spectrum, wave.spectrum * (-1j * wave.omega)), dim=1)).real
    scale = rms(pair[:, :1])[..., None, None]
    energy = energy_density(grid, wave)
    phi, pi = pair[:, :1] / scale, pair[:, 1:] / (scale * frequency[:, None, None, None])
    mean = energy.double().mean(dim=(1, 2), keepdim=True)
    return torch.cat((phi, pi, (energy / mean)[:, None]), dim=1).float()
