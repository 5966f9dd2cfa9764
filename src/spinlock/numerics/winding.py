"""Winding numbers of a complex field: how often its phase turns around each plaquette of the torus."""

import math

import torch
from jaxtyping import Complex, Int64
from torch import Tensor


def winding_numbers(field: Complex[Tensor, "*rows n n"]) -> Int64[Tensor, "*rows n n"]:
    """Return the turns of arg A around the four pixels [i, i + 1] × [j, j + 1], −1, 0 or 1.

    Each step between neighbours is taken the shorter way, in (−π, π]. Turning from rows to columns (y to x)
    counts as positive. The sum over the torus is 0. A zero of A is found by a number that is not 0.
    """

    def step(start: Tensor, axis: int) -> Tensor:
        return torch.angle(start.roll(-1, axis) * start.conj())

    down, across = step(field, -2), step(field, -1)
    around = across + down.roll(-1, -1) - across.roll(-1, -2) - down
    return (around / (2.0 * math.pi)).round().long()
