"""How functionals of a field change over a trajectory: four metrics, 0 or 1 for what is conserved."""

from functools import cached_property

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

PerChannel = Float64[Tensor, "functional version c"]


class Drift:
    """The metrics of I(t) for every functional, version and channel at once.

    ΔI(t) = I(t + 1) − I(t), Ī its mean over time. Where Ī = 0, and where the channel stands still, they take
    the values of a constant series: 0, 0, 1, 0.
    """

    def __init__(self, series: Float64[Tensor, "functional version t c"], static: Bool[Tensor, "c"]) -> None:
        self.first, self.last = series[:, :, 0], series[:, :, -1]
        self.steps = series.shape[2] - 1
        self.changes = series.diff(dim=2)
        self.level = series.mean(dim=2)
        self.still = static | (self.level == 0.0)
        self.divisor = torch.where(self.still, 1.0, self.level)

    @cached_property
    def mean_drift(self) -> PerChannel:
        """(I(T−1) − I(0))/((T − 1)·Ī)."""
        return torch.where(self.still, 0.0, (self.last - self.first) / (self.steps * self.divisor))

    @cached_property
    def drift_variance(self) -> PerChannel:
        """The variance of ΔI over time, divided by Ī²."""
        spread = self.changes.var(dim=2, correction=0)
        return torch.where(self.still, 0.0, spread / self.divisor.square())

    @cached_property
    def final_initial_ratio(self) -> PerChannel:
        """I(T−1)/max(I(0), 1e-6·Ī), clipped to [1e-6, 1e6]."""
        ratio = self.last / torch.maximum(self.first, 1e-6 * self.divisor)
        return torch.where(self.still, 1.0, ratio.clamp(1e-6, 1e6))

    @cached_property
    def monotonicity(self) -> PerChannel:
        """The mean sign of ΔI, where changes of at most 1e-5·Ī count as 0."""
        moved = self.changes.abs() > 1e-5 * self.level[:, :, None]
        signs = torch.where(moved, self.changes.sign(), 0.0)
        return torch.where(self.still, 0.0, signs.mean(dim=2))
