"""Numbers that are given for each sample, or drawn from its key where they are not."""

import torch
from jaxtyping import Float64
from torch import Tensor

from spinlock.numerics.random import SampleKeys
from spinlock.shapes import PerSample


def given_or_uniform(
    keys: SampleKeys, site: str, given: PerSample | None, ends: tuple[float, float]
) -> Float64[Tensor, "b"]:
    """Return the given numbers, or uniform ones between two ends from a site of the keys."""
    if given is None:
        return ends[0] + (ends[1] - ends[0]) * keys.uniform(site).double()
    return torch.as_tensor(given, dtype=torch.float64, device=keys.indices.device).expand(len(keys))
