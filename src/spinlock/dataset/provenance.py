"""Provenance: where and how a dataset was made, as its receipts say and its file records."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import torch

from spinlock import __version__
from spinlock.dataset.quality import SamplingReport
from spinlock.errors import UsageError
from spinlock.execution.environment import differences, numerical_environment, software_versions
from spinlock.execution.plan import Plan
from spinlock.execution.stages import summed_seconds
from spinlock.storage import Receipt


def merged_environments(receipts: Iterable[Receipt]) -> list[dict[str, str]]:
    """Return the different environments that receipts name."""
    return [dict(items) for items in sorted({tuple(sorted(r.environment.items())) for r in receipts})]


def merged_timings(receipts: Iterable[Receipt]) -> dict[str, float]:
    """Return the seconds of each stage, summed over receipts."""
    summed = summed_seconds(receipt.timings for receipt in receipts)
    return {stage: round(seconds, 3) for stage, seconds in summed.items()}


BEGIN_AGAIN = "Go on where it was begun, begin again with --fresh, or accept it with --allow-mixed"


def refuse_mixing(
    environments: Sequence[Mapping[str, str]], devices: Sequence[torch.device], remedy: str = BEGIN_AGAIN
) -> None:
    """Raise `UsageError` where work was begun in other environments than that of the devices here."""
    differing = differences([*environments, *(numerical_environment(device) for device in devices)])
    if differing:
        raise UsageError(
            f"this dataset would mix environments, which changes its last bits ({differing}). {remedy}"
        )


def file_attributes(
    plan: Plan, sampling: SamplingReport, receipts: Sequence[Receipt], executor: str, workers: int
) -> dict[str, Any]:
    """Return the attributes of ``/metadata``."""
    provenance = {
        "environments": merged_environments(receipts),
        "versions": software_versions(),
        "timings": merged_timings(receipts),
        "executor": executor,
        "workers": workers,
    }
    return {
        "config": json.dumps(plan.config.model_dump(mode="json")),
        "sampling_metrics": json.dumps(sampling.as_dict()),
        "creation_date": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": plan.config.version,
        "spinlock_version": __version__,
        "plan_digest": plan.digest,
        "provenance": json.dumps(provenance),
    }
