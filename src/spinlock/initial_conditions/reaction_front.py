"""Chemical fronts that burn into fresh fuel: travelling waves of reaction and diffusion."""

import math
from typing import Annotated, Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.front_laws import (
    burnt_share,
    front_thickness,
    fuel_balance,
    reaction_rate,
)
from spinlock.numerics.columns import column
from spinlock.numerics.grid import Grid
from spinlock.numerics.planar import along, extent
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.spectral import angular, rbf_spectrum, spectral
from spinlock.registry import AnyOf, Integer, Real, When
from spinlock.shapes import Fields, PerSample

Kinetics = Literal["fisher", "bistable"]
Shape = Literal["planar", "circular", "irregular"]

MAX_FRONTS = 3
THICKNESS = math.log(9.0)
"""10–90 thickness of (1 − tanh(z/w))/2 over w, the meaning of ``front_width``: 2.197."""

WRINKLE_LENGTH = 0.08
"""Correlation length of an irregular front's displacement, in sides."""

SHARES = {"planar": (0.2, 0.8), "circular": (0.15, 0.5), "irregular": (0.2, 0.8)}
"""Least and greatest share of the frame that has burnt."""

Pixels = Float64[Tensor, "b n n"]
PerRow = Float64[Tensor, "b 1 1"]


def fisher(z: Float64[Tensor, "..."]) -> Float64[Tensor, "..."]:
    """Return the front (1 + e^(z/√6))⁻² of f = u(1 − u), which moves at 5/√6 (Ablowitz & Zeppetella 1979)."""
    return torch.sigmoid(-z / math.sqrt(6.0)).square()


def bistable(z: Float64[Tensor, "..."]) -> Float64[Tensor, "..."]:
    """Return the front (1 + e^(z/√2))⁻¹ of f = u(1 − u)(u − a), which moves at (1 − 2a)/√2."""
    return torch.sigmoid(-z / math.sqrt(2.0))


def level(kinetics: Kinetics, u: float) -> float:
    """Return where a front has the value u, z in lengths √(D/r)."""
    if kinetics == "fisher":
        return math.sqrt(6.0) * math.log(1.0 / math.sqrt(u) - 1.0)
    return math.sqrt(2.0) * math.log(1.0 / u - 1.0)


def front(kinetics: Kinetics, distance: Pixels, width: PerRow) -> Pixels:
    """Return u at a distance ahead of the line u = 1/2, for a 10–90 thickness of ln 9 widths."""
    stretch = (level(kinetics, 0.1) - level(kinetics, 0.9)) / (THICKNESS * width)
    profile = fisher if kinetics == "fisher" else bistable
    return profile(stretch * distance + level(kinetics, 0.5))


def rate(kinetics: Kinetics, u: Pixels, a: PerRow) -> Pixels:
    """Return f(u)/max f: 4u(1 − u), or the cubic, greatest at u = [1 + a + √(1 − a + a²)]/3."""
    if kinetics == "fisher":
        return 4.0 * u * (1.0 - u)
    top = (1.0 + a + (1.0 - a + a * a).sqrt()) / 3.0
    return u * (1.0 - u) * (u - a) / (top * (1.0 - top) * (top - a))


