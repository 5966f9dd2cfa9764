"""Discs, stripes and blobs: simple shapes with exact edges or exact wave vectors."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float32
from torch import Tensor

from spinlock.errors import OptionError
from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.laws import lines, no_blank_channel
from spinlock.numerics.columns import column
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.registry import Integer, Real
from spinlock.shapes import Fields, PerSample

MAX_STRUCTURES = 50
CHANNELS = 3
ROUNDS = -(-MAX_STRUCTURES // CHANNELS)
SMALLEST_RADIUS = 0.75
"""In px of the grid itself: above √2/2, so that a disc anywhere holds at least one pixel centre."""

Structure = Literal["circle", "stripe", "blob"]
Numbers = Float32[Tensor, "b c 1 1"]
Points = Float32[Tensor, "b c 2"]
Turns = Float32[Tensor, "b c 2 1 1"]


def between(uniform: Tensor, ends: tuple[float, float]) -> Tensor:
    """Return uniforms stretched to a range."""
    return ends[0] + (ends[1] - ends[0]) * uniform


def squared_distance(grid: Grid, place: Points) -> Tensor:
    """Return d², d the shortest way round the torus to each place, px², [B, C, N, N]."""
    offset = grid.offset(place)
    return offset[:, :, 0, :, None].square() + offset[:, :, 1, None, :].square()


def circle(grid: Grid, size: Numbers, place: Points, _turns: Turns) -> Tensor:
    """Return 1 within a radius of ``size`` sides and 0 outside."""
    radius = grid.side(size).clamp(min=SMALLEST_RADIUS)
    return (squared_distance(grid, place) < radius.square()).float()


def stripe(grid: Grid, size: Numbers, _place: Points, turns: Turns) -> Tensor:
    """Return sin(k·r + φ), k the integer wave vector nearest to ``size`` cycles per side in a direction."""
    angle, phase = turns[:, :, 0], turns[:, :, 1]
    down, across = ((size * part(angle)).round() / grid.size for part in (torch.sin, torch.cos))
    return torch.sin(2.0 * math.pi * (down * grid.axis[:, None] + across * grid.axis) + phase)


def blob(grid: Grid, size: Numbers, place: Points, _turns: Turns) -> Tensor:
    """Return exp(−d²/2s²) with s = ``size`` sides."""
    return torch.exp(-0.5 * squared_distance(grid, place) / grid.side(size).square())


SHAPES = {"circle": circle, "stripe": stripe, "blob": blob}


def check_frequencies(values: Mapping[str, Any], grid_size: int | None) -> None:
    """Refuse stripes finer than the grid can show."""
    highest = values["frequency_range"][1]
    if "stripe" in values["structure_types"] and grid_size is not None and 2 * highest >= grid_size:
        raise OptionError(
            f"frequency_range ends at {highest:g}, too high for a {grid_size} grid: keep it below half of it"
        )


@initial_condition(
    domain="general",
    tier="baseline",
    source="random discs, plane waves and Gaussians",
    sites=("structures",),
    cost="closed",
    laws=(
        no_blank_channel(),
        no_blank_channel(num_structures=1, structure_types=("circle",)),
        lines(2, num_structures=3, structure_types=("stripe",)),
        lines(6, num_structures=9, structure_types=("stripe",)),
    ),
    check=check_frequencies,
)
def structured(
    grid: Grid,
    keys: SampleKeys,
    *,
    num_structures: Annotated[PerSample, Integer(1, MAX_STRUCTURES)] = 5,
    structure_types: tuple[Structure, ...] = ("circle", "stripe", "blob"),
    radius_range: Annotated[tuple[float, float], Real(0.005, 0.5, "side")] = (0.03, 0.2),
    frequency_range: Annotated[tuple[float, float], Real(1.0, 1024.0, "cycles per side")] = (1.0, 6.0),
    blob_width_range: Annotated[tuple[float, float], Real(0.005, 0.5, "side")] = (0.03, 0.15),
    amplitude: Annotated[PerSample, Real(1e-3, 100.0, log=True)] = 2.0,
) -> Fields:
    """Discs, sinusoidal stripes and Gaussian blobs, each at a random place with a random amplitude.

    Structure j stands in channel j mod 3; a channel has at least one, so that fewer than three structures
    count as three. Its kind is one of ``structure_types`` with equal chance: a disc a·1[d < R], a stripe
    a·sin(k·r + φ) with a whole number of cycles per side, or a blob a·exp(−d²/2s²), d the shortest way round
    the torus. R, |k| and s are uniform in their ranges, per structure; |a| is uniform in [1/2, 1]·amplitude
    with either sign.

    What to expect: sharp discs, waves and soft spots over each other. Good values: 3 to 15 structures.
    """
    total = column(num_structures)
    extents = {"circle": radius_range, "stripe": frequency_range, "blob": blob_width_range}
    numbers = keys.uniform("structures", 8, ROUNDS, CHANNELS)[..., None, None]
    kind, sign, strength, extent = (numbers[:, i] for i in range(4))
    kind = (kind * len(structure_types)).floor().clamp(max=len(structure_types) - 1)
    height = column(amplitude, 4) * between(strength, (0.5, 1.0)) * torch.where(sign < 0.5, -1.0, 1.0)
    place = grid.side(numbers[:, 4:6, ..., 0, 0].movedim(1, -1))
    turns = (2.0 * math.pi) * numbers[:, 6:8].movedim(1, 3)
    channel = torch.arange(CHANNELS, device=grid.device)[:, None, None]
    field = torch.zeros(len(keys), CHANNELS, grid.size, grid.size, dtype=torch.float32, device=grid.device)
    for turn in range(-(-int(total.max()) // CHANNELS)):
        present = (turn * CHANNELS + channel < total) | (turn == 0)
        for number, name in enumerate(structure_types):
            size = between(extent[:, turn], extents[name])
            shape = SHAPES[name](grid, size, place[:, turn], turns[:, turn])
            field = field + torch.where((kind[:, turn] == number) & present, height[:, turn] * shape, 0.0)
    return field
