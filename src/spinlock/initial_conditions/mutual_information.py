"""Gaussian fields that share a set number of bits per pixel."""

import math
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from spinlock.initial_conditions.catalogue import Draw, Law, initial_condition
from spinlock.initial_conditions.gaussian_random_field import kernel_spectrum
from spinlock.initial_conditions.laws import near, spectrum
from spinlock.numerics.columns import column
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.spectral import half_spectrum_weights, normalized
from spinlock.registry import Integer, Real, When
from spinlock.shapes import Fields, PerSample

BISECTIONS = 64
Coherence = Float64[Tensor, "b #n #half"]


def correlation(bits: Float64[Tensor, "*shape"]) -> Float64[Tensor, "*shape"]:
    """Return ρ = √(1 − 2^−2I) ≥ 0, at which two jointly normal numbers share I bits."""
    return torch.sqrt(-torch.expm1(-2.0 * math.log(2.0) * bits))


def information(first: Float[Tensor, "*rows n n"], second: Float[Tensor, "*rows n n"]) -> Tensor:
    """Return −½ log₂(1 − r²) bits, r the correlation of two fields over their pixels."""
    a, b = (part.double() - part.double().mean(dim=(-2, -1), keepdim=True) for part in (first, second))
    covariance = (a * b).mean(dim=(-2, -1))
    square = covariance.square() / (a.square().mean(dim=(-2, -1)) * b.square().mean(dim=(-2, -1)))
    return -0.5 * torch.log2(1.0 - square)


def by_octave(
    shares: Float64[Tensor, "b n half"], rho: Float64[Tensor, "b"], grid: Grid
) -> Float64[Tensor, "b n half"]:
    """Return a coherence that falls with the octave of n = |k|L/2π, and is ``rho`` in the mean over S(k).

    The modes of octave o = ⌊log₂ n⌋ share λ·2^−o bits each, ρ_o = √(1 − 2^(−2λ·2^−o)); λ is such that
    Σ_k S(k)·ρ(k) = ``rho``, the correlation of a pixel, found by bisection.
    """
    octave = grid.cycles.clamp(min=1.0).double().log2().floor().long()
    scale = torch.exp2(-octave.double())
    low, high = torch.full_like(rho, 1e-9), torch.full_like(rho, 1e9)
    for _ in range(BISECTIONS):
        middle = torch.sqrt(low * high)
        mean = (shares * correlation(middle[:, None, None] * scale)).sum(dim=(-2, -1))
        low, high = torch.where(mean < rho, middle, low), torch.where(mean < rho, high, middle)
    return correlation(torch.sqrt(low * high)[:, None, None] * scale)


def shared_law(bits: float, shift: tuple[int, int] = (0, 0), **options: Any) -> Law:
    """Return the law: information of the two fields, the second moved back by a shift in half sides."""

    def check(draw: Draw) -> None:
        fields = draw(64, mi_bits=bits, **options)
        halves = fields.shape[-1] // 2
        moved = fields[:, 1].roll((halves * shift[0], halves * shift[1]), dims=(-2, -1))
        each = information(fields[:, 0], moved)
        near("mean information of the two fields", float(each.mean()), bits, 0.03 * bits + 0.002)
        near(
            "information of one pair", float(each[(each - bits).abs().argmax()]), bits, 0.15 * max(bits, 1.0)
        )

    where = f" at a shift of {shift} halves" if any(shift) else ""
    given = "".join(f", {name} {value}" for name, value in options.items())
    return Law(f"the two fields share {bits:g} bits a pixel within 3 % in the mean{where}{given}", check)