@initial_condition(
    domain="chemistry",
    tier=1,
    source="Fisher 1937; Kolmogorov, Petrovsky & Piskunov 1937; Ablowitz & Zeppetella 1979",
    sites=("origin", "share", "white"),
    cost="fft",
    periodic=False,
    laws=(
        fuel_balance(),
        reaction_rate("fisher"),
        reaction_rate("bistable", a=0.25),
        front_thickness(8.0, kinetics="fisher"),
        front_thickness(8.0, kinetics="bistable"),
        burnt_share(),
        burnt_share(front_shape="irregular", roughness=12.0, num_fronts=3),
        burnt_share(front_shape="circular", num_fronts=3),
    ),
)
def reaction_front(
    grid: Grid,
    keys: SampleKeys,
    *,
    kinetics: Kinetics = "fisher",
    front_shape: Annotated[Shape | Literal["mixed"], AnyOf("mixed")] = "mixed",
    front_width: Annotated[PerSample, Real(1.0, 8.0, "px", log=True)] = 3.0,
    num_fronts: Annotated[PerSample, Integer(1, MAX_FRONTS)] = 1,
    roughness: Annotated[PerSample, Real(0.0, 12.0, "px"), When("front_shape", ("irregular",))] = 3.0,
    a: Annotated[PerSample, Real(0.01, 0.49), When("kinetics", ("bistable",))] = 0.25,
) -> Fields:
    """Reaction fronts u_t = D∇²u + f(u) that run from burnt (u = 1) into fresh (u = 0).

    ``fisher``: f = u(1 − u), u = (1 + e^(z/√6))⁻² at speed 5/√6; ``bistable``: f = u(1 − u)(u − a), u = (1 +
    e^(z/√2))⁻¹ at speed (1 − 2a)/√2; z is the distance ahead of the front in lengths δ = √(D/r), with δ set
    so that u falls from 0.9 to 0.1 over 2.197·``front_width``. ``planar`` fronts come from ``num_fronts``
    directions at equal angles, ``circular`` ones from as many places, ``irregular`` are planar with their
    line displaced by a Gaussian field of ``roughness`` px rms and 0.08 sides correlation; ``mixed`` draws
    one of the three for each sample. Where fronts meet the nearest counts. The time of the picture is chosen
    by the share that has burnt, uniform in [0.2, 0.8], for circles [0.15, 0.5]: every frame holds front,
    fuel and product.

    Channels are the product u, the fuel 1 − u and the rate f(u)/max f, which is below 0 ahead of a bistable
    front. The frame is open.

    What to expect: two flat areas, a soft step between them, and a bright thin line on it in channel 2.
    """
    share = keys.uniform("share").double()[:, None]
    if front_shape == "circular":
        arrival = _from_places(grid, keys, column(num_fronts, 1))
    else:
        arrival = _from_directions(grid, keys, column(num_fronts, 1))
    if front_shape == "irregular":
        arrival = _wrinkled(grid, keys, arrival, grid.pixels(column(roughness, 2).double()))
    low, high = SHARES[front_shape]
    ordered = arrival.flatten(1).sort(dim=1).values
    rank = ((low + (high - low) * share) * (grid.size**2 - 1)).round().long()
    distance = arrival - ordered.gather(1, rank)[..., None]
    if front_shape == "irregular":
        distance = distance / _steepness(distance)
    u = front(kinetics, distance, grid.pixels(column(front_width, 2).double()))
    return torch.stack((u, 1.0 - u, rate(kinetics, u, column(a, 2).double())), dim=1).float()


def _earliest(arrivals: Float64[Tensor, "b front n n"], count: Tensor) -> Pixels:
    """Return the time, in px of way, when the first of the fronts that exist arrives."""
    absent = torch.arange(MAX_FRONTS, device=count.device) >= count
    return torch.where(absent[..., None, None], torch.inf, arrivals).amin(dim=1)


def _from_directions(grid: Grid, keys: SampleKeys, count: Tensor) -> Pixels:
    """Return when planar fronts arrive, which come from equally spaced directions, one a little later."""
    turn, *delays = keys.uniform("origin", 1 + MAX_FRONTS).double().unbind(dim=1)
    number = torch.arange(MAX_FRONTS, device=grid.device)
    angle = (2.0 * math.pi) * (turn[:, None] + number / count)
    delay = grid.side(0.2 * torch.stack(delays, dim=1))
    return _earliest(along(grid, angle) + (0.5 * extent(grid, angle) + delay)[..., None, None], count)


def _from_places(grid: Grid, keys: SampleKeys, count: Tensor) -> Pixels:
    """Return when circular fronts arrive, from places in the central 60 % of the frame's sides."""
    numbers = keys.uniform("origin", MAX_FRONTS, 3).double()
    centre = (grid.size - 1) * (0.2 + 0.6 * numbers[..., :2])
    offset = grid.axis.double() - centre[..., None]
    distance = torch.hypot(offset[:, :, 0, :, None], offset[:, :, 1, None, :])
    return _earliest(distance + grid.side(0.06 * numbers[..., 2])[..., None, None], count)


def _wrinkled(grid: Grid, keys: SampleKeys, arrival: Pixels, roughness: PerRow) -> Pixels:
    spectrum = rbf_spectrum(angular(grid).double() * grid.side(WRINKLE_LENGTH))
    return arrival + roughness * spectral(spectrum, keys.normal("white", grid.size, grid.size).double())


def _steepness(arrival: Pixels) -> Pixels:
    """Return |∇arrival|, by which a wrinkled arrival is divided to be a distance near the front."""
    down, across = torch.gradient(arrival, dim=(1, 2))
    return torch.hypot(down, across).clamp(min=0.4)
