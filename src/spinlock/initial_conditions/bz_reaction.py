"""Waves of an oscillating chemical reaction: spirals, targets and turbulence."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Complex64, Float32
from torch import Tensor

from spinlock.errors import OptionError
from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.defect_laws import (
    defect_count,
    local_wavelength,
    many_defects,
    median_amplitude,
    singular_cores,
)
from spinlock.numerics import barkley, ginzburg_landau
from spinlock.numerics.columns import column
from spinlock.numerics.grid import Grid
from spinlock.numerics.klein_gordon import wave_numbers
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.spectral import angular
from spinlock.numerics.vortices import vortex_phase
from spinlock.registry import AnyOf, Integer, Real, When
from spinlock.shapes import Fields, PerSample

Pattern = Literal["spiral", "target", "turbulent"]
Unit = Float32[Tensor, "b 1 1"]
Places = Float32[Tensor, "b v 2"]
Wave = Complex64[Tensor, "b n n"]

SELECTED = 0.307
"""Wave number q of the spirals at b = 0, c = 1, per unit of length of the equation (Hagan 1982)."""

AMPLITUDE = math.sqrt(1.0 - SELECTED**2)
CORE = 1.5
DISPERSION = {"spiral": (0.0, 1.0), "target": (0.0, 1.0), "turbulent": (2.0, -1.2)}
"""b and c: plane waves are stable for the first two, and none is for the third, as 1 + bc < 0."""

STEPS = {"spiral": 100, "target": 100, "turbulent": 300}
TIME_STEP = 0.2
EXCITABLE_TIME_STEP = 0.04

PACEMAKER_DEPTH, PACEMAKER_WIDTH = 0.4202, 2.0
"""Frequency δ and width of a Gaussian pacemaker that sends out waves of the wave number q.

The phase obeys θ_t = δ(r) + ∇²θ + (∇θ)² − c; with ψ = e^θ that is ψ_t = (∇² + δ)ψ − cψ, and the ground state
of this well has the eigenvalue q²."""

MAX_SPIRALS = 8
CANDIDATES = 16


def check_model(values: Mapping[str, Any], _grid_size: int | None) -> None:
    """Refuse patterns that an excitable medium does not keep up."""
    if values["model"] == "barkley" and values["pattern_type"] != "spiral":
        raise OptionError(
            f"model barkley has no {values['pattern_type']} pattern: it is excitable, and only spirals last"
            " in it; use pattern_type spiral, or model ginzburg_landau"
        )


def separated(keys: SampleKeys) -> Float32[Tensor, "b v 2"]:
    """Return places far from each other, as fractions of the side: each the best of some candidates.

    A candidate is the better, the further it is from the nearest place before it (Mitchell 1991).
    """
    candidates = keys.uniform("places", MAX_SPIRALS, CANDIDATES, 2)
    chosen = candidates[:, :1, 0]
    for number in range(1, MAX_SPIRALS):
        these = candidates[:, number]
        apart = (these[:, :, None] - chosen[:, None]).abs()
        nearest = torch.minimum(apart, 1.0 - apart).square().sum(dim=-1).amin(dim=2)
        best = nearest.argmax(dim=1)[:, None, None].expand(-1, 1, 2)
        chosen = torch.cat((chosen, these.gather(1, best)), dim=1)
    return chosen


def distances(grid: Grid, places: Float32[Tensor, "b v 2"]) -> Float32[Tensor, "b v n n"]:
    """Return the shortest way round the torus to each place, px."""
    offset = grid.offset(grid.side(places))
    return torch.hypot(offset[:, :, 0, :, None], offset[:, :, 1, None, :])


def spirals(grid: Grid, places: Places, unit: Unit) -> Wave:
    """Return √(1−q²)·Π_j tanh(r_j/1.5)·exp(i(Σ_j ±θ_j − q·r_min)), with charges + and − in turn.

    The sign before q is that of waves that go outwards; the other one unwinds.
    """
    apart = distances(grid, places) * unit[:, None]
    size = torch.tanh(apart / CORE).prod(dim=1) * AMPLITUDE
    charges = 1.0 - 2.0 * (torch.arange(places.shape[1], device=grid.device) % 2)
    phase = vortex_phase(grid, grid.side(places), charges.expand(len(places), -1))
    return phase * torch.polar(size, -SELECTED * apart.amin(dim=1))


def rings(grid: Grid, places: Places, unit: Unit) -> Wave:
    """Return √(1−q²)·exp(−iq·r) around the first place."""
    apart = distances(grid, places[:, :1])[:, 0] * unit
    return torch.polar(torch.full_like(apart, AMPLITUDE), -SELECTED * apart)


def oscillate(grid: Grid, pattern: Pattern, places: Places, start: Wave, unit: Unit, steps: int) -> Wave:
    """Return A after some steps of the complex Ginzburg–Landau equation."""
    pacemaker = None
    if pattern == "target":
        apart = distances(grid, places[:, :1])[:, 0] * unit
        pacemaker = PACEMAKER_DEPTH * torch.exp(-0.5 * (apart / PACEMAKER_WIDTH).square())
    k = wave_numbers(grid)
    k2 = (k[:, None].square() + k.square()) / unit.square()
    b, c = DISPERSION[pattern]
    return ginzburg_landau.evolve(start, k2, b, c, TIME_STEP, steps, pacemaker)


def excite(grid: Grid, start: Wave, unit: Unit, steps: int) -> Float32[Tensor, "b 3 n n"]:
    """Return u, v and the distance from the middle of the cycle after some steps of Barkley's model."""
    turns = torch.remainder(torch.angle(start) / (2.0 * math.pi), 1.0)
    scale = unit * (barkley.WAVELENGTH * SELECTED / (2.0 * math.pi))
    k2 = angular(grid).square() / scale.square()
    u, v = barkley.evolve(*barkley.cycle(turns), k2, EXCITABLE_TIME_STEP, steps)
    return torch.stack((u, v, torch.hypot(u - barkley.CENTRE[0], v - barkley.CENTRE[1])), dim=1)


