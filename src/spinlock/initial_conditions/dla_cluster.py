"""Diffusion-limited aggregation: a branched cluster grown by random walkers."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float32, Int32
from torch import Tensor

from spinlock.errors import OptionError
from spinlock.initial_conditions.catalogue import Draw, Law, initial_condition
from spinlock.initial_conditions.laws import near
from spinlock.numerics.columns import column
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.registry import Integer, Real
from spinlock.shapes import Fields, PerSample

Order = Int32[np.ndarray, "n n"]
Orders = Int32[np.ndarray, "b n n"]
CHANNELS = ("occupancy", "age", "concentration")

DIMENSION = 1.71
"""Fractal dimension of clusters grown in the plane (Meakin 1983); deposits fill 0.71 of theirs in height."""

TYPICAL_REACH, GREATEST_REACH = {"point": 0.35, "line": 0.25}, {"point": 0.42, "line": 0.4}
"""Height of the growth for the automatic and the greatest number of cells, in sides."""

SCREENING = 5.0
"""Length over which the concentration falls off, in px."""

ATTEMPTS = 1000


def cells_reaching(seed_type: str, grid_size: int, reach: float) -> int:
    """Return how many cells grow about ``reach`` sides high: 0.9·R^D from a point, N + 0.6·N·h^(D−1)."""
    if seed_type == "point":
        return round(0.9 * (reach * grid_size) ** DIMENSION)
    return grid_size + round(0.6 * grid_size * (reach * grid_size) ** (DIMENSION - 1.0))


def check_size(values: Mapping[str, Any], grid_size: int | None) -> None:
    """Refuse a cluster that is no larger than its seed, or would reach the border."""
    cells, seed = values["cluster_size"], values["seed_type"]
    if cells is None or grid_size is None:
        return
    low = 8 if seed == "point" else grid_size + grid_size // 2
    high = cells_reaching(seed, grid_size, GREATEST_REACH[seed])
    if not low <= cells <= high:
        raise OptionError(
            f"cluster_size {cells} does not fit a {grid_size} grid with a {seed} as seed: "
            f"it must be in [{low}, {high}], or null"
        )


def grow(keys: SampleKeys, seed_type: str, size: int, cells: list[int], stickiness: list[float]) -> Orders:
    """Return the order in which the cells of each sample joined; one that met the border is grown again."""
    from spinlock.numerics.aggregation import grow_from_line, grow_from_point
    from spinlock.numerics.stream import streams

    growth = grow_from_point if seed_type == "point" else grow_from_line
    orders = np.zeros((len(keys), size, size), dtype=np.int32)
    waiting = range(len(keys))
    for attempt in range(ATTEMPTS):
        walks = streams(keys, "walk", attempt)
        for row in waiting:
            orders[row] = growth(walks[row], size, cells[row], stickiness[row])
        waiting = [row for row in waiting if orders[row].max() < cells[row]]
        if not waiting:
            return orders
    raise AssertionError(f"{ATTEMPTS} clusters of {cells} cells reached the border of a {size} grid")


def placed(order: Order, turn: int, mirror: bool, shift: tuple[float, float]) -> Order:
    """Return a cluster turned by quarters, mirrored, and moved to a place where it touches no border."""
    order = np.rot90(order[:, ::-1] if mirror else order, turn)
    for axis, uniform in enumerate(shift):
        filled = np.flatnonzero((order > 0).any(axis=1 - axis))
        before, after = int(filled[0]), order.shape[axis] - 1 - int(filled[-1])
        if before and after:
            order = np.roll(order, int(uniform * (before + after - 1)) + 1 - before, axis)
        elif not before and not after:  # a deposit, along its seed
            order = np.roll(order, int(uniform * order.shape[axis]), axis)
    return np.ascontiguousarray(order)


def mass_exponent(age: Float32[Tensor, "n n"]) -> float:
    """Return the slope of log M(r) in log r about the first cell, from r = 3 px to 1.1 radii of gyration."""
    cells = age.nonzero().double()
    seed = cells[age[age > 0].argmin()]
    radius = (cells - seed).norm(dim=1)
    top = 1.1 * float(radius.square().mean().sqrt())
    log_r = torch.linspace(np.log(3.0), np.log(max(top, 4.0)), 12, dtype=torch.float64)
    log_m = (radius <= log_r.exp()[:, None]).sum(dim=1).double().log()
    centred = log_r - log_r.mean()
    return float((centred * log_m).sum() / centred.square().sum())


def connected_law() -> Law:
    """Return the law: the occupied cells, 0 or 1, are one piece that steps to neighbours hold together."""

    def check(draw: Draw) -> None:
        from scipy.ndimage import label

        fields = draw(16, num_channels=1)[:, 0]
        assert bool(((fields == 0) | (fields == 1)).all()), "occupancy is not 0 or 1"
        for field in fields:
            pieces: Any = label(field.numpy())
            near("number of pieces", pieces[1], 1, 0)
            near("cells", float(field.sum()), cells_reaching("point", len(field), TYPICAL_REACH["point"]), 0)

    return Law("a cluster is one 4-connected piece of exactly the cells asked for", check)


def mass_law(expected: float = 1.62, tolerance: float = 0.08) -> Law:
    """Return the law: M(r) ~ r^1.62 in the mean at this size, which tends to 1.71 for large clusters."""

    def check(draw: Draw) -> None:
        fields = draw(32, grid_size=128, field_type_dla="age")[:, 0]
        assert bool((fields.amin(dim=(1, 2)) == 0).all()), "an age is below 0, or no cell is empty"
        exponents = [mass_exponent(field) for field in fields]
        near("mean mass exponent", sum(exponents) / len(exponents), expected, tolerance)

    return Law(f"mass grows as r^{expected:g} ± {tolerance:g} about the seed on a 128 grid", check)


def gyration_radius(occupied: Float32[Tensor, "n n"]) -> float:
    """Return the root mean square distance of the cells from their centre, in sides."""
    cells = occupied.nonzero().double()
    return float((cells - cells.mean(dim=0)).square().sum(dim=1).mean().sqrt()) / len(occupied)


def extent_law(tolerance: float = 0.05) -> Law:
    """Return the law: clusters take the same share of the side on every grid, whatever their cells."""

    def check(draw: Draw) -> None:
        small, large = (
            torch.tensor([gyration_radius(field[0]) for field in draw(32, grid_size=size, num_channels=1)])
            for size in (64, 128)
        )
        ratio = float(large.mean() / small.mean())
        near("ratio of the radii of gyration, in sides, on a 128 and a 64 grid", ratio, 1.0, tolerance)

    return Law(f"the radius of gyration scales with the grid within {tolerance:.0%}", check)


@initial_condition(
    domain="chemistry",
    tier=4,
    source="Witten & Sander 1981; Meakin 1983",
    sites=("walk", "place"),
    periodic=False,
    pixelwise=True,
    cost="particles",
    laws=(connected_law(), mass_law(), extent_law()),
    check=check_size,
)
def dla_cluster(
    grid: Grid,
    keys: SampleKeys,
    *,
    cluster_size: Annotated[PerSample | None, Integer(8, 2**20, "cells")] = None,
    seed_type: Literal["point", "line"] = "point",
    stickiness: Annotated[PerSample, Real(0.05, 1.0)] = 1.0,
    field_type_dla: Literal["occupancy", "age", "concentration"] = "occupancy",
) -> Fields:
    """Cluster of cells that random walkers from infinity have joined one by one.

    A walker that steps beside the cluster sticks with probability ``stickiness`` at every visit, else walks
    on. Channels: occupancy 0 or 1; age, the order of sticking from near 0 at the seed to 1 at the last tip,
    and 0 where empty; exp(−d/5 px), d the distance to the cluster. ``field_type_dla`` names the one that
    comes first. ``cluster_size`` null is 0.9·(0.35 N)^1.71 cells, 600 on a 128 grid, about 0.3 N in radius;
    from a ``line`` along one border the seed's N cells count too. A size that would reach the border is
    refused.

    What to expect: thin branches that screen the gaps between them, M(r) ~ r^1.71 for large clusters; lower
    ``stickiness`` thickens them. A cell is one pixel on every grid. Unlike Eden growth, which is compact.
    """
    cells = torch.as_tensor(
        cells_reaching(seed_type, grid.size, TYPICAL_REACH[seed_type])
        if cluster_size is None
        else cluster_size
    )
    sticking = column(stickiness, 0).double().expand(len(keys)).tolist()
    orders = grow(keys, seed_type, grid.size, cells.expand(len(keys)).tolist(), sticking)
    place = keys.uniform("place", 4).tolist()
    for row, (turn, mirror, down, across) in enumerate(place):
        orders[row] = placed(orders[row], int(4 * turn), mirror < 0.5, (down, across))
    channels = dict(zip(CHANNELS, _channels(orders, grid), strict=True))
    first = channels.pop(field_type_dla)
    return torch.stack([first, *channels.values()], dim=1).to(grid.device)


def _channels(orders: Orders, grid: Grid) -> list[Float32[Tensor, "b n n"]]:
    from scipy.ndimage import distance_transform_edt

    joined = torch.from_numpy(orders).float()
    age = joined / joined.amax(dim=(1, 2), keepdim=True)
    distance = torch.from_numpy(
        np.stack([np.asarray(distance_transform_edt(order == 0)) for order in orders])
    )
    return [(joined > 0).float(), age, torch.exp(-distance / grid.pixels(SCREENING)).float()]
