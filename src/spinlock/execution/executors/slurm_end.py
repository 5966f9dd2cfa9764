"""The end of array jobs: cancelled, and waited for until no task of theirs can write any more."""

import logging
import time
from collections.abc import Iterable
from pathlib import Path

from spinlock.errors import StorageError
from spinlock.execution.executors.slurm_commands import CommandError, cancel, require_commands, states
from spinlock.execution.executors.slurm_files import ArrayRecord, standing_records

logger = logging.getLogger("spinlock")

LEAVING_SECONDS = 60.0
"""Tasks that were cancelled leave at their next step; SLURM kills those that do not, after half a minute."""

ASKED_SECONDS = 0.5


def end_array(record: ArrayRecord) -> bool:
    """Cancel an array job and return whether all of its tasks are gone.

    Its record is dropped first: should SLURM not answer, the tasks leave by themselves.
    """
    record.drop()
    try:
        logger.info("cancelling array job %s", record.number or record.name)
        cancel(record)
        return _wait(record)
    except CommandError as error:
        logger.warning(
            "warning: %s; the tasks of array job %s leave by themselves within a minute, and can be ended "
            "by: scancel --name=%s", error, record.number, record.name,
        )  # fmt: skip
        return False


def _wait(record: ArrayRecord) -> bool:
    deadline = time.monotonic() + LEAVING_SECONDS
    while not _is_over(record):
        if time.monotonic() > deadline:
            return False
        time.sleep(ASKED_SECONDS)
    return True


def _is_over(record: ArrayRecord) -> bool:
    return all(state.ended for state in states(record)[1].values())


def end_arrays(directory: Path) -> None:
    """End the array jobs that a driver which was killed left at work in a run directory.

    Raises
    ------
    UsageError
        Where there are some, and no command of SLURM is here.
    StorageError
        Where tasks do not leave.
    """
    records = standing_records(directory)
    if not records:
        return
    require_commands(
        f"Tasks of the job {records[0].name} may be at work in {directory}: give the command where that job "
        f"was submitted, or, if it is over, delete {records[0].path.parent}"
    )
    _end_all(records, directory)


def _end_all(records: Iterable[ArrayRecord], directory: Path) -> None:
    for record in records:
        if _is_over(record):
            record.drop()
        elif not end_array(record):
            raise StorageError(
                f"tasks of the job {record.name} are still at work in {directory}: wait until "
                f"`squeue --name={record.name}` shows none of them, and run the same command again"
            )
