"""Run shards in array jobs of SLURM, submitted and watched from here.

Tasks commit shards and receipts to the run directory, which all nodes share; the receipts count, and nothing
else. What a task leaves undone is submitted again. A driver that was killed finds the records of its arrays
in the run directory and goes on watching them.
"""

import logging
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

from spinlock.counting import counted
from spinlock.errors import SpinlockError, StorageError, UsageError
from spinlock.execution.executors.outcome import MOST_ATTEMPTS, Job, Outcome, Quarantined
from spinlock.execution.executors.slurm_commands import CommandError, require_commands, states, submit
from spinlock.execution.executors.slurm_end import end_array
from spinlock.execution.executors.slurm_files import ArrayRecord, forget_agreement, standing_records
from spinlock.execution.executors.slurm_script import job_name, script_text
from spinlock.execution.executors.slurm_watch import WatchedArray, WatchedTask
from spinlock.storage import Receipt, commit_text
from spinlock.storage.receipts import read_receipt, receipt_path

logger = logging.getLogger("spinlock")

RECEIPT = re.compile(r"part-(\d+)\.json")

INSTEAD = (
    "Give the command on a login node of the cluster, or choose another executor: --executor process uses "
    "the cores and GPUs of this machine, --executor ray a Ray cluster"
)

REFUSALS = 5
"""So often in turn sbatch may refuse to take what other tasks left undone, before the run ends."""


def run_slurm(job: Job, shards: Iterable[int], on_row: Callable[[], None]) -> Generator[Outcome, None, None]:
    """Yield the outcome of every shard, computed by ``job.workers`` tasks of an array job.

    A shard that was begun and not committed when its task ended, whatever ended it, has failed; shards that
    were not begun are submitted again as often as it takes. Closing the generator, or an exception in the
    caller, cancels what runs.

    Raises
    ------
    UsageError
        Where the commands of SLURM are not here, or a node would compute other bits than those before.
    StorageError
        Where a task cannot write.
    SpinlockError
        Where sbatch refuses, tasks cannot start, or somebody else cancels them.
    """
    require_commands(INSTEAD)
    run = _Run(job, shards, on_row)
    poll = job.plan.config.simulation.parallelism.slurm.poll_seconds
    try:
        run.begin()
        while run.outstanding:
            run.submit()
            yield from run.look()
            if run.outstanding:
                time.sleep(poll)
    finally:
        run.leave()


