"""Features as they are written one by one: each from the frames alone, with torch, vectorised over frames.

The baseline of benchmarks/features.py: every function takes frames [T, C, H, W] and returns one number for
each channel of a frame [T, C], for each frame [T], or for each channel or all of the trajectory.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

PIXELS = (-2, -1)
Plain = Callable[[Tensor], Tensor]


def standardized(u: Tensor) -> Tensor:
    centred = u - u.mean(PIXELS, keepdim=True)
    return centred / centred.square().mean(PIXELS, keepdim=True).sqrt()


def central(u: Tensor) -> tuple[Tensor, Tensor]:
    return (u.roll(-1, -1) - u.roll(1, -1)) / 2, (u.roll(-1, -2) - u.roll(1, -2)) / 2


def steepness(u: Tensor) -> Tensor:
    dx, dy = central(u)
    return (dx.square() + dy.square()).sqrt()


def laplacian(u: Tensor) -> Tensor:
    return u.roll(1, -1) + u.roll(-1, -1) + u.roll(1, -2) + u.roll(-1, -2) - 4 * u


def anisotropy(u: Tensor) -> Tensor:
    x, y = (part.square().mean(PIXELS) for part in central(u))
    return (x - y) / (x + y)


def quantile(u: Tensor, level: float) -> Tensor:
    return u.flatten(-2).quantile(level, dim=-1)


def mad(u: Tensor) -> Tensor:
    return quantile((u - quantile(u, 0.5)[..., None, None]).abs(), 0.5)


SPATIAL: dict[str, Plain] = {
    "spatial_mean": lambda u: u.mean(PIXELS),
    "spatial_variance": lambda u: u.var(PIXELS, correction=0),
    "spatial_std": lambda u: u.std(PIXELS, correction=0),
    "spatial_skewness": lambda u: standardized(u).pow(3).mean(PIXELS),
    "spatial_kurtosis": lambda u: standardized(u).pow(4).mean(PIXELS) - 3,
    "spatial_min": lambda u: u.amin(PIXELS),
    "spatial_max": lambda u: u.amax(PIXELS),
    "spatial_range": lambda u: u.amax(PIXELS) - u.amin(PIXELS),
    "spatial_iqr": lambda u: quantile(u, 0.75) - quantile(u, 0.25),
    "spatial_mad": mad,
    "gradient_magnitude_mean": lambda u: steepness(u).mean(PIXELS),
    "gradient_magnitude_std": lambda u: steepness(u).std(PIXELS, correction=0),
    "gradient_magnitude_max": lambda u: steepness(u).amax(PIXELS),
    "gradient_x_mean": lambda u: central(u)[0].abs().mean(PIXELS),
    "gradient_y_mean": lambda u: central(u)[1].abs().mean(PIXELS),
    "gradient_anisotropy": anisotropy,
    "laplacian_mean": lambda u: laplacian(u).abs().mean(PIXELS),
    "laplacian_std": lambda u: laplacian(u).std(PIXELS, correction=0),
    "laplacian_energy": lambda u: laplacian(u).square().mean(PIXELS),
}


def power(u: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return P over the modes but k = 0 [..., modes], |fx|, |fy| and ρ of each."""
    height, width = u.shape[-2:]
    fy, fx = (torch.fft.fftfreq(size) for size in (height, width))
    spectrum = torch.fft.fft2(u - u.mean(PIXELS, keepdim=True)).abs().square() / (height * width)
    fy, fx = torch.meshgrid(fy.abs(), fx.abs(), indexing="ij")
    rho = (fx.square() + fy.square()).sqrt()
    return spectrum.flatten(-2)[..., 1:], fx.flatten()[1:], fy.flatten()[1:], rho.flatten()[1:]


def band(u: Tensor, number: int, statistic: str) -> Tensor:
    p, _, _, rho = power(u)
    edge = [(k / 5) ** 2 * math.sqrt(0.5) for k in (number, number + 1)]
    chosen = p[..., (rho > edge[0] + 1e-7) & (rho <= edge[1] + 1e-7)]
    if not chosen.shape[-1]:  # no wave of a small grid is that long
        return p.new_full(p.shape[:-1], math.nan)
    if statistic == "mean":
        return chosen.mean(-1)
    return chosen.amax(-1) if statistic == "max" else chosen.std(-1, correction=0)


