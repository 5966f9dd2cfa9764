"""The pipeline: configuration → plan → quality gate → shards → one complete file."""

import json
import logging
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from spinlock import __version__
from spinlock.config.model import Config
from spinlock.dataset.output import check_output, require_disk
from spinlock.dataset.quality import SamplingReport, sampling_report
from spinlock.dataset.summary import Summary, merged_environments, merged_timings, summarise
from spinlock.errors import InterruptedRunError, SpinlockError, UsageError
from spinlock.execution.devices import pin_numerics, resolve_devices
from spinlock.execution.environment import numerical_environment, software_versions
from spinlock.execution.executors.choice import choose, execute
from spinlock.execution.executors.outcome import Job, Quarantined
from spinlock.execution.plan import Plan, make_plan
from spinlock.execution.run_directory import RunDirectory
from spinlock.storage import finalize

logger = logging.getLogger("spinlock")


class Progress(Protocol):
    """What a run tells while it works."""

    def begin(self, total: int, done: int) -> None:
        """Tell how many samples there are and how many were done before."""

    def advance(self) -> None:
        """Tell that one more sample is computed."""

    def stage(self, what: str) -> None:
        """Tell what the run is doing."""


class Silent:
    """Progress that nobody watches."""

    def begin(self, total: int, done: int) -> None:
        """Say nothing."""

    def advance(self) -> None:
        """Say nothing."""

    def stage(self, what: str) -> None:
        """Say nothing."""


class DatasetGenerationPipeline:
    """Makes the dataset that a configuration describes.

    Parameters
    ----------
    config
        From `spinlock.config.load_config`.
    force
        Replace another dataset at the output path; the old one stays until the new one is complete.
    fresh
        Drop partial work and begin again.
    allow_mixed
        Go on with work begun on another device model, torch build or instruction set.
    """

    def __init__(self, config: Config, *, force: bool = False, fresh: bool = False, allow_mixed: bool = False) -> None:
        self.config, self.force, self.fresh, self.allow_mixed = config, force, fresh, allow_mixed

    def dry_run(self) -> dict[str, Any]:
        """Return the plan with sizes and a calibrated time; validates everything and makes nothing."""
        from spinlock.dataset.preview import preview

        return preview(self.config, force=self.force)

    def generate(self, progress: Progress | None = None) -> Summary:
        """Make the dataset, going on where an earlier run of the same plan stopped, and return a summary.

        Raises
        ------
        UsageError
            Before anything is computed: another dataset at the path, a path that cannot be written, work begun
            in another environment, a sampling below the bar.
        StorageError
            Where the disk is too small or fails; everything committed stays.
        InterruptedRunError
            After Ctrl-C; everything committed stays.
        """
        progress = progress or Silent()
        started = time.perf_counter()
        pin_numerics()
        progress.stage("planning")
        plan = make_plan(self.config)
        output = Path(self.config.dataset.output_path)
        if check_output(output, plan, force=self.force, fresh=self.fresh):
            logger.info("%s is complete already", output)
            return summarise(output)
        sampling = sampling_report(plan)
        for failure in sampling.failures:
            warnings.warn(f"sampling: {failure}", UserWarning, stacklevel=2)
        with RunDirectory(output, plan, fresh=self.fresh) as run:
            kind, workers = self._compute(plan, run, progress)
            progress.stage("finalizing")
            receipts = run.all_receipts()
            attributes = _attributes(plan, sampling, merged_environments(receipts), merged_timings(receipts), kind, workers)
            finalize(output, plan.layout, [r.shard_file(run.path) for r in receipts], attributes)
            run.remove()
        return summarise(output, seconds=time.perf_counter() - started)

    def _compute(self, plan: Plan, run: RunDirectory, progress: Progress) -> tuple[str, int]:
        """Compute every shard that has no valid receipt."""
        scan = run.receipts()
        for path, reason in scan.rejected.items():
            logger.info("%s does not count (%s); its samples are made again", path.name, reason)
        devices = resolve_devices(self.config)
        self._refuse_mixing(scan.valid.values(), [numerical_environment(device) for device in devices])
        missing = [shard for shard in range(plan.num_shards) if shard not in scan.valid]
        require_disk(plan, run.output, sum(receipt.size for receipt in scan.valid.values()))
        done = sum(receipt.hi - receipt.lo for receipt in scan.valid.values())
        progress.begin(plan.total_samples, done)
        if done:
            logger.info("going on: %d of %d samples were done before", done, plan.total_samples)
        if not missing:
            return "none", 0
        kind, workers = choose(plan, devices, len(missing))
        progress.stage(f"simulating ({kind}, {workers} worker{'s' if workers > 1 else ''}, {devices[0]})")
        job = Job(plan, run.path, tuple(devices), workers)
        try:
            outcomes = list(execute(kind, job, missing, progress.advance))
        except KeyboardInterrupt:
            raise InterruptedRunError(
                f"interrupted; what is done is kept in {run.path}. Run the same command again to go on"
            ) from None
        failed = [outcome for outcome in outcomes if isinstance(outcome, Quarantined)]
        if failed:
            raise SpinlockError(_failure(plan, failed))
        return kind, workers

    def _refuse_mixing(self, receipts: Any, here: list[dict[str, str]]) -> None:
        known = here + merged_environments(receipts)
        differing = sorted({key for one in known for key in one if len({e.get(key) for e in known}) > 1})
        if differing and not self.allow_mixed:
            found = "; ".join(f"{key}: {' and '.join(sorted({str(e.get(key)) for e in known}))}" for key in differing)
            raise UsageError(
                f"this dataset would mix environments, which changes its last bits ({found}). Go on where it was begun, "
                "begin again with --fresh, or accept it with --allow-mixed"
            )


def _failure(plan: Plan, failed: list[Quarantined]) -> str:
    lines = [f"{len(failed)} of {plan.num_shards} shards failed three times; the others are kept. Run again to retry them:"]
    for outcome in failed:
        low, high = plan.shard_range(outcome.shard)
        lines.append(f"  samples {low} to {high - 1}: {outcome.reason}")
    return "\n".join(lines)


def _attributes(
    plan: Plan,
    sampling: SamplingReport,
    environments: list[dict[str, str]],
    timings: dict[str, float],
    kind: str,
    workers: int,
) -> dict[str, Any]:
    provenance = {
        "environments": environments,
        "versions": software_versions(),
        "timings": timings,
        "executor": kind,
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
