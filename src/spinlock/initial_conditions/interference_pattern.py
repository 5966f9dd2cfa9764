"""Waves of several sources over each other: fringes, or speckle of many plane waves."""

import math
from typing import Annotated

import torch
from jaxtyping import Complex128, Float64
from torch import Tensor

from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.interference_laws import (
    local_wave_number,
    positive_intensity,
    speckle_contrast,
)
from spinlock.initial_conditions.wave_laws import squared_modulus, unit_intensity
from spinlock.numerics.columns import column
from spinlock.numerics.grid import Grid
from spinlock.numerics.planar import heading
from spinlock.numerics.random import SampleKeys
from spinlock.registry import Integer, Real, When
from spinlock.shapes import Fields, PerSample

MAX_SOURCES = 12
PLANE_WAVES = 200
SHORTEST_WAVE = 4.0
"""In px of the grid itself: the intensity of opposite waves repeats twice in one wavelength."""

PerRow = Float64[Tensor, "b 1 1"]
Pixels = Float64[Tensor, "b n n"]


def distance(grid: Grid, place: Float64[Tensor, "b 2"], wavelength: PerRow) -> Pixels:
    """Return √(d² + (λ/4)²), d the way in the plane from a source, px: it has no cusp at the source."""
    offset = grid.axis.double() - place[..., None]
    squared = offset[:, 0, :, None].square() + offset[:, 1, None, :].square()
    return (squared + (0.25 * wavelength).square()).sqrt()


def cylindrical(way: Pixels, wavelength: PerRow) -> tuple[Pixels, Pixels]:
    """Return real and imaginary part of the wave r^(−1/2)·exp(ikr) of one source."""
    phase, height = (2.0 * math.pi / wavelength) * way, way.rsqrt()
    return height * phase.cos(), height * phase.sin()


def coherence(path: Pixels, length: PerRow) -> Pixels:
    """Return the degree of coherence of two waves with a path difference Δ, g = exp(−Δ²/2l²)."""
    return torch.exp(-0.5 * (path / length).square())


def speckle(grid: Grid, keys: SampleKeys, wavelength: PerRow) -> Complex128[Tensor, "b n n"]:
    """Return the sum of plane waves from all directions with random phases."""
    turns = (2.0 * math.pi) * keys.uniform("plane waves", 2, PLANE_WAVES).double()
    turn, phase = turns.unbind(dim=1)
    k = 2.0 * math.pi / wavelength
    down, across = (k * part[..., None] * grid.axis for part in heading(turn))
    rows = torch.polar(torch.ones_like(down), down + phase[..., None])
    return rows.mT @ torch.polar(torch.ones_like(across), across)


SEVERAL = When("num_sources", tuple(range(2, MAX_SOURCES + 1)))