def dominant(u: Tensor, what: str) -> Tensor:
    p, fx, fy, _ = power(u)
    peak = p.argmax(-1)
    if what == "share":
        alone = ((fx == 0) | (fx == 0.5)) & ((fy == 0) | (fy == 0.5))  # its own conjugate
        return torch.where(alone[peak], 1, 2) * p.amax(-1) / p.sum(-1)
    return (fx if what == "x" else fy)[peak]


def centroid(u: Tensor, axis: int) -> Tensor:
    p, *frequency = power(u)
    return (p * frequency[axis]).sum(-1) / p.sum(-1)


def bandwidth(u: Tensor) -> Tensor:
    p, fx, fy, _ = power(u)
    cx, cy = (centroid(u, axis)[..., None] for axis in (0, 1))
    return ((p * ((fx - cx).square() + (fy - cy).square())).sum(-1) / p.sum(-1)).sqrt()


def share(u: Tensor, low: float, high: float) -> Tensor:
    p, _, _, rho = power(u)
    return p[..., (rho > low + 1e-7) & (rho <= high + 1e-7)].sum(-1) / p.sum(-1)


def flatness(u: Tensor) -> Tensor:
    p = power(u)[0]
    p = p + 1e-12 * p.mean(-1, keepdim=True)
    return p.log().mean(-1).exp() / p.mean(-1)


def rolloff(u: Tensor) -> Tensor:
    p, _, _, rho = power(u)
    order = rho.argsort()
    held = p[..., order].cumsum(-1) / p.sum(-1, keepdim=True)
    return rho[order][(held < 0.85).sum(-1).clamp(max=len(order) - 1)]


def orientation(u: Tensor) -> Tensor:
    height, width = u.shape[-2:]
    fy, fx = torch.meshgrid(torch.fft.fftfreq(height), torch.fft.fftfreq(width), indexing="ij")
    turn = (2j * torch.atan2(fy, fx)).exp().flatten()[1:]
    p = power(u)[0]
    return (p * turn).sum(-1).abs() / p.sum(-1)


SPECTRAL: dict[str, Plain] = {
    **{
        f"fft_power_scale_{number}_{statistic}": partial(band, number=number, statistic=statistic)
        for number in range(5)
        for statistic in ("mean", "max", "std")
    },
    "dominant_freq_x": partial(dominant, what="x"),
    "dominant_freq_y": partial(dominant, what="y"),
    "dominant_freq_magnitude": partial(dominant, what="share"),
    "spectral_centroid_x": partial(centroid, axis=0),
    "spectral_centroid_y": partial(centroid, axis=1),
    "spectral_bandwidth": bandwidth,
    "low_freq_ratio": partial(share, low=0.0, high=1 / 6),
    "mid_freq_ratio": partial(share, low=1 / 6, high=1 / 3),
    "high_freq_ratio": partial(share, low=1 / 3, high=1.0),
    "spectral_flatness": flatness,
    "spectral_rolloff": rolloff,
    "spectral_anisotropy": orientation,
}


def correlation(u: Tensor) -> Tensor:
    rows = standardized(u).flatten(-2)
    return rows @ rows.mT / rows.shape[-1]


def eigenvalues(u: Tensor) -> Tensor:
    return torch.linalg.eigvalsh(correlation(u)).flip(-1).clamp(min=0)


def pairs(u: Tensor) -> Tensor:
    matrix = correlation(u)
    first, second = torch.triu_indices(matrix.shape[-1], matrix.shape[-1], 1)
    return matrix[:, first, second]


def condition(u: Tensor) -> Tensor:
    values = eigenvalues(u)
    return (values[:, 0] / torch.maximum(values[:, -1], 1e-6 * values[:, 0])).clamp(max=1e6)


def participation(u: Tensor) -> Tensor:
    values = eigenvalues(u)
    return values.sum(-1).square() / values.square().sum(-1)


CROSS_CHANNEL: dict[str, Plain] = {
    **{f"cross_channel_eigen_top_{k + 1}": lambda u, k=k: eigenvalues(u)[:, k] for k in range(3)},
    "cross_channel_eigen_trace": lambda u: (eigenvalues(u) - 1).abs().sum(-1),
    "cross_channel_condition_number": condition,
    "cross_channel_participation_ratio": participation,
    "cross_channel_corr_mean": lambda u: pairs(u).mean(-1),
    "cross_channel_corr_max": lambda u: pairs(u).amax(-1),
    "cross_channel_corr_min": lambda u: pairs(u).amin(-1),
    "cross_channel_corr_std": lambda u: pairs(u).std(-1, correction=0),
}
