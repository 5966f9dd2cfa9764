"""The principal components of an ensemble: the patterns by which its realizations differ most."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Float64
from torch import Tensor

from spinlock.visualization.aggregates.catalogue import aggregate
from spinlock.visualization.aggregates.frame import EnsembleFrame

COMPONENTS = 3

RANK_TOLERANCE = 1e-6
"""Least singular value of a component, as a share of the first: eigenvalues of the float64 Gram matrix are
known to 1e-15 of the greatest, so its square, 1e-12, is still known to a part in a thousand."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """The singular values of the deviations, descending, their left vectors in columns, and which exist."""

    values: Float64[Tensor, "m"]
    left: Float64[Tensor, "m m"]
    present: Bool[Tensor, "m"]


def decompose(frame: EnsembleFrame) -> Decomposition:
    """Return the singular values and left vectors of the deviations [m, C·H·W], from G = D·Dᵀ.

    A component is present if its singular value exceeds `RANK_TOLERANCE` times the first and the rounding of
    the fields themselves, ε·‖x‖ with ε of their dtype.
    """
    eigenvalues, left = torch.linalg.eigh(frame.gram)
    values = eigenvalues.flip(0).clamp(min=0.0).sqrt()
    members = len(frame.members)
    norm = (frame.gram.trace() + members * frame.mean.square().sum()).sqrt()
    least = torch.maximum(RANK_TOLERANCE * values[0], torch.finfo(frame.fields.dtype).eps * norm)
    return Decomposition(values, left.flip(1), values > least)


def explained(frame: EnsembleFrame) -> float:
    """Return the share of the variance in the first three components, in [0, 1]; 0 if there is no variance.

    Components that are not present count as no variance, so it is 1 for up to four realizations that differ.
    """
    found = decompose(frame)
    squares = torch.where(found.present, found.values.square(), 0.0)
    shown, rest = squares[:COMPONENTS].sum(), squares[COMPONENTS:].sum()
    return float(shown / torch.where(shown > 0, shown + rest, 1.0))


@aggregate(kind="components", permutable=False, remark=explained)
def pca(frame: EnsembleFrame) -> Float32[Tensor, "3 h w"]:
    """First three principal components of the realizations, the k-th drawn in the k-th of red, green, blue.

    Map k is the mean over channels of v_k, the k-th right singular vector (unit norm over C·H·W) of the
    deviations D [m, C·H·W] from the mean: v_k = Dᵀu_k/σ_k with D·Dᵀu_k = σ_k²u_k. Components that do not
    exist are 0: there are m − 1 at most, and none where σ_k is rounding. The sign makes the inner product
    with the map of the frame before positive; without one, the map's entry of largest magnitude. Patterns of
    nearly equal σ may mix or change places from frame to frame. The header shows Σ_{k≤3} σ_k²/Σ_k σ_k².
    """
    found = decompose(frame)
    count = min(COMPONENTS, len(frame.members))
    scale = torch.where(found.present, found.values, torch.inf)[:count]
    weights = found.left[:, :count] / scale
    maps = torch.einsum("mk,mhw->khw", weights, frame.deviations.mean(dim=1))
    maps = torch.cat((maps, maps.new_zeros(COMPONENTS - count, *maps.shape[1:])))
    return (maps * signs(maps, frame.previous)[:, None, None]).to(torch.float32)


def signs(maps: Float64[Tensor, "3 h w"], previous: Float32[Tensor, "3 h w"] | None) -> Float64[Tensor, "3"]:
    """Return the sign ±1 of each map: towards the map before; if that is 0, its largest entry positive."""
    flat = maps.flatten(1)
    largest = flat.gather(1, flat.abs().argmax(dim=1, keepdim=True))[:, 0]
    if previous is not None:
        along = (flat * previous.flatten(1)).sum(dim=1)
        largest = torch.where(along == 0, largest, along)
    return torch.where(largest < 0, -1.0, 1.0).to(maps.dtype)
