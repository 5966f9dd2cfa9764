"""The pipeline: configuration → plan → quality gate → shards → one complete file."""

import logging
import warnings
from typing import Any

from spinlock.config.model import Config
from spinlock.dataset.compute import compute_missing
from spinlock.dataset.joining import join_shards
from spinlock.dataset.output import check_output, require_disk, resolved_output
from spinlock.dataset.part import WHOLE, Part, PartSummary, rows_of, summarise_part
from spinlock.dataset.profile import Profiler
from spinlock.dataset.progress import Progress, Silent
from spinlock.dataset.quality import sampling_report
from spinlock.dataset.repair import begin_repair, refuse_contradictions
from spinlock.dataset.resume import finish, finish_complete
from spinlock.dataset.summary import Summary, summarise
from spinlock.errors import InterruptedRunError, UsageError
from spinlock.execution.devices import computed_elsewhere, prepare_process, resolve_devices
from spinlock.execution.executors.choice import require_executor
from spinlock.execution.plan import make_plan
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

    def dry_run(self, part: Part = WHOLE) -> dict[str, Any]:
        """Return the plan with sizes and a calibrated time; validates everything and makes nothing.

        Sizes and time are those of the whole dataset; the disk is asked for the rows of the part.
        """
        from spinlock.dataset.preview import preview

        return preview(self.config, force=self.force, part=part)

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
        summary = self._interruptible(progress, WHOLE)
        assert isinstance(summary, Summary)
        return summary

    def generate_part(self, part: Part, progress: Progress | None = None) -> PartSummary:
        """Make some of the missing shards and leave them in the run directory; the last ones end the dataset.

        The errors are those of `generate`, and

        Raises
        ------
        UsageError
            Where no shard of the plan can be meant, or a repair is asked for as well.
        """
        if self.repair:
            raise UsageError("--repair makes all that is damaged: leave out --range and --limit")
        summary = self._interruptible(progress, part)
        if isinstance(summary, PartSummary):
            return summary
        seconds = summary.seconds or 0.0
        return PartSummary("", summary.samples, summary.samples, summary.made, (), seconds, summary)

    def _interruptible(self, progress: Progress | None, part: Part) -> Summary | PartSummary:
        try:
            return self._generate(progress or Silent(), part)
        except KeyboardInterrupt:
            raise InterruptedRunError(
                f"interrupted before {self.config.dataset.output_path} was complete; every finished shard is "
                "kept. Run the same command again to go on"
            ) from None

    def _generate(self, progress: Progress, part: Part) -> Summary | PartSummary:
        profiler = Profiler()
        progress.stage("planning")
        require_executor(self.config)
        prepare_process()
        plan = make_plan(self.config)
        part.check(plan)
        output = resolved_output(self.config.dataset.output_path)
        repair = None
        if self.repair:
            refuse_contradictions(force=self.force, fresh=self.fresh)
            repair = begin_repair(output, plan, self.allow_mixed)
        replaced = self.force or repair is not None
        if check_output(output, plan, force=replaced, fresh=self.fresh):
            finish_complete(output, plan)
            logger.info("%s is complete already", output)
            return summarise(output)
        sampling = sampling_report(plan)
        for failure in sampling.failures:
            warnings.warn(f"sampling: {failure}", UserWarning, stacklevel=3)
        devices = resolve_devices(self.config)
        added = None if repair is None else repair.feature_layout
        require_disk(plan, output, added, part.share(plan))
        with RunDirectory(output, plan, fresh=self.fresh) as run:
            if check_output(output, plan, force=replaced, fresh=self.fresh):
                finish(run)  # another run made it between the first look and the lock
                return summarise(output)
            if repair is not None:
                repair.carry(run, [] if computed_elsewhere(self.config) else devices, progress)
            work = compute_missing(run, part, devices, progress, profiler, allow_mixed=self.allow_mixed)
            if work.left:
                return summarise_part(run, work.before, work.made, work.left, profiler.seconds)
            progress.stage("finalizing")
            profiler.begin("finalizing")
            join = finalize if repair is None else repair.finalize
            final, receipts = join_shards(run, sampling, work.executor, work.workers, join)
        profile = profiler.profile(receipts, work.before, final.size, work.executor, work.workers)
        return summarise(output, profile, rows_of(plan, work.made))
