"""A regular pattern under Gaussian noise."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float32
from torch import Tensor

from spinlock.errors import OptionError
from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.gaussian_random_field import kernel_spectrum
from spinlock.initial_conditions.laws import lines
from spinlock.numerics.columns import column
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.spectral import spectral
from spinlock.registry import AnyOf, Integer, Real
from spinlock.shapes import Fields, PerSample

Pattern = Literal["waves", "grid", "radial", "hex", "checker"]
Phase = Float32[Tensor, "b 3 1 1"]
Turns = Float32[Tensor, "b 1 1 1"]
Placement = Float32[Tensor, "b 3"]
"""Uniforms for the direction or second phase, and the centre, of a pattern."""

TURN = 2.0 * math.pi


def plane_phase(grid: Grid, cycles: tuple[Tensor, Tensor]) -> Tensor:
    """Return 2π(n_y·y + n_x·x)/N for wave vectors (n_y, n_x) in cycles per side, [B, 1, N, N]."""
    down, across = (count / grid.size for count in cycles)
    return TURN * (down * grid.axis[:, None] + across * grid.axis)


def waves(grid: Grid, frequency: Turns, placement: Placement, phase: Phase) -> Tensor:
    """Return cos(k·r + φ), the integer wave vector nearest to ``frequency`` in a random direction."""
    angle = column(placement[:, 0]) * TURN
    cycles = (frequency * torch.sin(angle)).round(), (frequency * torch.cos(angle)).round()
    return torch.cos(plane_phase(grid, cycles) + phase)


def lattice(grid: Grid, frequency: Turns, placement: Placement, phase: Phase) -> tuple[Tensor, Tensor]:
    """Return the phases ky·y + φ and kx·x + φ' of two crossed waves."""
    shift = column(placement[:, 0]) * TURN
    none = torch.zeros_like(frequency)
    return plane_phase(grid, (frequency, none)) + phase, plane_phase(grid, (none, frequency)) + phase + shift


def crossed(grid: Grid, frequency: Turns, placement: Placement, phase: Phase) -> Tensor:
    """Return cos(k·y + φ) + cos(k·x + φ')."""
    down, across = lattice(grid, frequency, placement, phase)
    return torch.cos(down) + torch.cos(across)


def checker(grid: Grid, frequency: Turns, placement: Placement, phase: Phase) -> Tensor:
    """Return the squares of a board, ±1: the sign of cos(k·y + φ)·cos(k·x + φ')."""
    down, across = lattice(grid, frequency, placement, phase)
    return torch.where((torch.cos(down) >= 0) == (torch.cos(across) >= 0), 1.0, -1.0)


def hexagons(grid: Grid, frequency: Turns, placement: Placement, phase: Phase) -> Tensor:
    """Return three waves about 120° apart, of integer wave vectors; phases that sum to 0 make spots."""
    half, height = (frequency / 2).round(), (frequency * math.sqrt(0.75)).round()
    first = plane_phase(grid, (torch.zeros_like(frequency), frequency)) + phase
    second = plane_phase(grid, (height, -half)) + phase + column(placement[:, 0]) * TURN
    return torch.cos(first) + torch.cos(second) + torch.cos(first + second)


def radial(grid: Grid, frequency: Turns, placement: Placement, phase: Phase) -> Tensor:
    """Return rings cos(k·d + φ), d the shortest way round the torus to a random centre."""
    offset = grid.offset(grid.side(placement[:, 1:]))
    distance = torch.hypot(offset[:, 0, :, None], offset[:, 1, None, :])[:, None]
    return torch.cos(TURN / grid.size * frequency * distance + phase)


PATTERNS = {"waves": waves, "grid": crossed, "radial": radial, "hex": hexagons, "checker": checker}


def check_frequency(values: Mapping[str, Any], grid_size: int | None) -> None:
    """Refuse patterns finer than the grid can show."""
    if grid_size is not None and 2 * values["frequency"] >= grid_size:
        raise OptionError(
            f"frequency {values['frequency']} is too high for a {grid_size} grid: it must be below half of it"
        )


@initial_condition(
    domain="general",
    tier="baseline",
    source="deterministic patterns under a Gaussian random field",
    sites=("placement", "noise"),
    cost="fft",
    drawn={"frequency": (2, 6)},
    laws=(
        lines(2, pattern="waves", noise_level=0.0),
        lines(4, pattern="grid", noise_level=0.0),
    ),
    check=check_frequency,
)
def composite(
    grid: Grid,
    keys: SampleKeys,
    *,
    pattern: Annotated[Pattern, AnyOf("random")] = "waves",
    frequency: Annotated[PerSample, Integer(1, 1024, "cycles per side")] = 4,
    noise_level: Annotated[PerSample, Real(0.0, 1.0)] = 0.1,
    grf_length_scale: Annotated[PerSample, Real(0.005, 0.4, "side", log=True)] = 0.05,
    phase_shift: bool = True,
) -> Fields:
    """Regular pattern of mean square 1 under a Gaussian random field, f_c = p_c/rms(p) + ε·ξ_c.

    ``pattern`` is plane waves, two crossed waves (grid), rings (radial), three waves (hex) or a board of ±1
    (checker), at a random place, with whole ``frequency`` cycles per side (drawn from 2 to 6 by default) so
    that it closes on the torus. Channel c has its phase shifted by 2πc/3 if ``phase_shift``, and noise ξ_c of
    its own, of variance 1 and length ``grf_length_scale``; ε = ``noise_level`` = rms(noise)/rms(pattern).

    What to expect: the pattern clear below ε = 0.3, half hidden at 1. ``hex`` has the nearest wave vectors
    that the torus allows, so that its cells are a little stretched at low frequency.
    """
    shift = (
        TURN / 3.0 * torch.arange(3, device=grid.device)
        if phase_shift
        else torch.zeros(3, device=grid.device)
    )
    uniforms = keys.uniform("placement", 4)
    placement, phase = uniforms[:, 1:], (TURN * uniforms[:, :1] + shift)[..., None, None]
    regular = PATTERNS[pattern](grid, column(frequency), placement, phase)
    regular = regular / regular.square().mean(dim=(-3, -2, -1), keepdim=True).sqrt()
    noise = spectral(
        kernel_spectrum(grid, "rbf", grf_length_scale), keys.normal("noise", 3, grid.size, grid.size)
    )
    return regular + column(noise_level) * noise