class _Run:
    """What is outstanding, what waits to be submitted, and the arrays that are at work."""

    def __init__(self, job: Job, shards: Iterable[int], on_row: Callable[[], None]) -> None:
        self.outstanding = set(shards)
        self._job, self._on_row = job, on_row
        self._settings = job.plan.config.simulation.parallelism
        self._waiting: set[int] = set()
        self._arrays: list[WatchedArray] = []
        self._attempts = job.attempts()
        self._unstarted: Counter[int] = Counter()
        self._told: set[str] = set()
        self._refused = 0

    def begin(self) -> None:
        """Go on watching arrays of a driver that was killed; whatever they do not compute waits."""
        for record in standing_records(self._job.directory):
            self._adopt(record)
        if not self._arrays:
            forget_agreement(self._job.directory)
        self._waiting = set(self.outstanding)
        for shard in self._listed():
            if self._receipt(shard, deep=True) is None:
                receipt_path(self._job.directory, shard).unlink(missing_ok=True)
            else:
                self._waiting.discard(shard)  # a task committed it after the caller looked
        for array in self._arrays:
            self._waiting -= {shard for task in array.tasks for shard in task.shards}

    def _adopt(self, record: ArrayRecord) -> None:
        try:
            number, found = states(record)
        except CommandError as error:
            raise SpinlockError(
                f"{error}; so nobody knows whether the job {record.name} of an earlier run is still there. "
                "Run the same command again once SLURM answers"
            ) from None
        living = any(not state.ended for state in found.values())
        if not living:
            record.drop()
            return
        if record.settings != self._settings.model_dump(mode="json"):
            end_array(record)
            return
        array = WatchedArray(record if record.job else record.submitted(number))
        array.look()
        for task in array.tasks:
            list(task.news())  # its rows were counted before, or never will be
        self._arrays.append(array)
        self._tell_workers()
        logger.info("array job %s of an earlier run is still there: the run goes on with it", number)

    def submit(self) -> None:
        """Submit what waits.

        Raises
        ------
        SpinlockError
            Where sbatch refuses the first array, or later ones again and again.
        """
        if not self._waiting:
            return
        record = self._record()
        record.write()
        try:
            commit_text(record.script, script_text(record, self._settings.slurm.options))
            record = record.submitted(_submit(record))
        except CommandError as error:
            record.drop()
            self._refuse(record, error)
            return
        except BaseException:  # Ctrl-C, say: SLURM may have taken it all the same
            end_array(record)
            raise
        self._waiting.clear()
        self._refused = 0
        self._arrays.append(WatchedArray(record))
        self._tell_workers()
        logger.info(
            "submitted array job %s: %s in %s; its script is %s, its logs are in %s",
            record.number, counted(len(record.shards), "shard"), counted(record.tasks, "task"),
            record.script, record.log(0).parent,
        )  # fmt: skip

    def _record(self) -> ArrayRecord:
        at_work = sum(len(array.tasks) for array in self._arrays)
        return ArrayRecord(
            directory=str(self._job.directory.absolute()),
            name=job_name(self._job.directory.name.removesuffix(".parts"), uuid4().hex[:8]),
            shards=sorted(self._waiting),
            tasks=max(1, min(self._job.workers - at_work, len(self._waiting))),
            failures={str(shard): count for shard, count in self._attempts.failures.items()},
            settings=self._settings.model_dump(mode="json"),
            environments=self._job.environments,
            allow_mixed=self._job.allow_mixed,
        )

    def _refuse(self, record: ArrayRecord, error: CommandError) -> None:
        self._refused += 1
        if not self._arrays or self._refused >= REFUSALS:
            raise SpinlockError(
                f"{error}. Its script was {record.script}; the options of sbatch stand in the configuration "
                "under simulation.parallelism.slurm.options, the number of tasks beside them. What is "
                "committed is kept: run the same command again to go on"
            )
        logger.warning("warning: %s; it is tried again", error)

    def _tell_workers(self) -> None:
        self._job.on_workers(sum(len(array.tasks) for array in self._arrays))

    def look(self) -> Iterator[Outcome]:
        """Yield the outcomes that came since the last look; what ended tasks left undone waits again."""
        for array in self._arrays:
            array.look()
        for array in self._arrays:
            for task in array.tasks:
                for event in task.news():
                    yield from self._hear(task, event)
        yield from self._receipts()
        for array in self._arrays:
            for task in array.take_ended(self.outstanding):
                yield from self._undone(task)
            if not array.tasks:
                array.record.drop()
        if any(not array.tasks for array in self._arrays):
            self._arrays = [array for array in self._arrays if array.tasks]

    def _hear(self, task: WatchedTask, event: dict[str, Any]) -> Iterator[Outcome]:
        if "storage_error" in event:
            raise StorageError(f"{event['storage_error']} ({task.name})")
        if "mixing" in event:
            raise UsageError(
                "the nodes of the cluster are not alike, which would change the last bits of this dataset "
                f"({event['mixing']}; {task.name}). Ask for nodes that are, by constraint, nodelist or "
                "partition under simulation.parallelism.slurm.options, or accept it with --allow-mixed"
            )
        if "error" in event:
            raise SpinlockError(f"{task.name} could not go on: {event['error']}\n{task.last_lines}")
        if "warning" in event and event["warning"] not in self._told:
            self._told.add(event["warning"])
            logger.warning("%s (%s)", event["warning"], task.name)
        for _ in range(event.get("rows", 0)):
            self._on_row()
        shard = event.get("quarantined")
        if shard in self.outstanding:
            self.outstanding.discard(shard)
            yield Quarantined(shard, event["reason"])

    def _receipts(self) -> Iterator[Receipt]:
        """Yield the receipts that came in sight."""
        for shard in self._listed():
            receipt = self._receipt(shard)
            if receipt is not None:
                self.outstanding.discard(receipt.shard)
                self._waiting.discard(receipt.shard)
                yield receipt

    def _listed(self) -> list[int]:
        """Return the outstanding shards that have a receipt, whether it counts or not."""
        with os.scandir(self._job.directory / "receipts") as entries:
            found = [RECEIPT.fullmatch(entry.name) for entry in entries]
        return sorted(self.outstanding.intersection(int(name[1]) for name in found if name))

    def _receipt(self, shard: int, *, deep: bool = False) -> Receipt | None:
        """Return the receipt of a shard that stands, None where there is none; ``deep`` reads the shard."""
        try:
            receipt = read_receipt(self._job.directory, shard, self._job.plan.digest, deep=deep)
        except (StorageError, OSError, UnicodeDecodeError):
            return None
        return receipt if (receipt.lo, receipt.hi) == self._job.plan.shard_range(shard) else None

    def _undone(self, task: WatchedTask) -> Iterator[Outcome]:
        """Yield the quarantine of shards that failed for the last time as a task ended; the others wait."""
        left = [shard for shard in task.shards if shard in self.outstanding]
        if not left:
            return
        if task.state.word == "CANCELLED":
            raise SpinlockError(
                f"{task.name} was cancelled, by scancel or by an administrator, and so the run ends. What is "
                "committed is kept: run the same command again to go on"
            )
        if task.workers is None:
            self._unstarted.update(left)
            self._judge_unstarted(task)
        for shard in task.in_flight(left):
            outcome = self._attempts.failed(shard, task.how)
            if outcome is not None:
                self.outstanding.discard(shard)
                yield outcome
        self._waiting |= self.outstanding.intersection(left)

    def _judge_unstarted(self, task: WatchedTask) -> None:
        """Raise `SpinlockError` where tasks for the same shard ended three times before they began."""
        if max(self._unstarted.values()) >= MOST_ATTEMPTS:
            raise SpinlockError(
                f"tasks end before they begin ({task.how}). Do all nodes see {self._job.directory}, and the "
                f"Python that runs here? Bad nodes can be left out by simulation.parallelism.slurm.options."
                f"exclude. Everything committed is kept.\n{task.last_lines}"
            )
        logger.warning("warning: %s, before it began; its shards are submitted again", task.how)

    def leave(self) -> None:
        """End the arrays that have something left to do; the others end by themselves."""
        busy = [array.record for array in self._arrays if self._is_busy(array)]
        for array in self._arrays:
            array.record.drop()
        for record in busy:
            end_array(record)

    def _is_busy(self, array: WatchedArray) -> bool:
        shards = (shard for task in array.tasks if not task.over for shard in task.shards)
        return any(not receipt_path(self._job.directory, shard).exists() for shard in shards)


def _submit(record: ArrayRecord) -> str:
    """Return the number of the job; that of a job whose acceptance did not reach sbatch, too."""
    try:
        return submit(record.script)
    except CommandError:
        with suppress(CommandError):
            number, _ = states(record)
            if number:
                return number
        raise
