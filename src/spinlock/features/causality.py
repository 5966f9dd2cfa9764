"""Causality features 79–92 of a trajectory u(t), t = 0 … T − 1: what tells forward from backward in time.

K_ij(t, s) = ⟨u_i(t)u_j(s)⟩ over pixels; K′ is K of the frames without each pixel's mean over time. d(t) =
u(t + 1) − u(t). D²(t, s) = Σ_c ⟨(u_c(t) − u_c(s))²⟩ over all channels together. A channel is static where
√⟨(u − time mean)²⟩ over all frames is at most 1e-6·max|u|. Time is in steps, lengths are in pixels; φ is any
field that is not flat, and a wave is A·cos(2πkx/W − 2πft).
"""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from spinlock.features.catalogue import feature
from spinlock.features.gram import LAGS
from spinlock.features.neighbours import FORECAST
from spinlock.features.trajectory_view import TrajectoryView

causality_feature = partial(feature, category="causality", level="trajectory")

PerChannel = Float[Tensor, "c"]
Joint = Float[Tensor, ""]

EVERY_LAG = tuple({"lag": lag} for lag in range(1, LAGS + 1))
EVERY_FORECAST = tuple({"lag": lag} for lag in range(1, FORECAST + 1))


@causality_feature(
    "causality_lag_corr_asymmetry_mean_lag{lag}",
    lambda lag: 77 + 2 * lag,
    variants=EVERY_LAG,
    minimum_frames=lambda lag: lag + 3,
    minimum_channels=2,
    bounds="[0, 2]",
)
def lag_corr_asymmetry_mean(view: TrajectoryView, lag: int) -> Joint:
    """Mean over pairs of channels i < j of |ρ_ij(τ) − ρ_ji(τ)|, τ the lag.

    ρ_ij(τ) = Σ_t K′_ij(t, t + τ)/√(Σ_t K′_ii(t, t)·Σ_t K′_jj(t + τ, t + τ)), t = 0 … T − 1 − τ; 0 where i or
    j is static. K′_ij(t, s) = ⟨u_i(t)u_j(s)⟩ without each pixel's mean over time. Known answers: u₂(t) = u₁(t
    − 1), white in time ≈ 1 at lag 1 and ≈ 0 at lags 2 and 3; waves that differ by a phase a → 2|sin
    a·sin(2πfτ)| over whole periods; equal channels → 0. Static: 0.
    """
    return view.if_moving(view.lag_asymmetry[lag - 1].mean(), 0.0)


@causality_feature(
    "causality_lag_corr_asymmetry_max_lag{lag}",
    lambda lag: 78 + 2 * lag,
    variants=EVERY_LAG,
    minimum_frames=lambda lag: lag + 3,
    minimum_channels=2,
    bounds="[0, 2]",
)
def lag_corr_asymmetry_max(view: TrajectoryView, lag: int) -> Joint:
    """Maximum over pairs of channels i < j of |ρ_ij(τ) − ρ_ji(τ)|, τ the lag.

    ρ as in ``causality_lag_corr_asymmetry_mean_lag{τ}``, whose known answers hold too. Static: 0.
    """
    return view.if_moving(view.lag_asymmetry[lag - 1].amax(), 0.0)


@causality_feature(
    "causality_pred_error_ratio_lag{lag}",
    lambda lag: 83 + 2 * lag,
    variants=EVERY_FORECAST,
    minimum_frames=8,
    bounds="[10⁻³, 10³]",
    transform="ln",
)
def pred_error_ratio(view: TrajectoryView, lag: int) -> Joint:
    """e_f/e_b, clipped to [1e-3, 1e3]: errors of forecasting and hindcasting τ steps by the nearest frame.

    D²(t, s) = Σ_c ⟨(u_c(t) − u_c(s))²⟩; e_f is the rms over i of D(i + τ, j + τ) and e_b that of D(i − τ, j −
    τ). j is the frame nearest to i with |i − j| > max(1, ⌊T/20⌋) and D² > 1e-6 of its mean over all pairs;
    both are within 2 … T − 3. D² counts as at least 1e-12 of its mean. Known answers: e^{rt}φ → e^{2rτ}; a
    travelling wave → 1; time reversal inverts it. Static, or no frame has such a neighbour: 1. Source:
    analogues as in Lorenz, J. Atmos. Sci. 26 (1969) 636.
    """
    ahead, back = (errors[lag - 1] for errors in view.forecast_errors)
    ratio = torch.where(back > 0.0, ahead / back, 1.0)
    return view.if_moving(ratio.clamp(1e-3, 1e3), 1.0)


