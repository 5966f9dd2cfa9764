"""Positive factors that fluctuate about 1, for quantities that cannot be negative."""

import torch
from jaxtyping import Float64
from torch import Tensor

from spinlock.numerics.columns import column
from spinlock.numerics.grid import Grid
from spinlock.numerics.spectral import angular, rbf_spectrum, spectral
from spinlock.shapes import PerSample


def positive_factors(
    amplitude: PerSample, length: Float64[Tensor, "b 1 1 1"] | float, white: Tensor
) -> Float64[Tensor, "b c n n"]:
    """Return exp(σg − σ²/2), log-normal with mean 1 and the standard deviation asked for.

    Parameters
    ----------
    amplitude
        Standard deviation for each sample, e^σ² = 1 + amplitude².
    length
        Correlation length of the Gaussian field g, covariance exp(−r²/2l²), in px of the grid itself.
    white
        Standard normals [B, C, N, N].
    """
    grid = Grid(white.shape[-1], white.device)
    variance = torch.log1p(column(amplitude).to(white.device).double().square())
    noise = spectral(rbf_spectrum(angular(grid).double() * length), white.double())
    return torch.exp(variance.sqrt() * noise - 0.5 * variance)
