"""The run directory: where a run keeps its shards and receipts until the dataset is complete.

Beside the output ``x.h5`` stands ``x.h5.parts/`` with ``plan.json``, ``shards/`` and ``receipts/``. The
receipts on disk are a run's only memory.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from spinlock.counting import counted
from spinlock.errors import SpinlockError, StorageError, UsageError
from spinlock.execution.executors.slurm_end import end_arrays
from spinlock.execution.executors.slurm_files import LOG_FOLDER, SLURM_FOLDER, is_shared
from spinlock.execution.plan import Plan
from spinlock.storage import (
    DirectoryLock,
    Receipt,
    ReceiptScan,
    Url,
    commit_text,
    read_receipts,
    remove_temporaries,
    system_reason,
    write_errors,
)
from spinlock.storage.companions import remove_temporaries_of
from spinlock.storage.folders import make_folder, remove_if_empty, remove_tree, sweep
from spinlock.storage.locks import is_locked

logger = logging.getLogger("spinlock")

PLAN_FILE = "plan.json"

FOLDERS = ("shards", "receipts")

FOLDERS_OF_ARRAYS = (SLURM_FOLDER, LOG_FOLDER)


def run_directory_path(output: Path) -> Path:
    """Return where the run that makes ``output`` keeps its work: beside it, here where it is a URL."""
    if isinstance(output, Url):
        place = hashlib.sha256(str(output).encode()).hexdigest()[:8]  # URLs may end alike
        return Path(f"{output.name}-{place}.parts")
    return output.with_name(f"{output.name}.parts")


class RunDirectory:
    """The work of one plan at one output path, locked against other processes while it is open.

    Parameters
    ----------
    output
        The dataset file that the run will make.
    plan
        Its plan.
    fresh
        Drop partial work first.

    Raises
    ------
    UsageError
        Where the path cannot be written, or holds partial work of another plan.
    StorageError
        Where another process works there, or the disk is full or fails.
    """

    def __init__(self, output: Path, plan: Plan, *, fresh: bool = False) -> None:
        self.output, self.plan = output, plan
        self.path = run_directory_path(output)
        self._fresh = fresh
        self._lock = DirectoryLock(self.path)

    def __enter__(self) -> Self:
        """Create, lock and check the directory."""
        make_folder(self.path, f"dataset.output_path {self.output}: ", "choose a folder you may write to")
        try:
            self._lock.acquire()
            self._prepare()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Sweep up after workers that were killed and give the lock back; what was committed stays."""
        if self._lock.stands and not is_shared(self.path):  # else it was cleared up, or tasks write there
            for folder in (*FOLDERS, SLURM_FOLDER):
                sweep(self.path / folder)
        self._lock.release()

    def _prepare(self) -> None:
        if self._fresh:
            end_arrays(self.path)
            with write_errors(self.path):
                self._drop_work()
        self._check_plan()
        if self.plan.config.simulation.parallelism.strategy != "slurm":
            end_arrays(self.path)
        with write_errors(self.path):
            for folder in FOLDERS:
                (self.path / folder).mkdir(parents=True, exist_ok=True)
            if not is_shared(self.path):
                for folder in (*FOLDERS, SLURM_FOLDER):
                    remove_temporaries(self.path / folder)
            remove_temporaries(self.path)
            features = self.output.with_name(f"{self.output.name}.features.parts")
            if not isinstance(self.output, Url) and not is_locked(features):
                remove_temporaries_of(self.output)  # else an extraction may write there
        commit_text(self.path / PLAN_FILE, json.dumps(self._description(), indent=1))

    def _check_plan(self) -> None:
        try:
            found = str(json.loads((self.path / PLAN_FILE).read_text())["digest"])
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(
                f"{self.path / PLAN_FILE} cannot be read ({system_reason(error)}): run the same command "
                "again once the disk is well, or drop the partial work with --fresh"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise UsageError(
                f"{self.path / PLAN_FILE} cannot be read; run with --fresh to begin again"
            ) from None
        if found != self.plan.digest:
            raise UsageError(
                f"{self.path} holds partial work of another plan ({found[:12]}…, this one is "
                f"{self.plan.digest[:12]}…): finish that one, choose another --output, or drop it "
                "with --fresh"
            )

    def _description(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "digest": plan.digest,
            "total_samples": plan.total_samples,
            "rows_per_shard": plan.rows_per_shard,
            "num_shards": plan.num_shards,
            "config": plan.config.model_dump(mode="json"),
        }

    def receipts(self, *, deep: bool = False) -> ReceiptScan:
        """Return the receipts of shards that stand; ``deep`` reads every shard and compares its SHA-256."""
        ranges = [self.plan.shard_range(shard) for shard in range(self.plan.num_shards)]
        return read_receipts(self.path, self.plan.digest, deep=deep, ranges=ranges)

    def all_receipts(self) -> list[Receipt]:
        """Return the receipts of all shards, in order.

        Raises
        ------
        StorageError
            Where one is missing.
        """
        valid = self.receipts().valid
        missing = [shard for shard in range(self.plan.num_shards) if shard not in valid]
        if missing:
            raise StorageError(
                f"{self.path} lacks {counted(len(missing), 'shard')}, the first is {missing[0]}; "
                "run the same command again, which makes them"
            )
        return [valid[shard] for shard in range(self.plan.num_shards)]

    def _drop_work(self) -> None:
        """Remove what runs keep here; whatever else stands here is not ours."""
        for folder in (*FOLDERS, *FOLDERS_OF_ARRAYS):
            remove_tree(self.path / folder)
        (self.path / PLAN_FILE).unlink(missing_ok=True)

    def end_arrays(self) -> None:
        """End what array tasks still run, and remove what they kept here; every receipt stands."""
        end_arrays(self.path)
        with write_errors(self.path):
            for folder in FOLDERS_OF_ARRAYS:
                remove_tree(self.path / folder)

    def remove(self) -> None:
        """Remove the work and, if nothing else stands in it, the directory; the dataset is complete."""
        end_arrays(self.path)
        with told_what_stays(self.output, self.path):
            self._drop_work()
            remove_temporaries(self.path)
            self._lock.path.unlink(missing_ok=True)
            remove_if_empty(self.path)


@contextmanager
def told_what_stays(output: Path, folder: Path) -> Iterator[None]:
    """Warn where the body cannot remove the work of a complete dataset."""
    try:
        yield
    except OSError as error:
        logger.warning(
            "warning: %s is complete, but the work it was made of cannot be removed (%s): delete %s",
            output, system_reason(error), folder,
        )  # fmt: skip


def remove_finished_work(output: Path, plan: Plan) -> None:
    """Remove the work of a plan whose dataset is complete, which a run killed between the two left behind."""
    run = RunDirectory(output, plan)
    if run.path.is_dir():
        with suppress(SpinlockError), run:
            run.remove()
