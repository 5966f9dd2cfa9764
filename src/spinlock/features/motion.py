"""What happens between neighbouring frames: the increments, and the flow that explains them best."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from spinlock.features.field_view import PIXELS

Frames = Float[Tensor, "t c h w"]
Steps = Float[Tensor, "steps c h w"]


@dataclass(frozen=True)
class Motion:
    """Moments of the increments d(t) = u(t + 1) − u(t) of one realization, and its flow.

    Attributes
    ----------
    second, third, absolute_third
        ⟨d²⟩, ⟨d³⟩ and ⟨|d|³⟩ over pixels and time of each channel, in units of its greatest |u|.
    flow
        Velocity (x, y) in pixels a step, for each step and channel.
    """

    second: Float64[Tensor, "c"]
    third: Float64[Tensor, "c"]
    absolute_third: Float64[Tensor, "c"]
    flow: Float64[Tensor, "steps c 2"]


def motion(frames: Frames, peak: Float[Tensor, "t c"], gradient: tuple[Frames, Frames]) -> Motion:
    """Return the motion of a trajectory.

    Parameters
    ----------
    frames
        u, [T, C, H, W].
    peak
        max |u| of each field.
    gradient
        Central differences of each field along x and along y, 0 in flat fields.
    """
    top = positive(peak.amax(dim=0))
    increments = torch.sub(frames[1:], frames[:-1]).div_(top[:, None, None])  # cubes must not underflow
    powers = increments.square()
    second = pixel_mean(powers)
    third = pixel_mean(powers.mul_(increments))
    absolute_third = pixel_mean(powers.abs_())
    flow = advection(increments, peak, gradient, powers) * top[:, None]
    return Motion(second.mean(dim=0), third.mean(dim=0), absolute_third.mean(dim=0), flow)


def advection(
    increments: Steps, peak: Float[Tensor, "t c"], gradient: tuple[Frames, Frames], room: Steps
) -> Float64[Tensor, "steps c 2"]:
    """Return v = −J⁻¹⟨g d⟩ of each step: the velocity for which −v·g fits the increments best.

    g is the gradient of the mean of the two frames and J = ⟨g gᵀ⟩ + 1e-4·tr⟨g gᵀ⟩·1. Without a gradient
    v = 0. ``room`` is overwritten. Source: Lucas & Kanade 1981, with one window, the whole field.
    """
    scale = positive(torch.maximum(peak[1:], peak[:-1]))
    gx, gy = (torch.add(g[1:], g[:-1]).div_(2.0 * scale[..., None, None]) for g in gradient)

    def product(first: Steps, second: Steps) -> Float64[Tensor, "steps c"]:
        return pixel_mean(torch.mul(first, second, out=room))

    xx, xy, yy = product(gx, gx), product(gx, gy), product(gy, gy)
    x, y = product(gx, increments), product(gy, increments)
    ridge = 1e-4 * (xx + yy)
    xx, yy = xx + ridge, yy + ridge
    determinant = xx * yy - xy.square()
    toward = torch.stack((xy * y - yy * x, xy * x - xx * y), dim=-1)
    return toward / (positive(determinant) * scale)[..., None]


def pixel_mean(values: Float[Tensor, "*rows h w"]) -> Float64[Tensor, "*rows"]:
    """Return the mean over the pixels of each field."""
    return values.mean(dim=PIXELS).double()


def positive(values: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Return the values, with 1 in place of 0, to divide by."""
    return torch.where(values > 0.0, values, 1.0)
