"""Frames some steps apart: autocovariance over time, its spectrum, and channels that lead each other."""

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from spinlock.features.gram import Gram, energies

Lags = Float64[Tensor, "c t"]


def lag_sums(within: Float64[Tensor, "c t t"]) -> Lags:
    """Return r(τ) = Σ_t G(t, t + τ) for τ = 0 … T − 1, the sums along the upper diagonals."""
    t = within.shape[-1]
    # In rows padded to 2T, windows of T at a distance of 2T + 1 start on the diagonal.
    padded = torch.nn.functional.pad(within, (0, t)).flatten(-2)
    return padded.unfold(-1, t, 2 * t + 1).sum(dim=-2)


def autocorrelation(sums: Lags) -> Lags:
    """Return ρ(τ), the mean of G over the pairs of frames τ steps apart, divided by that at τ = 0."""
    t = sums.shape[-1]
    means = sums / torch.arange(t, 0, -1, dtype=sums.dtype, device=sums.device)
    return means / torch.where(means[:, :1] > 0.0, means[:, :1], 1.0)


def first_crossing(rho: Lags, level: float, cap: int) -> Float64[Tensor, "c"]:
    """Return where ρ, from 1 at τ = 0, first comes down to ``level``, between lags on a straight line.

    If it does not by ``cap``, that is returned.
    """
    lags = torch.arange(1, cap + 1, device=rho.device)
    below = rho[:, 1 : cap + 1] <= level
    first = torch.where(below, lags, cap).amin(dim=-1, keepdim=True)
    before, after = rho.gather(-1, first - 1), rho.gather(-1, first)
    fall = torch.where(before > after, before - after, 1.0)
    crossing = first - 1 + (before - level) / fall
    return torch.where(below.any(dim=-1), crossing[:, 0], float(cap))


def time_spectrum(sums: Lags) -> Float64[Tensor, "c j"]:
    """Return S(j/T) = w·e_f^H G e_f/T² for j = 1 … ⌊T/2⌋, w = 2, but 1 at the Nyquist frequency.

    It is the mean square over pixels of the part that oscillates with that frequency.
    """
    t = sums.shape[-1]
    circular = torch.cat((sums[:, :1], sums[:, 1:] + sums[:, 1:].flip(-1)), dim=-1)
    power = torch.fft.rfft(circular).real[:, 1:].clamp(min=0.0) * (2.0 / t**2)
    if t % 2 == 0:
        power[:, -1] *= 0.5
    return power


def lag_asymmetry(products: Gram, static: Bool[Tensor, "c"]) -> Float64[Tensor, "lag pairs"]:
    """Return |ρ_ij(τ) − ρ_ji(τ)| of the pairs i < j for each lag; channels that stand still have ρ = 0.

    ρ_ij(τ) = Σ_t K′_ij(t, t + τ)/√(Σ_t K′_ii(t, t)·Σ_t K′_jj(t + τ, t + τ)).
    """
    energy = energies(products.within)
    channels, t = energy.shape
    lags = range(1, len(products.lagged) + 1)
    early = torch.stack([energy[:, : t - lag].sum(dim=-1) for lag in lags])
    late = torch.stack([energy[:, lag:].sum(dim=-1) for lag in lags])
    norm = (early[:, :, None] * late[:, None, :]).sqrt()
    still = static[:, None] | static | (norm == 0.0)
    rho = torch.where(still, 0.0, products.lagged / torch.where(still, 1.0, norm))
    i, j = torch.triu_indices(channels, channels, 1, device=rho.device)
    return (rho[:, i, j] - rho[:, j, i]).abs()
