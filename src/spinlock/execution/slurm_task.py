"""A task of an array job of SLURM: computes its share of the shards, and tells its driver in a journal.

``python -m spinlock.execution.slurm_task RECORD`` is given the record of the array; SLURM tells it which task
it is. It makes the plan anew and refuses another digest. SIGTERM and SIGUSR1, which SLURM sends before it
kills, and the loss of the record make it give up its shards at their next step and leave.
"""

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinlock.counting import counted
from spinlock.errors import SpinlockError, StorageError
from spinlock.execution.executors.slurm_files import ArrayRecord, read_record
from spinlock.execution.executors.slurm_journal import Journal
from spinlock.reporting import reporting_to

if TYPE_CHECKING:
    import torch

    from spinlock.execution.executors.outcome import Job

logger = logging.getLogger("spinlock")

LEASE_SECONDS, MISSED = 10.0, 2
"""The record is looked for so often, at least; one that is not there so often in turn is gone."""

MANY_CORES = 1 << 16

asked: list[int] = []
"""The signal that asked this process to leave, once there is one."""


def main(arguments: list[str]) -> int:
    """Compute the shards of a task; return 0, 1 after an error, or 128 + the signal that asked to leave."""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, _leave)
    path = Path(arguments[0])
    try:
        record = read_record(path)
    except FileNotFoundError:
        sys.stdout.write(f"{path} is not there: the run that submitted this job has given it up\n")
        return 0
    task = int(os.environ["SLURM_ARRAY_TASK_ID"])
    journal = Journal(record.journal(task))
    try:
        with _lease(record), _told(journal):
            _work(record, task, journal)
    except KeyboardInterrupt:
        journal.say(left=signal.Signals(asked[0]).name if asked else "SIGINT")
        return 128 + (asked[0] if asked else signal.SIGINT)
    except StorageError as error:
        journal.say(storage_error=str(error))
        return 1
    except MixingError as error:
        journal.say(mixing=str(error))
        return 1
    except Exception as error:  # noqa: BLE001 (whatever it is, the driver is told)
        said = str(error) if isinstance(error, SpinlockError) else f"{type(error).__name__}: {error}"
        journal.say(error=said)
        return 1
    journal.say(end=True)
    return 0


class MixingError(SpinlockError):
    """A node would compute other bits than those that are there."""


def _leave(number: int, _frame: object) -> None:
    if not asked:  # one that comes while the shards are given up changes nothing
        asked.append(number)
        raise KeyboardInterrupt


@contextmanager
def _lease(record: ArrayRecord) -> Iterator[None]:
    """Leave as if asked to, should the record go while the body runs."""
    over = threading.Event()
    threading.Thread(target=_keep, args=(record, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _keep(record: ArrayRecord, over: threading.Event) -> None:
    missed = 0
    seconds = min(LEASE_SECONDS, record.settings["slurm"]["poll_seconds"])
    while missed < MISSED:
        if over.wait(seconds):
            return
        missed = 0 if _stands(record) else missed + 1
    os.kill(os.getpid(), signal.SIGTERM)


def _stands(record: ArrayRecord) -> bool:
    try:
        record.path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True  # a file system that does not answer says nothing of the record
    return True


class _Told(logging.Handler):
    """Hands warnings on to the driver."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.WARNING)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        self._journal.say(warning=record.getMessage())


@contextmanager
def _told(journal: Journal) -> Iterator[None]:
    """Tell the driver of warnings, and the log of everything."""
    with reporting_to(logging.StreamHandler(sys.stdout), _Told(journal)):
        yield


def _work(record: ArrayRecord, task: int, journal: Journal) -> None:
    from spinlock.execution.executors.choice import execute
    from spinlock.execution.executors.outcome import Quarantined
    from spinlock.storage.receipts import receipt_path

    directory = Path(record.directory)
    missing = [shard for shard in record.shards_of(task) if not receipt_path(directory, shard).exists()]
    kind, job = _job(record, len(missing))
    journal.say(ready=job.workers)
    shards, workers = counted(len(missing), "shard"), counted(job.workers, "worker")
    logger.info("%s, %s, %s, %s", shards, kind, workers, job.devices)
    with closing(execute(kind, job, missing, journal.row)) as outcomes:
        for outcome in outcomes:
            if isinstance(outcome, Quarantined):
                journal.say(quarantined=outcome.shard, reason=outcome.reason)
            else:
                journal.say(done=outcome.shard)


def _job(record: ArrayRecord, missing: int) -> "tuple[Any, Job]":
    """Return the executor of this task for so many shards, and what it is given."""
    from spinlock.config import config_from_stored
    from spinlock.execution.devices import resolve_devices
    from spinlock.execution.executors.choice import choose, usable_cores
    from spinlock.execution.executors.outcome import Job
    from spinlock.execution.orders import Order
    from spinlock.execution.run_directory import PLAN_FILE

    directory = Path(record.directory)
    stored = json.loads((directory / PLAN_FILE).read_text())
    settings = {**record.settings, "strategy": "auto"}
    simulation = stored["config"]["simulation"]
    simulation["parallelism"] = settings
    if settings["devices"] == "auto" and simulation["device"] in ("auto", "cuda"):
        settings["devices"] = all_gpus() or "auto"
    devices = resolve_devices(config_from_stored(stored["config"]))
    if settings["workers"] == "auto" and devices[0].type == "cpu":
        settings["workers"] = min(usable_cores(), allocated_cores())
    plan = Order(stored["config"], stored["digest"], record.directory, str(devices[0])).plan()
    if not record.allow_mixed:
        _refuse_mixing(record, devices)
    kind, workers = choose(plan, devices, missing)
    failures = {int(shard): count for shard, count in record.failures.items()}
    return kind, Job(plan, directory, tuple(devices), workers, failures=failures)


def all_gpus() -> list[str]:
    """Return the names of the GPUs that SLURM gave to this task; it hides all others."""
    import torch

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]


def allocated_cores() -> int:
    """Return how many cores SLURM gave to this task; where it does not say, more than there are."""
    said = os.environ.get("SLURM_CPUS_ON_NODE", "")  # others may be those of a job that submitted this one
    return int(said) if said.isdecimal() and int(said) else MANY_CORES


def _refuse_mixing(record: ArrayRecord, devices: "list[torch.device]") -> None:
    """Raise `MixingError` where this node's bits are not those of the other tasks and of earlier shards."""
    from spinlock.execution.environment import differences, numerical_environment

    here = [numerical_environment(device) for device in devices]
    differing = differences([*record.agreed(record.environments or here), *here])
    if differing:
        raise MixingError(differing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
