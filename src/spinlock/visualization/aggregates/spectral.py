"""The power spectrum of the realizations."""

import torch
from jaxtyping import Float32
from torch import Tensor

from spinlock.visualization.aggregates.catalogue import aggregate
from spinlock.visualization.aggregates.frame import EnsembleFrame

FLOOR = 1e-14
"""Least power that is shown, as a share of the frame's greatest: amplitudes of float32 carry seven digits."""


@aggregate(kind="heatmap", colormap="magma")
def spectral(frame: EnsembleFrame) -> Float32[Tensor, "1 h w"]:
    """Power of each wave, mean over realizations and channels, log₁₀, zero frequency centred.

    log₁₀ ⟨|FFT₂ x|²⟩ with the unnormalized transform, so that the powers sum to (HW)² times the mean square.
    The wave (k_y, k_x) in cycles per side is at (H // 2 + k_y, W // 2 + k_x): A·cos gives two peaks of
    log₁₀ (A·HW/2)². Powers below `FLOOR` times the greatest, or below the least normal float32, are raised to
    it; a field of zeros is the constant log₁₀ 1.2e-38 ≈ −37.9.
    """
    planes = frame.fields.flatten(0, 1)
    parts = torch.view_as_real(torch.fft.rfft2(planes)).double()
    power = parts.square_().sum(dim=0).sum(dim=-1) / len(planes)
    floor = (FLOOR * power.amax()).clamp(min=torch.finfo(torch.float32).tiny)
    full = hermitian_plane(torch.maximum(power, floor).log10(), frame.fields.shape[-1])
    return torch.fft.fftshift(full)[None].to(torch.float32)


def hermitian_plane(half: Tensor, width: int) -> Tensor:
    """Return the full plane [H, W] of an even function of (k_y, k_x) from its columns 0 … W // 2."""
    mirrored = half[:, 1 : (width + 1) // 2].flip(-1)
    return torch.cat((half, torch.cat((mirrored[:1], mirrored[1:].flip(0)))), dim=1)
