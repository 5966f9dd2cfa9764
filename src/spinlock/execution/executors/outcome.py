"""What becomes of a shard: a receipt, or quarantine after three failures."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch

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
    """What every worker of a run is given."""

    plan: Plan
    directory: Path
    devices: tuple[torch.device, ...]
    workers: int


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
