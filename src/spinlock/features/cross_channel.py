"""Cross-channel features 69–78 of a frame: how its channels are correlated over the pixels.

R is the C × C Pearson matrix of the channels (R_ii = 1; a flat channel has R_ij = 0) and λ₁ ≥ … ≥ λ_C its
eigenvalues. With three channels all ten features are functions of three correlations, and
``cross_channel_corr_mean``, ``_max`` and ``_min`` determine the other seven; with more channels they do not.

Known answers are those of two fields. Three waves: cos φ, cos(φ + 2π/3), cos(φ + 4π/3) with φ = 2πkx/W.
Pair: cos φ, cos(φ + a).
"""

from functools import partial

from jaxtyping import Float
from torch import Tensor

from spinlock.features.catalogue import feature
from spinlock.features.channel_view import ChannelView

cross_channel_feature = partial(feature, category="cross_channel", level="frame")

PerFrame = Float[Tensor, "..."]

CORRELATIONS = ("cross_channel_corr_mean", "cross_channel_corr_max", "cross_channel_corr_min")

CONDITION_LIMIT = 1e6


def _eigenvalue(view: ChannelView, number: int) -> PerFrame:
    """Return the eigenvalue of that number, 0 where there are fewer channels."""
    if number > view.channels:
        return view.eigenvalues.new_zeros(view.eigenvalues.shape[:-1], dtype=view.dtype)
    return view.eigenvalues[..., number - 1].to(view.dtype)


@cross_channel_feature(
    "cross_channel_eigen_top_1",
    69,
    bounds="[1, C]",
    redundant_with=CORRELATIONS,
)
def eigen_top_1(view: ChannelView) -> PerFrame:
    """λ₁, the largest eigenvalue of the correlation matrix R of the channels.

    Known answers: three waves → 1.5; pair → 1 + |cos a|. One channel: 1.
    """
    return _eigenvalue(view, 1)


@cross_channel_feature(
    "cross_channel_eigen_top_2",
    70,
    bounds="[0, C/2]",
    redundant_with=CORRELATIONS,
)
def eigen_top_2(view: ChannelView) -> PerFrame:
    """λ₂, the second eigenvalue of the correlation matrix R of the channels.

    Known answers: three waves → 1.5; pair → 1 − |cos a|. One channel: 0.
    """
    return _eigenvalue(view, 2)


@cross_channel_feature(
    "cross_channel_eigen_top_3",
    71,
    bounds="[0, C/3]",
    redundant_with=CORRELATIONS,
)
def eigen_top_3(view: ChannelView) -> PerFrame:
    """λ₃, the third eigenvalue of the correlation matrix R of the channels.

    Known answers: three waves → 0; pair → 0. One channel or two: 0.
    """
    return _eigenvalue(view, 3)


@cross_channel_feature(
    "cross_channel_eigen_trace",
    72,
    bounds="[0, 2(C − 1)]",
    redundant_with=CORRELATIONS,
)
def eigen_trace(view: ChannelView) -> PerFrame:
    """Σ|λ_i − 1|, the trace norm of R − I: how far the channels are from being uncorrelated.

    Σλ_i itself is always C. Known answers: three waves → 2; pair → 2|cos a|. One channel: 0.
    """
    return (view.eigenvalues - 1.0).abs().sum(dim=-1).to(view.dtype)


@cross_channel_feature(
    "cross_channel_condition_number",
    73,
    bounds="[1, 10⁶]",
    transform="log10",
    redundant_with=CORRELATIONS,
)
def condition_number(view: ChannelView) -> PerFrame:
    """min(λ₁/max(λ_C, 10⁻⁶·λ₁), 10⁶): λ₁/λ_C up to a million.

    Known answers: three waves → 10⁶; pair → (1 + |cos a|)/(1 − |cos a|). One channel: 1.
    """
    largest, least = view.eigenvalues[..., 0], view.eigenvalues[..., -1]
    least = least.clamp(min=largest / CONDITION_LIMIT)
    return (largest / least).clamp(max=CONDITION_LIMIT).to(view.dtype)


@cross_channel_feature(
    "cross_channel_participation_ratio",
    74,
    bounds="[1, C]",
    redundant_with=CORRELATIONS,
)
def participation_ratio(view: ChannelView) -> PerFrame:
    """(Σλ_i)²/Σλ_i² = C²/ΣR_ij²: how many independent channels would share the variance as evenly.

    Known answers: three waves → 2; pair → 2/(1 + cos² a). One channel: 1.
    """
    return (view.channels**2 / view.correlation.square().sum(dim=(-2, -1))).to(view.dtype)


@cross_channel_feature(
    "cross_channel_corr_mean",
    75,
    minimum_channels=2,
    bounds="[−1, 1]",
)
def corr_mean(view: ChannelView) -> PerFrame:
    """Mean of R_ij over the pairs i < j.

    Known answers: three waves → −½; pair → cos a. One channel: NaN.
    """
    return view.pairs.mean(dim=-1).to(view.dtype)


@cross_channel_feature(
    "cross_channel_corr_max",
    76,
    minimum_channels=2,
    bounds="[−1, 1]",
)
def corr_max(view: ChannelView) -> PerFrame:
    """Maximum of R_ij over the pairs i < j.

    Known answers: three waves → −½; pair → cos a. One channel: NaN.
    """
    return view.pairs.amax(dim=-1).to(view.dtype)


@cross_channel_feature(
    "cross_channel_corr_min",
    77,
    minimum_channels=2,
    bounds="[−1, 1]",
)
def corr_min(view: ChannelView) -> PerFrame:
    """Minimum of R_ij over the pairs i < j.

    Known answers: three waves → −½; pair → cos a. One channel: NaN.
    """
    return view.pairs.amin(dim=-1).to(view.dtype)


@cross_channel_feature(
    "cross_channel_corr_std",
    78,
    minimum_channels=2,
    bounds="[0, 1]",
    redundant_with=CORRELATIONS,
)
def corr_std(view: ChannelView) -> PerFrame:
    """√⟨(R_ij − ⟨R_ij⟩)²⟩ over the pairs i < j, the population standard deviation.

    Known answers: three waves → 0; any pair of channels → 0, there being one correlation. One channel: NaN.
    """
    pairs = view.pairs
    return (pairs - pairs.mean(dim=-1, keepdim=True)).square().mean(dim=-1).sqrt().to(view.dtype)
