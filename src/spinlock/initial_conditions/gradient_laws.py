"""Laws of a concentration around its sources: decay, diffusion against loss, counting noise, readout."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from spinlock.initial_conditions.catalogue import Draw, Law
from spinlock.initial_conditions.field_laws import at_least, at_most, field_law
from spinlock.initial_conditions.laws import near
from spinlock.numerics.grid import Grid
from spinlock.numerics.spectral import angular

Planes = Float[Tensor, "b c n n"]
AXES = (-2, -1)
CLEARANCE = 6
"""Widths of a source beyond which nothing of it is left."""


def decay(decay_length: float, tolerance: float = 0.03, **options: Any) -> Law:
    """Return the law: from an edge the logarithm falls by 1 per decay length, between 0.5 and 3 of them."""

    def check(fields: Planes) -> None:
        length = Grid(fields.shape[-1]).pixels(decay_length)
        level = fields[:, 0].clamp(min=1e-12).log()
        down = 0.5 * (level[:, 2:, 1:-1] - level[:, :-2, 1:-1])
        across = 0.5 * (level[:, 1:-1, 2:] - level[:, 1:-1, :-2])
        middle = level[:, 1:-1, 1:-1]
        inside = (middle < -0.5) & (middle > -3.0)
        at_least("pixels between 0.5 and 3 decay lengths", inside.sum(dim=AXES), 20)
        slope = torch.hypot(down, across)[inside] * length
        at_most("|slope·λ + 1|", (slope - 1.0).abs(), tolerance)

    return field_law(
        f"log c falls by 1/λ within {tolerance:.0%}",
        check,
        source="edge",
        decay_length=decay_length,
        molecules=None,
        **options,
    )


def screened_diffusion(decay_length: float, tolerance: float = 1e-3, **options: Any) -> Law:
    """Return the law: away from its point source λ²∇²c = c."""

    def check(fields: Planes) -> None:
        grid = Grid(fields.shape[-1])
        length = grid.pixels(decay_length)
        field = fields[:, 0]
        modes = torch.fft.rfft2(field) * (length * angular(grid).double()).square()
        residual = (torch.fft.irfft2(modes, s=field.shape[-2:]) + field).abs()
        row, column = (field.flatten(1).argmax(dim=1).div(grid.size, rounding_mode="floor"),
                       field.flatten(1).argmax(dim=1) % grid.size)  # fmt: skip
        rows, columns = grid.offset(row.float()), grid.offset(column.float())
        far = torch.hypot(rows[:, :, None], columns[:, None, :]) > CLEARANCE * max(1.0, grid.pixels(1.5))
        worst = (residual * far).amax(dim=AXES) / field.amax(dim=AXES)
        at_most("|λ²∇²c − c| over the peak", worst, tolerance)

    return field_law(
        f"|λ²∇²c − c| is below {tolerance:g} of the peak away from the source",
        check,
        decay_length=decay_length,
        molecules=None,
        **options,
    )


def shot_noise(molecules: int, tolerance: float = 0.05, **options: Any) -> Law:
    """Return the law: counts have the variance of their mean, n·var/mean = 1."""

    def check(draw: Draw) -> None:
        quiet, noisy = (draw(64, molecules=number, **options)[:, 0].double() for number in (None, molecules))
        number = molecules / Grid(noisy.shape[-1]).pixels(1.0) ** 2
        counts = noisy * number
        rounding = 2.0**-23 * number  # fields are float32
        at_most("distance of the counts from whole numbers", (counts - counts.round()).abs(), rounding)
        at_least("concentration", noisy, 0.0)
        fano = float(number * (noisy - quiet).square().sum() / quiet.sum())
        near("n·var/mean", fano, 1.0, tolerance)

    return Law(
        f"n·var/mean = 1 within {tolerance:g} with {molecules} molecules {options or ''}".rstrip(), check
    )


def ordered_responses(thresholds: tuple[float, float] = (0.6, 0.2), exponent: float = 4.0) -> Law:
    """Return the law: channels 1 and 2 are cʰ/(Kʰ + cʰ), and the higher threshold responds less."""

    def check(fields: Planes) -> None:
        at_least("ch2 − ch1", fields[:, 2] - fields[:, 1], 0.0)
        powered = fields[:, 0].pow(exponent)
        for channel, threshold in zip((1, 2), thresholds, strict=True):
            wanted = powered / (threshold**exponent + powered)
            at_most(f"departure of channel {channel}", (fields[:, channel] - wanted).abs(), 1e-5)

    return field_law("the responses are cʰ/(Kʰ + cʰ), and ch1 ≤ ch2", check, hill=exponent)
