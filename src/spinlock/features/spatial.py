"""Spatial features 0–18 of a field u: its distribution of values, its gradient and its Laplacian.

⟨·⟩ is the mean over the H·W pixels of the field. The grid is periodic and lengths are in pixels.
"""

from functools import partial

from jaxtyping import Float
from torch import Tensor

from spinlock.features.catalogue import feature
from spinlock.features.field_view import PIXELS, FieldView

spatial_feature = partial(feature, category="spatial", level="field")

PerField = Float[Tensor, "..."]


@spatial_feature("spatial_mean", 0, unit="u")
def spatial_mean(view: FieldView) -> PerField:
    """μ = ⟨u⟩.

    Known answer: b + A·sin(2πkx/W) → b. Flat field: its value.
    """
    return view.mean


@spatial_feature("spatial_variance", 1, bounds="≥ 0", unit="u²", transform="asinh")
def spatial_variance(view: FieldView) -> PerField:
    """s² = ⟨(u − μ)²⟩, the population variance (divided by the number of pixels).

    Known answer: b + A·sin(2πkx/W) → A²/2. Flat field: 0.
    """
    return view.variance


@spatial_feature(
    "spatial_std",
    2,
    bounds="≥ 0",
    unit="u",
    redundant_with=("spatial_variance",),
)
def spatial_std(view: FieldView) -> PerField:
    """√⟨(u − μ)²⟩ = s, the population standard deviation.

    Known answer: b + A·sin(2πkx/W) → A/√2. Flat field: 0. The square root of ``spatial_variance``.
    """
    return view.std


@spatial_feature("spatial_skewness", 3, bounds="[−√(HW), √(HW)]", transform="asinh")
def spatial_skewness(view: FieldView) -> PerField:
    """⟨z³⟩ with z = (u − μ)/s.

    Known answers: b + A·sin(2πkx/W) → 0; a field of zeros and a fraction p of ones → (1 − 2p)/√(p(1 − p)),
    so p = ¼ → 2/√3. It changes sign with u. Flat field: 0.
    """
    return view.standardized_moments[0]


@spatial_feature("spatial_kurtosis", 4, bounds="≥ −2", transform="asinh")
def spatial_kurtosis(view: FieldView) -> PerField:
    """⟨z⁴⟩ − 3 with z = (u − μ)/s, the excess over a normal distribution.

    Known answers: b + A·sin(2πkx/W) → −1.5; checkerboard → −2; a field of zeros and a quarter of ones → −2/3;
    Gaussian noise ≈ 0. Flat field: 0.
    """
    return (view.standardized_moments[1] - 3.0).where(~view.flat, 0.0)


@spatial_feature("spatial_min", 5, unit="u")
def spatial_min(view: FieldView) -> PerField:
    """Least value, min u.

    Known answer: b + A·sin(2πkx/W), 4 dividing W/k → b − A. Flat field: its value.
    """
    return view.minimum


@spatial_feature("spatial_max", 6, unit="u")
def spatial_max(view: FieldView) -> PerField:
    """Greatest value, max u.

    Known answer: b + A·sin(2πkx/W), 4 dividing W/k → b + A. Flat field: its value.
    """
    return view.maximum


@spatial_feature(
    "spatial_range",
    7,
    bounds="≥ 0",
    unit="u",
    redundant_with=("spatial_min", "spatial_max"),
)
def spatial_range(view: FieldView) -> PerField:
    """Range of values, max u − min u.

    Known answer: b + A·sin(2πkx/W), 4 dividing W/k → 2A. Flat field: 0. ``spatial_max`` − ``spatial_min``.
    """
    return (view.maximum - view.minimum).where(~view.flat, 0.0)


@spatial_feature("spatial_iqr", 8, bounds="≥ 0", unit="u")
def spatial_iqr(view: FieldView) -> PerField:
    """Q(¾) − Q(¼), the interquartile range; Q interpolates linearly between ranks, Q(q) at rank q·(HW − 1).

    Known answers: a field that holds 0 … n − 1 once each → (n − 1)/2; Gaussian noise ≈ 1.349 σ.
    Flat field: 0.
    """
    ranks = view.order_statistics
    return (ranks.upper_quartile - ranks.lower_quartile).where(~view.flat, 0.0)


@spatial_feature("spatial_mad", 9, bounds="≥ 0", unit="u")
def spatial_mad(view: FieldView) -> PerField:
    """median|u − median u|, the median absolute deviation, unscaled.

    The median of an even count is the mean of the middle two. Known answers: a field that holds 0 … n − 1
    once each, 4 dividing n → n/4; Gaussian noise ≈ 0.6745 σ. Flat field: 0.
    """
    return view.order_statistics.median_absolute_deviation.where(~view.flat, 0.0)


