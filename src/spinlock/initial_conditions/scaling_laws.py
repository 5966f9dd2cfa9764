"""The law of fields without a scale of their own: a power law in the spectrum."""

from typing import Any

import torch

from spinlock.initial_conditions.catalogue import Draw, Law
from spinlock.initial_conditions.laws import DRAWS, near, under
from spinlock.numerics.spectral import radial_spectrum

FIRST_RING = 4


def log_slope(positions: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return the slope of ln(values) [..., R] over ln(positions) [R], by least squares."""
    centred = positions.double().log()
    centred = centred - centred.mean()
    return (values.double().log() * centred).sum(dim=-1) / centred.square().sum()


def ring_slopes(fields: torch.Tensor, last: int) -> torch.Tensor:
    """Return d ln S/d ln n over the rings n = 4 … ``last`` of each field."""
    rings = torch.arange(FIRST_RING, last + 1)
    return log_slope(rings, radial_spectrum(fields)[..., FIRST_RING : last + 1])


def power_law(slope: float, tolerance: float = 0.06, **options: Any) -> Law:
    """Return the law: the mean power of a bin falls as n^slope from 4 cycles per side to 5/16 of the side."""

    def check(draw: Draw) -> None:
        fields = draw(DRAWS, **options)
        power = radial_spectrum(fields).mean(dim=(0, 1))
        last = fields.shape[-1] * 5 // 16
        rings = torch.arange(FIRST_RING, last + 1)
        near("slope of the spectrum", float(log_slope(rings, power[FIRST_RING : last + 1])), slope, tolerance)

    return Law(f"the spectrum falls as n^{slope:g} within {tolerance:g}{under(options)}", check)
