"""Whether the sampled points cover the parameter space better than random points would.

Three metrics, each divided by what random points of the same number and dimension give, so that 1 is the
random bar and smaller is better: how well the cube is filled (centred discrepancy), whether two parameters
move together (correlation), and whether one parameter fills its range evenly (stratum balance).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from spinlock.errors import SpinlockError
from spinlock.sampling.balance import imbalances, random_imbalance, strata_for
from spinlock.sampling.correlation import correlations, random_correlation
from spinlock.sampling.discrepancy import centred_discrepancy, random_discrepancy

MAX_DISCREPANCY_POINTS = 4096
"""The discrepancy costs N² P, so it is taken on the first points only."""

POINTS_PER_PARAMETER = 16
"""Below this many points for each parameter there is no verdict."""


@dataclass(frozen=True)
class SamplingQuality:
    """The quality of N points in P dimensions; a metric that does not exist at this N and P is None."""

    num_points: int
    """N."""
    num_parameters: int
    """P."""
    discrepancy: float | None
    """Squared centred L2 discrepancy of the first 4,096 points."""
    discrepancy_ratio: float | None
    """The same over its expectation for random points."""
    max_correlation: float | None
    """Largest ``|r|`` between two parameters."""
    correlation_ratio: float | None
    """The same over the 95 % quantile for random points."""
    correlated_pair: tuple[str, str] | None
    """The two parameters of the largest ``|r|``."""
    num_strata: int
    """Equal parts that each axis is cut into for the counts."""
    max_imbalance: float | None
    """Largest chi-square of the counts of a parameter in equal strata."""
    imbalance_ratio: float | None
    """The same over the 95 % quantile for random points."""
    imbalance_ratios: dict[str, float]
    """The ratio of each parameter."""

    def as_dict(self) -> dict[str, Any]:
        """Return the metrics as a dict that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class Verdict:
    """What the metrics say: the outcome, and in ``failures`` value and limit of each metric beyond it."""

    outcome: Literal["pass", "fail", "too few points"]
    failures: tuple[str, ...] = ()


def assess(points: Float64[np.ndarray, "n p"], names: Sequence[str] | None = None) -> SamplingQuality:
    """Return the quality of points [N, P] of the unit cube; ``names`` are those of the P parameters.

    Raises
    ------
    SpinlockError
        If a coordinate lies outside [0, 1] or is not a number.
    """
    count, dimensions = points.shape
    names = list(names) if names is not None else [str(d) for d in range(dimensions)]
    if points.size and not (points.min() >= 0 and points.max() <= 1):
        raise SpinlockError("the sampled points do not lie in the unit cube: a coordinate is outside [0, 1]")
    strata = strata_for(count)
    return SamplingQuality(
        num_points=count,
        num_parameters=dimensions,
        num_strata=strata,
        **_discrepancy(points),
        **_correlation(points, names),
        **_imbalance(points, names, strata),
    )


def _discrepancy(points: np.ndarray) -> dict[str, Any]:
    first = points[:MAX_DISCREPANCY_POINTS]
    if first.size == 0:
        return {"discrepancy": None, "discrepancy_ratio": None}
    discrepancy = centred_discrepancy(first)
    return {"discrepancy": discrepancy, "discrepancy_ratio": discrepancy / random_discrepancy(*first.shape)}


def _correlation(points: np.ndarray, names: list[str]) -> dict[str, Any]:
    count, dimensions = points.shape
    if dimensions < 2 or count < 3:
        return {"max_correlation": None, "correlation_ratio": None, "correlated_pair": None}
    size = np.abs(np.triu(correlations(points), k=1))
    i, j = np.unravel_index(int(size.argmax()), size.shape)
    largest = float(size[i, j])
    return {
        "max_correlation": largest,
        "correlation_ratio": largest / random_correlation(count, dimensions),
        "correlated_pair": (names[int(i)], names[int(j)]) if largest else None,
    }


def _imbalance(points: np.ndarray, names: list[str], strata: int) -> dict[str, Any]:
    if strata < 2 or points.size == 0:
        return {"max_imbalance": None, "imbalance_ratio": None, "imbalance_ratios": {}}
    sizes = imbalances(points, strata)
    bar = random_imbalance(strata, points.shape[1])
    ratios = {name: size / bar for name, size in zip(names, sizes.tolist(), strict=True)}
    return {
        "max_imbalance": float(sizes.max()),
        "imbalance_ratio": max(ratios.values()),
        "imbalance_ratios": ratios,
    }


def judge(
    quality: SamplingQuality, *, max_discrepancy_ratio: float, max_correlation: float, max_imbalance: float
) -> Verdict:
    """Return the verdict on a sampling, for limits that are multiples of the random bar.

    A metric fails above its limit; one that is None is not judged. Below 16 points for each parameter the
    outcome is ``too few points``, whatever the values.
    """
    if quality.num_points < POINTS_PER_PARAMETER * quality.num_parameters:
        return Verdict("too few points")
    pair = f" between {' and '.join(quality.correlated_pair)}" if quality.correlated_pair else ""
    worst = max(quality.imbalance_ratios, key=lambda name: quality.imbalance_ratios[name], default="")
    metrics = (
        ("max_discrepancy_ratio", "centred discrepancy", quality.discrepancy_ratio, max_discrepancy_ratio),
        ("max_correlation", f"correlation{pair}", quality.correlation_ratio, max_correlation),
        ("max_imbalance", f"imbalance of {worst}", quality.imbalance_ratio, max_imbalance),
    )
    failures = tuple(
        f"{what} is {value:.3g} times that of random points; {option} allows {limit:g}"
        for option, what, value, limit in metrics
        if value is not None and value > limit
    )
    return Verdict("fail" if failures else "pass", failures)
