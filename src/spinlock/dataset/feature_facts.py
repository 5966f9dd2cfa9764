"""What a file says about its features beside the numbers: conventions, origin, times."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from spinlock import __version__
from spinlock.dataset.provenance import merged_environments
from spinlock.execution.feature_layout import CONVENTIONS, FeatureChoice, feature_schema
from spinlock.execution.plan import Plan
from spinlock.storage import Receipt
from spinlock.storage.feature_layout import FeatureFacts


def feature_facts(
    choice: FeatureChoice, environments: Sequence[dict[str, str]], seconds: NDArray[np.float64]
) -> FeatureFacts:
    """Return the facts about features measured now or just before.

    Parameters
    ----------
    choice
        Version and categories.
    environments
        Where they were computed: device model, torch build, instruction set.
    seconds
        What each sample took, float64 [N]; NaN where it was left out.
    """
    return FeatureFacts(
        schema=feature_schema(choice.version),
        conventions={**CONVENTIONS, "categories": json.dumps(choice.categories)},
        origin={
            "extraction_timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "environments": json.dumps(list(environments)),
            "spinlock_version": __version__,
        },
        seconds=seconds,
    )


def generated_facts(plan: Plan, receipts: Sequence[Receipt]) -> FeatureFacts | None:
    """Return the facts about features measured during generation, None where none were."""
    if plan.features is None:
        return None
    seconds = np.array([spent for receipt in receipts for spent in receipt.extraction_seconds])
    return feature_facts(plan.features, merged_environments(receipts), seconds)
