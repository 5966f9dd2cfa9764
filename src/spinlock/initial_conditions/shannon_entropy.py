"""Symbols drawn pixel by pixel from a distribution whose entropy is set at each place."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from spinlock.errors import OptionError
from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.gaussian_random_field import kernel_spectrum
from spinlock.initial_conditions.information_laws import (
    entropy_scales,
    entropy_within,
    surprisal_is_entropy,
)
from spinlock.numerics.boltzmann import boltzmann_symbols, inverse_temperature, surprisal
from spinlock.numerics.columns import column
from spinlock.numerics.grid import REFERENCE_SIZE, Grid
from spinlock.numerics.planar import along, extent
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.spectral import spectral
from spinlock.registry import Integer, Real, When
from spinlock.shapes import Fields, PerSample

MAX_LEVELS = 32
Unit = Float32[Tensor, "b n n"]


def check_entropies(values: Mapping[str, Any], _grid_size: int | None) -> None:
    """Refuse entropies that the alphabet does not reach, and a range that does not ascend."""
    (low, high), levels = values["entropy_range"], values["num_levels"]
    if low > high:
        raise OptionError(f"entropy_range [{low:g}, {high:g}]: the lower end is above the upper one")
    if high > math.log2(levels):
        raise OptionError(
            f"entropy_range ends at {high:g} bits, but {levels} symbols have at most {math.log2(levels):.4g};"
            f" lower it or raise num_levels to at least {math.ceil(2.0**high)}"
        )


def gradient(grid: Grid, keys: SampleKeys, _length: PerSample) -> Unit:
    """Return a ramp from 0 to 1 across the frame in a random direction."""
    angle = 2.0 * math.pi * keys.uniform("map").double()
    return (0.5 + along(grid, angle) / extent(grid, angle)[:, None, None]).float()


def patchy(grid: Grid, keys: SampleKeys, length: PerSample) -> Unit:
    """Return squares of ``length`` px of a 128 grid, each of one uniform value in (0, 1)."""
    most = REFERENCE_SIZE // 2
    values = keys.uniform("map", most, most)
    blocks = (REFERENCE_SIZE / column(length, 1)).ceil()
    block = (grid.axis / grid.pixels(column(length, 1))).floor().minimum(blocks - 1.0).long()
    rows = values.gather(1, block[:, :, None].expand(-1, -1, most))
    return rows.gather(2, block[:, None, :].expand(-1, grid.size, -1))


def random(grid: Grid, keys: SampleKeys, length: PerSample) -> Unit:
    """Return a Gaussian random field of that length, mapped to uniform values."""
    share = torch.as_tensor(length) / REFERENCE_SIZE
    clouds = spectral(
        kernel_spectrum(grid, "rbf", share), keys.normal("clouds", 1, grid.size, grid.size), zero_mean=False
    )
    return torch.special.ndtr(clouds[:, 0])


MAPS = {"gradient": gradient, "patchy": patchy, "random": random}


def labels(keys: SampleKeys, levels: int) -> Float64[Tensor, "b m"]:
    """Return the values that the symbols 0 … n − 1 stand for: −1 to 1 in equal steps, in random order."""
    ranks = keys.uniform("labels", levels).argsort(dim=1)
    return 2.0 * ranks.double() / (levels - 1) - 1.0


@initial_condition(
    domain="information",
    tier=2,
    source="Shannon 1948; Cover & Thomas 2006",
    sites=("map", "clouds", "labels", "symbols"),
    periodic=False,
    pixelwise=True,
    cost="closed",
    laws=(
        entropy_scales(),
        surprisal_is_entropy(),
        surprisal_is_entropy(num_levels=2, entropy_range=(0.0, 1.0), entropy_pattern="random"),
        entropy_within(1.5, num_levels=8, entropy_pattern="patchy", patch_size=64.0),
    ),
    check=check_entropies,
)
def shannon_entropy(
    grid: Grid,
    keys: SampleKeys,
    *,
    num_levels: Annotated[int, Integer(2, MAX_LEVELS)] = 8,
    entropy_range: Annotated[tuple[float, float], Real(0.0, 5.0, "bits")] = (0.2, 2.8),
    entropy_pattern: Literal["gradient", "patchy", "random"] = "gradient",
    patch_size: Annotated[
        PerSample, Real(2.0, 64.0, "px", log=True), When("entropy_pattern", ("patchy", "random"))
    ] = 8.0,
) -> Fields:
    """Symbols drawn at each pixel from a distribution whose entropy H(x, y) is set there, in bits.

    One of n = ``num_levels`` symbols with p_i ~ exp(−β·i), the distribution of most entropy for its mean;
    β(x, y) is the one whose −Σ p_i·log₂ p_i is H(x, y). H runs over ``entropy_range``: as a ramp in a random
    direction (``gradient``), uniform from square to square of ``patch_size`` px (``patchy``), or as a random
    field of that length whose values are uniform (``random``). Channels are the symbol, as a number from −1
    to 1 in an order of each sample's own, so that no mean betrays H; the surprisal −log₂ p of the symbol
    drawn, whose expectation is H; and H itself. Pixels are independent given H: the grain is one pixel on
    every grid, only H scales with it.

    What to expect: order that dissolves into noise where H is high. Good values: H from near 0 to near
    log₂ n. Raises `OptionError` for an entropy above log₂ n.
    """
    low, high = entropy_range
    target = low + (high - low) * MAPS[entropy_pattern](grid, keys, patch_size)
    beta = inverse_temperature(target.double(), num_levels)
    symbols = boltzmann_symbols(keys.uniform("symbols", grid.size, grid.size).double(), beta, num_levels)
    values = labels(keys, num_levels).gather(1, symbols.flatten(1)).reshape(symbols.shape)
    return torch.stack((values, surprisal(symbols, beta, num_levels), target.double()), dim=1).float()
