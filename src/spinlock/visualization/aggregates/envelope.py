"""The width of the band that the realizations fill."""

import torch
from jaxtyping import Float32
from torch import Tensor

from spinlock.visualization.aggregates.catalogue import aggregate
from spinlock.visualization.aggregates.frame import EnsembleFrame


@aggregate(kind="heatmap", colormap="coolwarm")
def envelope(frame: EnsembleFrame) -> Float32[Tensor, "1 h w"]:
    """Greatest minus least value over the realizations, L2 norm over the channels.

    √(Σ_c (max_m x_m,c − min_m x_m,c)²) in the unit of the fields. A width: never negative, and 0 for a
    single realization and for equal ones.
    """
    width = frame.fields.amax(dim=0) - frame.fields.amin(dim=0)
    return width.double().square_().sum(dim=0, keepdim=True).sqrt_().to(torch.float32)
