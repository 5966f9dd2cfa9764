"""Fields with what their features share, each computed once: moments, ranks, differences, transform."""

from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from spinlock.features.order_statistics import OrderStatistics, order_statistics
from spinlock.features.power_spectrum import PowerSpectrum

FLATNESS = 1e-6
"""A field is flat where its standard deviation is at most this fraction of max|u|."""

PIXELS = (-2, -1)
"""The axes of y and x."""


class GradientMagnitude(NamedTuple):
    """Mean, standard deviation and maximum of the gradient magnitude over a field."""

    mean: Float[Tensor, "*rows"]
    std: Float[Tensor, "*rows"]
    maximum: Float[Tensor, "*rows"]


class LaplacianSize(NamedTuple):
    """⟨|Lu|⟩ and √⟨(Lu)²⟩, the standard deviation, because ⟨Lu⟩ = 0 on a periodic grid."""

    mean_magnitude: Float[Tensor, "*rows"]
    std: Float[Tensor, "*rows"]


class FieldView:
    """Fields [..., H, W] on a periodic grid, and their shared intermediates.

    Every property is computed at most once, in the dtype and on the device of the fields, which are never
    written to. Lengths are in pixels, x runs along W. Statistics over a field divide by the number of pixels.
    A flat field (std ≤ 1e-6·max|u|) has deviations, differences and a transform of exactly 0.
    """

    def __init__(self, fields: Float[Tensor, "*rows h w"]) -> None:
        self.fields = fields.contiguous()

    @cached_property
    def minimum(self) -> Float[Tensor, "*rows"]:
        """The least u."""
        return self.fields.amin(dim=PIXELS)

    @cached_property
    def maximum(self) -> Float[Tensor, "*rows"]:
        """The greatest u."""
        return self.fields.amax(dim=PIXELS)

    @property
    def mean(self) -> Float[Tensor, "*rows"]:
        """μ = ⟨u⟩."""
        return self._moments[0]

    @property
    def std(self) -> Float[Tensor, "*rows"]:
        """√⟨(u − μ)²⟩ = s, 0 in a flat field."""
        return self._moments[1]

    @property
    def flat(self) -> Bool[Tensor, "*rows"]:
        """Whether the field is flat."""
        return self._moments[2]

    @property
    def centred(self) -> Float[Tensor, "*rows h w"]:
        """The deviations u − μ, 0 in a flat field."""
        return self._moments[3]

    @cached_property
    def variance(self) -> Float[Tensor, "*rows"]:
        """s²."""
        return self.std.square()

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean, standard deviation, whether flat, deviations."""
        mean = self.fields.mean(dim=PIXELS)
        deviations = self.fields - mean[..., None, None]
        # The first mean is rounded to the size of u; what it left over is seen at the size of u − μ.
        rest = deviations.mean(dim=PIXELS)
        deviations -= rest[..., None, None]
        # Squares are taken in a unit, a power of two, in which they neither underflow nor overflow.
        largest = torch.maximum(self.maximum - mean, mean - self.minimum)
        mantissa = largest.frexp().mantissa
        unit = torch.where(mantissa == 0, 1.0, largest / mantissa)
        std = (deviations / unit[..., None, None]).square_().mean(dim=PIXELS).sqrt() * unit
        flat = std <= FLATNESS * torch.maximum(self.maximum.abs(), self.minimum.abs())
        deviations *= ~flat[..., None, None]
        return mean + rest, torch.where(flat, 0.0, std), flat, deviations

    @cached_property
    def _divisor(self) -> Float[Tensor, "*rows 1 1"]:
        """s, or 1 in a flat field, where everything that it divides is 0."""
        return torch.where(self.flat, 1.0, self.std)[..., None, None]

    @cached_property
    def standardized(self) -> Float[Tensor, "*rows h w"]:
        """The standardized field z = (u − μ)/s, 0 in a flat field."""
        return self.centred / self._divisor

    @cached_property
    def standardized_moments(self) -> tuple[Float[Tensor, "*rows"], Float[Tensor, "*rows"]]:
        """⟨z³⟩ and ⟨z⁴⟩."""
        squares = self.standardized.square()
        third = (squares * self.standardized).mean(dim=PIXELS)
        return third, squares.square_().mean(dim=PIXELS)

    @cached_property
    def order_statistics(self) -> OrderStatistics:
        """Quartiles, median and median absolute deviation of u."""
        return order_statistics(self.fields.flatten(-2))

    @cached_property
    def forward_differences(self) -> tuple[Float[Tensor, "*rows h w"], Float[Tensor, "*rows h w"]]:
        """D⁺x u = u[x+1] − u[x] and D⁺y u, which see every wave."""
        return self.centred.roll(-1, -1) - self.centred, self.centred.roll(-1, -2) - self.centred

    @cached_property
    def central_differences(self) -> tuple[Float[Tensor, "*rows h w"], Float[Tensor, "*rows h w"]]:
        """δx u = (u[x+1] − u[x−1])/2 and δy u, which do not see the checkerboard (−1)^(x+y)."""
        along_x = self.centred.roll(-1, -1).sub_(self.centred.roll(1, -1)).mul_(0.5)
        along_y = self.centred.roll(-1, -2).sub_(self.centred.roll(1, -2)).mul_(0.5)
        return along_x, along_y

    @cached_property
    def mean_square_differences(self) -> tuple[Float[Tensor, "*rows"], Float[Tensor, "*rows"]]:
        """⟨δx²⟩/s² and ⟨δy²⟩/s²."""
        along_x, along_y = self.central_differences
        return self._relative_mean_square(along_x), self._relative_mean_square(along_y)

    @cached_property
    def gradient_magnitude(self) -> GradientMagnitude:
        """Mean, standard deviation and maximum of g = √((δx u)² + (δy u)²)."""
        magnitude = torch.hypot(*self.central_differences)
        mean, maximum = magnitude.mean(dim=PIXELS), magnitude.amax(dim=PIXELS)
        magnitude -= mean[..., None, None]
        return GradientMagnitude(mean, self._relative_mean_square(magnitude).sqrt() * self.std, maximum)

    @cached_property
    def laplacian(self) -> LaplacianSize:
        """Mean magnitude and standard deviation of Lu, u at the four neighbours less 4u."""
        along_x, along_y = self.forward_differences
        # Differences of D⁺ round less than the sum of the five values.
        values = (along_x - along_x.roll(1, -1)).add_(along_y).sub_(along_y.roll(1, -2))
        std = self._relative_mean_square(values).sqrt() * self.std
        return LaplacianSize(values.abs_().mean(dim=PIXELS), std)

    def _relative_mean_square(self, values: Float[Tensor, "*rows h w"]) -> Float[Tensor, "*rows"]:
        """Return ⟨v²⟩/s², which does not underflow where s² does."""
        return (values / self._divisor).square_().mean(dim=PIXELS)

    @cached_property
    def transform(self) -> Complex[Tensor, "*rows h half"]:
        """`torch.fft.rfft2` of the deviations u − μ."""
        return torch.fft.rfft2(self.centred)

    @cached_property
    def spectrum(self) -> PowerSpectrum:
        """The power spectrum relative to the variance."""
        return PowerSpectrum(self.transform, self.std, self.flat, self.fields.shape[-1])
