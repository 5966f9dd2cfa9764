"""Two reacting and diffusing species near a homogeneous steady state: linear theory, and a stepper.

x_t = J x + diag(D, dD) ∇²x + N(u, v)·(1, s) for deviations x = (u, v) from the steady state, J the Jacobian
of the reaction there. Source: Murray, Mathematical Biology II, ch. 2.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

Rates = Float64[Tensor, "*modes"]
Pixels = Float[Tensor, "b n n"]
Remainder = Callable[[Pixels, Pixels], Pixels]
"""N(u, v), what the rate of u holds beyond its linear part."""


@dataclass(frozen=True)
class Linearization:
    """Jacobian ((fu, fv), (gu, gv)) at a steady state, and the ratio d of the diffusion of v to that of u."""

    fu: float
    fv: float
    gu: float
    gv: float
    ratio: float

    def growth(self, squared: Rates) -> Rates:
        """Return the greater growth rate (its real part) at q² = D k²: positive where patterns form."""
        trace = self.fu + self.gv - (1.0 + self.ratio) * squared
        determinant = (self.fu - squared) * (self.gv - self.ratio * squared) - self.fv * self.gu
        return 0.5 * (trace + (trace.square() - 4.0 * determinant).clamp(min=0.0).sqrt())

    def fastest(self) -> float:
        """Return q_m, q² = D k² of the mode that grows fastest (Murray, eq. 2.44).

        q_m² = [(d + 1)·√(−fv·gu/d) − fu + gv]/(d − 1).
        """
        rise = (self.ratio + 1.0) * math.sqrt(-self.fv * self.gu / self.ratio)
        return math.sqrt((rise - self.fu + self.gv) / (self.ratio - 1.0))

    def companion(self, squared: Rates) -> Rates:
        """Return v/u of the growing mode, gu/(λ − gv + d q²)."""
        return self.gu / (self.growth(squared) - self.gv + self.ratio * squared)

    def propagator(self, squared: Rates, dt: float) -> tuple[Rates, Rates, Rates, Rates]:
        """Return the entries of (1 − dt·A)⁻¹ by rows, A = J − diag(1, d)·q²."""
        first = 1.0 - dt * (self.fu - squared)
        second = 1.0 - dt * (self.gv - self.ratio * squared)
        determinant = first * second - dt**2 * self.fv * self.gu
        return (
            second / determinant,
            dt * self.fv / determinant,
            dt * self.gu / determinant,
            first / determinant,
        )


def relax(
    linear: Linearization,
    remainder: Remainder,
    share: float,
    squared: Float64[Tensor, "#b n half"],
    start: tuple[Pixels, Pixels],
    *,
    dt: float,
    steps: int,
) -> tuple[Pixels, Pixels]:
    """Return the deviations (u, v) after some steps x ← (1 − dt·A)⁻¹(x + dt·N·(1, s)) on the torus.

    Parameters
    ----------
    linear, remainder, share
        The reaction: J, N and s.
    squared
        q² = D k² of each half-spectrum bin; A = J − diag(1, d)·q².
    start
        u and v at first, [B, N, N]; their precision is that of the steps.
    dt, steps
        Length and number of the steps.

    Notes
    -----
    The linear part, which holds the stiff diffusion, is implicit for both species at once. A state that the
    step leaves alone is a steady state of the equations themselves, whatever ``dt``. With s = 0 N may depend
    on u alone, and v stays a spectrum. The spectrum of u is taken anew from the real field in every step:
    rounding leaves a part in it that no real field has, which would grow as fast as the pattern and never
    saturate.
    """
    u, v = start
    shape = u.shape[-2:]
    second = torch.fft.rfft2(v)
    uu, uv, vu, vv = (entry.to(second.dtype) for entry in linear.propagator(squared, dt))
    for _ in range(steps):
        beyond = dt * remainder(u, v)
        first = torch.fft.rfft2(u + beyond)
        if share != 0.0:
            second = torch.fft.rfft2(v + share * beyond)
        first, second = (uu * first).addcmul_(uv, second), (vu * first).addcmul_(vv, second)
        u = torch.fft.irfft2(first, s=shape)
        if share != 0.0:
            v = torch.fft.irfft2(second, s=shape)
    return u, torch.fft.irfft2(second, s=shape)
