"""The mean over the realizations."""

import torch
from jaxtyping import Float32
from torch import Tensor

from spinlock.visualization.aggregates.catalogue import aggregate
from spinlock.visualization.aggregates.frame import EnsembleFrame


@aggregate(kind="field")
def mean(frame: EnsembleFrame) -> Float32[Tensor, "c h w"]:
    """Mean of each channel over the realizations, drawn like a field.

    ⟨x⟩ = (1/m) Σ_m x_m, [C, H, W] in the unit of the fields; equal realizations give back their field
    exactly. Where realizations go their own ways it fades to the mean of the ensemble.
    """
    return frame.mean.to(torch.float32)