@spatial_feature("gradient_magnitude_mean", 10, bounds="≥ 0", unit="u/px")
def gradient_magnitude_mean(view: FieldView) -> PerField:
    """⟨g⟩ with g = √((δx u)² + (δy u)²) and δx u = (u[x+1] − u[x−1])/2, δy u likewise.

    Known answer: b + A·sin(2πkx/W) with n = W/k samples per period, 4 dividing n, and θ = 2π/n →
    A·sin θ·κ, κ = (2/n)·cot(π/n). Flat field: 0.
    """
    return view.gradient_magnitude.mean


@spatial_feature("gradient_magnitude_std", 11, bounds="≥ 0", unit="u/px")
def gradient_magnitude_std(view: FieldView) -> PerField:
    """√⟨(g − ⟨g⟩)²⟩, g as in ``gradient_magnitude_mean``.

    Known answer: b + A·sin(2πkx/W) → A·sin θ·√(½ − κ²), θ and κ as there. Flat field: 0.
    """
    return view.gradient_magnitude.std


@spatial_feature("gradient_magnitude_max", 12, bounds="≥ 0", unit="u/px")
def gradient_magnitude_max(view: FieldView) -> PerField:
    """Maximum of g, g as in ``gradient_magnitude_mean``.

    Known answers: b + A·sin(2πkx/W) → A·sin θ; checkerboard → 0, because central differences do not see it.
    Flat field: 0.
    """
    return view.gradient_magnitude.maximum


@spatial_feature("gradient_x_mean", 13, bounds="≥ 0", unit="u/px")
def gradient_x_mean(view: FieldView) -> PerField:
    """⟨|δx u|⟩, δx u = (u[x+1] − u[x−1])/2.

    The absolute value, because the mean of a periodic difference is 0. Known answer: b + A·sin(2πkx/W) →
    A·sin θ·κ, θ and κ as in ``gradient_magnitude_mean``. Flat field: 0.
    """
    return view.central_differences[0].abs().mean(dim=PIXELS)


@spatial_feature("gradient_y_mean", 14, bounds="≥ 0", unit="u/px")
def gradient_y_mean(view: FieldView) -> PerField:
    """⟨|δy u|⟩, δy u = (u[y+1] − u[y−1])/2.

    The absolute value, because the mean of a periodic difference is 0. Known answer: b + A·sin(2πkx/W) → 0.
    Flat field: 0.
    """
    return view.central_differences[1].abs().mean(dim=PIXELS)


@spatial_feature("gradient_anisotropy", 15, bounds="[−1, 1]")
def gradient_anisotropy(view: FieldView) -> PerField:
    """(⟨(δx u)²⟩ − ⟨(δy u)²⟩)/(⟨(δx u)²⟩ + ⟨(δy u)²⟩), 0 where both are 0.

    Known answers: a wave along x → 1; along y → −1; waves of amplitudes A along x and B along y with equal
    wave numbers → (A² − B²)/(A² + B²). Flat field: 0.
    """
    along_x, along_y = view.mean_square_differences
    total = along_x + along_y
    return (along_x - along_y) / total.where(total != 0, 1.0)


@spatial_feature("laplacian_mean", 16, bounds="≥ 0", unit="u/px²")
def laplacian_mean(view: FieldView) -> PerField:
    """⟨|Lu|⟩, Lu = u[x+1] + u[x−1] + u[y+1] + u[y−1] − 4u.

    The absolute value, because the mean of a periodic difference is 0. Known answer: b + A·sin(2πkx/W) →
    4·sin²(π/n)·A·κ, n and κ as in ``gradient_magnitude_mean``. Flat field: 0.
    """
    return view.laplacian.mean_magnitude


@spatial_feature("laplacian_std", 17, bounds="≥ 0", unit="u/px²")
def laplacian_std(view: FieldView) -> PerField:
    """√⟨(Lu)²⟩, the standard deviation of Lu, whose mean is 0; Lu as in ``laplacian_mean``.

    Known answer: b + A·sin(2πkx/W) → 4·sin²(π/n)·A/√2 with n = W/k. Flat field: 0.
    """
    return view.laplacian.std


@spatial_feature(
    "laplacian_energy",
    18,
    bounds="≥ 0",
    unit="u²/px⁴",
    transform="asinh",
    redundant_with=("laplacian_std",),
)
def laplacian_energy(view: FieldView) -> PerField:
    """⟨(Lu)²⟩, Lu as in ``laplacian_mean``.

    Known answers: b + A·sin(2πkx/W) → (4·sin²(π/n)·A)²/2 with n = W/k; checkerboard ±1 → 64. Flat field: 0.
    The square of ``laplacian_std``.
    """
    return view.laplacian.std.square()
