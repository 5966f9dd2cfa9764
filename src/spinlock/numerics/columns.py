"""Per-sample numbers laid out against fields, and sums over fields that are exact enough."""

import torch
from jaxtyping import Float
from torch import Tensor

from spinlock.shapes import PerSample


def column(values: PerSample, axes: int = 3) -> Float[Tensor, "b ..."]:
    """Return one number per sample, [B], as float32 [B, 1, 1, 1] (``axes`` ones) to multiply fields with."""
    numbers = torch.as_tensor(values, dtype=torch.float32).reshape(-1)
    return numbers.reshape(-1, *(1,) * axes)


def rms(fields: Float[Tensor, "*rows h w"]) -> Float[Tensor, "*rows"]:
    """Return √(mean x²) over the pixels, summed in float64."""
    return fields.double().square().mean(dim=(-2, -1)).sqrt()


def spread(fields: Float[Tensor, "*rows h w"]) -> Float[Tensor, "*rows"]:
    """Return the standard deviation over the pixels, in two passes in float64."""
    centred = fields.double() - fields.double().mean(dim=(-2, -1), keepdim=True)
    return centred.square().mean(dim=(-2, -1)).sqrt()
