"""Patterns of a diffusion-driven instability: labyrinths, spots, holes and stripes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.pattern_laws import band_share, orientation, skewness, wave_number
from spinlock.numerics.columns import column
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.spectral import angular, spectral
from spinlock.numerics.two_species import Linearization, Remainder, relax
from spinlock.registry import AnyOf, Integer, Real, When
from spinlock.shapes import Fields, PerSample

Pattern = Literal["labyrinth", "spots", "holes", "stripes"]
Model = Literal["fitzhugh_nagumo", "schnakenberg", "linear"]
Pixels = Float[Tensor, "b n n"]

DT = 0.2
DIFFUSION_RATIO = 20.0
RECOVERY, COUPLING = 2.0, 1.5
"""g and b of the FitzHugh–Nagumo medium."""

DRIVE = {"labyrinth": 0.0, "stripes": 0.0, "spots": -0.2, "holes": 0.2}
SUPPLY_U, SUPPLY_V = 0.1, 0.9
"""a and b of the Schnakenberg medium."""

SHORTEST_WAVE = 4.0
"""In px of the grid itself."""

SEED_LIMIT = 2.0
"""The explicit cube stays stable for |u| below √(2/dt) = 3.2; seeds are cut well inside."""

RING_WIDTH, ARC_WIDTH = 0.15, 0.06
"""Standard deviation of the seed's wave number, as a share of it, without and with a direction.

Stripes keep the wave number they start with, over a wide range; other patterns find theirs.
"""

FAN_WIDTH = 0.15
"""Standard deviation of the direction of the seed of stripes, rad."""


@dataclass(frozen=True)
class Medium:
    """A reaction near its homogeneous steady state (u0, v0).

    ``remainder`` is what the rate of u holds beyond its linear part, from deviations, and enters the rate of
    v ``share`` times; ``rate`` is the whole rate of u, from concentrations; ``stretch`` is the mean wave
    number of the grown pattern over that of the mode that grows fastest.
    """

    u0: float
    v0: float
    linear: Linearization
    remainder: Remainder
    rate: Callable[[Pixels, Pixels], Pixels]
    share: float = 0.0
    stretch: float = 1.0


def fitzhugh_nagumo(kappa: float) -> Medium:
    """Return the medium u_t = D∇²u + u − u³ − v + κ, v_t = 20D∇²v + g(bu − v) at its steady state.

    There v = bu and u³ + (b − 1)u = κ, whose only real root Cardano's formula gives.
    """
    root = math.sqrt(kappa**2 / 4.0 + ((COUPLING - 1.0) / 3.0) ** 3)
    u0 = math.cbrt(kappa / 2.0 + root) + math.cbrt(kappa / 2.0 - root)
    return Medium(
        u0,
        COUPLING * u0,
        Linearization(1.0 - 3.0 * u0**2, -1.0, RECOVERY * COUPLING, -RECOVERY, DIFFUSION_RATIO),
        remainder=lambda u, _v: -(u * u) * (u + 3.0 * u0),
        rate=lambda u, v: u - u.pow(3) - v + kappa,
        stretch=1.035 if kappa == 0.0 else 1.015,
    )


def schnakenberg() -> Medium:
    """Return the medium u_t = D∇²u + a − u + u²v, v_t = 20D∇²v + b − u²v at u = a + b, v = b/(a + b)²."""
    u0 = SUPPLY_U + SUPPLY_V
    v0 = SUPPLY_V / u0**2
    return Medium(
        u0,
        v0,
        Linearization(2.0 * u0 * v0 - 1.0, u0**2, -2.0 * u0 * v0, -(u0**2), DIFFUSION_RATIO),
        remainder=lambda u, v: u * (u * (v + v0) + 2.0 * u0 * v),
        rate=lambda u, v: SUPPLY_U - u + u * u * v,
        share=-1.0,
        stretch=1.185,
    )


def ring_spectrum(grid: Grid, wavenumber: Tensor, heading: Tensor | None) -> Float64[Tensor, "b n half"]:
    """Return the seed's spectrum: a ring at a wave number [B, 1, 1], or two arcs of it along ±heading."""
    size = grid.size
    width = RING_WIDTH if heading is None else ARC_WIDTH
    spectrum = torch.exp(-0.5 * ((angular(grid).double() / wavenumber - 1.0) / width).square())
    if heading is None:
        return spectrum
    down = torch.fft.fftfreq(size, dtype=torch.float64, device=grid.device)[:, None]
    across = torch.fft.rfftfreq(size, dtype=torch.float64, device=grid.device)
    deviation = torch.sin(torch.atan2(down, across) - heading)
    return spectrum * torch.exp(-0.5 * (deviation / FAN_WIDTH).square())


