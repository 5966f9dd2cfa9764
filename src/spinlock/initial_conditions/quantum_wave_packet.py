"""Gaussian wave packets of a free particle on the torus."""

import math
from typing import Annotated

import torch
from jaxtyping import Complex128, Float64
from torch import Tensor

from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.wave_laws import (
    least_uncertainty,
    mean_momentum,
    squared_modulus,
    unit_intensity,
)
from spinlock.numerics.columns import column
from spinlock.numerics.grid import REFERENCE_SIZE, Grid
from spinlock.numerics.random import SampleKeys
from spinlock.registry import Integer, Real
from spinlock.shapes import Fields, PerSample

MAX_PACKETS = 5
LEAST_WIDTH = 1.0
"""In px of the grid itself: below it the packet's momenta reach beyond those of the grid."""

Axis = Float64[Tensor, "b packet 2"]


def packet(
    grid: Grid, centre: Axis, wavenumber: Axis, sigma: Float64[Tensor, "b 1 1"]
) -> Complex128[Tensor, "b packet 2 n"]:
    """Return exp(−x²/4σ² + ikx), x the way from the centre, along both axes, summed over periodic images."""
    turns = grid.size * torch.arange(-1, 2, device=grid.device)
    way = grid.axis.double() - centre[..., None] - turns[:, None, None, None, None]
    width = sigma[..., None]
    envelope = torch.exp(-(way / (2.0 * width)).square())
    return torch.polar(envelope, wavenumber[..., None] * way).sum(dim=0)


@initial_condition(
    domain="quantum",
    tier=1,
    source="Griffiths, Introduction to Quantum Mechanics; Heller 1975",
    sites=("place", "direction"),
    cost="closed",
    drawn={"momentum": (0.1, 0.5)},
    laws=(
        squared_modulus(),
        squared_modulus(num_packets=5),
        unit_intensity(num_packets=3),
        mean_momentum(0.3),
        least_uncertainty(momentum=0.3),
    ),
)
def quantum_wave_packet(
    grid: Grid,
    keys: SampleKeys,
    *,
    sigma: Annotated[PerSample, Real(3.0, REFERENCE_SIZE / 12, "px", log=True)] = 10.0,
    momentum: Annotated[PerSample, Real(0.0, math.pi / 2, "rad/px")] = 0.3,
    num_packets: Annotated[PerSample, Integer(1, MAX_PACKETS)] = 1,
) -> Fields:
    """Coherent sum of Gaussian wave packets of least uncertainty, with ℏ = 1.

    ψ = Σ_j exp(−|r − r_j|²/4σ²)·exp(i k_j·(r − r_j)), so that σ_x = σ, σ_k = 1/2σ and σ_x·σ_k = 1/2 along
    each axis. Places r_j are uniform on the torus; each k_j has the length ``momentum``, drawn from [0.1,
    0.5] rad/px for each sample by default, and a direction of its own, so that all packets of a sample have
    one energy. Channels are Re ψ, Im ψ and |ψ|², scaled to mean |ψ|² = 1; |ψ|² = (Re ψ)² + (Im ψ)² also
    where packets interfere.

    On small grids σ is at least 1 px of the grid itself and |k| at most π − 3σ_k rad per such px: no momentum
    of the packet is then beyond the grid.

    What to expect: a patch of parallel waves under a Gaussian hood, and its smooth density; fringes where
    packets overlap. Good values: ``momentum``·``sigma`` above 2, for two waves or more to a packet.
    """
    width = grid.pixels(column(sigma, 2).double()).clamp(min=LEAST_WIDTH)
    speed = column(momentum, 1).double() * (REFERENCE_SIZE / grid.size)
    speed = speed.minimum((math.pi - 1.5 / width[..., 0]).clamp(min=0.0))
    angle = (2.0 * math.pi) * keys.uniform("direction", MAX_PACKETS).double()
    wavenumber = speed[..., None] * torch.stack((angle.sin(), angle.cos()), dim=-1)
    centre = grid.side(keys.uniform("place", MAX_PACKETS, 2).double())
    factors = packet(grid, centre, wavenumber, width)
    present = torch.arange(MAX_PACKETS, device=grid.device) < column(num_packets, 1)
    rows = torch.where(present[..., None], factors[:, :, 0], 0.0)
    psi = torch.einsum("bph,bpw->bhw", rows, factors[:, :, 1])
    density = psi.real.square() + psi.imag.square()
    power = density.mean(dim=(-2, -1))[:, None, None]
    return torch.stack((psi.real / power.sqrt(), psi.imag / power.sqrt(), density / power), dim=1).float()
