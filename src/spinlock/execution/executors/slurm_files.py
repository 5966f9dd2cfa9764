"""What an array job of SLURM keeps in the run directory: its script, its record, its journals, its logs.

``slurm/<name>.json`` is the record. It says which shards the tasks share, and it is their lease as well: a
task whose record is gone leaves by itself. So whoever removes a record ends the array, with SLURM or without.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from spinlock.errors import StorageError
from spinlock.storage import commit_text, system_reason, write_errors

SLURM_FOLDER = "slurm"

LOG_FOLDER = "logs"

AGREEMENT = "environment.json"


@dataclass(frozen=True)
class ArrayRecord:
    """An array job: which shards its tasks share, and how it is to be run.

    Attributes
    ----------
    directory
        The run directory, as an absolute path.
    name
        The name of the job, which no other has.
    shards, tasks
        Task t of ``tasks`` computes ``shards[t::tasks]``.
    failures
        How often shards failed before.
    settings
        ``simulation.parallelism`` as it was when the job was submitted.
    environments, allow_mixed
        The numerical environments of the shards that were there, which a task must not leave unless allowed.
    job
        The number that SLURM gave, and the cluster after a semicolon where there are several; empty until
        SLURM has answered.
    """

    directory: str
    name: str
    shards: Sequence[int]
    tasks: int
    failures: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    environments: Sequence[Mapping[str, str]] = ()
    allow_mixed: bool = False
    job: str = ""

    @property
    def folder(self) -> Path:
        """Where script, record and journals stand."""
        return Path(self.directory) / SLURM_FOLDER

    @property
    def path(self) -> Path:
        """The record itself."""
        return self.folder / f"{self.name}.json"

    @property
    def script(self) -> Path:
        """What is given to sbatch."""
        return self.folder / f"{self.name}.sh"

    @property
    def number(self) -> str:
        """The number of the job, without the cluster."""
        return self.job.partition(";")[0]

    def shards_of(self, task: int) -> list[int]:
        """Return the shards of a task, in the order in which it begins them."""
        return list(self.shards[task :: self.tasks])

    def journal(self, task: int) -> Path:
        """Return where a task tells how it fares."""
        return self.folder / f"{self.name}-{task}.journal"

    def log(self, task: int) -> Path:
        """Return where SLURM writes what a task prints."""
        return Path(self.directory) / LOG_FOLDER / f"{self.number}_{task}.log"

    def agreed(self, mine: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
        """Return the numerical environments that all tasks keep to: ``mine`` of the first task to ask."""
        path = self.folder / AGREEMENT
        temporary = path.with_name(f"{path.name}.tmp-{uuid4().hex}")
        try:
            temporary.write_text(json.dumps([dict(one) for one in mine]))
            with suppress(FileExistsError):
                os.link(temporary, path)  # complete at once, and never over another's
            return json.loads(path.read_text())
        finally:
            temporary.unlink(missing_ok=True)

    def submitted(self, job: str) -> "ArrayRecord":
        """Return the record with the number that SLURM gave, written down."""
        record = replace(self, job=job)
        record.write()
        return record

    def write(self) -> None:
        """Commit the record."""
        for folder in (self.folder, Path(self.directory) / LOG_FOLDER):
            with write_errors(folder):
                folder.mkdir(exist_ok=True)
        commit_text(self.path, json.dumps(asdict(self), indent=1))

    def drop(self) -> None:
        """Remove the record: its tasks leave."""
        self.path.unlink(missing_ok=True)


def read_record(path: Path) -> ArrayRecord:
    """Return a record; raise `FileNotFoundError` where it was dropped, `StorageError` where it is damaged."""
    try:
        return ArrayRecord(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(f"{path} cannot be read ({system_reason(error)})") from error
    except (ValueError, TypeError) as error:
        raise StorageError(
            f"{path} is damaged ({error}): end the job it belongs to (`scancel --name={path.stem}`), delete "
            "the file and run the same command again"
        ) from None


def standing_records(directory: Path) -> list[ArrayRecord]:
    """Return the records of the arrays that may be at work in a run directory."""
    return [read_record(path) for path in _records(directory)]


def is_shared(directory: Path) -> bool:
    """Return whether tasks of an array job may be at work in a run directory, with temporary files."""
    return bool(_records(directory))


def _records(directory: Path) -> list[Path]:
    return sorted((Path(directory) / SLURM_FOLDER).glob("spinlock-*.json"))


def forget_agreement(directory: Path) -> None:
    """Let the next task to start say which numerical environment the tasks keep to."""
    (Path(directory) / SLURM_FOLDER / AGREEMENT).unlink(missing_ok=True)
