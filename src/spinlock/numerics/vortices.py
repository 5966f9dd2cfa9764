"""The phase around point vortices on the torus, exactly periodic."""

import math

import torch
from jaxtyping import Complex64, Float32
from torch import Tensor

from spinlock.numerics.grid import Grid

TERMS = 5
"""Of the theta series: the next one is below 1e-9 of the first on the whole torus."""


def theta(grid: Grid, centre: Float32[Tensor, "b 2"]) -> Complex64[Tensor, "b n n"]:
    """Return Jacobi's ϑ₁(ζ), ζ = π·(x − x₀ + i(y − y₀))/N, at every pixel: simple zeros at r₀ + N·ℤ².

    ϑ₁(ζ) = 2·Σ_j (−1)^j·e^(−π(j+½)²)·sin((2j + 1)ζ), of nome e^−π; the sine of a complex sum is separable.
    """
    order = torch.arange(TERMS, device=grid.device)
    odd = (2 * order + 1)[:, None]
    weight = 2.0 * (1 - 2 * (order % 2)) * torch.exp(-math.pi * (order + 0.5).square())
    y, x = (math.pi / grid.size * (grid.axis - centre[:, axis, None])[:, None] for axis in (0, 1))
    down = (weight[:, None] * torch.cosh(odd * y)).mT, (weight[:, None] * torch.sinh(odd * y)).mT
    return torch.complex(down[0] @ torch.sin(odd * x), down[1] @ torch.cos(odd * x))


def vortex_phase(
    grid: Grid, centres: Float32[Tensor, "b v 2"], charges: Float32[Tensor, "b v"]
) -> Complex64[Tensor, "b n n"]:
    """Return exp(iΦ), Φ = Σ_j m_j·θ_j over vortices and their periodic images, charges m_j −1, 0 or 1.

    Φ = Σ m_j·arg ϑ₁(ζ − ζ_j) − P·y/N. Over one period of y the sum of angles grows by P = (2π/N)·Σ m_j·x_j,
    taken off evenly, modulo 2π. Charges must add up to 0, as they do on any torus.
    """
    phase = torch.ones(len(centres), grid.size, grid.size, dtype=torch.complex64, device=grid.device)
    for number in range(centres.shape[1]):
        charge = charges[:, number, None, None]
        turn = theta(grid, centres[:, number])
        turn = turn / turn.abs().clamp(min=1e-30)
        turn = torch.complex(turn.real, charge * turn.imag)
        phase = phase * torch.where(charge == 0.0, torch.ones_like(turn), turn)
    dipole = 2.0 * math.pi / grid.size * (charges * centres[..., 1]).sum(dim=1)
    excess = torch.remainder(dipole + math.pi, 2.0 * math.pi) - math.pi
    slope = -excess[:, None] * grid.axis / grid.size
    return phase * torch.polar(torch.ones_like(slope), slope)[:, :, None]
