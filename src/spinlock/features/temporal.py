"""Temporal features 46–58 of one channel of a trajectory u(t), t = 0 … T − 1, and one of all channels.

They come from the products of whole frames, G(t, s) = ⟨u(t)u(s)⟩, not only from spatial averages, and so see
travelling waves and waves of mean zero. ⟨·⟩ is the mean over pixels, m = ⟨u⟩, E = ⟨u²⟩, V = E − m². G′ is G
of the frames without each pixel's mean over time. Slopes are least-squares fits over all frames. ln y stands
for ln max(y, 1e-12·max_t y). A trajectory is static where √⟨(u − time mean)²⟩ over all frames is at most
1e-6·max|u|. Time is in steps; φ is any field that is not flat, and a wave is A·cos(2πkx/W − 2πft).
"""

import math
from functools import partial

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from spinlock.features.catalogue import feature
from spinlock.features.lags import autocorrelation, first_crossing
from spinlock.features.least_squares import quadratic_coefficient, slope
from spinlock.features.neighbours import log_divergence
from spinlock.features.trajectory_view import TrajectoryView, floored_log

temporal_feature = partial(feature, category="temporal", level="trajectory")

PerChannel = Float[Tensor, "c"]
Joint = Float[Tensor, ""]

LONGEST_DECAY = 20
"""Lags up to which a decay is looked for."""

DEAD_BAND = 1e-3
"""Changes of ln E up to this are no change."""


@temporal_feature("energy_growth_rate", 46, minimum_frames=2, unit="1/step")
def energy_growth_rate(view: TrajectoryView) -> PerChannel:
    """Slope of ln E(t), E = ⟨u²⟩, by least squares.

    E counts as at least 1e-12 of its greatest value. Known answer: e^{rt}φ → 2r. It changes sign under time
    reversal. Static: 0.
    """
    return view.where_moving(slope(view.log_energy), 0.0)


@temporal_feature("energy_growth_accel", 47, minimum_frames=3, unit="1/step²")
def energy_growth_accel(view: TrajectoryView) -> PerChannel:
    """Twice the quadratic coefficient of the parabola fitted to ln E(t), E = ⟨u²⟩, by least squares.

    E counts as at least 1e-12 of its greatest value. Known answers: e^{at²/2}φ → 2a; e^{rt}φ → 0. Static: 0.
    """
    return view.where_moving(2.0 * quadratic_coefficient(view.log_energy), 0.0)


@temporal_feature("variance_growth_rate", 48, minimum_frames=2, unit="1/step")
def variance_growth_rate(view: TrajectoryView) -> PerChannel:
    """Slope of ln V(t), V = ⟨(u − m)²⟩ the spatial variance, by least squares.

    V is 0 in a flat frame and counts as at least 1e-12 of its greatest value. Known answer: e^{rt}φ → 2r. It
    changes sign under time reversal. Static, or every frame flat: 0.
    """
    return view.where_moving(slope(floored_log(view.variance)), 0.0)


@temporal_feature(
    "temporal_freq_dominant",
    49,
    minimum_frames=4,
    bounds="[0, ½]",
    unit="cycles/step",
)
def temporal_freq_dominant(view: TrajectoryView) -> PerChannel:
    """f* = argmax S(f) over f = j/T, j = 1 … ⌊T/2⌋, with S(f) = w·e_f^H G′ e_f/T², e_f = (e^{2πift})_t.

    G′(t, s) = ⟨u(t)u(s)⟩ without each pixel's mean over time; w = 2, but 1 at f = ½. S is the power over
    time, averaged over pixels, as one reads it off the field itself: the energy would oscillate twice as
    fast. Known answers: a wave with f = p/T, and the standing cos(2πpt/T)φ → p/T. Static: 0.
    """
    return view.where_moving(view.dominant_mode[0], 0.0)


@temporal_feature(
    "oscillation_amplitude",
    50,
    minimum_frames=4,
    bounds="≥ 0",
    unit="u",
)
def oscillation_amplitude(view: TrajectoryView) -> PerChannel:
    """√(w·S(f*)) at the dominant frequency f*; w and S as in ``temporal_freq_dominant``.

    Known answers: a wave → A; cos(2πpt/T)φ → √⟨φ²⟩; (−1)^t φ → √⟨φ²⟩. Static: 0.
    """
    frequency, power = view.dominant_mode
    weight = torch.where(frequency == 0.5, 1.0, 2.0)
    return view.where_moving((weight * power).sqrt(), 0.0)


@temporal_feature(
    "oscillation_period",
    51,
    minimum_frames=4,
    bounds="[2, T]",
    unit="step",
    redundant_with=("temporal_freq_dominant",),
)
def oscillation_period(view: TrajectoryView) -> PerChannel:
    """1/f*, f* the dominant frequency ``temporal_freq_dominant``.

    Known answer: a wave with f = 1/16 → 16, if T is a multiple of 16. Static: T.
    """
    return view.where_moving(1.0 / view.dominant_mode[0], float(len(view.frames)))


@temporal_feature(
    "autocorr_decay_time",
    52,
    minimum_frames=4,
    bounds="[0, 20]",
    unit="step",
)
def autocorr_decay_time(view: TrajectoryView) -> PerChannel:
    """First lag at which ρ(τ) = mean_t G′(t, t + τ)/mean_t G′(t, t) comes down to 1/e.

    G′(t, s) = ⟨u(t)u(s)⟩ without each pixel's mean over time. The mean is over the T − τ pairs of frames;
    between lags ρ is a straight line; if ρ stays above 1/e, the answer is the cap min(20, T − 1). Known
    answers: a wave of period P, T a multiple of P, has ρ = cos(2πτ/P); white in time ≈ 1 − 1/e = 0.632; an
    AR(1) process with coefficient a ≈ −1/ln a. Static: the cap.
    """
    cap = min(LONGEST_DECAY, len(view.frames) - 1)
    decay = first_crossing(autocorrelation(view.lag_sums), math.exp(-1.0), cap)
    return view.where_moving(decay, float(cap))


