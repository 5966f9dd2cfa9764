"""Running the laws of initial conditions, and fields of another law that they must refuse."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from spinlock.initial_conditions import InitialCondition
from spinlock.initial_conditions.catalogue import Draw, Law
from spinlock.initial_conditions.generation import sample_fields
from spinlock.initial_conditions.options import resolve_options
from spinlock.keys import Key
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.spectral import spectral

GRID_SIZE = 64
BLOCK, BLOCK_OF_STEPS = 64, 8
"""Samples to a call; calls are filled up to this number, which costs much where each sample is simulated."""


def draw_from(entry: InitialCondition, seed: int = 0) -> Draw:
    """Return the ``draw`` that laws take, giving fields of one type.

    Fields are those of `generate` up to rounding: many to a call, which is faster.
    """
    block = BLOCK_OF_STEPS if entry.cost == "steps" else BLOCK

    def draw(count: int, grid_size: int = GRID_SIZE, num_channels: int = 3, **options: Any) -> Tensor:
        samples = [(index, resolve_options(entry, options, seed, index)) for index in range(count)]
        return sample_fields(entry, Grid(grid_size), num_channels, seed, samples, block)

    return draw


def _control(make: Callable[[Tensor], Tensor], seed: int) -> Draw:
    def draw(count: int, grid_size: int = GRID_SIZE, num_channels: int = 3, **_: Any) -> Tensor:
        keys = SampleKeys.of(Key(seed, "control"), torch.arange(count), ("white",))
        return make(keys.normal("white", num_channels, grid_size, grid_size))

    return draw


def white_noise(seed: int = 0) -> Draw:
    """Return a draw of independent standard normals: no spectrum but the flat one, no structure, no tails."""
    return _control(lambda white: white, seed)


def power_law_noise(seed: int = 0) -> Draw:
    """Return a draw of Gaussian fields with S ~ 1/k²: a power law in the spectrum, none in the values."""

    def make(white: Tensor) -> Tensor:
        cycles = Grid(white.shape[-1]).cycles
        return spectral(1.0 / cycles.clamp(min=1.0).square(), white)

    return _control(make, seed)


def uniform_noise(seed: int = 0) -> Draw:
    """Return a draw of independent uniform numbers of variance 1: neither normal nor heavy-tailed."""
    return _control(lambda white: (torch.special.ndtr(white) - 0.5) * 12.0**0.5, seed)


def blank(seed: int = 0) -> Draw:
    """Return a draw of fields whose first channel is all zero."""

    def make(white: Tensor) -> Tensor:
        white[:, 0] = 0.0
        return white

    return _control(make, seed)


def holds(law: Law, draw: Draw) -> bool:
    """Return whether the fields of a draw obey a law."""
    try:
        law(draw)
    except AssertionError:
        return False
    return True
