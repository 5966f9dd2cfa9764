"""Straight fronts and gradients across an open frame: the coordinate along a direction."""

from jaxtyping import Float64
from torch import Tensor

from spinlock.numerics.grid import Grid

Angles = Float64[Tensor, "*batch"]


def heading(angle: Angles) -> tuple[Angles, Angles]:
    """Return the unit vector (down, across) of an angle in rad, turned from columns towards rows."""
    return angle.sin(), angle.cos()


def along(grid: Grid, angle: Angles) -> Float64[Tensor, "*batch n n"]:
    """Return n·(r − centre of the frame) at each pixel, px, for the directions n of angles [...]."""
    down, across = (part[..., None, None] for part in heading(angle))
    axis = grid.axis.double() - 0.5 * (grid.size - 1)
    return down * axis[:, None] + across * axis


def extent(grid: Grid, angle: Angles) -> Angles:
    """Return the greatest minus the least of `along`, (N − 1)(|sin| + |cos|) px."""
    down, across = heading(angle)
    return (grid.size - 1) * (down.abs() + across.abs())
