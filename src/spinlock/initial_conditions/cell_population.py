"""Cells of three types in clusters, none overlapping another, as smooth densities."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from spinlock.errors import OptionError
from spinlock.initial_conditions.catalogue import Draw, Law, initial_condition
from spinlock.initial_conditions.laws import near
from spinlock.numerics.columns import column, spread
from spinlock.numerics.grid import REFERENCE_SIZE, Grid
from spinlock.numerics.poisson import poisson_quantile
from spinlock.numerics.random import SampleKeys
from spinlock.registry import Integer, Real
from spinlock.shapes import Fields, PerSample

TYPES = 3
FEWEST, MOST = 5, 600
LEAST_DRAWN = TYPES
"""Cells of a Poisson number of cells at least: one of each type."""

GREATEST_COVERAGE = 0.4
"""Share of the area that discs may cover; random sequential placing jams at 0.547 (Feder 1980)."""

CELLS_A_CLUSTER = 8
CLUSTER_WIDTH = 0.06
"""Standard deviation of a cluster on each axis, in sides."""

ATTEMPTS = 1000

Places = Float64[np.ndarray, "cells 2"]


def coverage(num_cells: float, cell_radius: float) -> float:
    """Return the share of the area that the cells cover, n·π·R²/L²."""
    return num_cells * math.pi * (cell_radius / REFERENCE_SIZE) ** 2


def check_coverage(values: Mapping[str, Any], _grid_size: int | None) -> None:
    """Refuse more cells than find room."""
    covered = coverage(values["num_cells"], values["cell_radius"])
    if covered > GREATEST_COVERAGE:
        raise OptionError(
            f"{values['num_cells']} cells of cell_radius {values['cell_radius']:g} px cover {covered:.0%} of "
            f"the area, above the {GREATEST_COVERAGE:.0%} that find room without overlap: "
            "take fewer or smaller ones"
        )


def drawn_counts(keys: SampleKeys, num_cells: PerSample, cell_radius: PerSample) -> Int64[Tensor, "b"]:
    """Return Poisson numbers of cells, given that there is one of each type at least and all find room."""
    mean = column(num_cells, 0).double().cpu().expand(len(keys)).contiguous()
    radius = column(cell_radius, 0).double().cpu()
    area = math.pi * (radius / REFERENCE_SIZE).square()
    most = (GREATEST_COVERAGE / area.clamp(min=GREATEST_COVERAGE / MOST)).floor().expand(len(keys))
    below = torch.special.gammaincc(torch.full_like(mean, LEAST_DRAWN), mean)
    upto = torch.special.gammaincc(most + 1.0, mean)
    level = below + (upto - below) * keys.uniform("count").double().cpu()
    counts = poisson_quantile(level, mean).clamp(min=LEAST_DRAWN)
    return torch.minimum(counts, most).long()


def place_cells(
    keys: SampleKeys, row: int, count: int, cell_radius: float, clustering_strength: float
) -> tuple[Places, Int64[np.ndarray, "cells"]]:
    """Return the centres of one sample's cells and the cluster of each; centres and radius in sides."""
    from spinlock.numerics.hard_core import place_discs
    from spinlock.numerics.stream import streams

    parents = max(TYPES, round(count / CELLS_A_CLUSTER))
    for attempt in range(ATTEMPTS):
        stream = streams(keys, "cells", attempt)[row]
        found = place_discs(stream, count, parents, cell_radius, clustering_strength, CLUSTER_WIDTH)
        if found is not None:
            return found
    raise AssertionError(f"{count} cells of radius {cell_radius:.3g} sides found no room")


def density_law() -> Law:
    """Return the law: densities are not negative, and their sum is 1 in the mean over the pixels."""

    def check(draw: Draw) -> None:
        fields = draw(32).double()
        assert float(fields.min()) >= 0.0, "a density is negative"
        error = (fields.sum(dim=1).mean(dim=(-2, -1)) - 1.0).abs().max()
        near("greatest departure of the mean total density from 1", float(error), 0.0, 1e-5)

    return Law("the total density has mean 1 in every sample", check)


def clustering_law(least: float = 1.5) -> Law:
    """Return the law: total density varies more with clusters than without, for the same cells."""

    def check(draw: Draw) -> None:
        spreads = []
        for strength in (0.9, 0.0):
            total = draw(48, clustering_strength=strength, cell_radius=0.0).sum(dim=1)
            spreads.append(float(spread(total).square().mean()))
        ratio = spreads[0] / max(spreads[1], 1e-30)
        assert ratio > least, f"clusters raise the variance of the density {ratio:.3g} times, not {least:g}"

    return Law(f"clusters raise the variance of the density more than {least:g} times", check)


