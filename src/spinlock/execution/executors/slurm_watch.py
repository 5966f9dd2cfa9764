"""An array job as its driver sees it: what SLURM says of its tasks, and what they say of themselves."""

import logging
import time
from collections.abc import Iterator, Set
from typing import Any

from spinlock.execution.executors.slurm_commands import CommandError, State, states
from spinlock.execution.executors.slurm_files import ArrayRecord
from spinlock.execution.executors.slurm_journal import JournalReader

logger = logging.getLogger("spinlock")

LAST_WORDS = frozenset(("end", "error", "storage_error", "mixing"))
"""Events after which a task does nothing more, whatever SLURM says."""

UNSEEN = 2
"""A task that SLURM does not name so often in turn has ended."""

TOLD_AFTER = 3
"""The user hears of a squeue that failed so often in turn; a busy controller fails now and then."""

VISIBLE_SECONDS = 60.0
"""A receipt that a task tells of may take so long to come in sight on a network file system."""

TAIL_LINES, TAIL_BYTES = 5, 4096

TIME_LIMIT = "its task reached its time limit (simulation.parallelism.slurm.options.time)"

HOW = {
    "TIMEOUT": TIME_LIMIT,
    "SIGUSR1": TIME_LIMIT,
    "SIGTERM": "its task was asked to leave (SIGTERM)",
    "OUT_OF_MEMORY": "its task was killed for lack of memory (more simulation.parallelism.slurm.options.mem, "
    "or fewer simulation.parallelism.workers, help)",
    "NODE_FAIL": "the node of its task failed",
    "PREEMPTED": "its task had to give way to another job",
}
"""How a task ended, by its state or, where that says less, by the signal that it heard before."""


class WatchedTask:
    """A task of an array job.

    Attributes
    ----------
    shards
        Those it is to compute, in order.
    workers
        How many shards it computes at a time; None until it begins.
    done
        The shards it says are committed.
    """

    def __init__(self, record: ArrayRecord, number: int) -> None:
        self.number = number
        self.shards = record.shards_of(number)
        self.workers: int | None = None
        self.done: set[int] = set()
        self.state = State("")
        self._record = record
        self._reader = JournalReader(record.journal(number))
        self._unseen = 0
        self._said: dict[str, Any] = {}
        self._ended: float | None = None

    @property
    def name(self) -> str:
        """How SLURM and its users name it."""
        return f"array task {self._record.number}_{self.number}"

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state.ended or self._unseen >= UNSEEN or bool(LAST_WORDS & self._said.keys())

    @property
    def runs(self) -> bool:
        """Whether it is at work."""
        return not self.over and self.state.word not in ("", "PENDING")

    def see(self, state: State | None) -> None:
        """Take note of what SLURM says of it: None where SLURM does not know it."""
        if state is None:
            self._unseen += 1
        else:
            self._unseen, self.state = 0, state

    def news(self) -> Iterator[dict[str, Any]]:
        """Yield what it says that was not heard before."""
        for event in self._reader.news():
            self.workers = event.get("ready", self.workers)
            if "done" in event:
                self.done.add(event["done"])
            self._said |= event
            yield event

    def is_settled(self, outstanding: Set[int]) -> bool:
        """Return whether it is over, and every receipt that it tells of came in sight or never will."""
        if not self.over:
            return False
        self._ended = self._ended or time.monotonic()
        return not self.done & outstanding or time.monotonic() - self._ended > VISIBLE_SECONDS

    def in_flight(self, left: list[int]) -> list[int]:
        """Return those of the shards ``left`` that it had begun when it ended, or may have begun."""
        return left[: self.workers or 0]

    @property
    def how(self) -> str:
        """How it ended."""
        ended = HOW.get(self.state.word) or HOW.get(self._said.get("left", ""))
        return f"{ended or f'its task ended ({self.state.word})'}: {self.name}"

    @property
    def last_lines(self) -> str:
        """The end of what it printed, for a person to read."""
        log = self._record.log(self.number)
        try:
            with log.open("rb") as file:
                file.seek(max(0, log.stat().st_size - TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError as error:
            return f"{log} cannot be read ({error.strerror})"
        lines = [line for line in text.splitlines() if line.strip()]
        return "\n".join([f"the end of {log}:", *lines[-TAIL_LINES:]]) if lines else f"{log} is empty"


class WatchedArray:
    """An array job; ``tasks`` are those whose end nobody has dealt with yet."""

    def __init__(self, record: ArrayRecord) -> None:
        self.record = record
        self.tasks = [WatchedTask(record, number) for number in range(record.tasks)]
        self._failures = 0
        self._waits = ""

    def look(self) -> None:
        """Ask SLURM how the tasks fare; where it does not answer, nothing new is known."""
        try:
            _, found = states(self.record)
        except CommandError as error:
            self._failures += 1
            if self._failures == TOLD_AFTER:
                logger.warning("warning: %s; the run goes on, and asks again and again", error)
            return
        self._failures = 0
        for task in self.tasks:
            task.see(found.get(task.number))
        self._tell()

    def _tell(self) -> None:
        """Say why the tasks wait, where all do, once for each reason."""
        reasons = {task.state.reason for task in self.tasks if task.state.word == "PENDING"} - {"None"}
        waits = ", ".join(sorted(reasons)) if not any(task.runs for task in self.tasks) else ""
        if waits != self._waits:
            self._waits = waits
            if waits:
                logger.info("array job %s waits in the queue (%s)", self.record.number, waits)

    def take_ended(self, outstanding: Set[int]) -> list[WatchedTask]:
        """Return the tasks that are over, and watch them no more; ``outstanding`` shards have no receipt."""
        settled = [task for task in self.tasks if task.is_settled(outstanding)]
        self.tasks = [task for task in self.tasks if task not in settled]
        return settled
