"""The features of one sample, from its frames and its operator."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn

from spinlock.execution.feature_layout import FeatureChoice, feature_entries
from spinlock.execution.plan import Draw, Plan
from spinlock.execution.probes import FrozenOperator, frozen_operator
from spinlock.execution.simulate import Sampled, build_operator
from spinlock.operators import Operator

if TYPE_CHECKING:
    from spinlock.features.table import SampleFeatures

NEEDS_OPERATOR = "operator_sensitivity"


def measure_features(
    plan: Plan,
    draw: Draw,
    operator: nn.Module,
    frames: Tensor,
    choice: FeatureChoice,
    checkpoint: Callable[[], None] = lambda: None,
) -> "SampleFeatures":
    """Return the features of a sample: a pure function of its frames and its draw.

    Parameters
    ----------
    plan, draw, operator
        What the sample was made of.
    frames
        All frames, float32 [M, T, C, H, W], as the rollout gave them.
    choice
        The categories to measure; the columns of the others are NaN.
    checkpoint
        Called before each realization; raise in it to give the sample up.
    """
    from spinlock.features.extraction import extract_sample

    probes = _probes(plan, draw, operator, frames) if NEEDS_OPERATOR in choice.categories else None

    def in_turn(work: Callable[[int], Any], items: Iterable[int]) -> Iterator[Any]:
        for item in items:
            checkpoint()
            yield work(item)

    return extract_sample(frames, probes, plan.seed, draw.index, categories=choice.categories, spread=in_turn)


def feature_row(
    plan: Plan, sample: Sampled, checkpoint: Callable[[], None] = lambda: None
) -> tuple[dict[str, Any], float]:
    """Return the entries of a sample just simulated in the feature tables, and the seconds they took."""
    assert plan.features is not None
    assert plan.layout.features is not None
    features = measure_features(
        plan, sample.draw, sample.operator, sample.rollout.frames, plan.features, checkpoint
    )
    return feature_entries(plan.layout.features, features), features.seconds


def _probes(plan: Plan, draw: Draw, operator: nn.Module, frames: Tensor) -> FrozenOperator:
    """Return the operator to probe: in float32, because a probe is a difference of nearby outputs."""
    if plan.config.simulation.precision != "float32":
        operator = build_operator(plan, draw, frames.device, precision="float32")
    return frozen_operator(
        cast("Operator", operator),
        draw.noise,
        seed=plan.seed,
        sample=draw.index,
        size=draw.grid_size,
        device=frames.device,
    )
