"""Laws of interfaces at equilibrium: no chemical potential, a fixed tension, both phases in sight."""

import math
from typing import Any

import torch

from spinlock.initial_conditions.catalogue import Draw, Law
from spinlock.initial_conditions.laws import near, under
from spinlock.numerics.grid import Grid

FLAT = {"geometry": "lamella", "fluctuation_amplitude": 0.0}


def laplacian(fields: torch.Tensor) -> torch.Tensor:
    """Return ∇²φ of periodic fields, by their Fourier series."""
    grid = Grid(fields.shape[-1])
    k2 = (2.0 * math.pi / grid.size * grid.cycles.double()).square()
    return torch.fft.irfft2(-k2 * torch.fft.rfft2(fields.double()), s=fields.shape[-2:])


def flat_equilibrium(width: float, tolerance: float = 0.01) -> Law:
    """Return the law: φ³ − φ − ξ²∇²φ of channel 0 is 0 around flat interfaces."""

    def check(draw: Draw) -> None:
        fields = draw(8, interface_width=width, **FLAT)
        phi, xi = fields[:, 0].double(), Grid(fields.shape[-1]).pixels(width)
        worst = float((phi.pow(3) - phi - xi**2 * laplacian(phi)).abs().max())
        near("greatest chemical potential of channel 0", worst, 0.0, tolerance)
        near("greatest value of channel 2", float(fields[:, 2].abs().max()), 0.0, tolerance)

    words = f"the chemical potential of flat interfaces of {width:g} px is 0 within {tolerance:g}"
    return Law(words, check)


def tension(width: float = 3.0, tolerance: float = 0.01) -> Law:
    """Return the law: channel 1 sums to (2√2/3)ξ for each px of a flat interface."""

    def check(draw: Draw) -> None:
        energy = draw(8, interface_width=width, **FLAT)[:, 1].double()
        expected = 2.0 * math.sqrt(2.0) / 3.0 * Grid(energy.shape[-1]).pixels(width)
        measured = energy.sum(dim=(1, 2)) / (2.0 * energy.shape[-1])
        worst = float((measured / expected - 1.0).abs().max())
        near("greatest relative departure of the tension from (2√2/3)ξ", worst, 0.0, tolerance)

    return Law(f"the energy of an interface is (2√2/3)ξ per length within {tolerance:.0%}", check)


def phase_shares(least: float = 0.1, **options: Any) -> Law:
    """Return the law: either phase covers a tenth of every field."""

    def check(draw: Draw) -> None:
        fields = draw(256, num_channels=1, **options)
        shares = (fields > 0).double().mean(dim=(1, 2, 3))
        assert least <= float(shares.min()), f"φ > 0 on only {float(shares.min()):.3f} of a field"
        assert float(shares.max()) <= 1.0 - least, f"φ > 0 on {float(shares.max()):.3f} of a field"
        assert float(fields.abs().max()) <= 1.0, "|φ| exceeds 1, its value in either phase"

    return Law(f"|φ| ≤ 1, and both phases cover {least:.0%} of every field at least{under(options)}", check)
