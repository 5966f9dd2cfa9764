"""Spectral features 19–45 of a field u: how its variance is spread over frequencies and directions.

P(k) = |F(u − μ)|²/(HW) on the full plane of Fourier modes, F the unnormalised transform, P(0, 0) = 0; so that
ΣP = HW·s². Frequencies fx, fy ∈ [−½, ½] are in cycles per pixel, ρ = √(fx² + fy²) ≤ √½. Sums and means run
over the modes with ρ > 0. White noise of variance σ² has P ≈ σ²·Exp(1) on any grid; a wave of amplitude A has
P = A²HW/4 in each of its two modes, which grows with the grid.
"""

from functools import partial

from jaxtyping import Float
from torch import Tensor

from spinlock.features.catalogue import feature
from spinlock.features.field_view import FieldView
from spinlock.features.fourier_modes import BANDS

spectral_feature = partial(feature, category="spectral", level="field")

PerField = Float[Tensor, "..."]

EVERY_BAND = tuple({"band": band} for band in range(BANDS))


@spectral_feature(
    "fft_power_scale_{band}_mean",
    lambda band: 19 + 3 * band,
    variants=EVERY_BAND,
    bounds="≥ 0",
    unit="u²",
    transform="asinh",
)
def fft_power_mean(view: FieldView, band: int) -> PerField:
    """Mean of P over the modes of band i: (i/5)²·√½ < ρ ≤ ((i + 1)/5)²·√½, i = 0 … 4.

    The edges are ρ = 0, 0.02828, 0.11314, 0.25456, 0.45255 and 0.70711. Known answers: white noise ≈ σ²;
    A·sin(2πkx/W) in its band → 2·(A²HW/4)/n_i, n_i the number of modes there, and 0 in the others.
    Flat field: 0. A band without modes has no power to tell of: NaN, band 0 on grids below 36².
    """
    return view.spectrum.bands.mean[..., band] * view.variance


@spectral_feature(
    "fft_power_scale_{band}_max",
    lambda band: 20 + 3 * band,
    variants=EVERY_BAND,
    bounds="≥ 0",
    unit="u²",
    transform="asinh",
)
def fft_power_max(view: FieldView, band: int) -> PerField:
    """Maximum of P over the modes of band i, bands as in ``fft_power_scale_{i}_mean``.

    Known answers: A·sin(2πkx/W) in its band → A²HW/4; white noise ≈ σ²·(ln(n_i/2) + 0.577), n_i the number of
    modes in the band. Flat field: 0. A band without modes: NaN, band 0 on grids below 36².
    """
    return view.spectrum.bands.maximum[..., band] * view.variance


@spectral_feature(
    "fft_power_scale_{band}_std",
    lambda band: 21 + 3 * band,
    variants=EVERY_BAND,
    bounds="≥ 0",
    unit="u²",
    transform="asinh",
)
def fft_power_std(view: FieldView, band: int) -> PerField:
    """√⟨(P − ⟨P⟩)²⟩ over the modes of band i, the population standard deviation within the band.

    Bands as in ``fft_power_scale_{i}_mean``. Known answers: A·sin(2πkx/W) in its band →
    (A²HW/4)·√((2/n_i)(1 − 2/n_i)), n_i the number of modes there; white noise ≈ σ². Flat field: 0.
    A band without modes: NaN, band 0 on grids below 36².
    """
    return view.spectrum.bands.std[..., band] * view.variance


@spectral_feature("dominant_freq_x", 34, bounds="[0, ½]", unit="cycles/px")
def dominant_freq_x(view: FieldView) -> PerField:
    """|fx| where P is largest.

    Known answer: b + A·sin(2πkx/W) → k/W, whatever b. Flat field: 0.
    """
    return view.spectrum.peak.frequency_x


@spectral_feature("dominant_freq_y", 35, bounds="[0, ½]", unit="cycles/px")
def dominant_freq_y(view: FieldView) -> PerField:
    """|fy| where P is largest.

    Known answer: cos(2π·30y/H) → 30/H. Flat field: 0.
    """
    return view.spectrum.peak.frequency_y


@spectral_feature("dominant_freq_magnitude", 36, bounds="[0, 1]")
def dominant_freq_magnitude(view: FieldView) -> PerField:
    """(P(k*) + P(−k*))/ΣP, the share of the largest P and its conjugate; P(k*)/ΣP where k* is its own.

    Known answers: a single wave → 1; √0.8·sin(2π·4x/W) + √0.2·sin(2π·30y/H) → 0.8. Flat field: 0, and
    above 0 everywhere else.
    """
    return view.spectrum.peak.share


