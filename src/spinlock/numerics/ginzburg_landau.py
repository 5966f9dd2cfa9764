"""The complex Ginzburg–Landau equation A_t = A + (1 + ib)∇²A − (1 + ic)|A|²A, and its plane waves."""

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor


def react(field: Complex[Tensor, "b n n"], time: float, c: float) -> Complex[Tensor, "b n n"]:
    """Return A after a time of A_t = A − (1 + ic)|A|²A, exactly.

    |A|² follows the logistic equation, so A(t) = A·e^t·D^(−½ − ic/2) with D = 1 + |A|²·(e^2t − 1).
    """
    growth = torch.log1p((field.real.square() + field.imag.square()) * math.expm1(2.0 * time))
    return field * torch.polar(torch.exp(time - 0.5 * growth), (-0.5 * c) * growth)


def evolve(
    field: Complex[Tensor, "b n n"],
    k2: Float[Tensor, "b n n"],
    b: float,
    c: float,
    time_step: float,
    steps: int,
    pacemaker: Float[Tensor, "b n n"] | None = None,
) -> Complex[Tensor, "b n n"]:
    """Return A after some steps, each half a reaction, the exact diffusion and half a reaction (Strang).

    Parameters
    ----------
    field
        A on the torus.
    k2
        k² of each bin of the full transform, in the equation's own units of length.
    b, c
        Of dispersion and nonlinear frequency shift; 1 + bc < 0 is turbulent (Benjamin & Feir; Newell).
    time_step, steps
        The error is of second order in the step.
    pacemaker
        Frequency added at each place.
    """
    spread = torch.polar(torch.exp(-k2 * time_step), -b * k2 * time_step)
    drive = None if pacemaker is None else torch.polar(torch.ones_like(pacemaker), pacemaker * time_step)
    field = react(field, time_step / 2.0, c)
    for step in range(steps):
        field = torch.fft.ifft2(torch.fft.fft2(field) * spread)
        if drive is not None:
            field = field * drive
        field = react(field, time_step if step < steps - 1 else time_step / 2.0, c)
    return field
