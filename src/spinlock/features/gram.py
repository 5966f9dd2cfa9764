"""Products of the frames of one realization with each other: the matrix behind every full-state feature.

Each pixel's mean over time is taken off first, which changes neither distances nor correlations, and products
are summed in float64: a squared distance is a difference of products, and distances down to a thousandth of
the typical one are compared.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

LAGS = 3
"""Greatest lag between channels whose products are kept."""


@dataclass(frozen=True)
class Gram:
    """Mean products over pixels of the time-centred frames u′ of one realization.

    Attributes
    ----------
    within
        G′_c(t, s) = ⟨u′_c(t) u′_c(s)⟩ for each channel.
    lagged
        Σ_t ⟨u′_i(t) u′_j(t + τ)⟩ over t = 0 … T − 1 − τ, at [τ − 1, i, j]; no row with a single channel.
    """

    within: Float64[Tensor, "c t t"]
    lagged: Float64[Tensor, "lag c c"]


def gram(frames: Float[Tensor, "t c h w"]) -> Gram:
    """Return the products of all pairs of frames of a channel, and of channels up to `LAGS` steps apart."""
    t, channels = frames.shape[:2]
    # What stands still is exactly 0 after the subtraction of the first frame, before any mean is rounded.
    moving = torch.sub(frames, frames[0].double()).flatten(-2)
    moving -= moving.mean(dim=0)
    rows = moving.transpose(0, 1)
    lags = range(1, min(LAGS, t - 1) + 1) if channels > 1 else ()
    lagged = [(moving[: t - lag] @ moving[lag:].mT).sum(dim=0) for lag in lags]
    pixels = moving.shape[-1]
    return Gram(
        (rows @ rows.mT) / pixels,
        torch.stack(lagged) / pixels if lagged else moving.new_empty(0, channels, channels),
    )


def energies(within: Float64[Tensor, "c t t"]) -> Float64[Tensor, "c t"]:
    """Return the mean squares on the diagonal, G(t, t)."""
    return within.diagonal(dim1=-2, dim2=-1)


def squared_distances(within: Float64[Tensor, "c t t"]) -> Float64[Tensor, "t t"]:
    """Return D²(t, s) = Σ_c ⟨(u_c(t) − u_c(s))²⟩, at least 1e-12 of its mean over all pairs of frames.

    Below that floor a distance is rounding; it is 0 if no frame moves.
    """
    total = within.sum(dim=0)
    energy = total.diagonal()
    squares = energy[:, None] + energy - total.mul(2.0)
    return squares.clamp(min=1e-12 * squares.mean())
