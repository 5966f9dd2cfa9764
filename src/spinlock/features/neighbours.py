"""Nearest frames of a trajectory, and what becomes of their distance: forecasting by analogues.

Source: Lorenz 1969, "Atmospheric predictability as revealed by naturally occurring analogues"; Rosenstein,
Collins & De Luca 1993 for the exponent; Theiler 1986 for leaving out neighbours in time.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

Distances = Float64[Tensor, "t t"]

FORECAST = 2
"""Steps by which forecasts by analogues look ahead and back."""


@dataclass(frozen=True)
class Analogues:
    """Each frame i of a range, its nearest frame j of the same range, and whether it has one."""

    frames: Int64[Tensor, "n"]
    nearest: Int64[Tensor, "n"]
    found: Bool[Tensor, "n"]

    def shifted(self, squares: Distances, shift: int) -> Float64[Tensor, "n"]:
        """Return D²(i + shift, j + shift)."""
        return squares[self.frames + shift, self.nearest + shift]

    def mean(self, values: Float64[Tensor, "*rows n"]) -> Float64[Tensor, "*rows"]:
        """Return the mean over the frames that have an analogue, 0 if none has."""
        weights = self.found.to(values.dtype)
        return values @ weights / weights.sum().clamp(min=1.0)


def analogues(squares: Distances, first: int, last: int) -> Analogues:
    """Return the nearest frame of each frame in first … last, both ends included.

    Not counted are frames within max(1, ⌊T/20⌋) steps, and frames whose D² is at most 1e-6 of its mean over
    all pairs: those are the same state again.
    """
    t = squares.shape[0]
    frames = torch.arange(first, last + 1, device=squares.device)
    apart = (frames[:, None] - frames).abs() > max(1, t // 20)
    inside = squares[first : last + 1, first : last + 1]
    allowed = apart & (inside > 1e-6 * squares.mean())
    distance, nearest = torch.where(allowed, inside, torch.inf).min(dim=-1)
    return Analogues(frames, nearest + first, distance < torch.inf)


def log_divergence(squares: Distances) -> Float64[Tensor, "q"]:
    """Return mean_i ln D(i + q, j + q) for q = 1 … min(5, ⌊T/4⌋), over pairs that stay inside for all q."""
    t = squares.shape[0]
    steps = min(5, t // 4)
    pairs = analogues(squares, 0, t - 1 - steps)
    apart = torch.stack([pairs.shifted(squares, step) for step in range(1, steps + 1)])
    return pairs.mean(0.5 * torch.where(apart > 0.0, apart, 1.0).log())


def forecast_errors(squares: Distances) -> tuple[Float64[Tensor, "lag"], Float64[Tensor, "lag"]]:
    """Return e_f and e_b, rms distances of analogues 1 and 2 steps later and earlier; 0 if there are none."""
    pairs = analogues(squares, FORECAST, squares.shape[0] - 1 - FORECAST)
    ahead, back = (
        pairs.mean(torch.stack([pairs.shifted(squares, sign * lag) for lag in range(1, FORECAST + 1)])).sqrt()
        for sign in (1, -1)
    )
    return ahead, back
