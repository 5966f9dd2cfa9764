"""Every realization in a hue of its own, shown where it leaves the mean."""

import colorsys

import torch
from jaxtyping import Float32
from torch import Tensor

from spinlock.visualization.aggregates.catalogue import aggregate
from spinlock.visualization.aggregates.frame import EnsembleFrame

GOLDEN_ANGLE = (3.0 - 5.0**0.5) / 2.0
"""In turns: steps of it around the circle keep any number of points well apart."""


@aggregate(kind="overlay", permutable=False)
def overlay(frame: EnsembleFrame) -> Float32[Tensor, "5 h w"]:
    """Realizations in fixed hues, blended by how far each deviates from the mean.

    Maps: 0, luminance, the mean over realizations and channels; 1 to 3, the colour Σ_m w_m·hue_m / Σ_m w_m in
    RGB of [0, 1], where w_m is the L2 norm over channels of x_m − ⟨x⟩, and 0 where all of them are 0; 4,
    max_m w_m in the unit of the fields. Realizations that agree leave the luminance alone; where one stands
    out its hue shows, and where all scatter alike the hues mix to grey. A realization keeps its hue when
    others drop out.
    """
    weights = torch.stack([(field - frame.mean).square_().sum(dim=0) for field in frame.fields]).sqrt_()
    hues = weights.new_tensor([hue(number) for number in frame.members])
    total = weights.sum(dim=0)
    blended = torch.einsum("mk,mhw->khw", hues, weights)
    colour = torch.where(total > 0, blended / torch.where(total > 0, total, 1.0), 0.0)
    luminance = frame.mean.mean(dim=0, keepdim=True)
    return torch.cat((luminance, colour, weights.amax(dim=0, keepdim=True))).to(torch.float32)


def hue(number: int) -> tuple[float, float, float]:
    """Return the saturated colour of a realization, RGB in [0, 1]: red for 0, then golden-angle steps."""
    return colorsys.hsv_to_rgb(number * GOLDEN_ANGLE % 1.0, 1.0, 1.0)
