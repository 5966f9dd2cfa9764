"""Morphogen around its sources: synthesis, diffusion, degradation, and how cells read it."""

import math
from typing import Annotated, Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.gradient_laws import (
    decay,
    ordered_responses,
    screened_diffusion,
    shot_noise,
)
from spinlock.numerics.columns import column
from spinlock.numerics.grid import Grid
from spinlock.numerics.planar import along, extent
from spinlock.numerics.poisson import poisson_quantile
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.spectral import angular
from spinlock.registry import Integer, Real, When
from spinlock.shapes import Fields, PerSample

Gradient = Literal["exponential", "power_law", "sigmoidal"]
MAX_SOURCES = 4
HIGH, LOW = 0.6, 0.2
"""Thresholds K of the two responses, as shares of the peak."""

SIGMOID_STEEPNESS = 4.0
LEAST_WIDTH = 0.7
"""Of a source, in px of the grid itself: a narrower one rings in its spectrum."""

PerRow = Float64[Tensor, "b 1 1"]
Pixels = Float64[Tensor, "b n n"]


def shape(gradient: Gradient, distance: Float64[Tensor, "..."], decay_length: Tensor) -> Tensor:
    """Return the profile at a distance d from a source, 1 at d = 0.

    ``exponential`` exp(−d/λ) is linear degradation; ``power_law`` (1 + d/2λ)^−2 degradation of second order,
    which starts at the same slope; ``sigmoidal`` a smooth step at d = λ.
    """
    relative = distance / decay_length
    if gradient == "exponential":
        return torch.exp(-relative)
    if gradient == "power_law":
        return (1.0 + 0.5 * relative).pow(-2)
    top = 1.0 + math.exp(-SIGMOID_STEEPNESS)
    return top * torch.sigmoid(SIGMOID_STEEPNESS * (1.0 - relative))


def screened(grid: Grid, centre: Tensor, strength: Tensor, decay_length: PerRow, width: PerRow) -> Pixels:
    """Return the solution of λ²∇²c − c + j = 0 on the torus, j Gaussian sources: ĉ = ĵ/(1 + λ²k²)."""
    envelope = torch.exp(-0.5 * (grid.offset(centre).double() / width[..., None]).square())
    sources = torch.einsum("bsh,bsw,bs->bhw", envelope[:, :, 0], envelope[:, :, 1], strength)
    gain = 1.0 / (1.0 + (decay_length * angular(grid).double()).square())
    return torch.fft.irfft2(torch.fft.rfft2(sources) * gain, s=sources.shape[-2:]).clamp(min=0.0)


def response(concentration: Pixels, threshold: float, exponent: PerRow) -> Pixels:
    """Return Hill's cʰ/(Kʰ + cʰ)."""
    powered = (concentration / threshold).pow(exponent)
    return powered / (1.0 + powered)


@initial_condition(
    domain="biology",
    tier=1,
    source="Wolpert 1969; Crick 1970; Wartlick, Kicheva & Gonzalez-Gaitan 2009; Gregor et al. 2007",
    sites=("sources", "angle", "counts"),
    cost="fft",
    periodic=False,
    laws=(
        decay(20.0),
        screened_diffusion(20.0),
        shot_noise(1000),
        shot_noise(50, source="both"),
        ordered_responses(),
    ),
)
def morphogen_gradient(
    grid: Grid,
    keys: SampleKeys,
    *,
    source: Literal["point", "edge", "both"] = "point",
    gradient_type: Gradient = "exponential",
    decay_length: Annotated[PerSample, Real(5.0, 50.0, "px", log=True)] = 20.0,
    num_sources: Annotated[PerSample, Integer(1, MAX_SOURCES), When("source", ("point", "both"))] = 1,
    source_width: Annotated[
        PerSample, Real(1.0, 10.0, "px", log=True), When("source", ("point", "both"))
    ] = 1.5,
    molecules: Annotated[PerSample | None, Real(50.0, 1e6, log=True)] = 1000.0,
    hill: Annotated[PerSample, Real(1.0, 16.0, log=True)] = 4.0,
) -> Fields:
    """Concentration c of a morphogen made at a few places, spreading and decaying, and two responses to it.

    D∇²c − kc + j = 0 with ``decay_length`` λ = √(D/k). ``point`` sources are Gaussians of ``source_width``
    (at least 0.7 px of the grid itself) on the torus, strength uniform in [1/2, 1]; around one c falls as
    K₀(r/λ), steeper than exp(−r/λ). An ``edge`` source is a line through the farthest corner of an open
    frame, square to a random direction, with c = exp(−x/λ); ``both`` adds the two, each with peak 1. The
    largest value is scaled to 1, then counted: Poisson(nc)/n with n = ``molecules`` at the peak on the area
    of a px of a 128 grid, 4n on a px of a 64 grid (null: no noise). ``gradient_type`` ``power_law`` and
    ``sigmoidal`` are descriptive: (1 + d/2λ)^−2, as second-order degradation gives in one dimension, and a
    smooth step at λ, d the distance from the rim of the source.

    Channels are c and the responses cʰ/(Kʰ + cʰ) with K = 0.6 and 0.2 and the exponent ``hill``: nested
    territories, the French flag.

    What to expect: a bright spot or side that fades, with a small and a large sharp territory round it.
    Good values: ``decay_length`` 10 to 40, ``molecules`` 100 to 10⁴.
    """
    length = grid.pixels(column(decay_length, 2).double())
    parts: list[Tensor] = []
    if source != "edge":
        width = grid.pixels(column(source_width, 2).double()).clamp(min=LEAST_WIDTH)
        parts.append(_points(grid, keys, gradient_type, num_sources, length, width))
    if source != "point":
        angle = (2.0 * math.pi) * keys.uniform("angle").double()
        distance = along(grid, angle) + 0.5 * extent(grid, angle)[:, None, None]
        parts.append(shape(gradient_type, distance, length))
    total = sum((_peak_scaled(part) for part in parts[1:]), _peak_scaled(parts[0]))
    concentration = _peak_scaled(total)
    if molecules is not None:
        number = column(molecules, 2).double() / grid.pixels(1.0) ** 2
        counts = poisson_quantile(keys.uniform("counts", grid.size, grid.size), number * concentration)
        concentration = counts / number
    exponent = column(hill, 2).double()
    responses = [response(concentration, threshold, exponent) for threshold in (HIGH, LOW)]
    return torch.stack((concentration, *responses), dim=1).float()


def _peak_scaled(field: Pixels) -> Pixels:
    return field / field.amax(dim=(-2, -1), keepdim=True)


def _points(
    grid: Grid,
    keys: SampleKeys,
    gradient: Gradient,
    num_sources: PerSample,
    length: PerRow,
    width: PerRow,
) -> Pixels:
    """Return the sum over point sources, each at any pixel, with strengths uniform in [1/2, 1]."""
    numbers = keys.uniform("sources", MAX_SOURCES, 3)
    centre = grid.side(numbers[..., :2]).floor()  # at pixel centres, so that every grid sees the peaks
    present = torch.arange(MAX_SOURCES, device=grid.device) < column(num_sources, 1)
    strength = torch.where(present, 0.5 + 0.5 * numbers[..., 2].double(), 0.0)
    if gradient == "exponential":
        return screened(grid, centre, strength, length, width)
    offset = grid.offset(centre).double()
    squared = offset[:, :, 0, :, None].square() + offset[:, :, 1, None, :].square()
    rim = width[:, None]
    distance = (squared + rim.square()).sqrt() - rim
    return (shape(gradient, distance, length[:, None]) * strength[..., None, None]).sum(dim=1)
