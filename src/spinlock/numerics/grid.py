"""The square periodic grid that fields live on, and its units."""

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from spinlock.errors import UsageError

REFERENCE_SIZE = 128
"""Lengths in px are given for a grid of this many pixels a side and scale with the grid."""

MIN_SIZE = 16

CPU = torch.device("cpu")

T = TypeVar("T", float, Tensor)


@dataclass(frozen=True)
class Grid:
    """A torus of ``size`` × ``size`` pixels; pixel centres at 0, 1, …, size − 1, spacing 1."""

    size: int
    device: torch.device = CPU

    def __post_init__(self) -> None:
        """Refuse grids too small to hold a field."""
        if self.size < MIN_SIZE:
            raise UsageError(f"grid_size {self.size} is too small: the least is {MIN_SIZE}")

    def pixels(self, length: T) -> T:
        """Return a length given in px of a 128 grid, in pixels of this one."""
        return length * (self.size / REFERENCE_SIZE)

    def side(self, fraction: T) -> T:
        """Return a length given as a fraction of the side, in pixels."""
        return fraction * float(self.size)

    @property
    def axis(self) -> Tensor:
        """Pixel centres along one axis, float32 [size]."""
        return torch.arange(self.size, dtype=torch.float32, device=self.device)

    def offset(self, centre: Tensor) -> Tensor:
        """Return the signed shortest way on the torus from ``centre`` [...] to each pixel, [..., size] px."""
        half = self.size / 2
        return torch.remainder(self.axis - centre[..., None] + half, self.size) - half

    @property
    def cycles(self) -> Tensor:
        """Radial wave number of each half-spectrum bin, in cycles per side, float32 [size, size // 2 + 1]."""
        rows = torch.fft.fftfreq(self.size, d=1 / self.size, device=self.device)
        columns = torch.fft.rfftfreq(self.size, d=1 / self.size, device=self.device)
        return torch.sqrt(rows[:, None] ** 2 + columns[None, :] ** 2)
