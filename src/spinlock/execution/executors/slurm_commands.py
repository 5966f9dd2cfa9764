"""The commands of SLURM that every user has: sbatch, squeue, scancel. No accounting data base is needed."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spinlock.errors import SpinlockError, UsageError
from spinlock.execution.executors.slurm_files import ArrayRecord

COMMANDS = ("sbatch", "squeue", "scancel")

ANSWER_SECONDS = 120.0
"""A command that takes longer has failed; a busy controller lets its clients wait for up to a minute."""

ENDED = frozenset(
    (
        "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
        "PREEMPTED", "REVOKED", "TIMEOUT",
    )
)  # fmt: skip
"""States that a task does not come back from."""


class CommandError(SpinlockError):
    """A command of SLURM failed; the message holds its own words."""


@dataclass(frozen=True)
class State:
    """What SLURM says of a task: its state, such as RUNNING, and why it waits, such as Priority."""

    word: str
    reason: str = ""

    @property
    def ended(self) -> bool:
        """Whether the task is over."""
        return self.word in ENDED


def require_commands(instead: str) -> None:
    """Raise `UsageError` where a command of SLURM is not to be found; ``instead`` says what else there is."""
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        raise UsageError(
            f"{' and '.join(missing)}: no such command here, so no array job of SLURM can be submitted or "
            f"watched. {instead}"
        )


def submit(script: Path) -> str:
    """Submit a script and return the number of the job, with the cluster after a semicolon if SLURM says it.

    Raises
    ------
    CommandError
        Where sbatch refuses.
    """
    said = _run(["sbatch", "--parsable", str(script)]).strip().splitlines()
    job = said[-1].strip() if said else ""
    if not job.partition(";")[0].isdecimal():
        raise CommandError(f"sbatch --parsable answered {job!r} instead of the number of a job")
    return job


def states(record: ArrayRecord) -> tuple[str, dict[int, State]]:
    """Return the number of a job, empty if SLURM does not know it, and the state of its tasks.

    Tasks that ended some minutes ago are among them or not.

    Raises
    ------
    CommandError
        Where squeue fails, which says nothing of the tasks.
    """
    command = ["squeue", *_clusters(record), "--noheader", "--array", "--states=all"]
    text = _run([*command, f"--name={record.name}", "--format=%F %K %T %r"])
    number, found = "", {}
    for line in text.splitlines():
        words = line.split(maxsplit=3)
        if len(words) >= 3 and words[0].isdecimal() and words[1].isdecimal():
            number = words[0]
            found[int(words[1])] = State(words[2], words[3] if len(words) > 3 else "")
    return number, found


def cancel(record: ArrayRecord) -> None:
    """End all tasks of a job: SIGTERM, and SIGKILL to those that do not leave.

    Raises
    ------
    CommandError
        Where scancel fails.
    """
    _run(["scancel", *_clusters(record), record.number or f"--name={record.name}"])


def _clusters(record: ArrayRecord) -> Sequence[str]:
    cluster = record.job.partition(";")[2]
    return [f"--clusters={cluster}"] if cluster else []


def _run(command: Sequence[str]) -> str:
    """Return what a command prints; raise `CommandError` with its own words where it fails."""
    try:
        done = subprocess.run(  # noqa: S603 (one of `COMMANDS`, with our own arguments)
            command, capture_output=True, text=True, errors="replace", timeout=ANSWER_SECONDS, check=False,
            stdin=subprocess.DEVNULL, start_new_session=True,  # Ctrl-C is for this process alone
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise CommandError(f"{command[0]} gave no answer within {ANSWER_SECONDS:g} s") from None
    except OSError as error:
        raise CommandError(f"{command[0]} cannot be run ({error.strerror})") from None
    if done.returncode != 0:
        words = " ".join(done.stderr.split()) or f"it ended with code {done.returncode} and said nothing"
        raise CommandError(f"{command[0]} failed: {words}")
    return done.stdout
