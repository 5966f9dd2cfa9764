"""Laws of wave functions given as Re ψ, Im ψ, |ψ|²."""

import math
from typing import Any

import torch
from jaxtyping import Complex128, Float, Float64
from torch import Tensor

from spinlock.initial_conditions.catalogue import Law
from spinlock.initial_conditions.field_laws import at_most, field_law

Fields = Float[Tensor, "b c n n"]
Psi = Complex128[Tensor, "b n n"]
Moment = Float64[Tensor, "b"]


def wave_function(fields: Fields) -> Psi:
    """Return ψ from its real and imaginary parts, the first two channels."""
    return torch.complex(fields[:, 0].double(), fields[:, 1].double())


def spectral_density(psi: Psi) -> Float64[Tensor, "b n n"]:
    """Return |ψ̂|² of each wave vector, the sum of all 1."""
    density = torch.fft.fft2(psi).abs().square()
    return density / density.sum(dim=(1, 2), keepdim=True)


def momenta(size: int) -> Float64[Tensor, "n"]:
    """Return the wave numbers of one axis, rad/px."""
    return 2.0 * math.pi * torch.fft.fftfreq(size, dtype=torch.float64)


def deviation(density: Float64[Tensor, "b n n"], positions: Float64[Tensor, "n"], axis: int) -> Moment:
    """Return the standard deviation of the row (axis 0) or column (axis 1) under a density."""
    marginal = density.sum(dim=2 - axis)
    marginal = marginal / marginal.sum(dim=1, keepdim=True)
    mean = (marginal * positions).sum(dim=1, keepdim=True)
    return (marginal * (positions - mean).square()).sum(dim=1).sqrt()


def uncertainty(psi: Psi, axis: int) -> Moment:
    """Return Δx·Δk along an axis, with the peak rolled to the middle so that no packet is cut."""
    size = psi.shape[-1]
    rolled = []
    for sample in psi:
        row, column = divmod(int(sample.abs().argmax()), size)
        rolled.append(sample.roll((size // 2 - row, size // 2 - column), (0, 1)))
    middle = torch.stack(rolled)
    x = torch.arange(size, dtype=torch.float64)
    return deviation(middle.abs().square(), x, axis) * deviation(
        spectral_density(middle), momenta(size), axis
    )


def squared_modulus(tolerance: float = 1e-5, **options: Any) -> Law:
    """Return the law: the third channel is the square of the first two."""

    def check(fields: Tensor) -> None:
        density = wave_function(fields).abs().square()
        excess = (fields[:, 2] - density).abs() / density.amax(dim=(1, 2), keepdim=True)
        at_most("the difference of |ψ|² and its channel, relative to the peak,", excess, tolerance)

    return field_law(
        f"channel 2 is channel 0² + channel 1² within {tolerance:g} of its peak", check, **options
    )


def unit_intensity(tolerance: float = 1e-4, **options: Any) -> Law:
    """Return the law: the mean of |ψ|² over the grid is 1."""

    def check(fields: Tensor) -> None:
        departure = (fields[:, 2].mean(dim=(1, 2)) - 1.0).abs()
        at_most("the departure of the mean of |ψ|² from 1", departure, tolerance)

    return field_law(f"the mean of |ψ|² is 1 within {tolerance:g}", check, **options)


def mean_momentum(momentum: float, tolerance: float = 1e-3, **options: Any) -> Law:
    """Return the law: |⟨k⟩| is the momentum asked for, rad/px of a 128 grid."""

    def check(fields: Tensor) -> None:
        size = fields.shape[-1]
        density, k = spectral_density(wave_function(fields)), momenta(size)
        rows, columns = ((density.sum(dim=2 - axis) * k).sum(dim=1) for axis in (0, 1))
        departure = (torch.hypot(rows, columns) * (size / 128) - momentum).abs()
        at_most("the departure of the mean momentum", departure, tolerance)

    words = f"the mean momentum is {momentum:g} rad/px within {tolerance:g}"
    return field_law(words, check, momentum=momentum, **options)


def least_uncertainty(tolerance: float = 0.005, **options: Any) -> Law:
    """Return the law: Δx·Δk = 1/2 along both axes, the least there is."""

    def check(fields: Tensor) -> None:
        psi = wave_function(fields)
        products = torch.stack([uncertainty(psi, axis) for axis in (0, 1)])
        at_most("the departure of Δx·Δk from 1/2", (products - 0.5).abs(), tolerance)

    return field_law(f"Δx·Δk = 1/2 along both axes within {tolerance:g}", check, **options)
