"""Laws of waves that keep below the speed of light."""

from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from spinlock.initial_conditions.catalogue import Draw, Law
from spinlock.initial_conditions.laws import near, under
from spinlock.numerics.grid import Grid


def reach(mask: Float[Tensor, "b n n"], distance: float) -> Float64[Tensor, "b n n"]:
    """Return 1 within a distance in px of a place where the mask is positive, on the torus, and 0 beyond."""
    size = mask.shape[-1]
    offset = Grid(size).offset(torch.zeros(1, 1))[0, 0]
    disc = (offset[:, None].square() + offset.square() <= distance**2).double()
    spectrum = torch.fft.rfft2((mask > 0).double()) * torch.fft.rfft2(disc)
    return (torch.fft.irfft2(spectrum, s=(size, size)) > 0.5).double()


def energy_outside(fields: Float[Tensor, "b c n n"], margin: float) -> Float64[Tensor, "b"]:
    """Return the share of φ² + φ_t² further than ``margin`` px from where the third channel is positive."""
    energy = fields[:, :2].double().square().sum(dim=1)
    outside = energy * (1.0 - reach(fields[:, 2], margin))
    return outside.sum(dim=(1, 2)) / energy.sum(dim=(1, 2))


def causality(share: float = 1e-6, widths: float = 4.0, smoothing: float = 3.0, **options: Any) -> Law:
    """Return the law: no signal outside the cones, four source widths aside."""

    def check(draw: Draw) -> None:
        fields = draw(16, smoothing=smoothing, **options)
        margin = widths * Grid(fields.shape[-1]).pixels(smoothing)
        worst = float(energy_outside(fields, margin).max())
        near("greatest share of energy outside the cones", worst, 0.0, share)

    words = under({"smoothing": smoothing, **options})
    return Law(f"less than {share:g} of φ² + φ_t² is beyond ct + {widths:g}·smoothing{words}", check)


def support_rms(tolerance: float = 1e-4, **options: Any) -> Law:
    """Return the law: φ and φ_t have rms 1 over the pixels inside the cones."""

    def check(draw: Draw) -> None:
        fields = draw(16, **options).double()
        inside = (fields[:, 2:] > 0).double()
        squares = (fields[:, :2].square() * inside).sum(dim=(2, 3)) / inside.sum(dim=(2, 3))
        near("greatest departure of the mean square", float((squares - 1.0).abs().max()), 0.0, tolerance)

    return Law(f"φ and φ_t have mean square 1 inside the cones within {tolerance:g}", check)


def length_contraction(gamma: float, tolerance: float, **options: Any) -> Law:
    """Return the law: packets are shorter along their momentum than across it, by the Lorentz factor."""

    def check(draw: Draw) -> None:
        ratios = axis_ratios(draw(16, **options)[:, 2])
        worst = float((ratios * gamma - 1.0).abs().max())
        near("greatest relative departure of width along/width across from 1/γ", worst, 0.0, tolerance)

    return Law(f"packets are contracted by {gamma:.3g} within {tolerance:.0%}{under(options)}", check)


def axis_ratios(density: Float[Tensor, "b n n"]) -> Float64[Tensor, "b"]:
    """Return the least over the greatest standard deviation of a density, over all directions."""
    grid, shares = Grid(density.shape[-1]), density.double()
    shares = shares / shares.sum(dim=(1, 2), keepdim=True)
    peak = shares.flatten(1).argmax(dim=1)
    offset = grid.offset(torch.stack((peak // grid.size, peak % grid.size), dim=1).float()).double()
    marginals = torch.stack((shares.sum(dim=2), shares.sum(dim=1)), dim=1)
    centred = offset - (marginals * offset).sum(dim=2, keepdim=True)
    variances = (marginals * centred.square()).sum(dim=2)
    mixed = torch.einsum("bhw,bh,bw->b", shares, centred[:, 0], centred[:, 1])
    mean, half = variances.mean(dim=1), (variances[:, 0] - variances[:, 1]) / 2.0
    split = torch.hypot(half, mixed)
    return ((mean - split) / (mean + split)).clamp(min=0.0).sqrt()
