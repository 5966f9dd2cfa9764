"""The standard deviation over the realizations."""

import torch
from jaxtyping import Float32
from torch import Tensor

from spinlock.visualization.aggregates.catalogue import aggregate
from spinlock.visualization.aggregates.frame import EnsembleFrame
from spinlock.visualization.aggregates.variance import unbiased_variance


@aggregate(kind="heatmap", colormap="plasma")
def stddev(frame: EnsembleFrame) -> Float32[Tensor, "1 h w"]:
    """Root of the unbiased variance over the realizations, L2 norm over the channels.

    √(Σ_c s_c²) with s_c² the unbiased variance over the realizations, in the unit of the fields; 0 for a
    single realization and for equal ones. With one channel it is the square root of ``variance``.
    """
    return unbiased_variance(frame).sum(dim=0, keepdim=True).sqrt().to(torch.float32)