@causality_feature(
    "causality_pred_error_diff_lag{lag}",
    lambda lag: 84 + 2 * lag,
    variants=EVERY_FORECAST,
    minimum_frames=8,
    bounds="[−1, 1]",
)
def pred_error_diff(view: TrajectoryView, lag: int) -> Joint:
    """(e_f − e_b)/(e_f + e_b), errors of forecasting and hindcasting τ steps by the nearest frame.

    e_f and e_b as in ``causality_pred_error_ratio_lag{τ}``; with r that ratio before it is clipped it is
    (r − 1)/(r + 1). Known answers: e^{rt}φ → tanh(rτ); a travelling wave → 0; time reversal changes its sign.
    Static, or no frame has such a neighbour: 0.
    """
    ahead, back = (errors[lag - 1] for errors in view.forecast_errors)
    total = ahead + back
    return view.if_moving((ahead - back) / torch.where(total > 0.0, total, 1.0), 0.0)


@causality_feature("causality_time_irreversibility", 89, minimum_frames=2)
def time_irreversibility(view: TrajectoryView) -> PerChannel:
    """⟨d³⟩/⟨d²⟩^{3/2} over all pixels and steps: skewness about 0 of the increments d(t) = u(t + 1) − u(t).

    Known answers: the sawtooth 0, 1 … P − 1 in time, over whole periods and the drop that ends each →
    −(P − 2)/√(P − 1); a travelling wave over whole periods → 0; time reversal changes its sign. Static: 0.
    """
    second, third = view.motion.second, view.motion.third
    return view.where_moving(third / torch.where(second > 0.0, second, 1.0).pow(1.5), 0.0)


@causality_feature(
    "causality_time_asymmetry_index",
    90,
    minimum_frames=2,
    bounds="[0, 1]",
)
def time_asymmetry_index(view: TrajectoryView) -> PerChannel:
    """|Σd³|/Σ|d|³ over all pixels and steps of the increments d(t) = u(t + 1) − u(t).

    Known answers: a ramp in time → 1; the sawtooth 0, 1 … P − 1 over whole periods and the drop that ends
    each → ((P − 1)² − 1)/((P − 1)² + 1); a travelling wave → 0. Static: 0.
    """
    total = view.motion.absolute_third
    return view.where_moving(view.motion.third.abs() / torch.where(total > 0.0, total, 1.0), 0.0)


@causality_feature(
    "causality_spatial_flow_magnitude",
    91,
    minimum_frames=2,
    bounds="≥ 0",
    unit="px/step",
    transform="asinh",
)
def spatial_flow_magnitude(view: TrajectoryView) -> PerChannel:
    """mean_t |v|, v(t) the uniform velocity that explains the step from u(t) to u(t + 1) best.

    v = −J⁻¹⟨g·d⟩ by least squares, d = u(t + 1) − u(t), g the gradient (central differences) of (u(t) + u(t +
    1))/2 and J = ⟨ggᵀ⟩ + 1e-4·tr⟨ggᵀ⟩·1; frames that are both flat: v = 0. Known answer: a wave along x →
    2·tan(πf)/sin(2πk/W) within 2e-4, for long waves the phase speed. Static: 0. Source: Lucas & Kanade, Proc.
    IJCAI (1981) 674.
    """
    return view.where_moving(view.motion.flow.norm(dim=-1).mean(dim=0), 0.0)


@causality_feature(
    "causality_spatial_flow_anisotropy",
    92,
    minimum_frames=2,
    bounds="[0, 1]",
)
def spatial_flow_anisotropy(view: TrajectoryView) -> PerChannel:
    """|mean_t v|/mean_t |v|: how steady the direction of the flow is, v as in the feature of its magnitude.

    Known answers: a steady travelling wave → 1; white in time ≈ 0. No flow, or static: 0.
    """
    flow = view.motion.flow
    speed = flow.norm(dim=-1).mean(dim=0)
    net = flow.mean(dim=0).norm(dim=-1)
    return view.where_moving(net / torch.where(speed > 0.0, speed, 1.0), 0.0)
