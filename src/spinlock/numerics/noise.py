"""Noise: x + σ(t)·s·ξ with Var ξ = 1, keyed by (sample, realization, step, place).

====================  ==================================  ================
``noise_type``        ξ                                   s
====================  ==================================  ================
``gaussian``          standard normal                     1
``laplace``           Laplace of scale 1/√2               1
``multiplicative``    standard normal                     x / rms(x)
``dropout``           ±1 with probability 1/2 each        x / rms(x)
====================  ==================================  ================

All four have mean square σ² over the field, so that types compare at equal ``noise_scale``. At σ = rms(x)
``dropout`` doubles each value or sets it to zero with equal probability.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from spinlock.keys import MASK, MAX_STEP, Key, Purpose, check_counter
from spinlock.numerics.random import normals_from_words, random_words, uniforms_from_words
from spinlock.registry import Real, When

NoiseType = Literal["gaussian", "laplace", "multiplicative", "dropout"]
NoiseLocation = Literal["state", "hidden", "output"]
NoiseSchedule = Literal["constant", "annealing", "periodic"]

SITE_STATE, SITE_OUTPUT, SITE_HIDDEN = 0, 1, 16
"""Sites of the noise draws; hidden block l has site ``SITE_HIDDEN + l``."""

BLOCK = 131_072
"""Elements drawn together: below about 100,000 the cost of the calls is more than that of the arithmetic."""

SCALED = When("noise_scale")


@dataclass(frozen=True)
class NoiseModel:
    """What noise acts where and how strongly; made by `noise`."""

    noise_type: NoiseType
    noise_scale: float
    noise_location: NoiseLocation
    noise_schedule: NoiseSchedule
    schedule_period: float
    spatial_correlation: float
    dropout_rate: float

    def amplitude(self, step: int) -> float:
        """Return σ(t); t = 0 at the first step, and nothing depends on how long the run is."""
        if self.noise_schedule == "annealing":
            return self.noise_scale * math.exp(-step / self.schedule_period)
        if self.noise_schedule == "periodic":
            return self.noise_scale * 0.5 * (1.0 + math.cos(2.0 * math.pi * step / self.schedule_period))
        return self.noise_scale

    @property
    def silent(self) -> bool:
        """Whether neither noise nor dropout acts, so that all realizations are one."""
        return self.noise_scale == 0 and self.dropout_rate == 0

    @property
    def touches_operator(self) -> bool:
        """Whether the operator's result depends on the realization even from a shared state."""
        return bool(self.dropout_rate) or (self.noise_scale > 0 and self.noise_location != "output")

    @property
    def regime(self) -> str:
        """The noise regime: ``none`` without noise, else ``low`` < 0.01 ≤ ``medium`` < 0.1 ≤ ``high``."""
        if self.noise_scale == 0:
            return "none"
        return "low" if self.noise_scale < 0.01 else "medium" if self.noise_scale < 0.1 else "high"


def noise(
    *,
    noise_type: Annotated[NoiseType, SCALED] = "gaussian",
    noise_scale: Annotated[float, Real(0.0, 100.0, suggested=(1e-5, 1.0))] = 0.0,
    noise_location: Annotated[NoiseLocation, SCALED] = "state",
    noise_schedule: Annotated[NoiseSchedule, SCALED] = "constant",
    schedule_period: Annotated[
        float,
        Real(1.0, 65536.0, unit="steps", suggested=(5.0, 100.0)),
        When("noise_schedule", ("annealing", "periodic")),
    ] = 20.0,
    spatial_correlation: Annotated[float, Real(0.0, 0.5, unit="side", suggested=(0.0, 0.3)), SCALED] = 0.0,
    dropout_rate: Annotated[float, Real(0.0, 0.9, suggested=(0.0, 0.3))] = 0.0,
) -> NoiseModel:
    """Noise of unit-variance ξ at one place, scheduled in time, correlated on the torus.

    ``noise_location`` ``state`` perturbs x before the operator, ``hidden`` the output of every hidden block,
    ``output`` the operator's output y. Schedules: constant σ; annealing σ·exp(−t/τ); periodic
    σ·(1 + cos(2πt/τ))/2, with τ = ``schedule_period`` in steps. ``spatial_correlation`` ℓ (fraction of the
    side) gives ξ the covariance Σₙ exp(−|r + nL|²/2(ℓL)²), normalised to 1 at r = 0. ``dropout_rate`` p sets
    hidden values to 0 with probability p in every step and scales the rest by 1/(1 − p) (Srivastava et al.,
    JMLR 2014).
    """
    return NoiseModel(
        noise_type,
        noise_scale,
        noise_location,
        noise_schedule,
        schedule_period,
        spatial_correlation,
        dropout_rate,
    )


def torus_covariance(size: int, correlation: float) -> np.ndarray:
    """Return the periodised Gaussian covariance along one axis, float64 [size], 1 at lag 0."""
    lags = np.arange(size, dtype=np.float64)
    images = np.arange(-6, 7, dtype=np.float64)
    length = correlation * size
    kernel = np.exp(-0.5 * ((lags[:, None] + images[None, :] * size) / length) ** 2).sum(axis=1)
    return kernel / kernel[0]


def torus_filter(size: int, correlation: float) -> Float32[Tensor, "size size"] | None:
    """Return the symmetric circulant A, A·A the covariance of `torus_covariance`; None for white noise.

    Applied along both axes to white noise it gives exactly the covariance k(Δx)·k(Δy) (circulant embedding;
    Dietrich & Newsam, SIAM J. Sci. Comput. 1997).
    """
    if correlation == 0:
        return None
    eigenvalues = np.clip(np.fft.rfft(torus_covariance(size, correlation)).real, 0.0, None)
    row = np.fft.irfft(np.sqrt(eigenvalues), n=size)
    lags = np.abs(np.arange(size)[:, None] - np.arange(size)[None, :])
    return torch.from_numpy(row[np.minimum(lags, size - lags)].astype(np.float32))


