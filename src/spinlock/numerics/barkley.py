"""Barkley's model of an excitable medium, u_t = ∇²u + u(1 − u)(u − (v + b)/a)/ε, v_t = u − v."""

import torch
from jaxtyping import Float32
from torch import Tensor

A, B, EPSILON = 0.75, 0.01, 0.02
"""Of spirals that turn steadily around their cores."""

WAVELENGTH = 11.5
"""Distance of the arms of such a spiral, in the model's own units of length."""

CENTRE = 0.5, A / 2.0 - B
"""The state (u, v) in the middle of the cycle, which spirals have at their cores."""

EXCITED = 0.3
"""Share of a cycle for which the medium is excited, as a first guess."""

State = Float32[Tensor, "b h w"]


def cycle(phase: State) -> tuple[State, State]:
    """Return u and v about as they are along a wave train, from a phase in turns, 0 at the front.

    v rises to its source while u = 1 and decays when it is 0, a little slower than it does in time.
    """
    excited = phase < EXCITED
    rise, decay = 0.65 * (1.0 - torch.exp(-phase / 0.15)), 0.6 * torch.exp(-(phase - EXCITED) / 0.25)
    return excited.float(), torch.where(excited, rise, decay)


def react(u: State, v: State, time: float) -> State:
    """Return u after a step of its reaction, semi-implicit so that it stays in [0, 1] for any step.

    Source: Barkley, Physica D 49, 61 (1991).
    """
    threshold = (v + B) / A
    rate = time / EPSILON * (u - threshold)
    return torch.where(rate < 0.0, u / (1.0 - rate * (1.0 - u)), (u + rate * u) / (1.0 + rate * u))


def evolve(
    u: State, v: State, k2: Float32[Tensor, "b h half"], time_step: float, steps: int
) -> tuple[State, State]:
    """Return u and v after some steps, k2 being k² in the model's own units of length.

    Each step is a reaction of u, one of v by Euler's rule, and the exact diffusion of u.
    """
    spread = torch.exp(-k2 * time_step)
    for _ in range(steps):
        u, v = react(u, v, time_step), v + time_step * (u - v)
        u = torch.fft.irfft2(torch.fft.rfft2(u) * spread, s=u.shape[-2:])
    return u, v