@initial_condition(
    domain="quantum",
    tier=3,
    source="Young 1804; Born & Wolf, Principles of Optics; Goodman, Speckle Phenomena in Optics",
    sites=("sources", "row", "phase", "plane waves"),
    cost="closed",
    periodic=False,
    laws=(
        squared_modulus(1e-4, coherence_length=None),
        squared_modulus(1e-4, coherence_length=None, num_sources=7),
        unit_intensity(num_sources=5, coherence_length=10.0),
        positive_intensity(num_sources=5, coherence_length=10.0),
        local_wave_number(32.0, num_sources=1),
        local_wave_number(32.0, num_sources=0),
        speckle_contrast(),
    ),
)
def interference_pattern(
    grid: Grid,
    keys: SampleKeys,
    *,
    num_sources: Annotated[PerSample, Integer(0, MAX_SOURCES)] = 2,
    wavelength: Annotated[PerSample, Real(6.0, 40.0, "px", log=True)] = 16.0,
    coherence_length: Annotated[PerSample | None, Real(10.0, 1e4, "px", log=True), SEVERAL] = 100.0,
    source_spacing: Annotated[PerSample | None, Real(2.0, 64.0, "px", log=True), SEVERAL] = None,
) -> Fields:
    """Cylindrical waves of a few sources in phase, and the intensity where they meet.

    E = e^(iφ)·Σ_j r_j^(−1/2)·exp(ikr_j), k = 2π/``wavelength`` (at least 4 px of the grid itself), r
    softened to √(r² + λ²/16); I = Σ I_i + 2Σ_(i<j) √(I_i·I_j)·g(r_i − r_j)·cos k(r_i − r_j). The degree of
    coherence g = exp(−Δ²/2l²) of two waves depends on their path difference Δ, l = ``coherence_length``
    (null: infinite, and I = |E|²). Sources are uniform over the open frame, or ``source_spacing`` px apart
    in a row across its centre. No source at all (``num_sources`` 0) gives speckle, 200 plane waves from all
    directions with random phases. Channels are Re E, Im E and I, scaled to mean I = 1; E is that of full
    coherence.

    What to expect: rings around each source and hyperbolic fringes between them, sharp near the middle line
    and washed out far from it; grainy spots one wavelength wide for speckle. Good values: 2 to 4 sources,
    ``wavelength`` 8 to 24.
    """
    length = grid.pixels(column(wavelength, 2).double()).clamp(min=SHORTEST_WAVE)
    count = column(num_sources, 2)
    limit = None if coherence_length is None else grid.pixels(column(coherence_length, 2).double())
    places = _places(grid, keys, column(num_sources, 1).double(), source_spacing)
    parts, intensity = _superposed(grid, places, count, length, limit)
    if bool((count == 0).any()):
        grains = speckle(grid, keys, length)
        parts = [
            torch.where(count == 0, *pair) for pair in ((grains.real, parts[0]), (grains.imag, parts[1]))
        ]
        intensity = torch.where(count == 0, parts[0].square() + parts[1].square(), intensity)
    turn = (2.0 * math.pi) * keys.uniform("phase", 1, 1).double()
    real = turn.cos() * parts[0] - turn.sin() * parts[1]
    imaginary = turn.sin() * parts[0] + turn.cos() * parts[1]
    mean = intensity.mean(dim=(-2, -1), keepdim=True)
    return torch.stack((real / mean.sqrt(), imaginary / mean.sqrt(), intensity / mean), dim=1).float()


def _places(
    grid: Grid, keys: SampleKeys, count: Float64[Tensor, "b 1"], spacing: PerSample | None
) -> Float64[Tensor, "b source 2"]:
    """Return where the sources stand: anywhere in the frame, or in a row of any direction."""
    if spacing is None:
        return (grid.size - 1) * keys.uniform("sources", MAX_SOURCES, 2).double()
    numbers = keys.uniform("row", 3).double()
    number = torch.arange(MAX_SOURCES, dtype=torch.float64, device=grid.device)
    along_row = (number - 0.5 * (count - 1.0)) * grid.pixels(column(spacing, 1).double())
    direction = torch.stack(heading((2.0 * math.pi) * numbers[:, 0]), dim=-1)
    middle = (grid.size - 1) * (0.35 + 0.3 * numbers[:, 1:])
    return middle[:, None] + along_row[..., None] * direction[:, None]


def _superposed(
    grid: Grid, places: Tensor, count: Tensor, wavelength: PerRow, length: PerRow | None
) -> tuple[list[Pixels], Pixels]:
    """Return real and imaginary part of the sum of the waves of the sources that exist, and the intensity."""
    real, imaginary, intensity = torch.zeros(
        3, len(places), grid.size, grid.size, dtype=torch.float64, device=grid.device
    )
    met: list[tuple[Pixels, Pixels, Pixels]] = []
    for number in range(int(count.max()) if len(count) else 0):
        way = distance(grid, places[:, number], wavelength)
        cosine, sine = (torch.where(number < count, part, 0.0) for part in cylindrical(way, wavelength))
        real, imaginary = real + cosine, imaginary + sine
        if length is None:
            continue
        intensity = intensity + cosine.square() + sine.square()
        for other_cosine, other_sine, other_way in met:
            product = torch.addcmul(cosine * other_cosine, sine, other_sine)
            intensity = intensity + 2.0 * coherence(way - other_way, length) * product
        met.append((cosine, sine, way))
    if length is None:
        intensity = real.square() + imaginary.square()
    return [real, imaginary], intensity
