"""Laws of a shock in its own frame: what passes through it, how far it jumps, that both sides are seen."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from spinlock.initial_conditions.catalogue import Law
from spinlock.initial_conditions.field_laws import at_least, at_most, field_law

Planes = Float[Tensor, "b c n n"]
AXES = (-2, -1)
QUIET: dict[str, Any] = {"fluctuation_amplitude": 0.0}
SHARP: dict[str, Any] = {"shock_width": 0.7}


def ends(fields: Planes) -> tuple[Tensor, Tensor]:
    """Return the three values at the least and the greatest density of each frame, [B, 3] each."""
    values, density = fields[:, :3].flatten(2), fields[:, 0].flatten(1)
    before, after = (
        values.gather(2, place[:, None, None].expand(-1, 3, 1))[..., 0]
        for place in (density.argmin(dim=1), density.argmax(dim=1))
    )
    return before, after


def constant(what: str, field: Float[Tensor, "b n n"], tolerance: float) -> None:
    """Raise `AssertionError` unless each field is one number, within a share of it."""
    level = field.mean(dim=AXES)
    at_most(f"spread of the {what}", (field.amax(dim=AXES) - field.amin(dim=AXES)) / level.abs(), tolerance)


def fluxes_pass(tolerance: float = 1e-4, **options: Any) -> Law:
    """Return the law: without fluctuations ρu and ρu² + p are the same at every pixel."""

    def check(fields: Planes) -> None:
        density, velocity, pressure = fields.unbind(dim=1)
        at_least("density or pressure", torch.stack((density, pressure)), 0.0)
        constant("mass flux", density * velocity, tolerance)
        constant("momentum flux", density * velocity.square() + pressure, tolerance)

    return field_law(f"mass and momentum flux are constant within {tolerance:g}", check, **QUIET, **options)


def euler_jump(gamma: float = 1.4, tolerance: float = 1e-4) -> Law:
    """Return the law: energy flux is the same on both sides, entropy rises, sound is passed from above."""

    def check(fields: Planes) -> None:
        energy, entropy, mach = [], [], []
        for state in ends(fields):
            density, velocity, pressure = state.unbind(dim=1)
            enthalpy = gamma / (gamma - 1.0) * pressure / density
            energy.append(density * velocity * (enthalpy + 0.5 * velocity.square()))
            entropy.append(pressure / density.abs().pow(gamma))
            mach.append(velocity / (gamma * pressure / density).sqrt())
        at_most("relative jump of the energy flux", (energy[1] / energy[0] - 1.0).abs(), tolerance)
        at_least("rise of p/ρ^γ", entropy[1] - entropy[0], 1e-6)
        at_least("upstream Mach number", mach[0], 1.0)
        at_most("downstream Mach number", mach[1], 1.0)

    return field_law(
        f"energy flux agrees within {tolerance:g}, entropy rises, M₁ > 1 > M₂",
        check,
        gamma=gamma,
        **QUIET,
        **SHARP,
    )


def density_jump(ratio: float, tolerance: float = 0.01, **options: Any) -> Law:
    """Return the law: the densities of the two sides have the ratio asked for."""

    def check(fields: Planes) -> None:
        before, after = ends(fields)
        at_most("|ratio/asked − 1|", (after[:, 0] / before[:, 0] / ratio - 1.0).abs(), tolerance)

    return field_law(
        f"the density ratio is {ratio:g} within {tolerance:.0%}",
        check,
        amplitude_ratio=ratio,
        **options,
        **QUIET,
        **SHARP,
    )


def relativistic_jump(lorentz: float, gamma: float = 1.4, tolerance: float = 1e-4) -> Law:
    """Return the law: both sides pass the same rest mass, momentum and energy, and Γ is the one asked for."""

    def check(fields: Planes) -> None:
        fluxes = []
        for state in ends(fields):
            density, velocity, pressure = state.unbind(dim=1)
            enthalpy = density + gamma / (gamma - 1.0) * pressure
            lapse = (1.0 + velocity.square()).sqrt()
            fluxes.append(torch.stack((density * velocity, enthalpy * velocity.square() + pressure,
                                       enthalpy * velocity * lapse)))  # fmt: skip
        at_most("relative jump of a flux", (fluxes[1] / fluxes[0] - 1.0).abs(), tolerance)
        before, after = ends(fields)
        at_most("|Γ₁/asked − 1|", ((1.0 + before[:, 1].square()).sqrt() / lorentz - 1.0).abs(), tolerance)
        at_least("compression", after[:, 0] / before[:, 0], 1.1)

    return field_law(
        f"mass, momentum and energy flux agree within {tolerance:g}",
        check,
        kind="srhd",
        upstream_lorentz=lorentz,
        gamma=gamma,
        **QUIET,
        **SHARP,
    )


def burgers_balance(ratio: float, tolerance: float = 1e-4) -> Law:
    """Return the law: (u − s)²/2 and the viscous stress make Δ²/8, and u falls from the ratio to 1."""

    def check(fields: Planes) -> None:
        jump, speed = ratio - 1.0, 0.5 * (ratio + 1.0)
        u, relative, stress = fields.unbind(dim=1)
        at_most("|ch0 − ch1 − s|", (u - relative - speed).abs(), tolerance)
        total = 0.5 * relative.square() + stress
        at_most("departure of the sum from Δ²/8", (total - 0.125 * jump**2).abs(), tolerance)
        at_most("|greatest u − ratio|", (u.amax(dim=AXES) - ratio).abs(), tolerance)
        at_most("|least u − 1|", (u.amin(dim=AXES) - 1.0).abs(), tolerance)

    return field_law(
        f"(u − s)²/2 and the stress make Δ²/8 within {tolerance:g}",
        check,
        kind="burgers",
        amplitude_ratio=ratio,
        **QUIET,
        **SHARP,
    )


def both_states(least: float = 0.05, middle: float = 1.5) -> Law:
    """Return the law: each of the two states covers a share of every frame."""

    def check(fields: Planes) -> None:
        behind = (fields[:, 0] > middle).double().mean(dim=AXES)
        at_least("share of the less covered state", torch.minimum(behind, 1.0 - behind), least)
        at_least("density", fields[:, 0], 0.5)
        at_least("pressure", fields[:, 2], 0.0)

    return field_law(f"each state covers {least:.0%} of the frame", check, draws=64)
