"""Order parameter near a critical point: fluctuations on all scales up to the correlation length."""

from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.laws import normality, spectrum, variance
from spinlock.initial_conditions.scaling_laws import power_law
from spinlock.numerics.columns import column
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.spectral import angular, spectral
from spinlock.registry import Real
from spinlock.shapes import Fields, PerSample

COMPONENTS = 3


def critical_spectrum(
    grid: Grid, correlation_length: PerSample | None, eta: PerSample
) -> Float[Tensor, "b 1 n half"]:
    """Return S(k) = (k² + ξ⁻²)^−(1−η/2) up to a factor, and 0 at k = 0 for an infinite ξ (null)."""
    k = angular(grid)
    if correlation_length is None:
        scaled, floor = k.clamp(min=float(k[0, 1])) / float(k[0, 1]), 0.0
    else:
        scaled, floor = k * grid.pixels(column(correlation_length)), 1.0
    falling = (scaled.square() + floor).pow(column(eta) / 2.0 - 1.0)
    falling[..., 0, 0] *= floor
    return falling


@initial_condition(
    domain="thermodynamics",
    tier=2,
    source="Fisher 1964; Goldenfeld 1992",
    sites=("white",),
    native=COMPONENTS,
    cost="fft",
    laws=(
        power_law(-1.75, correlation_length=None, eta=0.25),
        power_law(-2.0, correlation_length=None, eta=0.0),
        spectrum(lambda grid: critical_spectrum(grid, 15.0, 0.25)[0, 0]),
        variance(value=2.0),
        normality(correlation_length=4.0),
    ),
)
def critical_fluctuation(
    grid: Grid,
    keys: SampleKeys,
    *,
    correlation_length: Annotated[PerSample | None, Real(3.0, 1e6, "px", log=True)] = 15.0,
    eta: Annotated[PerSample, Real(0.0, 0.5)] = 0.25,
    variance: Annotated[PerSample, Real(1e-3, 10.0, log=True)] = 1.0,
) -> Fields:
    """Critical fluctuations of a three-component order parameter, S(k) = A·(k² + ξ⁻²)^−(1−η/2).

    Below ξ = ``correlation_length`` (px of a 128 grid; null is infinite, the critical point itself) the
    spectrum falls as k^−(2−η) and correlations as r^−η: fluctuations look alike on every scale. Beyond ξ
    they are independent. η = ``eta`` is 1/4 in the two-dimensional Ising model, 0.0363 in the
    three-dimensional one, and 0 in the theory of Ornstein and Zernike. The channels are the components of
    an O(3) order parameter, independent of each other; k = 0 is left out and A makes the ensemble's variance
    ``variance``.

    What to expect: clouds within clouds, patches of up to ξ px. The field is Gaussian: its two-point
    function is that of a critical system, its higher moments are not those of Ising spins.
    """
    fluctuations = spectral(
        critical_spectrum(grid, correlation_length, eta),
        keys.normal("white", COMPONENTS, grid.size, grid.size),
    )
    return fluctuations * column(variance).sqrt()
