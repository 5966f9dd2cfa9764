"""Going on: what earlier runs of a plan left that counts, and what is still to be made."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch

from spinlock.dataset.companions import is_described, write_companions
from spinlock.dataset.feature_work import clear_finished_repair, repair_parts
from spinlock.dataset.provenance import merged_environments, refuse_mixing
from spinlock.errors import SpinlockError, StorageError
from spinlock.execution.plan import Plan
from spinlock.execution.run_directory import RunDirectory, remove_finished_work, run_directory_path
from spinlock.storage import FinalFile, Receipt, verify
from spinlock.storage.spin_writer import remove_lock

logger = logging.getLogger("spinlock")


def work_left(
    run: RunDirectory, devices: Sequence[torch.device], *, allow_mixed: bool
) -> tuple[Mapping[int, Receipt], list[int]]:
    """Return the receipts that count, every shard read for it, and the shards that have none.

    Raises
    ------
    UsageError
        Where that would mix environments and ``allow_mixed`` is not given.
    """
    plan, scan = run.plan, run.receipts(deep=True)
    for path, reason in scan.rejected.items():
        logger.info("%s does not count (%s); its samples are made again", path.name, reason)
    missing = [shard for shard in range(plan.num_shards) if shard not in scan.valid]
    if not allow_mixed:
        refuse_mixing(merged_environments(scan.valid.values()), devices if missing else [])
    done = sum(receipt.hi - receipt.lo for receipt in scan.valid.values())
    if done:
        logger.info("going on: %d of %d samples were done before", done, plan.total_samples)
    return scan.valid, missing


def finish(run: RunDirectory, made: FinalFile | None = None) -> None:
    """Describe the complete dataset of a run, ``made`` just now or before, and remove the run's work."""
    write_companions(run.output, made)
    run.remove()


def finish_complete(output: Path, plan: Plan) -> None:
    """Do what a run or a repair left undone that was killed after its dataset was complete.

    Raises
    ------
    StorageError
        Where the dataset is damaged: the work is then that of a repair, and stays.
    """
    _remove_work_of_complete(output, plan)
    if not is_described(output):
        with suppress(SpinlockError), RunDirectory(output, plan) as run:  # else another process is at it
            finish(run)


def _remove_work_of_complete(output: Path, plan: Plan) -> None:
    """Remove what a run or a repair left that was killed after its dataset was complete.

    Raises
    ------
    StorageError
        Where the dataset is damaged: the work is then that of a repair, and stays.
    """
    remove_lock(output)
    if not run_directory_path(output).is_dir() and not repair_parts(output):
        return
    damage = verify(output)
    if damage:
        raise StorageError(
            f"{output} is damaged ({damage[0]}), and work stands beside it: a repair was interrupted, or is "
            "under way. Go on with it by --repair; nothing was changed"
        )
    remove_finished_work(output, plan)
    clear_finished_repair(output)
