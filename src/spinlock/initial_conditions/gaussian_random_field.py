"""Stationary Gaussian field: white noise through the square root of a spectrum."""

from typing import Annotated, Literal

from torch import Tensor

from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.laws import normality, spectrum, variance
from spinlock.numerics.columns import column
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.spectral import angular, matern_spectrum, rbf_spectrum, spectral
from spinlock.registry import Real, When
from spinlock.shapes import Fields, PerSample

Kernel = Literal["rbf", "matern", "white"]


def kernel_spectrum(grid: Grid, kernel: Kernel, length_scale: PerSample, nu: PerSample = 1.5) -> Tensor:
    """Return S(k) of a kernel of length ``length_scale`` sides, 1 at k = 0, [B, 1, N, N // 2 + 1]."""
    kl = angular(grid) * grid.side(column(length_scale))
    if kernel == "rbf":
        return rbf_spectrum(kl)
    if kernel == "matern":
        return matern_spectrum(kl, column(nu))
    return kl * 0.0 + 1.0


@initial_condition(
    domain="general",
    tier="baseline",
    source="Rasmussen & Williams 2006; Dietrich & Newsam 1997",
    sites=("white",),
    native=1,
    cost="fft",
    laws=(
        variance(value=2.0, length_scale=0.05),
        spectrum(lambda grid: kernel_spectrum(grid, "rbf", 0.05), length_scale=0.05),
        spectrum(
            lambda grid: kernel_spectrum(grid, "matern", 0.05, 0.5),
            length_scale=0.05,
            kernel="matern",
            nu=0.5,
        ),
        normality(length_scale=0.03),
    ),
)
def gaussian_random_field(
    grid: Grid,
    keys: SampleKeys,
    *,
    length_scale: Annotated[
        PerSample, Real(0.005, 0.4, "side", log=True), When("kernel", ("rbf", "matern"))
    ] = 0.1,
    variance: Annotated[PerSample, Real(1e-3, 10.0, log=True)] = 1.0,
    kernel: Kernel = "rbf",
    nu: Annotated[PerSample, Real(0.5, 5.0), When("kernel", ("matern",))] = 1.5,
    zero_mean: bool = True,
) -> Fields:
    """Stationary Gaussian random field on the torus with a given covariance.

    Cov(r) = variance·ρ(r/l) with ρ = exp(−r²/2l²) for ``rbf``, S(k) ~ exp(−k²l²/2); for ``matern``
    S(k) ~ (2ν/l² + k²)^−(ν+1), rough for small ν; ``white`` is independent from pixel to pixel.

    What to expect: soft hills and valleys about 2l wide. The variance is that of the ensemble; one sample
    of a long length departs from it (by 26 % at l = 0.1 sides). ``zero_mean`` drops k = 0 and scales up the
    rest, as else a field of length 0.4 would be nearly a constant. Good values: ``length_scale`` 0.02 to 0.2.
    """
    spectrum = kernel_spectrum(grid, kernel, length_scale, nu)
    white = keys.normal("white", 1, grid.size, grid.size)
    return spectral(spectrum, white, zero_mean=zero_mean) * column(variance).sqrt()
