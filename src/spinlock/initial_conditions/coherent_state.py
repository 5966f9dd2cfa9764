"""Coherent and cat states of a harmonic oscillator in the plane."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from jaxtyping import Complex64, Float32
from torch import Tensor

from spinlock.errors import OptionError
from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.wave_laws import least_uncertainty, squared_modulus, unit_intensity
from spinlock.numerics.columns import column
from spinlock.numerics.grid import REFERENCE_SIZE, Grid
from spinlock.numerics.random import SampleKeys
from spinlock.registry import Integer, Real
from spinlock.shapes import Fields, PerSample

TURN = 2.0 * math.pi
MAX_MODES = 4


def check_decay(values: Mapping[str, Any], _grid_size: int | None) -> None:
    """Refuse states that do not decay before the edge."""
    sigma, alpha = values["sigma"], values["alpha"]
    reach, room = 2.0 * sigma * alpha + 4.0 * sigma, REFERENCE_SIZE / 2
    if reach > room:
        raise OptionError(
            f"the state reaches the edge: 2·sigma·alpha + 4·sigma = {reach:g} px must be at most {room:g} px;"
            f" with sigma {sigma:g} keep alpha at most {max((room / sigma - 4.0) / 2.0, 0.0):.3g}"
        )


def amplitudes(keys: SampleKeys, modulus: PerSample, angle: PerSample) -> Complex64[Tensor, "b 2"]:
    """Return the amplitudes of the two modes, Σ|α|² = modulus², in any direction of ℂ², turned by −angle."""
    parts = keys.normal("modes", 2, 2)
    parts = parts / parts.square().sum(dim=(1, 2), keepdim=True).sqrt().clamp(min=1e-30)
    turn = column(angle, 1)
    return torch.complex(parts[:, 0], parts[:, 1]) * torch.polar(column(modulus, 1), -turn)


def factors(
    grid: Grid, alpha: Complex64[Tensor, "b m 2"], length: Float32[Tensor, "b 1 1 1"]
) -> Complex64[Tensor, "b m 2 n"]:
    """Return the wave function of each mode along its axis, exp(−(x−x̄)²/2l² + i·p̄·(x − x̄/2))."""
    place = math.sqrt(2.0) * length * alpha.real[..., None]
    momentum = math.sqrt(2.0) / length * alpha.imag[..., None]
    x = grid.axis - (grid.size - 1) / 2
    return torch.polar(torch.exp(-0.5 * ((x - place) / length).square()), momentum * (x - place / 2.0))


@initial_condition(
    domain="quantum",
    tier=4,
    source="Glauber 1963; Gerry & Knight 2004",
    sites=("modes",),
    periodic=False,
    cost="closed",
    laws=(
        squared_modulus(),
        squared_modulus(num_modes=3),
        unit_intensity(),
        least_uncertainty(),
    ),
    check=check_decay,
)
def coherent_state(
    grid: Grid,
    keys: SampleKeys,
    *,
    alpha: Annotated[PerSample, Real(0.0, 3.0)] = 1.0,
    sigma: Annotated[PerSample, Real(2.0, 16.0, "px", log=True)] = 6.0,
    oscillation_frequency: Annotated[PerSample, Real(0.0, 10.0, "rad per unit of time")] = 0.2,
    time: Annotated[PerSample, Real(0.0, 1000.0)] = 0.0,
    num_modes: Annotated[PerSample, Integer(1, MAX_MODES)] = 1,
) -> Fields:
    """Coherent state |α⟩ of a harmonic oscillator in the plane, an eigenstate of its annihilation operator.

    ψ = exp(−|r − r̄|²/2l² + i·p̄·(r − r̄/2)) with l = √2·σ, r̄ = √2·l·Re α and p̄ = √2·Im α/l for each of
    the two axes, r from the middle of the grid: the trap fixes the width σ = ``sigma`` of |ψ|², and α place
    and momentum. |α| = ``alpha`` is split between the axes at random, with random phases. After ``time`` t
    in a trap of frequency ω = ``oscillation_frequency`` arg α has turned by −ωt. ``num_modes`` m > 1 gives
    the cat state Σ_j |α·exp(2πij/m)⟩, of m packets that interfere: its photon numbers are multiples of m.
    Channels are Re ψ, Im ψ and |ψ|²; the mean of |ψ|² over the grid is 1.

    What to expect: one round packet near the middle, crossed by the stripes of its momentum; for a cat
    state m packets on a ring with fringes between them where they overlap. Good values: ``alpha`` 0.5 to 3
    with ``sigma`` 4 to 8 px. The state must decay before the edge: 2·sigma·alpha + 4·sigma ≤ 64 px.
    """
    angle = torch.as_tensor(oscillation_frequency).double() * torch.as_tensor(time).double()
    centre = amplitudes(keys, alpha, torch.remainder(angle, TURN))
    number, count = torch.arange(MAX_MODES, device=grid.device), column(num_modes, 1)
    phase = torch.polar(torch.ones_like(number / count), TURN * number / count)
    length = grid.pixels(math.sqrt(2.0) * column(sigma))
    down, across = factors(grid, phase[..., None] * centre[:, None], length).unbind(dim=2)
    present = (number < count)[..., None]
    psi = torch.where(present, down, 0.0).transpose(1, 2) @ across
    density = psi.real.square() + psi.imag.square()
    scale = density.double().mean(dim=(-2, -1)).float()[:, None, None, None]
    fields = torch.stack((psi.real, psi.imag, density), dim=1)
    return torch.cat((fields[:, :2] / scale.sqrt(), fields[:, 2:] / scale), dim=1)
