"""Points of the parameter space: scrambled Sobol points by index, what they mean, and how good they are."""

from spinlock.sampling.directions import MAX_DIMENSIONS
from spinlock.sampling.quality import SamplingQuality, Verdict, assess, judge
from spinlock.sampling.sobol import sobol_points
from spinlock.sampling.space import Parameter, ParameterSpace

__all__ = [
    "MAX_DIMENSIONS",
    "Parameter",
    "ParameterSpace",
    "SamplingQuality",
    "Verdict",
    "assess",
    "judge",
    "sobol_points",
]
