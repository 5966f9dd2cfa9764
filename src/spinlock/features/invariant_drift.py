"""Invariant drift 93–152: how five functionals I(t) of a channel change over the T frames of a trajectory.

I of a field u, ⟨·⟩ the mean over pixels:

- L1: ⟨|u|⟩;
- L2: √⟨u²⟩;
- Linf: max|u|;
- entropy: Shannon entropy (nats) over 32 equal bins of the field's own [min, max], the last one closed; 0
  where std ≤ 1e-6·max|u| of the raw frame;
- tv: ⟨√((D⁺x u)² + (D⁺y u)²)⟩, D⁺ forward differences on the periodic grid.

Each is taken of three versions of the field: raw; lowpass, its Fourier modes times exp(−2π²σ²ρ²) with σ = 2
px and ρ in cycles per pixel, a periodic Gaussian blur; and highpass = raw − lowpass. A norm (L1, L2, Linf,
tv) below 1e-6 of the channel's greatest raw |u| over all frames counts as 0. Ī = mean_t I, ΔI(t) = I(t + 1) −
I(t).

Known answers of I: a constant field c has norms |c| and entropy 0; A·sin(2πkx/W) has L2 = A/√2, lowpass
gA/√2, highpass (1 − g)A/√2 with g = exp(−8π²(k/W)²); a checkerboard ±1 has entropy ln 2 and tv 2√2; a ramp of
values, each once, has entropy ln 32. Entropy does not change from u to au + b.
"""

from functools import partial

from jaxtyping import Float
from torch import Tensor

from spinlock.features.catalogue import feature
from spinlock.features.functionals import FUNCTIONALS, VERSIONS
from spinlock.features.trajectory_view import TrajectoryView

invariant_drift_feature = partial(feature, category="invariant_drift", level="trajectory")

PerChannel = Float[Tensor, "c"]

EVERY_FUNCTIONAL = tuple(
    {"functional": functional, "version": version} for functional in FUNCTIONALS for version in VERSIONS
)


def _place(functional: str, version: str) -> int:
    """Return the index of the first metric of a functional of a version."""
    return 93 + 12 * FUNCTIONALS.index(functional) + VERSIONS.index(version)


def _chosen(
    metric: Float[Tensor, "functional version c"], functional: str, version: str, view: TrajectoryView
) -> PerChannel:
    values = metric[FUNCTIONALS.index(functional), VERSIONS.index(version)]
    return values.to(view.frames.dtype)


@invariant_drift_feature(
    "{functional}_mean_drift_{version}",
    _place,
    variants=EVERY_FUNCTIONAL,
    minimum_frames=2,
    bounds="[−2, 2]",
    unit="1/step",
)
def mean_drift(view: TrajectoryView, functional: str, version: str) -> PerChannel:
    """(I(T−1) − I(0))/((T − 1)·Ī), the mean change of the functional I in a step, relative to its mean.

    I is one of L1, L2, Linf, entropy and tv, of the field or its low- or high-pass; a norm below 1e-6·max|u|
    counts as 0. Known answers: every norm of e^{rt}φ → (e^{r(T−1)} − 1)/((T − 1)·mean_t e^{rt}), its entropy
    → 0; every norm of (1 + bt)φ → b/(1 + b(T − 1)/2). It lies within ±T/(T − 1). Static, or Ī = 0: 0.
    """
    return _chosen(view.drift.mean_drift, functional, version, view)


@invariant_drift_feature(
    "{functional}_drift_variance_{version}",
    lambda functional, version: 3 + _place(functional, version),
    variants=EVERY_FUNCTIONAL,
    minimum_frames=3,
    bounds="≥ 0",
    unit="1/step²",
)
def drift_variance(view: TrajectoryView, functional: str, version: str) -> PerChannel:
    """var_t(ΔI)/Ī², how unevenly the functional I changes; the population variance of the T − 1 changes.

    I is one of L1, L2, Linf, entropy and tv, of the field or its low- or high-pass; a norm below 1e-6·max|u|
    counts as 0. Known answers: every norm of e^{rt}φ → var_t(e^{rt}(e^r − 1))/(mean_t e^{rt})², its entropy →
    0; every norm of (1 + bt)φ → 0. Static, or Ī = 0: 0.
    """
    return _chosen(view.drift.drift_variance, functional, version, view)


@invariant_drift_feature(
    "{functional}_final_initial_ratio_{version}",
    lambda functional, version: 6 + _place(functional, version),
    variants=EVERY_FUNCTIONAL,
    minimum_frames=2,
    bounds="[10⁻⁶, 10⁶]",
    transform="ln",
)
def final_initial_ratio(view: TrajectoryView, functional: str, version: str) -> PerChannel:
    """I(T−1)/max(I(0), 1e-6·Ī), clipped to [1e-6, 1e6].

    I is one of L1, L2, Linf, entropy and tv, of the field or its low- or high-pass; a norm below 1e-6·max|u|
    counts as 0. Known answers: every norm of e^{rt}φ → e^{r(T−1)}, its entropy → 1; every norm of (1 + bt)φ →
    1 + b(T − 1). Static, or Ī = 0: 1.
    """
    return _chosen(view.drift.final_initial_ratio, functional, version, view)


@invariant_drift_feature(
    "{functional}_monotonicity_{version}",
    lambda functional, version: 9 + _place(functional, version),
    variants=EVERY_FUNCTIONAL,
    minimum_frames=2,
    bounds="[−1, 1]",
)
def monotonicity(view: TrajectoryView, functional: str, version: str) -> PerChannel:
    """mean_t sign ΔI, where |ΔI| ≤ 1e-5·Ī counts as 0.

    I is one of L1, L2, Linf, entropy and tv, of the field or its low- or high-pass; a norm below 1e-6·max|u|
    counts as 0. Known answers: every norm of e^{rt}φ with r > 0, and of (1 + bt)φ with b > 0 → 1, entropy →
    0. Static, or Ī = 0: 0.
    """
    return _chosen(view.drift.monotonicity, functional, version, view)
