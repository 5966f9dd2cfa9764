"""Normalization of hidden fields: none, instance, layer, group, and batch over an ensemble."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor
from torch.nn import functional

from spinlock.operators import fused

Normalization = Literal["none", "instance", "layer", "group", "batch"]

EPSILON = 1e-5
"""Added to the variance, as in the literature."""


def groups(normalization: str, channels: int) -> int:
    """Return the number of channel groups: 0 for none, C for instance, 1 for layer, gcd(C, 8) for group."""
    return {"none": 0, "instance": channels, "layer": 1, "group": math.gcd(channels, 8)}[normalization]


def normalize(x: Float[Tensor, "b c h w"], normalization: str) -> Float[Tensor, "b c h w"]:
    """Return (x − μ)/√(σ² + ε) with μ, σ² over each group of channels of each sample (Wu & He, ECCV 2018)."""
    return functional.group_norm(x, groups(normalization, x.shape[1]), eps=EPSILON)


def batch_affine(
    states: Sequence[fused.Pixels], peers: Sequence[Sequence[int]]
) -> list[Float32[np.ndarray, "2 k"]]:
    """Return the mean μ and the scale 1/√(σ² + ε) of each channel in the peers of each state.

    The statistics are pooled in float64 in the order of the peers, so the result does not depend on how the
    states are stored or scheduled.
    """
    moments = np.stack([fused.moments(z) for z in states])
    known = {members: fused.pooled(moments[list(members)], EPSILON) for members in set(map(tuple, peers))}
    return [known[tuple(members)] for members in peers]


def batch_normalize(
    states: Sequence[Float[Tensor, "1 c h w"]], peers: Sequence[Sequence[int]]
) -> list[Float[Tensor, "1 c h w"]]:
    """Return each state normalized per channel by the statistics of its peers (Ioffe & Szegedy, ICML 2015).

    Sums run over the peers in the order given, in float64, so the result does not depend on how the states
    are stored or scheduled.
    """
    means, variances = zip(*map(_moments, states), strict=True)
    known: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
    normalized = []
    for x, members in zip(states, map(tuple, peers), strict=True):
        if members not in known:
            known[members] = _pooled([means[k] for k in members], [variances[k] for k in members])
        mean, variance = known[members]
        scale = torch.rsqrt(variance + EPSILON)
        normalized.append(((x.float() - _per_channel(mean)) * _per_channel(scale)).to(x.dtype))
    return normalized


def _moments(x: Float[Tensor, "1 c h w"]) -> tuple[Float64[Tensor, "c"], Float64[Tensor, "c"]]:
    """Return mean and variance of each channel in float64.

    The two passes take less time than `torch.var`, which goes through the values one by one.
    """
    values = x[0].double().flatten(1)
    means = values.mean(dim=1)
    return means, (values - means[:, None]).square().mean(dim=1)


def _pooled(means: list[Tensor], variances: list[Tensor]) -> tuple[Tensor, Tensor]:
    mean = sum(means[1:], means[0]) / len(means)
    deviations = [v + (m - mean) ** 2 for m, v in zip(means, variances, strict=True)]
    return mean, sum(deviations[1:], deviations[0]) / len(deviations)


def _per_channel(value: Tensor) -> Tensor:
    return value.float()[None, :, None, None]
