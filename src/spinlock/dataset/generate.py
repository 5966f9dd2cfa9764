"""The pipeline: configuration → plan → quality gate → shards → one complete file."""

import logging
import warnings
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import torch

from spinlock.config.model import Config
from spinlock.dataset.feature_facts import generated_facts
from spinlock.dataset.output import check_output, require_disk, resolved_output
from spinlock.dataset.profile import Profiler
from spinlock.dataset.progress import Progress, Silent
from spinlock.dataset.provenance import file_attributes, merged_environments
from spinlock.dataset.quality import sampling_report
from spinlock.dataset.repair import begin_repair, refuse_contradictions
from spinlock.dataset.resume import remove_work_of_complete, work_left
from spinlock.dataset.summary import Summary, quarantine_message, summarise
from spinlock.dataset.workers import WorkerCount
from spinlock.errors import InterruptedRunError, SpinlockError
from spinlock.execution.devices import computed_elsewhere, prepare_process, resolve_devices
from spinlock.execution.executors.choice import choose, execute, require_executor
from spinlock.execution.executors.outcome import Job, Quarantined
from spinlock.execution.plan import Plan, make_plan
from spinlock.execution.run_directory import RunDirectory
from spinlock.storage import finalize

logger = logging.getLogger("spinlock")


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
    repair
        Keep what is sound of a damaged dataset at the output path, and make the rest again.
    """

    def __init__(
        self,
        config: Config,
        *,
        force: bool = False,
        fresh: bool = False,
        allow_mixed: bool = False,
        repair: bool = False,
    ) -> None:
        self.config, self.force, self.fresh, self.allow_mixed = config, force, fresh, allow_mixed
        self.repair = repair

    def dry_run(self) -> dict[str, Any]:
        """Return the plan with sizes and a calibrated time; validates everything and makes nothing."""
        from spinlock.dataset.preview import preview

        return preview(self.config, force=self.force)

    def generate(self, progress: Progress | None = None) -> Summary:
        """Make the dataset, going on where an earlier run of the same plan stopped, and return a summary.

        Raises
        ------
        UsageError
            Before anything is computed: another dataset at the path, a path that cannot be written, partial
            work of another plan or from another environment, nothing to repair.
        StorageError
            Where the disk is too small or fails; everything committed stays.
        SpinlockError
            Where the sampling is below the bar, or shards failed three times; the others are kept.
        InterruptedRunError
            After Ctrl-C; everything committed stays.
        """
        try:
            return self._generate(progress or Silent())
        except KeyboardInterrupt:
            raise InterruptedRunError(
                f"interrupted before {self.config.dataset.output_path} was complete; every finished shard is "
                "kept. Run the same command again to go on"
            ) from None

    def _generate(self, progress: Progress) -> Summary:
        profiler = Profiler()
        progress.stage("planning")
        require_executor(self.config)
        prepare_process()
        plan = make_plan(self.config)
        output = resolved_output(self.config.dataset.output_path)
        repair = None
        if self.repair:
            refuse_contradictions(force=self.force, fresh=self.fresh)
            repair = begin_repair(output, plan, self.allow_mixed)
        replaced = self.force or repair is not None
        if check_output(output, plan, force=replaced, fresh=self.fresh):
            remove_work_of_complete(output, plan)
            logger.info("%s is complete already", output)
            return summarise(output)
        sampling = sampling_report(plan)
        for failure in sampling.failures:
            warnings.warn(f"sampling: {failure}", UserWarning, stacklevel=3)
        devices = resolve_devices(self.config)
        require_disk(plan, output, None if repair is None else repair.feature_layout)
        with RunDirectory(output, plan, fresh=self.fresh) as run:
            if check_output(output, plan, force=replaced, fresh=self.fresh):
                run.remove()  # another run made it between the first look and the lock
                return summarise(output)
            if repair is not None:
                repair.carry(run, [] if computed_elsewhere(self.config) else devices, progress)
            executor, workers, before = self._compute(plan, devices, run, progress, profiler)
            progress.stage("finalizing")
            profiler.begin("finalizing")
            receipts = run.all_receipts()
            attributes = file_attributes(plan, sampling, receipts, executor, workers)
            shards = [receipt.shard_file(run.path) for receipt in receipts]
            join = finalize if repair is None else repair.finalize
            join(output, plan.layout, shards, attributes, facts=generated_facts(plan, receipts))
            run.remove()
        profile = profiler.profile(receipts, before, output, executor, workers)
        return summarise(output, profile, sum(one.hi - one.lo for one in receipts if one.shard not in before))

    def _compute(
        self,
        plan: Plan,
        devices: Sequence[torch.device],
        run: RunDirectory,
        progress: Progress,
        profiler: Profiler,
    ) -> tuple[str, int, frozenset[int]]:
        """Compute every shard without a valid receipt; return executor, workers, shards that had one."""
        judged = [] if computed_elsewhere(self.config) else devices  # elsewhere a worker is, as it starts
        done, missing = work_left(run, judged, allow_mixed=self.allow_mixed)
        progress.begin(plan.total_samples, sum(receipt.hi - receipt.lo for receipt in done.values()))
        if not missing:
            return "none", 0, frozenset(done)
        kind, workers = choose(plan, devices, len(missing))
        count = WorkerCount(progress, self.config, devices, kind, workers)
        profiler.begin("workers")
        environments = tuple(merged_environments(done.values()))
        job = Job(plan, run.path, tuple(devices), workers, environments, self.allow_mixed, count.found)
        with closing(execute(kind, job, missing, progress.advance)) as outcomes:
            failed = [outcome for outcome in outcomes if isinstance(outcome, Quarantined)]
        if failed:
            raise SpinlockError(quarantine_message(plan, failed))
        return kind, count.most, frozenset(done)