@temporal_feature("lyapunov_approx", 53, minimum_frames=8, unit="1/step")
def lyapunov_approx(view: TrajectoryView) -> Joint:
    """Slope over q = 1 … Q, Q = min(5, ⌊T/4⌋), of mean_i ln D(i + q, j + q): how fast nearest frames part.

    D²(t, s) = Σ_c ⟨(u_c(t) − u_c(s))²⟩ over all channels together. j is the frame nearest to i with |i − j| >
    max(1, ⌊T/20⌋) and D² > 1e-6 of its mean over all pairs; both are at most T − 1 − Q, so that the same
    pairs enter for every q. D² counts as at least 1e-12 of its mean. With noise it measures divergence by
    noise as well as chaos. Known answers: e^{rt}φ → r; u* + e^{−λt}φ → −λ; a travelling wave → 0; the
    logistic map 4x(1 − x), T = 400 ≈ ln 2. Static, or no frame has such a neighbour: 0. Source: Rosenstein,
    Collins & De Luca, Physica D 65 (1993) 117.
    """
    return view.if_moving(slope(log_divergence(view.squared_distances)), 0.0)


@temporal_feature(
    "trajectory_smoothness",
    54,
    minimum_frames=3,
    bounds="[0, 1]",
)
def trajectory_smoothness(view: TrajectoryView) -> PerChannel:
    """1 − mean_t ⟨(Δ²u)²⟩/(4·mean_t ⟨(Δu)²⟩), clipped to [0, 1]: Δu = u(t+1) − u(t), Δ²u = Δu(t+1) − Δu(t).

    Known answers: a wave → cos²(πf); a straight line in time → 1; (−1)^t φ → 0; white in time ≈ ¼. Static: 1.
    """
    steps, bends = view.mean_square_steps
    roughness = bends / torch.where(steps > 0.0, 4.0 * steps, 1.0)
    return view.where_moving((1.0 - roughness).clamp(0.0, 1.0), 1.0)


@temporal_feature("regime_switches", 55, minimum_frames=3, bounds="[0, T − 2]")
def regime_switches(view: TrajectoryView) -> PerChannel:
    """How often Δln E(t), E = ⟨u²⟩, changes its sign, steps with |Δln E| ≤ 1e-3 left out.

    Known answers: E alternately times 4 and times ¼ → T − 2; E monotone → 0; E independent from frame to
    frame ≈ ⅔(T − 2). Static: 0.
    """
    return view.where_moving(reversals(view.log_energy.diff(dim=-1), DEAD_BAND), 0.0)


def reversals(changes: Float64[Tensor, "c steps"], dead: float) -> Float64[Tensor, "c"]:
    """Return how many changes reverse the sign of the last one before, those within ``dead`` left out."""
    signs = torch.where(changes.abs() > dead, changes.sign(), 0.0)
    steps = torch.arange(changes.shape[-1], device=changes.device).expand(changes.shape)
    latest = torch.where(signs != 0.0, steps, 0).cummax(dim=-1).values
    before = signs.gather(-1, latest)[:, :-1]
    return (signs[:, 1:] * before < 0.0).double().sum(dim=-1)


@temporal_feature(
    "final_to_initial_ratio",
    56,
    minimum_frames=2,
    bounds="[10⁻¹², 10¹²]",
    transform="ln",
)
def final_to_initial_ratio(view: TrajectoryView) -> PerChannel:
    """E(T − 1)/E(0), E = ⟨u²⟩, clipped to [1e-12, 1e12].

    Known answer: e^{rt}φ → e^{2r(T − 1)}. Time reversal inverts it. Static: 1.
    """
    first, last = view.energy[:, 0], view.energy[:, -1]
    ratio = torch.where((first == 0.0) & (last == 0.0), 1.0, last / first)
    return view.where_moving(ratio.clamp(1e-12, 1e12), 1.0)


@temporal_feature("trend_strength", 57, minimum_frames=3, bounds="[0, 1]")
def trend_strength(view: TrajectoryView) -> PerChannel:
    """R² of the straight line fitted to the spatial mean m(t): 1 − residual variance/variance.

    Known answers: m linear in t → 1; cos(2πpt/T) → 6/(T² − 1); sin(2πpt/T) → 6·cot²(πp/T)/(T² − 1). Static,
    or the standard deviation of m over time at most 1e-6·max|u|: 0.
    """
    variance, residual = view.trend
    share = 1.0 - residual / torch.where(variance > 0.0, variance, 1.0)
    return view.where_moving(torch.where(variance > 0.0, share.clamp(0.0, 1.0), 0.0), 0.0)


@temporal_feature(
    "detrended_variance",
    58,
    minimum_frames=3,
    bounds="≥ 0",
    unit="u²",
    transform="asinh",
)
def detrended_variance(view: TrajectoryView) -> PerChannel:
    """Variance over time of what the straight line fitted to the spatial mean m(t) leaves.

    The population variance, divided by T. Known answer: m = A·cos(2πpt/T) → (A²/2)(1 − 6/(T² − 1)). Static,
    or the standard deviation of m over time at most 1e-6·max|u|: 0.
    """
    return view.where_moving(view.trend[1], 0.0)
