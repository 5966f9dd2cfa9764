"""What the features of one trajectory share: each intermediate result is computed once, when asked for."""

from functools import cached_property

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from spinlock.features.drift import Drift
from spinlock.features.field_view import FLATNESS, FieldView
from spinlock.features.functionals import functionals
from spinlock.features.gram import Gram, energies, gram, squared_distances
from spinlock.features.lags import lag_asymmetry, lag_sums, time_spectrum
from spinlock.features.least_squares import residual_variance
from spinlock.features.motion import Motion, motion
from spinlock.features.neighbours import forecast_errors

PerChannel = Float64[Tensor, "c"]
Series = Float64[Tensor, "c t"]


class TrajectoryView:
    """One realization: all its frames are finite, and nothing else has a say in its numbers.

    Whole fields are worked on in the dtype of the frames, but for the products of pairs of frames, whose
    differences are wanted. Numbers of which there is one for each frame or channel are float64; the features
    return the dtype of the frames.

    Parameters
    ----------
    frames
        u, [T, C, H, W].
    fields
        The view of the same frames as single fields.
    """

    def __init__(self, frames: Float[Tensor, "t c h w"], fields: FieldView) -> None:
        self.frames = frames
        self.fields = fields

    @cached_property
    def peak(self) -> Float[Tensor, "t c"]:
        """The greatest |u| of each field."""
        return torch.maximum(self.fields.maximum, -self.fields.minimum)

    @cached_property
    def scale(self) -> PerChannel:
        """The greatest |u| of each channel over all frames."""
        return self.peak.amax(dim=0).double()

    @cached_property
    def mean(self) -> Series:
        """The spatial mean m(t)."""
        return self.fields.mean.mT.double()

    @cached_property
    def variance(self) -> Series:
        """The spatial variance V(t), 0 in a flat field."""
        return self.fields.std.mT.double().square()

    @cached_property
    def energy(self) -> Series:
        """E(t) = ⟨u²⟩ = V + m²."""
        return self.variance + self.mean.square()

    @cached_property
    def log_energy(self) -> Series:
        """The floored logarithm of E(t)."""
        return floored_log(self.energy)

    @cached_property
    def gram(self) -> Gram:
        """The products of all pairs of time-centred frames."""
        return gram(self.frames)

    @cached_property
    def static(self) -> Bool[Tensor, "c"]:
        """Whether a channel stands still: its rms departure from the time mean is at most 1e-6·max|u|."""
        return energies(self.gram.within).mean(dim=-1).sqrt() <= FLATNESS * self.scale

    @cached_property
    def squared_distances(self) -> Float64[Tensor, "t t"]:
        """D²(t, s) between frames, summed over channels."""
        return squared_distances(self.gram.within)

    @cached_property
    def forecast_errors(self) -> tuple[Float64[Tensor, "lag"], Float64[Tensor, "lag"]]:
        """The rms distances of analogues some steps later and earlier."""
        return forecast_errors(self.squared_distances)

    @cached_property
    def lag_asymmetry(self) -> Float64[Tensor, "lag pairs"]:
        """|ρ_ij(τ) − ρ_ji(τ)| of the pairs of channels i < j."""
        return lag_asymmetry(self.gram, self.static)

    @cached_property
    def lag_sums(self) -> Series:
        """Σ_t G′(t, t + τ) for each lag τ."""
        return lag_sums(self.gram.within)

    @cached_property
    def dominant_mode(self) -> tuple[PerChannel, PerChannel]:
        """The strongest frequency in cycles a step, and its power S."""
        power, place = time_spectrum(self.lag_sums).max(dim=-1)
        return (place + 1).double() / len(self.frames), power

    @cached_property
    def mean_square_steps(self) -> tuple[PerChannel, PerChannel]:
        """mean_t ⟨(Δu)²⟩ and mean_t ⟨(Δ²u)²⟩ of first and second differences over time."""
        steps = self.gram.within.diff(dim=-1).diff(dim=-2)
        bends = steps.diff(dim=-1).diff(dim=-2)
        return energies(steps).mean(dim=-1), energies(bends).mean(dim=-1)

    @cached_property
    def trend(self) -> tuple[PerChannel, PerChannel]:
        """The variance of m(t) over time and what a straight line leaves of it; 0 where m is constant."""
        variance = self.mean.var(dim=-1, correction=0)
        constant = variance.sqrt() <= FLATNESS * self.scale
        left = torch.where(constant, 0.0, residual_variance(self.mean))
        return torch.where(constant, 0.0, variance), left

    @cached_property
    def motion(self) -> Motion:
        """The moments of the increments, and the flow."""
        return motion(self.frames, self.peak, self.fields.central_differences)

    @cached_property
    def functionals(self) -> Float64[Tensor, "functional version t c"]:
        """The five functionals of the three versions over time."""
        return functionals(self.fields, self.peak)

    @cached_property
    def drift(self) -> Drift:
        """The metrics of the functionals over time."""
        return Drift(self.functionals, self.static)

    def where_moving(self, values: PerChannel, static: Float64[Tensor, "#c"] | float) -> Float[Tensor, "c"]:
        """Return one number for each channel, ``static`` for those that stand still."""
        return torch.where(self.static, static, values).to(self.frames.dtype)

    def if_moving(self, value: Float64[Tensor, ""], static: float) -> Float[Tensor, ""]:
        """Return one number for all channels, ``static`` if all of them stand still."""
        return torch.where(self.static.all(), static, value).to(self.frames.dtype)


def floored_log(series: Series) -> Series:
    """Return ln max(y, 1e-12·max_t y), 0 for a series of zeros."""
    top = series.amax(dim=-1, keepdim=True)
    return series.clamp(min=torch.where(top > 0.0, 1e-12 * top, 1.0)).log()
