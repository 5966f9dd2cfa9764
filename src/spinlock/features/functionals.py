"""Functionals of fields, L1, L2, L∞, entropy and total variation: of the raw, low- and high-passed field."""

import math
from functools import lru_cache

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from spinlock.features.field_view import FLATNESS, PIXELS, FieldView

FUNCTIONALS = ("L1", "L2", "Linf", "entropy", "tv")
VERSIONS = ("raw", "lowpass", "highpass")
BINS = 32
SIGMA = 2.0
"""Standard deviation of the Gaussian low-pass, in pixels."""

Frames = Float[Tensor, "t c h w"]
PerField = Float[Tensor, "t c"]


@lru_cache(maxsize=16)
def gaussian_response(
    height: int, width: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "h half"]:
    """Return exp(−2π²σ²ρ²) of each half-spectrum bin, ρ in cycles per pixel: 1 at ρ = 0."""
    fy = torch.fft.fftfreq(height, dtype=torch.float64, device=device)
    fx = torch.fft.rfftfreq(width, dtype=torch.float64, device=device)
    squares = fy.square()[:, None] + fx.square()
    return torch.exp(-2.0 * math.pi**2 * SIGMA**2 * squares).to(dtype)


def functionals(raw: FieldView, peak: PerField) -> Float64[Tensor, "functional version t c"]:
    """Return the five functionals of a trajectory's fields and of their low- and high-pass, over time.

    Norms below 1e-6 of the greatest |u| of the channel count as 0, and so does the entropy of a field whose
    standard deviation is at most 1e-6·max|u| of its raw frame: what is left there is rounding.
    """
    shape = raw.fields.shape[-2:]
    response = gaussian_response(*shape, raw.fields.dtype, raw.fields.device)
    space = Workspace(raw, peak)
    passed = torch.fft.irfft2(raw.transform * response, s=shape)
    low = space.functionals(passed, raw.mean)
    torch.sub(raw.centred, passed, out=passed)
    high = space.functionals(passed, torch.zeros_like(raw.mean))
    values = torch.stack((space.functionals_of_raw(), low, high), dim=1)
    kept = torch.where(values < FLATNESS * peak.amax(dim=0).double(), 0.0, values)
    entropy = FUNCTIONALS.index("entropy")  # no norm, but of its own size
    kept[entropy] = values[entropy]
    return kept


class Workspace:
    """Room for fields in the making: fresh memory costs more than the arithmetic done in it."""

    def __init__(self, raw: FieldView, peak: PerField) -> None:
        self.raw = raw
        self.peak = peak
        self.unit = torch.where(raw.flat, 1.0, raw.std)
        self.first, self.second = torch.empty_like(raw.fields), torch.empty_like(raw.fields)
        self.bins = torch.empty(raw.fields.shape, dtype=torch.int64, device=raw.fields.device)

    def functionals_of_raw(self) -> Float64[Tensor, "functional t c"]:
        """Return the functionals of the fields themselves."""
        raw = self.raw
        l1 = torch.abs(raw.fields, out=self.first).mean(dim=PIXELS)
        linf = torch.maximum(raw.maximum, -raw.minimum)
        entropy = self.entropy(raw.fields, raw.minimum, raw.maximum, raw.std)
        tv = torch.hypot(*raw.forward_differences, out=self.first).mean(dim=PIXELS)
        return _stack(l1, torch.hypot(raw.std, raw.mean), linf, entropy, tv)

    def functionals(self, fields: Frames, mean: PerField) -> Float64[Tensor, "functional t c"]:
        """Return the functionals of ``fields + mean``, where the fields themselves have mean 0."""
        lowest, highest = fields.amin(dim=PIXELS), fields.amax(dim=PIXELS)
        # Squares are taken relative to the raw contrast, so that they do not underflow.
        scaled = torch.div(fields, self.unit[..., None, None], out=self.first)
        std = scaled.square_().mean(dim=PIXELS).sqrt_() * self.unit
        l1 = torch.add(fields, mean[..., None, None], out=self.first).abs_().mean(dim=PIXELS)
        linf = torch.maximum(highest + mean, -(lowest + mean))
        entropy = self.entropy(fields, lowest, highest, std)
        tv = self.total_variation(fields)
        return _stack(l1, torch.hypot(std, mean), linf, entropy, tv)

    def entropy(
        self, fields: Frames, lowest: PerField, highest: PerField, std: PerField
    ) -> Float64[Tensor, "t c"]:
        """Return the Shannon entropy in nats of 32 equal bins over each field's own [min, max].

        The last bin holds the maximum, as in numpy's histogram.
        """
        span = highest - lowest
        span = torch.where(span > 0.0, span, 1.0)[..., None, None]
        numbers = torch.sub(fields, lowest[..., None, None], out=self.first).div_(span).mul_(BINS)
        bins = self.bins.copy_(numbers.clamp_(max=BINS - 1)).flatten(-2)
        one = torch.ones((), dtype=torch.float64, device=bins.device)
        counts = one.new_zeros(*bins.shape[:-1], BINS).scatter_add_(-1, bins, one.expand_as(bins))
        entropy = torch.special.entr(counts / bins.shape[-1]).sum(dim=-1)
        return torch.where(std <= FLATNESS * self.peak, 0.0, entropy)

    def total_variation(self, fields: Frames) -> PerField:
        """Return ⟨√((D⁺x u)² + (D⁺y u)²)⟩."""
        x, y = self.first, self.second
        torch.sub(fields[..., 1:], fields[..., :-1], out=x[..., :-1])
        torch.sub(fields[..., 0], fields[..., -1], out=x[..., -1])
        torch.sub(fields[..., 1:, :], fields[..., :-1, :], out=y[..., :-1, :])
        torch.sub(fields[..., 0, :], fields[..., -1, :], out=y[..., -1, :])
        return torch.hypot(x, y, out=x).mean(dim=PIXELS)


def _stack(*values: PerField) -> Float64[Tensor, "functional t c"]:
    return torch.stack([value.double() for value in values])
