"""Repair of datasets that are not one file: a `.spin` directory becomes the work of a run again."""

import logging
import os
from pathlib import Path

from spinlock.errors import StorageError, UsageError
from spinlock.execution.plan import Plan
from spinlock.execution.run_directory import run_directory_path
from spinlock.storage import form_at, open_stored, verify, write_errors
from spinlock.storage.atomic import fsync
from spinlock.storage.locations import INDEX_NAME
from spinlock.storage.spin_writer import plan_of

logger = logging.getLogger("spinlock")


def begin_folder_repair(output: Path, plan: Plan) -> None:
    """Look at a `.spin` directory or Zarr store; a damaged directory is renamed to the run directory.

    The run then finds its sound shards by their receipts, makes the others again, and writes the index anew.
    Features that were added to it stand in the index alone, and are to be extracted again.

    Raises
    ------
    UsageError
        Where it is the dataset of another plan, or work of a run stands beside it already; and for a damaged
        Zarr store, which is made again as a whole.
    """
    damage = verify(output)
    if not damage:
        logger.info("%s is sound: there is nothing to repair", output)
        return
    if form_at(output) == "zarr":
        raise UsageError(
            f"{output} is damaged ({damage[0]}), and a Zarr store has no shards to keep: replace it with "
            "--force; nothing was changed"
        )
    _refuse_others(output, plan)
    work = run_directory_path(output)
    if work.exists():
        raise UsageError(
            f"{output} is damaged, and {work} stands beside it: finish that run into another --output, or "
            "remove one of them; nothing was changed"
        )
    logger.info("%s is damaged (%s); its sound shards are kept", output, damage[0])
    _tell_of_features(output, plan)
    with write_errors(work):
        os.rename(output, work)  # noqa: PTH104 (a rename, never a copy)
        (work / INDEX_NAME).unlink(missing_ok=True)
        fsync(work.parent)


def _refuse_others(output: Path, plan: Plan) -> None:
    try:
        digest = plan_of(output)["digest"]
    except StorageError:
        digest = None
    if digest != plan.digest:
        raise UsageError(
            f"{output} is another dataset, or too damaged to tell which it was: --repair replaces only the "
            f"dataset of this configuration (plan {plan.digest[:12]}…). Give the configuration that made "
            "it, or replace it with --force; nothing was changed"
        )


def _tell_of_features(output: Path, plan: Plan) -> None:
    try:
        with open_stored(output) as stored:
            added = stored.layout.features is not None and plan.layout.features is None
    except StorageError:
        logger.warning(
            "warning: the index of %s is damaged; if features were added to it, run `spinlock "
            "extract-features` on it again", output,
        )  # fmt: skip
        return
    if added:
        logger.warning(
            "warning: the features that were added to %s are dropped: run `spinlock extract-features` on it "
            "again", output,
        )  # fmt: skip
