"""Species that relax to what the others make of them, and diffuse: x_t = F(x) − x + D ∇²x on the torus."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from spinlock.numerics.grid import Grid

Species = Float[Tensor, "b g n n"]
Production = Callable[[Species], Species]


def heat_kernel(grid: Grid, variance: Float64[Tensor, "*rows"]) -> Float64[Tensor, "*rows n n"]:
    """Return the matrix of exp(t D ∂²) along one axis of the torus, for the variance 2·D·t in px².

    exp(−D t k²) exactly, for every wave number of the grid, so that fronts are not held by the pixels, as
    they are with differences of neighbours; with it on both axes a step is stable for any time. The matrix is
    symmetric and its rows sum to 1. Below a variance of about 1 px² it rings at a jump.
    """
    k = torch.fft.rfftfreq(grid.size, d=0.5 / math.pi, dtype=torch.float64, device=grid.device)
    decay = torch.exp(-0.5 * variance[..., None] * k.square())
    row = torch.fft.irfft(decay + 0j, n=grid.size)
    pixel = torch.arange(grid.size, device=grid.device)
    return row[..., (pixel[:, None] - pixel) % grid.size]


def relax(
    start: Species, production: Production, kernel: Float[Tensor, "#b n n"], dt: float, steps: int
) -> Species:
    """Return the state after some steps x ← H(e^−dt·x + (1 − e^−dt)·F(x)), H the heat kernel on both axes.

    Reaction and diffusion are each exact while the other rests and F is frozen over a step (exponential
    Euler and Lie's splitting), of first order in dt. ``production`` returns a tensor of its own, which is
    overwritten.
    """
    count, species, size = start.shape[:3]
    kept = math.exp(-dt)
    along = kernel.expand(count, -1, -1)
    down = along[:, None].expand(-1, species, -1, -1).reshape(-1, size, size)
    state = start.clone()
    for _ in range(steps):
        mixed = production(state).lerp_(state, kept)
        torch.bmm(down, mixed.flatten(0, 1), out=state.view(-1, size, size))
        torch.bmm(state.flatten(1, 2), along, out=mixed.view(count, -1, size))
        state = mixed
    return state
