"""How an operator answers to changes of its input: 10 numbers an operator, indices 59–68.

O is one step of the operator before the update policy, with the noise of realization 0 at step 0 frozen; x is
the initial condition. ‖·‖ is the Frobenius norm over channels and pixels. A feature is NaN where x = 0,
O(x) = O(0), or a state it needs is not finite.
"""

from functools import partial

from jaxtyping import Float
from torch import Tensor

from spinlock.features.catalogue import feature
from spinlock.features.probe_view import EPSILONS, SCALES, ProbeView, ratio

sensitivity = partial(feature, category="operator_sensitivity", level="operator", bounds="≥ 0")

Number = Float[Tensor, ""]


@sensitivity(
    "lipschitz_eps_{epsilon:.0e}",
    lambda epsilon: 59 + EPSILONS.index(epsilon),
    variants=[{"epsilon": epsilon} for epsilon in EPSILONS],
)
def lipschitz(view: ProbeView, epsilon: float) -> Number:
    """Max over 4 random directions ξ of ‖O(x + δ) − O(x)‖/‖δ‖, δ = ε·rms(x)·ξ.

    Components of ξ are standard normals. Each ratio estimates the rms gain ‖J‖_F/√n of the Jacobian J at x,
    n numbers a state, which is a lower bound of the Lipschitz constant: an operator that amplifies the mean
    alone 21 times has about 1.

    2x + 1 → 2; x/rms(x) → about 1/rms(x).
    """
    return view.stretching[EPSILONS.index(epsilon)]


@sensitivity(
    "gain_scale_{scale:.2f}",
    lambda scale: 62 + SCALES.index(scale),
    variants=[{"scale": scale} for scale in SCALES],
)
def gain(view: ProbeView, scale: float) -> Number:
    """‖O(αx) − O(0)‖/‖O(x) − O(0)‖ for the scale α.

    2x + 1 → α; sign(x)|x|^p → α^p; x/rms(x) with O(0) = 0 → 1.
    """
    return view.gains[SCALES.index(scale)]


@sensitivity("linearity_r2", 66, bounds="[0, 1]")
def linearity_r2(view: ProbeView) -> Number:
    """1 − ‖O(x + w) − O(x) − O(w) + O(0)‖²/‖O(x + w) − O(0)‖², not below 0: how far sums map to sums.

    w is x with its channels in reverse order, rolled by (H/2, W/2), a single channel by (H/2, W/4).

    2x + 1 → 1; x² with x = sin, w = cos → 2/3; ReLU on independent Gaussian x and w → ½ + 1/π.
    """
    return view.linearity


@sensitivity("saturation_degree", 67, bounds="≤ 1.5", redundant_with=("gain_scale_1.50",))
def saturation_degree(view: ProbeView) -> Number:
    """1.5 − gain_scale_1.50: how far the output lags behind an input half as large again.

    2x + 1 → 0; sign(x)|x|^p → 1.5 − 1.5^p; x/rms(x) → 0.5.
    """
    return 1.5 - view.gains[SCALES.index(1.5)]


@sensitivity(
    "compression_ratio",
    68,
    bounds="> 0",
    transform="ln",
    redundant_with=("gain_scale_0.50", "gain_scale_1.50"),
)
def compression_ratio(view: ProbeView) -> Number:
    """[gain(0.5)/0.5]/[gain(1.5)/1.5]: above 1 for operators that compress, below 1 for those that expand.

    2x + 1 → 1; sign(x)|x|^p → 3^(1−p); x/rms(x) → 3. NaN where gain(1.5) = 0.
    """
    half, more = view.gains[SCALES.index(0.5)], view.gains[SCALES.index(1.5)]
    return ratio(half / 0.5, more / 1.5)
