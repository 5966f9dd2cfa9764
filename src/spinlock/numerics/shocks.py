"""Normal shocks: end states that conserve what flows through them, and a profile between the two.

All in the frame of the shock, where the flow is steady: upstream (1) it arrives faster than sound, downstream
(2) it leaves slower. Densities, velocities and pressures are columns or fields that broadcast together.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

Values = Float64[Tensor, "..."]

BISECTIONS = 56
UPSTREAM_PRESSURE = 0.1
"""Of the relativistic gas, over its rest-mass density times c²: warm, with sound at 0.32 c for γ = 1.4."""


@dataclass(frozen=True)
class Flow:
    """Density, velocity along the normal (relativistic: Γv) and pressure."""

    density: Values
    velocity: Values
    pressure: Values


def squared_mach(ratio: Any, gamma: Any) -> Any:
    """Return the squared upstream Mach number of a density ratio r, M² = 2r/((γ + 1) − (γ − 1)r)."""
    return 2.0 * ratio / ((gamma + 1.0) - (gamma - 1.0) * ratio)


def euler_upstream(ratio: Values, gamma: Values) -> Flow:
    """Return ρ = 1, u = M, p = 1/γ: the speed of sound is 1."""
    mach = squared_mach(ratio, gamma).sqrt()
    return Flow(torch.ones_like(mach), mach, 1.0 / gamma + torch.zeros_like(mach))


def euler_flow(upstream: Flow, density: Values) -> Flow:
    """Return the flow at a density where mass m = ρu and momentum p + mu pass as they do upstream."""
    mass = upstream.density * upstream.velocity
    velocity = mass / density
    return Flow(density, velocity, upstream.pressure + mass * (upstream.velocity - velocity))


def relativistic_upstream(lorentz: Values) -> Flow:
    """Return ρ = 1, Γv = √(Γ² − 1), p = 0.1 in units of c and the rest-mass density."""
    one = torch.ones_like(lorentz)
    return Flow(one, (lorentz.square() - 1.0).sqrt(), UPSTREAM_PRESSURE * one)


def relativistic_flow(upstream: Flow, density: Values, gamma: Values) -> Flow:
    """Return the flow at a density where m = ρΓv and ρh(Γv)² + p pass as upstream, ρh = ρ + γp/(γ − 1)."""
    mass = upstream.density * upstream.velocity
    velocity = mass / density
    weight = gamma / (gamma - 1.0)
    enthalpy = upstream.density + weight * upstream.pressure
    momentum = enthalpy * upstream.velocity.square() + upstream.pressure
    return Flow(density, velocity, (momentum - mass * velocity) / (1.0 + weight * velocity.square()))


def energy_flux(flow: Flow, gamma: Values) -> Values:
    """Return the relativistic energy flux ρhΓ·Γv."""
    enthalpy = flow.density + gamma / (gamma - 1.0) * flow.pressure
    return enthalpy * flow.velocity * (1.0 + flow.velocity.square()).sqrt()


def relativistic_density(upstream: Flow, gamma: Values) -> Values:
    """Return the density behind the shock, at which the energy flux is that of upstream too (Taub 1948).

    The excess of the energy flux over upstream's vanishes at the upstream velocity itself and at one below;
    divided by the distance to the first it changes sign at the second alone, which bisection then finds.
    """
    fast = upstream.velocity
    carried = energy_flux(upstream, gamma)
    low, high = torch.zeros_like(fast), fast * (1.0 - 1e-6)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        flow = relativistic_flow(upstream, upstream.density * fast / middle, gamma)
        above = (energy_flux(flow, gamma) - carried) / (middle - fast) > 0.0
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return upstream.density * fast / (0.5 * (low + high))
