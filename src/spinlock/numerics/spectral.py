"""Spectra of real fields on the torus: filtered white noise, and the spectrum of what came out.

A real field has a Hermitian transform, so `torch.fft.rfft2` keeps half of it: columns 0 … N // 2. A bin of
an inner column stands for two, k and −k; a bin of column 0, or of the Nyquist column of an even grid, for
itself. Wave numbers are angular, k = 2πn/N rad/px, where they multiply a length in px, and n cycles per side
otherwise.
"""

import math

import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from spinlock.errors import UsageError
from spinlock.numerics.grid import Grid

HalfSpectrum = Float[Tensor, "*batch n half"]


def half_spectrum_weights(grid: Grid) -> Float64[Tensor, "half"]:
    """Return how many bins of the full spectrum each column of the half spectrum stands for: 1 or 2."""
    weights = torch.full((grid.size // 2 + 1,), 2.0, dtype=torch.float64, device=grid.device)
    weights[0] = 1.0
    if grid.size % 2 == 0:
        weights[-1] = 1.0
    return weights


def angular(grid: Grid) -> Float32[Tensor, "n half"]:
    """Return the radial angular wave number of each half-spectrum bin, k = 2πn/N in rad/px."""
    return grid.cycles * (2.0 * math.pi / grid.size)


def rbf_spectrum(kl: HalfSpectrum) -> HalfSpectrum:
    """Return exp(−(kl)²/2), the spectrum of the covariance exp(−r²/2l²) in the plane, 1 at k = 0."""
    return torch.exp(-0.5 * kl.square())


def matern_spectrum(kl: HalfSpectrum, nu: Float[Tensor, "..."] | float) -> HalfSpectrum:
    """Return (1 + (kl)²/2ν)^−(ν+1), the spectrum of the Matérn covariance in the plane, 1 at k = 0.

    It falls as k^−2(ν+1); ν → ∞ is `rbf_spectrum`. Source: Rasmussen & Williams 2006, eq. 4.15 with D = 2.
    """
    return torch.exp(-(nu + 1.0) * torch.log1p(kl.square() / (2.0 * nu)))


def normalized(spectrum: HalfSpectrum, grid: Grid, *, zero_mean: bool = True) -> HalfSpectrum:
    """Return the spectrum scaled so that its mean over all N² bins is 1, without k = 0 if ``zero_mean``.

    White noise filtered by its square root then has variance exactly 1 in the mean over draws: on the torus
    an RBF field keeps 6 % of its variance in k = 0 at a length of N/10 and 85 % at 0.4 N, so dropping k = 0
    without scaling again would lose it. Raises `UsageError` if nothing is left.
    """
    spectrum = spectrum.clone()
    if zero_mean:
        spectrum[..., 0, 0] = 0.0
    mean = (spectrum.double() * half_spectrum_weights(grid)).sum(dim=(-2, -1), keepdim=True) / grid.size**2
    if not bool((mean > 0).all()):
        raise UsageError(
            f"the spectrum is zero at every wave number of a {grid.size} grid: there is nothing to draw"
        )
    return (spectrum / mean).to(spectrum.dtype)


def spectral(
    spectrum: HalfSpectrum, white: Float[Tensor, "*rows n n"], *, zero_mean: bool = True
) -> Float[Tensor, "*rows n n"]:
    """Return white noise filtered to a spectrum: irfft2(rfft2(white)·√(S / mean S)).

    Parameters
    ----------
    spectrum
        S ≥ 0 at each half-spectrum bin [..., N, N // 2 + 1], up to a factor; it broadcasts against ``white``.
        S(k) = S(−k) is taken for granted, as radial spectra have it.
    white
        Independent standard normals [..., N, N].
    zero_mean
        Drop k = 0 and scale up the rest, so that every draw has mean 0 and the variance stays 1.
    """
    grid = Grid(white.shape[-1], white.device)
    gain = normalized(spectrum, grid, zero_mean=zero_mean).sqrt()
    return torch.fft.irfft2(torch.fft.rfft2(white) * gain, s=white.shape[-2:])


def autocovariance(
    spectrum: HalfSpectrum, grid: Grid, *, zero_mean: bool = True
) -> Float64[Tensor, "*batch n n"]:
    """Return the covariance of `spectral` at each lag, Cov(r) = Σ_k S(k) cos(k·r) / N², 1 at lag (0, 0)."""
    exact = normalized(spectrum.double(), grid, zero_mean=zero_mean)
    return torch.fft.irfft2(exact + 0j, s=(grid.size, grid.size))


def power(fields: Float[Tensor, "*rows n n"]) -> Float64[Tensor, "*rows n half"]:
    """Return the mean square of each field by half-spectrum bin, k and −k together: the sum is mean x²."""
    grid = Grid(fields.shape[-1], fields.device)
    return torch.fft.rfft2(fields.double(), norm="forward").abs().square() * half_spectrum_weights(grid)


def rings(grid: Grid) -> Int64[Tensor, "n half"]:
    """Return the number of the ring each half-spectrum bin is on: n rounded to whole cycles per side."""
    return grid.cycles.round().long()


def ring_sums(values: Float[Tensor, "*rows n half"], grid: Grid) -> Float64[Tensor, "*rows ring"]:
    """Return the sum of half-spectrum values over each ring 0 … N // 2; the corners beyond are left out."""
    number = rings(grid).flatten()
    total = torch.zeros(*values.shape[:-2], int(number.max()) + 1, dtype=torch.float64, device=values.device)
    total.index_add_(-1, number, values.double().flatten(-2))
    return total[..., : grid.size // 2 + 1]


def radial_spectrum(fields: Float[Tensor, "*rows n n"]) -> Float64[Tensor, "*rows ring"]:
    """Return the mean power of a bin on each ring n = 0 … N // 2 cycles per side.

    White noise of variance 1 has 1/N² on every ring.
    """
    grid = Grid(fields.shape[-1], fields.device)
    counts = half_spectrum_weights(grid).expand(grid.size, -1)
    return ring_sums(power(fields), grid) / ring_sums(counts, grid)
