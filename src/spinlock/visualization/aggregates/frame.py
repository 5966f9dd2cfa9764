"""What an aggregate sees: the realizations of one operator at one time."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from spinlock.shapes import States


@dataclass(frozen=True, eq=False)
class EnsembleFrame:
    """The realizations of one operator at one time, and what the clip says of them.

    Sums over realizations are float64: equal realizations deviate by exactly 0, and their order does not
    matter beyond the last digit of float32. What several aggregates read is computed once.

    Attributes
    ----------
    fields
        The realizations x_m that are still finite, [m, C, H, W] with m ≥ 1, on their own grid.
    members
        Their numbers among all realizations.
    low, high
        The least and the greatest finite value of each channel over the operator's whole clip.
    previous
        What the same aggregate gave for the frame before.
    size
        How many realizations there are, diverged ones included; as many as are finite if not given.
    """

    fields: States
    members: tuple[int, ...]
    low: Float[Tensor, "c"]
    high: Float[Tensor, "c"]
    previous: Float[Tensor, "d h w"] | None = None
    size: int | None = None

    @classmethod
    def of(
        cls,
        fields: States,
        low: Float[Tensor, "c"] | None = None,
        high: Float[Tensor, "c"] | None = None,
        previous: Float[Tensor, "d h w"] | None = None,
    ) -> "EnsembleFrame | None":
        """Return the frame of all realizations [M, C, H, W] that are finite everywhere; None if none is.

        Limits that are not given are those of the finite realizations themselves.
        """
        members = finite_members(fields)
        if not members:
            return None
        size = len(fields)
        if len(members) < size:
            fields = fields[list(members)]
        low = fields.amin(dim=(0, 2, 3)) if low is None else low.to(fields)
        high = fields.amax(dim=(0, 2, 3)) if high is None else high.to(fields)
        return cls(fields, members, low, high, previous, size)

    @cached_property
    def mean(self) -> Float64[Tensor, "c h w"]:
        """⟨x⟩, the mean over the realizations."""
        return self.fields.sum(dim=0, dtype=torch.float64) / len(self.members)

    @cached_property
    def deviations(self) -> Float64[Tensor, "m c h w"]:
        """d_m = x_m − ⟨x⟩."""
        return self.fields - self.mean

    @cached_property
    def gram(self) -> Float64[Tensor, "m m"]:
        """G_ij = d_i·d_j, summed over channels and pixels."""
        rows = self.deviations.flatten(1)
        return rows @ rows.mT


def finite_members(fields: States) -> tuple[int, ...]:
    """Return the numbers of the realizations whose values are all finite."""
    # A sum is finite only if all its terms are: one cheap pass settles all but diverged or huge fields.
    if math.isfinite(fields.sum(dtype=torch.float32)):
        return tuple(range(len(fields)))
    finite = fields.isfinite().flatten(1).all(dim=1).tolist()
    return tuple(number for number, whole in enumerate(finite) if whole)
