"""What becomes of a shard: a receipt, or quarantine after three failures."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from spinlock.errors import StorageError
from spinlock.execution.orders import Answer
from spinlock.execution.plan import Plan
from spinlock.storage import Receipt

logger = logging.getLogger("spinlock")

MOST_ATTEMPTS = 3


@dataclass(frozen=True)
class Quarantined:
    """A shard that failed three times, and why."""

    shard: int
    reason: str


Outcome = Receipt | Quarantined


@dataclass(frozen=True)
class Job:
    """What an executor is given.

    Attributes
    ----------
    plan, directory
        What is computed, and the run directory that it is written to.
    devices
        A device for each slot on this machine; worker n takes slot n, round and round.
    workers
        Most workers at a time.
    environments
        The numerical environments that shards were computed in so far; others may not join them unless
        ``allow_mixed``. Workers on this machine were judged before; those elsewhere are judged as they start.
    on_workers
        Told how many workers there are, by executors that find out as they go.
    failures
        How often shards failed before they were given to this executor.
    """

    plan: Plan
    directory: Path
    devices: tuple[torch.device, ...]
    workers: int
    environments: tuple[Mapping[str, str], ...] = ()
    allow_mixed: bool = False
    on_workers: Callable[[int], None] = lambda _count: None
    failures: Mapping[int, int] = field(default_factory=dict)

    def attempts(self) -> "Attempts":
        """Return a count of failures that goes on from those before."""
        return Attempts(Counter(self.failures))

    def sharing(self, device: torch.device) -> int:
        """Return how many workers share a device of this machine."""
        slots = (self.devices[number % len(self.devices)] for number in range(self.workers))
        return sum(slot == device for slot in slots)


@dataclass
class Attempts:
    """Counts failures of shards."""

    failures: Counter[int] = field(default_factory=Counter)

    def number(self, shard: int) -> int:
        """Return the number of the next attempt, from 1."""
        return self.failures[shard] + 1

    def failed(self, shard: int, reason: str) -> Quarantined | None:
        """Count a failure; return the quarantine if it was the last one allowed."""
        self.failures[shard] += 1
        if self.failures[shard] < MOST_ATTEMPTS:
            logger.warning("warning: shard %d failed (%s) and is tried again", shard, reason)
        return Quarantined(shard, reason) if self.failures[shard] >= MOST_ATTEMPTS else None


def outcome_of(shard: int, answer: Answer, attempts: Attempts) -> Outcome | None:
    """Return the outcome that a worker's answer is, or None where the shard is to be tried again.

    Raises
    ------
    StorageError
        Where the worker could not write.
    """
    if "receipt" in answer:
        return Receipt.from_json(answer["receipt"])
    if "storage_error" in answer:
        raise StorageError(answer["storage_error"])
    return attempts.failed(shard, answer.get("error") or answer.get("died") or "unknown")
