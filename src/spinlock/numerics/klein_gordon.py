"""The Klein–Gordon equation φ_tt = ∇²φ − m²φ on the torus, solved exactly in Fourier space (c = 1)."""

import math

import torch
from jaxtyping import Complex, Float, Float32
from torch import Tensor

from spinlock.numerics.grid import Grid
from spinlock.numerics.spectral import angular


def wave_numbers(grid: Grid) -> Float32[Tensor, "n"]:
    """Return the angular wave numbers of one axis of a full transform, rad/px."""
    return 2.0 * math.pi * torch.fft.fftfreq(grid.size, device=grid.device)


def dispersion(k: Float[Tensor, "..."], mass: Float[Tensor, "..."] | float) -> Float[Tensor, "..."]:
    """Return ω = √(k² + m²), rad per unit of time in which light goes one px."""
    return torch.sqrt(k.square() + mass**2)


def sine_over(omega: Float[Tensor, "..."], time: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return sin(ωt)/ω, and t where ω = 0."""
    return time * torch.sinc(omega * time / math.pi)


def evolve(
    phi: Float[Tensor, "*rows n n"], pi: Float[Tensor, "*rows n n"], mass: float, time: float
) -> tuple[Float[Tensor, "*rows n n"], Float[Tensor, "*rows n n"]]:
    """Return φ and φ_t after a time: φ̂' = φ̂·cos ωt + π̂·sin(ωt)/ω, π̂' = π̂·cos ωt − φ̂·ω·sin ωt."""
    omega = dispersion(angular(Grid(phi.shape[-1], phi.device)).to(phi.dtype), mass)
    turned, span = torch.cos(omega * time), sine_over(omega, torch.as_tensor(time, dtype=phi.dtype))
    first: Complex[Tensor, "*rows n half"] = torch.fft.rfft2(phi)
    second: Complex[Tensor, "*rows n half"] = torch.fft.rfft2(pi)
    after = first * turned + second * span, second * turned - first * omega.square() * span
    back = [torch.fft.irfft2(spectrum, s=phi.shape[-2:]) for spectrum in after]
    return back[0], back[1]