def control_law(shifted: bool = False, **options: Any) -> Law:
    """Return the law: the control shares nothing with the first field, though it is of the same law."""

    def check(draw: Draw) -> None:
        fields = draw(64, **options)
        other = 1 if shifted else 2
        near("information", float(information(fields[:, 0], fields[:, other]).mean()), 0.0, 0.02)
        spreads = fields.double().square().mean(dim=(0, 2, 3))
        near("greatest departure of a variance from 1", float((spreads - 1.0).abs().max()), 0.0, 0.05)

    what = "the same pixels of the two fields" if shifted else "the first field and the control"
    given = "".join(f", {name} {value}" for name, value in options.items())
    return Law(f"{what} share less than 0.02 bits; all variances are 1{given}", check)


@initial_condition(
    domain="information",
    tier=4,
    source="Cover & Thomas; Kraskov, Stögbauer & Grassberger 2004",
    sites=("white",),
    cost="fft",
    laws=(
        shared_law(1.0),
        shared_law(0.3),
        shared_law(1.0, shift=(1, 0), correlation_pattern="long_range"),
        shared_law(1.0, correlation_pattern="hierarchical"),
        control_law(),
        control_law(shifted=True, correlation_pattern="long_range"),
        spectrum(lambda grid: kernel_spectrum(grid, "rbf", 0.02), latent_length_scale=0.02),
    ),
)
def mutual_information(
    grid: Grid,
    keys: SampleKeys,
    *,
    mi_bits: Annotated[
        PerSample, Real(0.01, 3.0, "bits", log=True), When("local_noise_scale", (None,))
    ] = 1.0,
    local_noise_scale: Annotated[PerSample | None, Real(0.01, 0.99)] = None,
    correlation_pattern: Literal["local", "long_range", "hierarchical"] = "local",
    latent_length_scale: Annotated[PerSample, Real(0.0, 0.1, "side")] = 0.02,
    num_channels_correlated: Annotated[int, Integer(2, 3)] = 2,
) -> Fields:
    """Two jointly Gaussian fields that share I = −½ log₂(1 − ρ²) bits per pixel, and a control.

    X, Y and Z are Gaussian fields on the torus with spectrum exp(−k²l²/2), l = ``latent_length_scale`` sides,
    and variance 1. X and Y have ρ = √(1 − 2^−2I), I = ``mi_bits``, or ρ = 1 − ``local_noise_scale`` if that
    is given: at the same pixel (``local``); half a side apart, Y(r) with X(r + (N/2, 0)), and not at all at
    the same pixel (``long_range``); or at the same pixel, the coarse octaves of k more than the fine ones,
    each by half the bits of the one before (``hierarchical``). Z is independent of both; with
    ``num_channels_correlated`` 3 every two of X, Y, Z share I (``long_range``: Z(r) with X(r + (0, N/2))).

    What to expect: three clouds, two of them alike. The information found in one sample departs from I by
    0.05 bits at l = 0.02, and much more for longer l, where few independent places are left.
    """
    if local_noise_scale is None:
        rho = correlation(column(mi_bits, 0).double()).to(grid.device)
    else:
        rho = 1.0 - column(local_noise_scale, 0).double().to(grid.device)
    power = normalized(kernel_spectrum(grid, "rbf", latent_length_scale), grid)
    coherence: Coherence = rho[:, None, None]
    if correlation_pattern == "hierarchical":
        shares = (power[:, 0].double() * half_spectrum_weights(grid)) / grid.size**2
        coherence = by_octave(shares, rho, grid)
    noise = torch.fft.rfft2(keys.normal("white", 4, grid.size, grid.size))
    common, own = (part.sqrt().float()[:, None] for part in (coherence, 1.0 - coherence))
    mixed = common * noise[:, :1] + own * noise[:, 1:]
    if num_channels_correlated == 2:
        mixed = torch.cat([mixed[:, :2], noise[:, 3:]], dim=1)
    fields = torch.fft.irfft2(mixed * power.sqrt(), s=(grid.size, grid.size))
    if correlation_pattern == "long_range":
        half = grid.size // 2
        moved = fields[:, 1].roll(-half, dims=-2), fields[:, 2].roll(-half, dims=-1)
        fields = torch.stack([fields[:, 0], *moved], dim=1)
    return fields
