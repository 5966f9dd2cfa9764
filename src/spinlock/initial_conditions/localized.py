"""A few Gaussian blobs at random places."""

from collections.abc import Mapping
from typing import Annotated, Any

import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.laws import median_kurtosis, rank
from spinlock.numerics.columns import column
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.registry import Integer, Real
from spinlock.shapes import Fields, PerSample

MAX_BLOBS = 50
"""Blobs evaluated for every sample, absent ones with amplitude 0: the shape of the product never changes."""


def check_widths(values: Mapping[str, Any], _grid_size: int | None) -> None:
    """Refuse a least width above the greatest."""
    if values["min_width"] > values["max_width"]:
        raise OptionError(f"min_width {values['min_width']:g} is above max_width {values['max_width']:g}")


@initial_condition(
    domain="general",
    tier="baseline",
    source="sum of isotropic Gaussians",
    sites=("blobs", "amplitude"),
    cost="closed",
    laws=(rank(2, num_blobs=2), median_kurtosis(1.0, num_blobs=3)),
    check=check_widths,
)
def localized(
    grid: Grid,
    keys: SampleKeys,
    *,
    num_blobs: Annotated[PerSample, Integer(1, MAX_BLOBS)] = 5,
    min_width: Annotated[PerSample, Real(1.5, 40.0, "px", log=True)] = 5.0,
    max_width: Annotated[PerSample, Real(1.5, 40.0, "px", log=True)] = 15.0,
    amplitude: Annotated[PerSample, Real(1e-3, 100.0, log=True)] = 2.0,
    positive: bool = False,
) -> Fields:
    """Gaussian blobs at uniform places, f_c = Σ_b a_bc exp(−|r − r_b|²/2s_b²).

    |r − r_b| is the shortest way round the torus; the width s_b is uniform in [``min_width``,
    ``max_width``] px of a 128 grid. Channels share places and widths and have amplitudes a_bc ~
    N(0, amplitude²) of their own, |a_bc| if ``positive``. So the channels, as vectors of pixels, have rank
    ``num_blobs`` at most.

    What to expect: bright and dark spots on an empty ground. Good values: 3 to 20 blobs of 3 to 15 px.
    """
    numbers = keys.uniform("blobs", MAX_BLOBS, 3)
    centre = grid.side(numbers[..., :2])
    low, high = grid.pixels(column(min_width, 1)), grid.pixels(column(max_width, 1))
    width = low + (high - low) * numbers[..., 2]
    height = keys.normal("amplitude", MAX_BLOBS, 3) * column(amplitude, 2)
    if positive:
        height = height.abs()
    present = torch.arange(MAX_BLOBS, device=grid.device) < column(num_blobs, 1)
    height = torch.where(present[..., None], height, 0.0)
    profile = torch.exp(-0.5 * (grid.offset(centre) / width[..., None, None]).square())
    rows, columns = profile[:, :, 0], profile[:, :, 1]
    return (height.transpose(1, 2)[..., None, :] * rows.transpose(1, 2)[:, None]) @ columns[:, None]
