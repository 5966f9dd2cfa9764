"""Laws of fields that run across an open frame: conduction, travelling fronts and shocks."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from spinlock.initial_conditions.catalogue import Draw, Law
from spinlock.initial_conditions.field_laws import at_least, at_most, field_law
from spinlock.numerics.grid import Grid

Planes = Float[Tensor, "b c n n"]
AXES = (-2, -1)


def slopes(potential: Float[Tensor, "b n n"]) -> tuple[Tensor, Tensor]:
    """Return the differences across the faces between neighbours, along x (columns) and y (rows)."""
    return potential.diff(dim=2), potential.diff(dim=1)


def conducted_flux(beta: float, temperature_range: tuple[float, float], tolerance: float = 1e-4) -> Law:
    """Return the law: without noise κ∇T is the same across every face, and channels 1 and 2 are −κ∇T.

    With κ = T^(p−1) the flux across a face is the difference of T^p/p, whatever the temperatures are.
    """

    def check(fields: Planes) -> None:
        size = fields.shape[-1]
        exponent = 1.0 / beta
        faces = [size * slope for slope in slopes(fields[:, 0].clamp(min=0.0).pow(exponent) / exponent)]
        means = [face.mean(dim=AXES) for face in faces]
        total = torch.hypot(*means)
        at_least("flux", total, 1e-6)
        for face, mean, channel in zip(faces, means, (1, 2), strict=True):
            at_most("spread of the flux over its mean", face.std(dim=AXES) / total, tolerance)
            departure = (fields[:, channel] + mean[:, None, None]).abs().amax(dim=AXES)
            at_most("departure of the stored flux", departure / total, tolerance)

    return field_law(
        f"the conducted flux is constant within {tolerance:g}, and stored",
        check,
        beta=beta,
        temperature_range=temperature_range,
        thermal_noise_amplitude=0.0,
    )


def temperature_ends(cold: float, hot: float, tolerance: float = 1e-3) -> Law:
    """Return the law: without noise the frame spans the temperatures asked for, whole and no more."""

    def check(fields: Planes) -> None:
        for end, wanted in ((fields[:, 0].amin(dim=AXES), cold), (fields[:, 0].amax(dim=AXES), hot)):
            at_most("departure of an extreme temperature", (end - wanted).abs(), tolerance * (hot - cold))

    return field_law(
        f"temperatures reach from {cold:g} to {hot:g} within {tolerance:g} of the span",
        check,
        temperature_range=(cold, hot),
        thermal_noise_amplitude=0.0,
    )


def gradient_direction(fields: Planes) -> Tensor:
    """Return the angle of the mean gradient of channel 0, turned from columns towards rows, rad, [B]."""
    across, down = (slope.mean(dim=AXES) for slope in slopes(fields[:, 0]))
    return torch.atan2(down, across)


def conduction_direction(angle: float = 2.5, tolerance: float = math.radians(1.0)) -> Law:
    """Return the law: the temperature rises in the direction asked for, and heat flows against it."""

    def check(fields: Planes) -> None:
        flow = torch.atan2(-fields[:, 2].mean(dim=AXES), -fields[:, 1].mean(dim=AXES))
        for what, measured in (("gradient", gradient_direction(fields)), ("flux", flow)):
            apart = torch.remainder(measured - angle + math.pi, 2.0 * math.pi) - math.pi
            at_most(f"departure of the {what} from its direction", apart.abs(), tolerance)

    return field_law(
        "the temperature rises along its angle within 1°, heat flows against it",
        check,
        gradient_angle=angle,
        thermal_noise_amplitude=0.0,
    )


def relative_fluctuations(amplitude: float, tolerance: float = 0.15) -> Law:
    """Return the law: fluctuations are proportional to T, alike in the cold, middle and hot third."""

    def check(draw: Draw) -> None:
        quiet, noisy = (
            draw(64, thermal_noise_amplitude=level, thermal_length_scale=2.0)[:, 0].double()
            for level in (0.0, amplitude)
        )
        at_least("noisy temperature", noisy, 0.0)
        ratio = noisy / quiet.clamp(min=1e-6) - 1.0
        for third in range(3):
            inside = (quiet > max(third / 3, 0.01)) & (quiet <= (third + 1) / 3)
            at_least("pixels in a third", inside.sum(), 1000)
            spread = ratio[inside].std() / amplitude
            at_most(f"|spread/{amplitude:g}T − 1| in third {third + 1}", (spread - 1.0).abs(), tolerance)

    return Law(f"fluctuations have standard deviation {amplitude:g}T within {tolerance:.0%}", check)


def fuel_balance(tolerance: float = 1e-6, **options: Any) -> Law:
    """Return the law: product and fuel make 1 everywhere, and neither is negative."""

    def check(fields: Planes) -> None:
        at_most("|ch0 + ch1 − 1|", (fields[:, 0] + fields[:, 1] - 1.0).abs(), tolerance)
        at_least("product or fuel", fields[:, :2], 0.0)

    return field_law(f"ch0 + ch1 = 1 within {tolerance:g}", check, **options)


def reaction_rate(kinetics: str, a: float | None = None, tolerance: float = 1e-5) -> Law:
    """Return the law: channel 2 is f(u)/max f of the kinetics named."""

    def check(fields: Planes) -> None:
        u = fields[:, 0]
        fine = torch.linspace(0.0, 1.0, 10_001, dtype=torch.float64)
        rate, greatest = (
            v * (1.0 - v) if a is None else v * (1.0 - v) * (v - a) for v in (u, fine)
        )  # fmt: skip
        at_most("|ch2 − f(ch0)/max f|", (fields[:, 2] - rate / greatest.max()).abs(), tolerance)

    given: dict[str, Any] = {} if a is None else {"a": a}
    return field_law(f"ch2 = f(ch0)/max f within {tolerance:g}", check, kinetics=kinetics, **given)


def front_thickness(width: float, tolerance: float = 0.05, **options: Any) -> Law:
    """Return the law: u falls from 0.9 to 0.1 over 2.197 widths, measured by the area between the two levels.

    A planar front of length ℓ has that area times 1/ℓ; ℓ is the length of the line u = 1/2 by the gradient:
    ∫|∇u| over the frame is ℓ times the whole fall from 1 to 0.
    """

    def check(fields: Planes) -> None:
        size = fields.shape[-1]
        down, across = torch.gradient(fields[:, 0], dim=(1, 2))
        between = ((fields[:, 0] > 0.1) & (fields[:, 0] < 0.9)).double()
        fall = (torch.hypot(down, across) * between).sum(dim=AXES)
        thickness = 0.8 * between.sum(dim=AXES) / fall.clamp(min=1e-9)
        wanted = math.log(9.0) * Grid(size).pixels(width)
        at_most("|10–90 thickness/2.197 widths − 1|", (thickness / wanted - 1.0).abs(), tolerance)

    return field_law(
        f"the 10–90 thickness is 2.197 widths within {tolerance:.0%}",
        check,
        front_shape="planar",
        front_width=width,
        **options,
    )


def burnt_share(low: float = 0.05, high: float = 0.95, **options: Any) -> Law:
    """Return the law: in every frame a share of the pixels has burnt and a share has not."""

    def check(fields: Planes) -> None:
        share = (fields[:, 0] > 0.5).double().mean(dim=AXES)
        at_least("share of u > 1/2", share, low)
        at_most("share of u > 1/2", share, high)
        at_most("largest |u|", fields[:, 0].abs(), 1.0)

    return field_law(f"the share of u > 1/2 is in [{low:g}, {high:g}]", check, draws=64, **options)