def scaled_noise(spectrum: Tensor, white: Tensor) -> Pixels:
    """Return noise of a spectrum with rms 1 in every sample."""
    noise = spectral(spectrum, white.double())
    return noise / noise.square().mean(dim=(-2, -1), keepdim=True).sqrt()


@initial_condition(
    domain="biology",
    tier=1,
    source="Turing 1952; Cross & Hohenberg 1993; Murray, Mathematical Biology",
    sites=("white", "heading"),
    cost="steps",
    laws=(
        wave_number(16.0, pattern_type="labyrinth"),
        band_share(16.0, 0.85, pattern_type="spots"),
        band_share(16.0, 0.85, model="linear"),
        skewness(-0.2, 0.2, pattern_type="labyrinth"),
        skewness(0.6, math.inf, pattern_type="spots"),
        skewness(-math.inf, -0.6, pattern_type="holes"),
        orientation(0.7, 1.0, pattern_type="stripes"),
    ),
)
def turing_pattern(
    grid: Grid,
    keys: SampleKeys,
    *,
    model: Model = "fitzhugh_nagumo",
    pattern_type: Annotated[
        Pattern | Literal["mixed"], AnyOf("mixed"), When("model", ("fitzhugh_nagumo",))
    ] = "mixed",
    wavelength: Annotated[PerSample, Real(8.0, 48.0, "px", log=True)] = 16.0,
    perturbation_amplitude: Annotated[PerSample, Real(0.1, 1.0, log=True)] = 0.5,
    steps: Annotated[int, Integer(50, 400)] = 150,
) -> Fields:
    """Turing pattern of an activator u and an inhibitor v that spreads 20 times as fast.

    Model ``fitzhugh_nagumo``: u_t = D∇²u + u − u³ − v + κ, v_t = 20D∇²v + 2(1.5u − v), with κ = 0 for a
    ``labyrinth`` and for ``stripes``, whose seed has one direction, and κ = −0.2 and 0.2 for ``spots`` and
    ``holes``; ``mixed`` draws one of the four for each sample. Model ``schnakenberg``: u_t = D∇²u + 0.1 − u
    + u²v, v_t = 20D∇²v + 0.9 − u²v, always spots. Without diffusion both come to rest, the same everywhere.
    D is set so that the pattern has the ``wavelength`` asked for (at least 4 px of the grid itself). The
    start is noise around that wavelength with rms ``perturbation_amplitude``, followed for ``steps`` steps
    of 0.2. Model ``linear`` is the same noise grown by linear theory, exp(λ(k)t), and scaled back to rms
    ``perturbation_amplitude``.

    Channels are u, v (in phase with u: the two correlate above 0.95) and the net reaction rate of u.

    What to expect: winding bands, or a crowd of round spots, of one width all over. Good values:
    ``wavelength`` 8 to 32.
    """
    medium = schnakenberg() if model == "schnakenberg" else fitzhugh_nagumo(DRIVE.get(pattern_type, 0.0))
    wavenumber = 2.0 * math.pi / grid.pixels(column(wavelength, 2).double()).clamp(min=SHORTEST_WAVE)
    squared = (angular(grid).double() * (medium.linear.fastest() * medium.stretch) / wavenumber).square()
    heading = None
    if model == "fitzhugh_nagumo" and pattern_type == "stripes":
        heading = math.pi * keys.uniform("heading", 1, 1).double()
    spectrum = ring_spectrum(grid, wavenumber, heading)
    if model == "linear":
        growth = medium.linear.growth(squared)
        spectrum = spectrum * torch.exp(2.0 * DT * steps * (growth - growth.amax(dim=(-2, -1), keepdim=True)))
    noise = scaled_noise(spectrum, keys.normal("white", grid.size, grid.size))
    u = (noise * column(perturbation_amplitude, 2).double()).clamp(-SEED_LIMIT, SEED_LIMIT)
    v = torch.fft.irfft2(torch.fft.rfft2(u) * medium.linear.companion(squared), s=u.shape[-2:])
    if model == "linear":
        return torch.stack((u, v, u - v), dim=1).float()
    u, v = u.float(), v.float()
    u, v = relax(medium.linear, medium.remainder, medium.share, squared, (u, v), dt=DT, steps=steps)
    u, v = u + medium.u0, v + medium.v0
    return torch.stack((u, v, medium.rate(u, v)), dim=1)
