"""Steady heat conduction between a hot and a cold side, with thermal fluctuations."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from spinlock.errors import OptionError
from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.front_laws import (
    conducted_flux,
    conduction_direction,
    relative_fluctuations,
    temperature_ends,
)
from spinlock.numerics.columns import column
from spinlock.numerics.fluctuations import positive_factors
from spinlock.numerics.given import given_or_uniform
from spinlock.numerics.grid import Grid
from spinlock.numerics.planar import along, extent, heading
from spinlock.numerics.random import SampleKeys
from spinlock.registry import Real, When
from spinlock.shapes import Fields, PerSample

Direction = Literal["angle", "x", "y", "diagonal"]
DIRECTIONS: dict[str, float] = {"x": 0.0, "y": math.pi / 2, "diagonal": math.pi / 4}

PerRow = Float64[Tensor, "b 1 1"]


def profile(
    share: Float64[Tensor, "b n n"], cold: float, hot: float, beta: PerRow
) -> Float64[Tensor, "b n n"]:
    """Return T = [T_c^p + s(T_h^p − T_c^p)]^(1/p), p = 1/β, at a share s of the way from cold to hot."""
    low, high = cold ** (1.0 / beta), hot ** (1.0 / beta)
    return (low + share * (high - low)).pow(beta)


def check_temperatures(values: Mapping[str, Any], _grid_size: int | None) -> None:
    """Refuse equal temperatures: nothing would be conducted."""
    cold, hot = values["temperature_range"]
    if cold == hot:
        raise OptionError(
            f"temperature_range is [{cold:g}, {hot:g}]: the hot side must be above the cold one"
        )


@initial_condition(
    domain="thermodynamics",
    tier=1,
    source="Carslaw & Jaeger 1959; Landau & Lifshitz, Statistical Physics",
    sites=("angle", "white"),
    cost="fft",
    periodic=False,
    laws=(
        conducted_flux(beta=1.0, temperature_range=(0.0, 1.0)),
        conducted_flux(beta=0.4, temperature_range=(0.2, 2.0)),
        conducted_flux(beta=2.0, temperature_range=(0.5, 1.0)),
        temperature_ends(0.25, 3.0),
        conduction_direction(),
        relative_fluctuations(0.1),
        relative_fluctuations(0.5),
    ),
    check=check_temperatures,
)
def thermal_gradient(
    grid: Grid,
    keys: SampleKeys,
    *,
    gradient_direction: Direction = "angle",
    gradient_angle: Annotated[
        PerSample | None, Real(0.0, 2.0 * math.pi, "rad"), When("gradient_direction", ("angle",))
    ] = None,
    temperature_range: Annotated[tuple[float, float], Real(0.0, 1000.0)] = (0.0, 1.0),
    beta: Annotated[PerSample, Real(0.3, 3.0, suggested=(0.3, 1.0))] = 1.0,
    thermal_noise_amplitude: Annotated[PerSample, Real(0.0, 0.5)] = 0.1,
    thermal_length_scale: Annotated[PerSample, Real(1.0, 32.0, "px", log=True)] = 5.0,
) -> Fields:
    """Temperature between a cold and a hot side of an open frame, where heat is conducted steadily.

    ∇·(κ(T)∇T) = 0 with κ = T^m, so that T^(m+1) is linear from the coldest corner to the hottest: T = [T_c^p
    + s(T_h^p − T_c^p)]^(1/p), p = m + 1 = 1/``beta``. At ``beta`` = 1 κ is constant and T linear; below, κ
    grows with T, as in a gas or a plasma; above, it falls with T, as in a crystal. The gradient points to a
    ``gradient_angle`` turned from columns towards rows (null: uniform on the circle for each draw), or along
    x (columns), y (rows) or the diagonal.

    Channels are T with fluctuations, and the flux q = −κ∇T of the mean profile along x and y, constant over
    the frame, lengths in sides. Fluctuations keep T > 0: T·exp(σg − σ²/2), g a Gaussian field of correlation
    length ``thermal_length_scale``, so that their mean is 0 and their standard deviation is
    ``thermal_noise_amplitude``·T.

    What to expect: a ramp across the whole frame, rougher on its hot side; two flat channels.
    """
    wanted = DIRECTIONS.get(gradient_direction, gradient_angle)
    angle = given_or_uniform(keys, "angle", wanted, (0.0, 2.0 * math.pi))
    length = extent(grid, angle)[:, None, None]
    share = (along(grid, angle) / length + 0.5).clamp(0.0, 1.0)
    cold, hot = temperature_range
    exponent = column(beta, 2).double()
    mean = profile(share, cold, hot, exponent)
    down, across = heading(angle)
    rise = (hot ** (1.0 / exponent) - cold ** (1.0 / exponent)) * exponent * grid.size / length
    flux = [(-rise * part[:, None, None]).expand_as(mean) for part in (across, down)]
    noise = positive_factors(
        thermal_noise_amplitude,
        grid.pixels(column(thermal_length_scale).double()),
        keys.normal("white", 1, grid.size, grid.size),
    )
    return torch.stack((mean * noise[:, 0], *flux), dim=1).float()