@initial_condition(
    domain="chemistry",
    tier=2,
    source="Winfree 1972; Hagan 1982; Barkley 1991; Aranson & Kramer 2002",
    sites=("places", "noise"),
    cost="steps",
    laws=(
        defect_count(2),
        singular_cores(wavelength=48.0),
        median_amplitude(AMPLITUDE),
        local_wavelength(24.0),
        defect_count(0, pattern_type="target"),
        many_defects(20, draws=4, pattern_type="turbulent"),
        defect_count(4, centre=barkley.CENTRE, model="barkley", num_spirals=4),
    ),
    check=check_model,
)
def bz_reaction(
    grid: Grid,
    keys: SampleKeys,
    *,
    pattern_type: Pattern = "spiral",
    num_spirals: Annotated[Literal[2, 4, 6, 8], AnyOf("random"), When("pattern_type", ("spiral",))] = 2,
    wavelength: Annotated[PerSample, Real(16.0, 48.0, "px", log=True)] = 24.0,
    phase_offset: Annotated[PerSample, Real(0.0, 2.0 * math.pi, "rad")] = 0.0,
    steps: Annotated[int | None, Integer(50, 300)] = None,
    model: Literal["ginzburg_landau", "barkley"] = "ginzburg_landau",
) -> Fields:
    """Waves of an oscillating chemical reaction, in the form of the complex Ginzburg–Landau equation.

    A_t = A + (1 + ib)∇²A − (1 + ic)|A|²A, what every medium obeys near the onset of oscillation, the
    reaction of Belousov and Zhabotinsky among them. ``pattern_type`` spiral: ``num_spirals`` spirals far
    from each other, around points where A = 0 and the phase turns by ±2π, as many one way as the other (a
    torus allows no other number); b = 0, c = 1, and |A|² = 1 − q² between them. target: rings around a
    pacemaker, without such points. turbulent: b = 2, c = −1.2, where no wave is stable, from noise.
    ``wavelength`` px is that of spirals and targets, 2π/q, and sets the unit of length; ``phase_offset``
    turns the start; ``steps`` of 0.2 (null: 100, turbulent 300) let the waves form. Channels are Re A
    (activator), Im A (catalyst) and |A|. With ``model`` barkley the medium is excitable rather than
    oscillating, with steps of 0.04: channels are u, v and their distance from the middle of the cycle.

    What to expect: even arms that meet along sharp lines. Good values: 2 to 6 spirals of 16 to 32 px.
    Raises `OptionError` for targets and turbulence in an excitable medium.
    """
    unit = (2.0 * math.pi / SELECTED) / grid.pixels(column(wavelength, 2))
    places = separated(keys)[:, :num_spirals]
    if pattern_type == "turbulent":
        start = torch.complex(*keys.normal("noise", 2, grid.size, grid.size).mul(0.1).unbind(dim=1))
    else:
        start = (spirals if pattern_type == "spiral" else rings)(grid, places, unit)
    turn = column(phase_offset, 2)
    start = start * torch.polar(torch.ones_like(turn), turn)
    steps = STEPS[pattern_type] if steps is None else steps
    if model == "barkley":
        return excite(grid, start, unit, steps)
    wave = oscillate(grid, pattern_type, places, start, unit, steps)
    return torch.stack((wave.real, wave.imag, wave.abs()), dim=1)
