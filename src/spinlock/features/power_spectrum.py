"""The power spectrum of fields, relative to their variance, and what spectral features share of it."""

from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from spinlock.features.fourier_modes import FourierModes, fourier_modes


class BandPower(NamedTuple):
    """Mean, maximum and standard deviation of P/s² over the modes of each band; NaN where it has none."""

    mean: Float[Tensor, "*rows 5"]
    maximum: Float[Tensor, "*rows 5"]
    std: Float[Tensor, "*rows 5"]


class Peak(NamedTuple):
    """Where the largest P stands, and the share of ΣP that it and its conjugate hold; 0 in a flat field."""

    frequency_x: Float[Tensor, "*rows"]
    frequency_y: Float[Tensor, "*rows"]
    share: Float[Tensor, "*rows"]


class Spread(NamedTuple):
    """Centroid of P over (|fx|, |fy|) and the rms distance from it."""

    centroid_x: Float[Tensor, "*rows"]
    centroid_y: Float[Tensor, "*rows"]
    bandwidth: Float[Tensor, "*rows"]


class PowerSpectrum:
    """P/s² of fields [..., H, W]: P(k) = |F(u − μ)|²/(HW), P(0, 0) = 0, so that ΣP = HW·s².

    Relative to the variance it neither underflows nor overflows, whatever the unit of the fields. In a flat
    field it is 0.
    """

    def __init__(
        self,
        transform: Complex[Tensor, "*rows h half"],
        std: Float[Tensor, "*rows"],
        flat: Bool[Tensor, "*rows"],
        width: int,
    ) -> None:
        self._transform, self._std, self._flat, self._width = transform, std, flat, width

    @cached_property
    def modes(self) -> FourierModes:
        """The modes of the grid."""
        return fourier_modes(self._transform.shape[-2], self._width, self._std.dtype, self._std.device)

    @cached_property
    def half_plane(self) -> Float[Tensor, "*rows h half"]:
        """P/s² of each mode of the half plane."""
        area = self._transform.shape[-2] * self._width
        amplitude = torch.where(self._flat, 1.0, self._std) * area**0.5
        parts = (torch.view_as_real(self._transform) / amplitude[..., None, None, None]).square_()
        power = parts[..., 0] + parts[..., 1]
        power[..., 0, 0] = 0.0
        return power

    @cached_property
    def by_frequency(self) -> Float[Tensor, "*rows modes"]:
        """P/s² of each mode of the half plane but (0, 0), in ascending order of ρ."""
        return self.half_plane.flatten(-2).index_select(-1, self.modes.order)

    @cached_property
    def full_plane(self) -> Float[Tensor, "*rows modes"]:
        """What each mode in ascending order of ρ stands for in the full plane: `by_frequency` × weight."""
        return self.by_frequency * self.modes.weight

    @cached_property
    def shares(self) -> Float[Tensor, "*rows 3"]:
        """Shares of ΣP with ρ ≤ 1/6, with 1/6 < ρ ≤ 1/3 and with ρ > 1/3."""
        sums = torch.stack([self.full_plane[..., third].sum(dim=-1) for third in self.modes.thirds], dim=-1)
        return sums / _nonzero(sums.sum(dim=-1, keepdim=True))

    @cached_property
    def bands(self) -> BandPower:
        """Mean, maximum and standard deviation of P/s² within each band."""
        columns = [
            _band(self.by_frequency[..., band], self.modes.weight[band], size)
            for band, size in zip(self.modes.bands, self.modes.band_sizes, strict=True)
        ]
        return BandPower(*(torch.stack(kind, dim=-1) for kind in zip(*columns, strict=True)))

    @cached_property
    def peak(self) -> Peak:
        """The largest P."""
        height, place = self.by_frequency.max(dim=-1)
        modes = self.modes
        share = modes.multiplicity[place] * height / _nonzero(self.total)
        return Peak(
            torch.where(self._flat, 0.0, modes.frequency_x[place]),
            torch.where(self._flat, 0.0, modes.frequency_y[place]),
            share.clamp(max=1.0),
        )

    @cached_property
    def marginals(self) -> tuple[Float[Tensor, "*rows half"], Float[Tensor, "*rows h"]]:
        """P/s² of the full plane summed over fy, by column, and over fx, by row."""
        weight = self.modes.column_weight
        return self.half_plane.sum(dim=-2) * weight, (self.half_plane * weight).sum(dim=-1)

    @cached_property
    def total(self) -> Float[Tensor, "*rows"]:
        """ΣP/s² over the full plane: HW but for rounding, 0 in a flat field."""
        return self.marginals[0].sum(dim=-1)

    @cached_property
    def spread(self) -> Spread:
        """Centroid and bandwidth, from the marginals: second moments are taken about the centroid."""
        x, y = self.marginals
        centroid_x, variance_x = _moments(x, self.modes.axis_x)
        centroid_y, variance_y = _moments(y, self.modes.axis_y)
        return Spread(centroid_x, centroid_y, (variance_x + variance_y).sqrt())

    @cached_property
    def rolloff(self) -> Float[Tensor, "*rows"]:
        """The smallest ρ within which 85 % of ΣP lie."""
        held = self.full_plane.cumsum(dim=-1)
        place = torch.searchsorted(held, 0.85 * held[..., -1:]).squeeze(-1)
        return torch.where(self._flat, 0.0, self.modes.frequency[place])

    @cached_property
    def anisotropy(self) -> Float[Tensor, "*rows"]:
        """|ΣP·e^{2iθ}|/ΣP."""
        sums = self.full_plane @ self.modes.double_angle
        return (torch.hypot(sums[..., 0], sums[..., 1]) / _nonzero(self.total)).clamp(max=1.0)

    @cached_property
    def flatness(self) -> Float[Tensor, "*rows"]:
        """exp⟨ln(P + d)⟩/⟨P + d⟩ with d = 1e-12·⟨P⟩, means over all modes with ρ > 0 of the full plane."""
        count = self._transform.shape[-2] * self._width - 1
        mean = self.total / count
        floor = 1e-12 * _nonzero(mean)
        logarithms = (self.by_frequency + floor[..., None]).log_().mul_(self.modes.weight)
        flatness = (logarithms.sum(dim=-1) / count).exp() / (mean + floor)
        return torch.where(self._flat, 0.0, flatness).clamp(max=1.0)


def _nonzero(total: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return a divisor: the total, or 1 where it is 0 and so is everything that it divides."""
    return torch.where(total == 0, 1.0, total)


def _band(
    power: Float[Tensor, "*rows modes"], weight: Float[Tensor, "modes"], size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean, maximum and standard deviation of P over the ``size`` full-plane modes of a band."""
    if size == 0:
        missing = power.new_full(power.shape[:-1], torch.nan)
        return missing, missing, missing
    mean = (power * weight).sum(dim=-1) / size
    variance = (power - mean[..., None]).square_().mul_(weight).sum(dim=-1) / size
    return mean, power.amax(dim=-1), variance.sqrt()


def _moments(power: Float[Tensor, "*rows n"], axis: Float[Tensor, "n"]) -> tuple[Tensor, Tensor]:
    """Return the mean of an axis weighted with the power on it, and its variance about that mean."""
    total = _nonzero(power.sum(dim=-1))
    mean = (power * axis).sum(dim=-1) / total
    return mean, ((axis - mean[..., None]).square() * power).sum(dim=-1) / total