@spectral_feature("spectral_centroid_x", 37, bounds="[0, ½]", unit="cycles/px")
def spectral_centroid_x(view: FieldView) -> PerField:
    """Σ|fx|P/ΣP = cx, the mean |fx|.

    Known answers: b + A·sin(2πkx/W) → k/W; white noise ≈ ¼. Flat field: 0.
    """
    return view.spectrum.spread.centroid_x


@spectral_feature("spectral_centroid_y", 38, bounds="[0, ½]", unit="cycles/px")
def spectral_centroid_y(view: FieldView) -> PerField:
    """Σ|fy|P/ΣP = cy, the mean |fy|.

    Known answers: √0.8·sin(2π·4x/W) + √0.2·sin(2π·30y/H) → 0.2·30/H; white noise ≈ ¼. Flat field: 0.
    """
    return view.spectrum.spread.centroid_y


@spectral_feature("spectral_bandwidth", 39, bounds="[0, √⅛]", unit="cycles/px")
def spectral_bandwidth(view: FieldView) -> PerField:
    """√(Σ[(|fx| − cx)² + (|fy| − cy)²]·P/ΣP), the rms distance from the centroid (cx, cy).

    Known answers: a single wave → 0; √0.8·sin(2π·4x/W) + √0.2·sin(2π·30y/H) →
    √(0.8·0.2·((4/W)² + (30/H)²)); white noise ≈ √(1/24). Flat field: 0.
    """
    return view.spectrum.spread.bandwidth


@spectral_feature("low_freq_ratio", 40, bounds="[0, 1]")
def low_freq_ratio(view: FieldView) -> PerField:
    """Share of ΣP with ρ ≤ 1/6.

    Known answers: √0.8·sin(2π·4x/W) + √0.2·sin(2π·30y/H), W = H = 128 → 0.8; white noise ≈ π/36.
    Flat field: 0.
    """
    return view.spectrum.shares[..., 0]


@spectral_feature("mid_freq_ratio", 41, bounds="[0, 1]")
def mid_freq_ratio(view: FieldView) -> PerField:
    """Share of ΣP with 1/6 < ρ ≤ 1/3.

    Known answers: √0.8·sin(2π·4x/W) + √0.2·sin(2π·30y/H), W = H = 128 → 0.2; white noise ≈ π/12.
    Flat field: 0.
    """
    return view.spectrum.shares[..., 1]


@spectral_feature(
    "high_freq_ratio",
    42,
    bounds="[0, 1]",
    redundant_with=("low_freq_ratio", "mid_freq_ratio"),
)
def high_freq_ratio(view: FieldView) -> PerField:
    """Share of ΣP with ρ > 1/3.

    Known answers: checkerboard → 1; white noise ≈ 1 − π/9. Flat field: 0. But for flat fields it is
    1 − ``low_freq_ratio`` − ``mid_freq_ratio``.
    """
    return view.spectrum.shares[..., 2]


@spectral_feature("spectral_flatness", 43, bounds="[0, 1]")
def spectral_flatness(view: FieldView) -> PerField:
    """exp⟨ln(P + d)⟩/⟨P + d⟩ with d = 1e-12·⟨P⟩: geometric over arithmetic mean of P.

    Known answers: one pixel that differs from the others → 1; white noise ≈ exp(−γ) = 0.5615 (γ Euler's
    constant); a single wave → below 1e-6. Flat field: 0.
    """
    return view.spectrum.flatness


@spectral_feature("spectral_rolloff", 44, bounds="[0, √½]", unit="cycles/px")
def spectral_rolloff(view: FieldView) -> PerField:
    """Smallest ρ such that the modes up to it hold at least 85 % of ΣP.

    Known answers: b + A·sin(2πkx/W) → k/W; √0.8·sin(2π·4x/W) + √0.2·sin(2π·30y/H) → 30/H; white noise ≈
    0.5278, where disc and square share 85 % of the plane. Flat field: 0, and above 0 everywhere else.
    """
    return view.spectrum.rolloff


@spectral_feature("spectral_anisotropy", 45, bounds="[0, 1]")
def spectral_anisotropy(view: FieldView) -> PerField:
    """|ΣP·e^{2iθ}|/ΣP with θ = atan2(fy, fx): 1 where all waves have one direction, 0 where none stands out.

    Known answers: any single wave → 1; waves along x and y with powers a and b → |a − b|/(a + b); equal waves
    at 0° and 45° → 1/√2; checkerboard → 1; white noise ≈ 1/√(HW). Flat field: 0.
    """
    return view.spectrum.anisotropy