@initial_condition(
    domain="biology",
    tier=3,
    source="Thomas 1949; Matérn 1960; Illian et al. 2008",
    sites=("cells", "count", "types"),
    cost="particles",
    laws=(density_law(), clustering_law()),
    check=check_coverage,
)
def cell_population(
    grid: Grid,
    keys: SampleKeys,
    *,
    num_cells: Annotated[PerSample, Integer(FEWEST, MOST)] = 50,
    cell_radius: Annotated[PerSample, Real(0.0, 12.0, "px")] = 3.0,
    clustering_strength: Annotated[PerSample, Real(0.0, 0.9)] = 0.5,
    kernel_width: Annotated[PerSample, Real(1.5, 12.0, "px", log=True)] = 5.0,
    type_mixing: Annotated[PerSample, Real(0.0, 1.0)] = 0.2,
    exact_count: bool = True,
) -> Fields:
    """Densities of three types of cells that stand in clusters and keep 2R apart.

    A share ``clustering_strength`` of the cells is normal about random parents, eight cells to a parent in
    the mean, 0.06 sides wide; the others are uniform on the torus. A place closer than 2R, R =
    ``cell_radius``, to an earlier cell is drawn again. All cells of a cluster have one type, but a share
    ``type_mixing`` of all cells has a random one; every type occurs. Channel c is ρ_c(r) = (N²/n)·Σ K(r −
    r_i) over the cells of type c, K a Gaussian of ``kernel_width`` px that sums to 1 over the pixels, so that
    the mean of all three together is 1. n is ``num_cells``; with ``exact_count`` false the number of cells is
    Poisson about it, and so is the mean. Raises `OptionError` where cells would cover more than 40 % of the
    area.

    What to expect: soft spots of three colours in patches. Good values: 20 to 200 cells.
    """
    radius = column(cell_radius, 0).double().cpu()
    counts = column(num_cells, 0).long().cpu() if exact_count else drawn_counts(keys, num_cells, cell_radius)
    places, weights = torch.zeros(len(keys), MOST, 2), torch.zeros(len(keys), TYPES, MOST)
    types = keys.uniform("types", 3, MOST).double().cpu()
    per_sample = zip(
        counts.expand(len(keys)).tolist(),
        (radius / REFERENCE_SIZE).expand(len(keys)).tolist(),
        column(clustering_strength, 0).double().expand(len(keys)).tolist(),
        column(type_mixing, 0).double().expand(len(keys)).tolist(),
        strict=True,
    )
    for row, (count, side, strength, mixing) in enumerate(per_sample):
        centres, clusters = place_cells(keys, row, count, side, strength)
        kind = _types(torch.from_numpy(clusters), types[row, :, :count], mixing)
        places[row, :count] = torch.from_numpy(centres).float()
        weights[row, kind, torch.arange(count)] = 1.0
    profile = _profiles(grid, places.to(grid.device), kernel_width)
    rows = weights.to(grid.device)[..., None] * profile[:, None, :, 0]
    return rows.transpose(-2, -1) @ profile[:, None, :, 1] * (grid.size**2 / column(num_cells))


def _types(
    clusters: Int64[Tensor, "cells"], numbers: Float64[Tensor, "3 cells"], mixing: float
) -> Int64[Tensor, "cells"]:
    """Return the type of each cell: that of its cluster, or with probability ``mixing`` any."""
    first = int(numbers[0, 0] * TYPES)
    by_cluster = (clusters + first) % TYPES
    mixed = numbers[1] < mixing
    mixed[:TYPES] = False  # these stand for the three types
    return torch.where(mixed, (numbers[2] * TYPES).long(), by_cluster)


def _profiles(
    grid: Grid, places: Float32[Tensor, "b cells 2"], kernel_width: PerSample
) -> Float32[Tensor, "b cells 2 n"]:
    """Return the kernel about each cell on each axis, which sums to 1 over the pixels."""
    width = grid.pixels(column(kernel_width)).to(grid.device)
    profile = torch.exp(-0.5 * (grid.offset(grid.side(places)) / width).square())
    return profile / profile.sum(dim=-1, keepdim=True)
