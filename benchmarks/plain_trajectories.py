"""Features of trajectories as they are written one by one; see benchmarks/plain_features.py."""

import math
from functools import partial

import torch
from plain_features import PIXELS, Plain, central
from torch import Tensor


def gram(u: Tensor) -> Tensor:
    """Return G'(t, s) of each channel [C, T, T], each pixel's time mean removed."""
    rows = (u - u.mean(0)).transpose(0, 1).flatten(-2)
    return rows @ rows.mT / rows.shape[-1]


def log_energy(u: Tensor) -> Tensor:
    energy = u.square().mean(PIXELS)
    return torch.maximum(energy, 1e-12 * energy.amax(0)).log()


def fit(y: Tensor, degree: int) -> tuple[Tensor, Tensor]:
    """Return the coefficients and residuals of a least-squares polynomial in t for y [T, C]."""
    time = torch.arange(len(y), dtype=torch.float64)
    design = torch.stack([time**k for k in range(degree + 1)], dim=1)
    coefficients = torch.linalg.lstsq(design, y.double()).solution
    return coefficients, y - design @ coefficients


def spectrum(u: Tensor) -> Tensor:
    rows = torch.fft.rfft(u - u.mean(0), dim=0).abs().square().mean(PIXELS) / len(u) ** 2
    rows[1 : (len(u) + 1) // 2] *= 2
    return rows[1:]


def frequency(u: Tensor) -> Tensor:
    return (spectrum(u).argmax(0) + 1) / len(u)


def decay_time(u: Tensor) -> Tensor:
    g = gram(u)
    steps = len(u)
    lags = torch.stack([g.diagonal(tau, -2, -1).mean(-1) for tau in range(min(20, steps - 1) + 1)])
    rho = lags / lags[0]
    below = rho < math.exp(-1)
    first = below.int().argmax(0)
    before, after = (rho.gather(0, k[None])[0] for k in ((first - 1).clamp(min=0), first))
    crossing = first - 1 + (before - math.exp(-1)) / (before - after)
    return torch.where(below.any(0), crossing, torch.tensor(float(min(20, steps - 1)), dtype=crossing.dtype))


def smoothness(u: Tensor) -> Tensor:
    second, first = (u.diff(n, 0).square().sum(PIXELS).mean(0) for n in (2, 1))
    return (1 - second / (4 * first)).clamp(0, 1)


def switches(u: Tensor) -> Tensor:
    signs = log_energy(u).diff(dim=0)
    found = []
    for channel in signs.T:
        kept = channel[channel.abs() > 1e-3].sign()
        found.append((kept[1:] != kept[:-1]).sum())
    return torch.stack(found).double()


def trend(u: Tensor) -> Tensor:
    series = u.mean(PIXELS)
    return 1 - fit(series, 1)[1].var(0, correction=0) / series.var(0, correction=0)


def distances(u: Tensor) -> Tensor:
    return torch.cdist(u.flatten(1), u.flatten(1), compute_mode="donot_use_mm_for_euclid_dist").square()


def neighbours(u: Tensor, low: int, high: int) -> tuple[Tensor, Tensor]:
    squared, steps = distances(u), len(u)
    time = torch.arange(steps)
    near = (time[:, None] - time).abs() <= max(1, steps // 20)
    outside = (time < low) | (time > high)
    barred = near | outside | outside[:, None] | (squared <= 1e-6 * squared.mean())
    return squared, squared.masked_fill(barred, math.inf).argmin(1)[low : high + 1]


def lyapunov(u: Tensor) -> Tensor:
    ahead = min(5, len(u) // 4)
    squared, nearest = neighbours(u, 0, len(u) - 1 - ahead)
    time = torch.arange(len(nearest))
    logs = torch.stack([squared[time + q, nearest + q].log().mean() / 2 for q in range(1, ahead + 1)])
    return fit(logs[:, None], 1)[0][1, 0]


def forecast(u: Tensor, lag: int, what: str) -> Tensor:
    squared, nearest = neighbours(u, 2, len(u) - 3)
    time = torch.arange(2, len(u) - 2)
    ahead, behind = (squared[time + tau, nearest + tau].mean().sqrt() for tau in (lag, -lag))
    return ahead / behind if what == "ratio" else (ahead - behind) / (ahead + behind)


def lag_asymmetry(u: Tensor, lag: int, what: str) -> Tensor:
    centred = (u - u.mean(0)).flatten(-2)
    early, late = centred[:-lag], centred[lag:]
    products = torch.einsum("tip,tjp->ij", early, late)
    sizes = [part.square().sum((0, 2)).sqrt() for part in (early, late)]
    rho = products / (sizes[0][:, None] * sizes[1])
    first, second = torch.triu_indices(len(rho), len(rho), 1)
    gap = (rho - rho.T)[first, second].abs()
    return gap.mean() if what == "mean" else gap.amax()


def irreversibility(u: Tensor) -> Tensor:
    step = u.diff(dim=0)
    return step.pow(3).mean((0, 2, 3)) / step.square().mean((0, 2, 3)).pow(1.5)


def asymmetry_index(u: Tensor) -> Tensor:
    cubes = u.diff(dim=0).pow(3)
    return cubes.sum((0, 2, 3)).abs() / cubes.abs().sum((0, 2, 3))


def flow(u: Tensor) -> Tensor:
    step = u.diff(dim=0)
    gradient = torch.stack(central((u[1:] + u[:-1]) / 2), dim=2)
    matrix = torch.einsum("tcihw,tcjhw->tcij", gradient, gradient) / (u.shape[-1] * u.shape[-2])
    matrix = matrix + 1e-4 * matrix.diagonal(0, -2, -1).sum(-1)[..., None, None] * torch.eye(2)
    driven = torch.einsum("tcihw,tchw->tci", gradient, step) / (u.shape[-1] * u.shape[-2])
    return -torch.linalg.solve(matrix, driven[..., None])[..., 0]


TEMPORAL: dict[str, Plain] = {
    "energy_growth_rate": lambda u: fit(log_energy(u), 1)[0][1],
    "energy_growth_accel": lambda u: 2 * fit(log_energy(u), 2)[0][2],
    "variance_growth_rate": lambda u: fit(u.var(PIXELS, correction=0).log(), 1)[0][1],
    "temporal_freq_dominant": frequency,
    "oscillation_amplitude": lambda u: torch.where(frequency(u) < 0.5, 2, 1).mul(spectrum(u).amax(0)).sqrt(),
    "oscillation_period": lambda u: 1 / frequency(u),
    "autocorr_decay_time": decay_time,
    "lyapunov_approx": lyapunov,
    "trajectory_smoothness": smoothness,
    "regime_switches": switches,
    "final_to_initial_ratio": lambda u: u[-1].square().mean(PIXELS) / u[0].square().mean(PIXELS),
    "trend_strength": trend,
    "detrended_variance": lambda u: fit(u.mean(PIXELS), 1)[1].var(0, correction=0),
}

CAUSALITY: dict[str, Plain] = {
    **{
        f"causality_lag_corr_asymmetry_{what}_lag{lag}": partial(lag_asymmetry, lag=lag, what=what)
        for lag in (1, 2, 3)
        for what in ("mean", "max")
    },
    **{
        f"causality_pred_error_{what}_lag{lag}": partial(forecast, lag=lag, what=what)
        for lag in (1, 2)
        for what in ("ratio", "diff")
    },
    "causality_time_irreversibility": irreversibility,
    "causality_time_asymmetry_index": asymmetry_index,
    "causality_spatial_flow_magnitude": lambda u: flow(u).norm(dim=-1).mean(0),
    "causality_spatial_flow_anisotropy": lambda u: (
        flow(u).mean(0).norm(dim=-1) / flow(u).norm(dim=-1).mean(0)
    ),
}


def version(u: Tensor, name: str) -> Tensor:
    if name == "raw":
        return u
    fy, fx = torch.fft.fftfreq(u.shape[-2])[:, None], torch.fft.rfftfreq(u.shape[-1])
    gain = torch.exp(-2 * (2 * math.pi) ** 2 * (fx.square() + fy.square()))
    low = torch.fft.irfft2(torch.fft.rfft2(u) * gain, s=u.shape[-2:])
    return low if name == "lowpass" else u - low


def entropy(u: Tensor) -> Tensor:
    low, high = u.amin(PIXELS)[..., None, None], u.amax(PIXELS)[..., None, None]
    bins = ((u - low) / (high - low) * 32).long().clamp(max=31).flatten(-2)
    counts = torch.zeros(*bins.shape[:-1], 32).scatter_add_(-1, bins, torch.ones(bins.shape))
    shares = counts / bins.shape[-1]
    return -torch.xlogy(shares, shares).sum(-1)


def variation(u: Tensor) -> Tensor:
    return ((u.roll(-1, -1) - u).square() + (u.roll(-1, -2) - u).square()).sqrt().mean(PIXELS)


FUNCTIONALS: dict[str, Plain] = {
    "L1": lambda u: u.abs().mean(PIXELS),
    "L2": lambda u: u.square().mean(PIXELS).sqrt(),
    "Linf": lambda u: u.abs().amax(PIXELS),
    "entropy": entropy,
    "tv": variation,
}
METRICS: dict[str, Plain] = {
    "mean_drift": lambda i: (i[-1] - i[0]) / ((len(i) - 1) * i.mean(0)),
    "drift_variance": lambda i: i.diff(dim=0).var(0, correction=0) / i.mean(0).square(),
    "final_initial_ratio": lambda i: i[-1] / torch.maximum(i[0], 1e-6 * i.mean(0)),
    "monotonicity": lambda i: (i.diff(dim=0).sign() * (i.diff(dim=0).abs() > 1e-5 * i.mean(0))).mean(0),
}


def drift(u: Tensor, functional: str, metric: str, name: str) -> Tensor:
    return METRICS[metric](FUNCTIONALS[functional](version(u, name)))


DRIFT: dict[str, Plain] = {
    f"{functional}_{metric}_{name}": partial(drift, functional=functional, metric=metric, name=name)
    for functional in FUNCTIONALS
    for metric in METRICS
    for name in ("raw", "lowpass", "highpass")
}