def laplace_from_words(words: Tensor, count: int) -> Float32[Tensor, "b count"]:
    """Return Laplace variates of variance 1: ±E/√2, E exponential (31 bits), the sign from the last bit."""
    exponential = ((words >> 1).to(torch.float32) + 0.5).mul_(2.0**-31).log_().neg_().clamp_(min=0.0)
    sign = (1 - 2 * (words & 1)).to(torch.float32)
    variate = exponential * sign * math.sqrt(0.5)
    return variate.permute(1, 2, 0).reshape(words.shape[1], -1)[:, :count].contiguous()


def signs_from_words(words: Tensor, count: int) -> Float32[Tensor, "b count"]:
    """Return ±1 with probability 1/2 each, from the top bit."""
    sign = (1 - 2 * ((words & MASK) >> 31)).to(torch.float32)
    return sign.permute(1, 2, 0).reshape(words.shape[1], -1)[:, :count].contiguous()


TRANSFORMS = {
    "gaussian": normals_from_words,
    "laplace": laplace_from_words,
    "multiplicative": normals_from_words,
    "dropout": signs_from_words,
}


def unchanged(layer: int, x: Tensor) -> Tensor:  # noqa: ARG001 (what is called in its place has a layer)
    """Return the output of a hidden block as the next one sees it where nothing acts inside an operator."""
    return x


class NoiseStream:
    """The noise of one realization of one sample, step by step.

    Draws several steps at a time, within ``num_timesteps``; the numbers of a step do not depend on how many.
    A step may be asked for more than once (a twin run has the noise of its original).
    """

    def __init__(
        self,
        model: NoiseModel,
        key: Key,
        sample: int,
        realization: int,
        size: int,
        device: torch.device,
        num_timesteps: int = MAX_STEP,
    ) -> None:
        check_counter(index=sample, realization=realization)
        self.model, self._num_timesteps = model, num_timesteps
        self._key, self._sample, self._realization, self._device = key, sample, realization, device
        covariance_root = torus_filter(size, model.spatial_correlation) if model.noise_scale else None
        self._filter = None if covariance_root is None else covariance_root.to(device)
        self._blocks: dict[int, tuple[int, Tensor]] = {}

    def state(self, x: Float[Tensor, "1 c h w"], step: int) -> Float[Tensor, "1 c h w"]:
        """Return the state as the operator sees it."""
        return self._perturb(x, step, SITE_STATE) if self.model.noise_location == "state" else x

    def output(self, y: Float[Tensor, "1 c h w"], step: int) -> Float[Tensor, "1 c h w"]:
        """Return the operator's output as the update policy sees it."""
        return self._perturb(y, step, SITE_OUTPUT) if self.model.noise_location == "output" else y

    def inside(self, step: int) -> Callable[[int, Tensor], Tensor]:
        """Return `hidden` of a step, called with (layer, x); `unchanged` itself where nothing acts there."""
        acts = self.model.noise_location == "hidden" or self.model.dropout_rate
        return partial(self.hidden, step=step) if acts else unchanged

    def hidden(self, layer: int, x: Float[Tensor, "1 c h w"], step: int) -> Float[Tensor, "1 c h w"]:
        """Return a hidden block's output with its noise and dropout."""
        if self.model.noise_location == "hidden":
            x = self._perturb(x, step, SITE_HIDDEN + layer)
        if self.model.dropout_rate:
            x = x * self._dropout_mask(layer, x, step).to(x.dtype)
        return x

    def _perturb(self, x: Tensor, step: int, site: int) -> Tensor:
        amplitude = self.model.amplitude(step)
        if amplitude == 0:
            return x
        variate = self._variate(x.shape[1:], step, site)
        if self.model.noise_type in ("multiplicative", "dropout"):
            rms = x.float().square().mean().sqrt()
            variate = variate * torch.where(rms > 0, x.float() / rms, torch.zeros_like(rms))
        return torch.add(x.float(), variate, alpha=amplitude).to(x.dtype)

    def _variate(self, shape: torch.Size, step: int, site: int) -> Tensor:
        first, block = self._blocks.get(site, (0, None))
        if block is None or not first <= step < first + len(block):
            first, block = step, self._draw_block(shape, step, site)
            self._blocks[site] = (first, block)
        return block[step - first][None]

    def _draw_block(self, shape: torch.Size, step: int, site: int) -> Tensor:
        check_counter(step=step)
        count = math.prod(shape)
        ahead = min(max(1, BLOCK // count), self._num_timesteps - step)
        steps = torch.arange(step, step + max(1, ahead), device=self._device)
        words = random_words(
            self._key,
            Purpose.NOISE,
            count,
            samples=self._sample,
            steps=steps,
            site=site,
            realizations=self._realization,
        )
        white = TRANSFORMS[self.model.noise_type](words, count).reshape(len(steps), *shape)
        return white if self._filter is None else torch.stack([self._correlate(frame) for frame in white])

    def _correlate(self, frame: Tensor) -> Tensor:
        assert self._filter is not None
        return torch.matmul(self._filter, torch.matmul(frame, self._filter))

    def _dropout_mask(self, layer: int, x: Tensor, step: int) -> Tensor:
        rate = self.model.dropout_rate
        words = random_words(
            self._key, Purpose.DROPOUT, x.numel(), samples=self._sample, steps=step,
            site=SITE_HIDDEN + layer, realizations=self._realization, device=self._device,
        )  # fmt: skip
        keep = uniforms_from_words(words, x.numel()) >= rate
        return keep.reshape(x.shape).to(torch.float32) / (1.0 - rate)
