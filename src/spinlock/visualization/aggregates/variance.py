"""The variance over the realizations."""

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from spinlock.visualization.aggregates.catalogue import aggregate
from spinlock.visualization.aggregates.frame import EnsembleFrame


def unbiased_variance(frame: EnsembleFrame) -> Float64[Tensor, "c h w"]:
    """Return s²_c = Σ_m (x_m,c − ⟨x_c⟩)²/(m − 1), in a second pass after the mean; 0 for one realization."""
    total = torch.zeros_like(frame.mean)
    for field in frame.fields:
        deviation = field - frame.mean
        total.addcmul_(deviation, deviation)
    return total.div_(max(len(frame.members) - 1, 1))


@aggregate(kind="heatmap", colormap="hot")
def variance(frame: EnsembleFrame) -> Float32[Tensor, "1 h w"]:
    """Unbiased variance over the realizations, L2 norm over the channels.

    √(Σ_c s_c⁴) with s_c² = Σ_m (x_m,c − ⟨x_c⟩)²/(m − 1), in the squared unit of the fields; 0 for a single
    realization and for equal ones.
    """
    return unbiased_variance(frame).square_().sum(dim=0, keepdim=True).sqrt_().to(torch.float32)
