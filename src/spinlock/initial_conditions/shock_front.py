"""A shock: two states that pass the same mass, momentum and energy, and a thin layer between them."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from spinlock.errors import OptionError
from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.shock_laws import (
    both_states,
    burgers_balance,
    density_jump,
    euler_jump,
    fluxes_pass,
    relativistic_jump,
)
from spinlock.numerics.columns import column
from spinlock.numerics.fluctuations import positive_factors
from spinlock.numerics.given import given_or_uniform
from spinlock.numerics.grid import Grid
from spinlock.numerics.planar import along, extent
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.shocks import (
    Flow,
    euler_flow,
    euler_upstream,
    relativistic_density,
    relativistic_flow,
    relativistic_upstream,
)
from spinlock.registry import Real, When
from spinlock.shapes import Fields, PerSample

Kind = Literal["euler", "srhd", "burgers"]
CENTRAL = (0.2, 0.8)
FLUCTUATION_LENGTH = 0.05
"""In sides."""

PerRow = Float64[Tensor, "b 1 1"]
Pixels = Float64[Tensor, "b n n"]


def check_compression(values: Mapping[str, Any], _grid_size: int | None) -> None:
    """Refuse a density ratio that no shock reaches."""
    ratio, gamma = values["amplitude_ratio"], values["gamma"]
    limit = (gamma + 1.0) / (gamma - 1.0)
    if values["kind"] == "euler" and ratio >= limit:
        raise OptionError(
            f"amplitude_ratio {ratio:g} is out of reach: a gas with gamma {gamma:g} is compressed less than"
            f" (γ + 1)/(γ − 1) = {limit:.4g} times by the strongest shock"
        )


def layer(before: PerRow, after: PerRow, distance: Pixels, width: PerRow) -> Pixels:
    """Return a tanh between two values, the first for distance → −∞."""
    return before + (after - before) * torch.sigmoid(2.0 * distance / width)


def euler(distance: Pixels, width: PerRow, ratio: PerRow, gamma: PerRow) -> Flow:
    """Return the flow through a shock of an ideal gas with that density ratio."""
    upstream = euler_upstream(ratio, gamma)
    return euler_flow(upstream, layer(upstream.density, ratio, distance, width))


def srhd(distance: Pixels, width: PerRow, lorentz: PerRow, gamma: PerRow) -> Flow:
    """Return the flow through a relativistic shock that an ideal gas meets with that Lorentz factor."""
    upstream = relativistic_upstream(lorentz)
    behind = relativistic_density(upstream, gamma)
    return relativistic_flow(upstream, layer(upstream.density, behind, distance, width), gamma)


def burgers(distance: Pixels, width: PerRow, ratio: PerRow) -> Flow:
    """Return u, w = u − s and the viscous stress −νw′ of the viscous shock from u = ratio to u = 1.

    u = s − ½Δ·tanh(Δz/4ν), Δ = ratio − 1, s = (ratio + 1)/2, with ν = ``width``·Δ/4; w²/2 − νw′ = Δ²/8.
    """
    jump, speed = ratio - 1.0, 0.5 * (ratio + 1.0)
    relative = -0.5 * jump * torch.tanh(distance / width)
    return Flow(speed + relative, relative, 0.125 * jump.square() - 0.5 * relative.square())


@initial_condition(
    domain="relativity",
    tier=3,
    source="Landau & Lifshitz, Fluid Mechanics; Taub 1948; Whitham 1974",
    sites=("angle", "position", "white"),
    cost="fft",
    periodic=False,
    copies=True,
    laws=(
        fluxes_pass(),
        fluxes_pass(amplitude_ratio=4.0, gamma=5.0 / 3.0 - 0.02),
        euler_jump(),
        density_jump(3.0),
        relativistic_jump(1.2),
        relativistic_jump(5.0),
        burgers_balance(2.0),
        both_states(),
    ),
    check=check_compression,
)
def shock_front(
    grid: Grid,
    keys: SampleKeys,
    *,
    kind: Kind = "euler",
    amplitude_ratio: Annotated[PerSample, Real(1.1, 4.0), When("kind", ("euler", "burgers"))] = 2.0,
    gamma: Annotated[PerSample, Real(1.1, 5.0 / 3.0), When("kind", ("euler", "srhd"))] = 1.4,
    upstream_lorentz: Annotated[PerSample, Real(1.2, 10.0, log=True), When("kind", ("srhd",))] = 2.0,
    shock_width: Annotated[PerSample, Real(0.7, 6.0, "px", log=True)] = 2.0,
    shock_position: Annotated[PerSample | None, Real(*CENTRAL, "extent")] = None,
    shock_angle: Annotated[PerSample | None, Real(0.0, 2.0 * math.pi, "rad")] = None,
    fluctuation_amplitude: Annotated[PerSample, Real(0.0, 0.3)] = 0.05,
) -> Fields:
    """Plane shock in its own frame of reference, the flow running through it along ``shock_angle``.

    ``euler``: ideal gas, ρ₁ = 1, p₁ = 1/γ, so that the sound ahead has speed 1; the density rises by r =
    ``amplitude_ratio`` < (γ + 1)/(γ − 1), u₁² = 2r/((γ + 1) − (γ − 1)r), u₂ = u₁/r, p₂/p₁ = 1 +
    2γ/(γ + 1)·(u₁² − 1). ``srhd``: ρ₁ = 1 and p₁ = 0.1 in units of c, arriving with ``upstream_lorentz``; the
    state behind conserves ρΓv, ρh(Γv)² + p and ρhΓ²v. Density is a tanh of ``shock_width`` between the two,
    and velocity and pressure follow from it, so that mass and momentum pass unchanged at every pixel.
    ``burgers``: the viscous shock u = s − ½Δ·tanh(Δz/4ν) from u = ``amplitude_ratio`` down to 1.

    Channels are density, velocity along the normal (Γv for srhd) and pressure; for burgers u, u − s and the
    viscous stress, which with (u − s)²/2 makes the same sum everywhere. Each is then multiplied by exp(σg −
    σ²/2), g its own Gaussian field of 0.05 sides, which has mean 1 and the standard deviation
    ``fluctuation_amplitude``. Angles turn from columns towards rows; null draws any. ``shock_position`` is
    the share of the frame's extent that is upstream; null draws one in the central 60 %.

    What to expect: two plains and a cliff between them. Good values: ratios 1.5 to 3.5.
    """
    angle = given_or_uniform(keys, "angle", shock_angle, (0.0, 2.0 * math.pi))
    position = given_or_uniform(keys, "position", shock_position, CENTRAL)
    distance = along(grid, angle) - ((position - 0.5) * extent(grid, angle))[:, None, None]
    width = grid.pixels(column(shock_width, 2).double())
    ratio, exponent, lorentz = (column(v, 2).double() for v in (amplitude_ratio, gamma, upstream_lorentz))
    if kind == "euler":
        flow = euler(distance, width, ratio, exponent)
    elif kind == "srhd":
        flow = srhd(distance, width, lorentz, exponent)
    else:
        flow = burgers(distance, width, ratio)
    fields = torch.stack((flow.density, flow.velocity, flow.pressure), dim=1)
    white = keys.normal("white", 3, grid.size, grid.size)
    return (fields * positive_factors(fluctuation_amplitude, grid.side(FLUCTUATION_LENGTH), white)).float()
