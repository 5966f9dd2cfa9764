"""The quality gate of the sampling: measured before anything is computed, recorded in the dataset."""

from dataclasses import dataclass
from typing import Any

from spinlock.config.model import SamplingValidation
from spinlock.errors import SpinlockError
from spinlock.execution.plan import Plan
from spinlock.sampling import SamplingQuality, Verdict, assess, judge

MOST_POINTS = 1 << 17
"""Points assessed; the first ones of a larger design."""


@dataclass(frozen=True)
class SamplingReport:
    """The metrics and the verdict."""

    quality: SamplingQuality
    verdict: Verdict

    @property
    def failures(self) -> tuple[str, ...]:
        """What was below the bar, a line each."""
        return self.verdict.failures

    def as_dict(self) -> dict[str, Any]:
        """Return what ``@sampling_metrics`` holds."""
        return {**self.quality.as_dict(), "verdict": self.verdict.outcome, "failures": list(self.failures)}


def measure(plan: Plan) -> SamplingReport:
    """Return the report on a plan's points."""
    limits: SamplingValidation = plan.config.sampling.validation
    quality = assess(plan.points(0, min(plan.total_samples, MOST_POINTS)), plan.space.names)
    verdict = judge(
        quality,
        max_discrepancy_ratio=limits.max_discrepancy_ratio,
        max_correlation=limits.max_correlation,
        max_imbalance=limits.max_imbalance,
    )
    return SamplingReport(quality, verdict)


def sampling_report(plan: Plan) -> SamplingReport:
    """Return the report on a plan's points.

    Raises
    ------
    SpinlockError
        Where they are below the bar and ``sampling.validation.on_failure`` is ``stop``.
    """
    report = measure(plan)
    if report.failures and plan.config.sampling.validation.on_failure == "stop":
        raise SpinlockError(
            "the sampling is below the bar of sampling.validation, and on_failure is stop:\n  "
            + "\n  ".join(report.failures)
            + "\nTake another seed, more samples, or other limits; nothing was computed"
        )
    return report
