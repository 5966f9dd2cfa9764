"""The dry run: everything a run would do and cost, with nothing made."""

import math
from typing import Any

from spinlock.config.model import Config
from spinlock.dataset.output import check_output, needed_bytes, require_disk, resolved_output
from spinlock.dataset.part import WHOLE, Part
from spinlock.dataset.quality import sampling_report
from spinlock.dataset.workers import where_computed
from spinlock.execution.devices import computed_elsewhere, prepare_process, resolve_devices
from spinlock.execution.estimate import calibrate, estimate, extreme_draws
from spinlock.execution.executors.choice import choose, require_executor
from spinlock.execution.in_flight import most_in_flight
from spinlock.execution.plan import make_plan
from spinlock.storage import form_to_make


def preview(config: Config, *, force: bool = False, part: Part = WHOLE) -> dict[str, Any]:
    """Return the plan of a configuration with sizes, memory and a time from a short calibration.

    Raises
    ------
    UsageError, StorageError
        Whatever `generate` would refuse before computing: the output path, the sampling, the disk.
    """
    require_executor(config, to_run=False)
    prepare_process()
    plan = make_plan(config)
    output = resolved_output(config.dataset.output_path)
    complete = check_output(output, plan, force=force, fresh=False)
    report = sampling_report(plan)
    devices = resolve_devices(config)
    elsewhere = computed_elsewhere(config)
    part.check(plan)
    require_disk(plan, output, share=part.share(plan))
    kind, workers = choose(plan, devices, plan.num_shards)
    built, correction = calibrate(plan, extreme_draws(plan), devices[0])
    cost = estimate(plan, correction)
    return {
        "output": str(output),
        "complete": complete,
        "plan_digest": plan.digest,
        "samples": plan.total_samples,
        "rows": round(part.share(plan) * plan.total_samples),
        "parameters": list(plan.space.names),
        "grids": list(plan.grids) if len(plan.grids) <= 8 else [plan.grids[0], plan.grids[-1]],
        "initial_conditions": {c.label: c.weight for c in plan.mixture.components},
        "shards": plan.num_shards,
        "rows_per_shard": plan.rows_per_shard,
        "executor": kind,
        "workers": workers,
        "in_flight": workers,
        "fit_into_memory": None if elsewhere else most_in_flight(plan, devices, processes=kind == "process"),
        "device": where_computed(config, devices),
        "architectures": cost.architectures,
        "surveyed": cost.surveyed,
        "operators_built": built,
        "flops": cost.flops,
        "data_bytes": int(cost.data_bytes),
        "disk_bytes": needed_bytes(cost.data_bytes, form=form_to_make(output)),
        "memory_bytes": int(cost.memory_bytes * (1 if kind == "inline" else workers)),
        "core_seconds": round(cost.core_seconds, 1),
        "seconds": math.ceil(cost.core_seconds / workers),
        "sampling": report.as_dict(),
    }
