"""How many samples are in flight: as many as free memory holds, and half as many whenever it runs out.

No bit depends on it. Among threads a place is taken for each sample; among worker processes for each shard,
whose samples are computed one at a time.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from spinlock.errors import SpinlockError
from spinlock.execution.estimate import PROCESS_BYTES, estimate
from spinlock.execution.memory import free_bytes, give_back, is_out_of_memory
from spinlock.execution.plan import Plan

logger = logging.getLogger("spinlock")

MOST_IN_FLIGHT = 1 << 16
"""More than any machine holds."""

POLLED_SECONDS = 0.1
"""A sample that waits for a place asks this often whether the run is ending."""

Result = TypeVar("Result")


class ShortOfMemoryError(SpinlockError):
    """A sample did not fit into memory with no other in flight; ``reason`` is what the system said.

    Its shard is tried again all the same: other programs may give memory back.
    """

    def __init__(self, sample: int, reason: str) -> None:
        super().__init__(
            f"sample {sample} needs more memory than was free with no other in flight ({reason}). Lower "
            "simulation.num_realizations, simulation.num_channels, the largest grid_size or the widest "
            "base_channels, or free some memory; simulation.memory_fraction cannot help, it only says how "
            "many samples are computed at a time"
        )
        self.reason = reason


@dataclass(eq=False)
class Place:
    """The place of something in flight: the limit when it began, and the most that were there meanwhile."""

    limit: int
    most: int


class InFlight:
    """Places for what is in flight; they are halved when memory runs out, and never become more.

    Parameters
    ----------
    limit
        How many may be in flight at first.
    what
        What takes a place, in the plural, for the log.
    """

    def __init__(self, limit: int = 1, what: str = "samples") -> None:
        self.limit, self._what = limit, what
        self._inside: set[Place] = set()
        self._changed = threading.Condition()

    @property
    def has_room(self) -> bool:
        """Whether one more may begin."""
        return len(self._inside) < self.limit

    def enter(self, check: Callable[[], None] = lambda: None) -> Place:
        """Take a place, after waiting for it; ``check`` is called meanwhile and may raise."""
        with self._changed:
            while not self.has_room:
                self._changed.wait(POLLED_SECONDS)
                check()
            place = Place(self.limit, most=0)
            self._inside.add(place)
            for one in self._inside:
                one.most = max(one.most, len(self._inside))
            return place

    def leave(self, place: Place) -> None:
        """Give a place back."""
        with self._changed:
            self._inside.discard(place)
            self._changed.notify_all()

    def ran_out(self, place: Place, reason: str) -> bool:
        """Tell that memory ran out in a place; return whether fewer are in flight from now on.

        Where nothing else was in flight there can be no fewer. Those who began before the last halving halve
        no more.
        """
        with self._changed:
            if place.most == 1:
                return False
            if place.limit == self.limit:
                self._halve(place.most, reason)
            return True

    def ran_out_outside(self, begun: int, reason: str) -> bool:
        """Tell that memory ran out outside a place, as where a row is written; return as `ran_out` does.

        ``begun`` is the limit as it was when what failed began.
        """
        with self._changed:
            if self.limit == begun == 1:
                return False
            if self.limit == begun:
                self._halve(begun, reason)
            return True

    def _halve(self, most: int, reason: str) -> None:
        self.limit = most // 2
        logger.warning(
            "warning: memory ran out with %d %s in flight (%s); from now on there are at most %d. "
            "No bit of the dataset depends on it. A smaller simulation.memory_fraction or fewer "
            "simulation.parallelism.workers begin with fewer",
            most, self._what, reason, self.limit,
        )  # fmt: skip

    @contextmanager
    def place(self, check: Callable[[], None]) -> Generator[Place, None, None]:
        """Hold a place for the body."""
        place = self.enter(check)
        try:
            yield place
        finally:
            self.leave(place)

    def compute(
        self, work: Callable[[], Result], sample: int, device: torch.device, check: Callable[[], None]
    ) -> Result:
        """Return what ``work`` returns, computed in a place; with fewer beside it where memory runs out.

        Raises
        ------
        ShortOfMemoryError
            Where it runs out with nothing else in flight.
        """
        while True:
            with self.place(check) as place:
                try:
                    return work()
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                    reason = one_line(error)
                again = self.ran_out(place, reason)
            give_back(device)  # here nothing holds the arrays of the failed attempt any more
            if not again:
                raise ShortOfMemoryError(sample, reason)


def one_line(error: BaseException) -> str:
    """Return what went wrong in one line that is not too long."""
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return words if len(words) <= 160 else f"{words[:160]}…"


def most_in_flight(plan: Plan, devices: Sequence[torch.device], *, processes: bool) -> int | None:
    """Return how many samples fit into ``simulation.memory_fraction`` of the free memory, at least 1.

    No device holds more than fit there. None where no system says what is free.

    Parameters
    ----------
    plan
        What is computed.
    devices
        The device of each slot; sample n takes slot n, round and round.
    processes
        Each worker is a process of its own, which loads all that this one has loaded.
    """
    room: dict[torch.device, int] = {}
    for device in set(devices):
        free = free_bytes(device)
        if free is not None:
            loaded = processes and device.type == "cpu"
            each = estimate(plan).memory_bytes - (0 if loaded else PROCESS_BYTES)
            room[device] = max(1, int(free * plan.config.simulation.memory_fraction / each))
    if not room:
        return None
    taken: Counter[torch.device] = Counter()
    for number in range(MOST_IN_FLIGHT):
        device = devices[number % len(devices)]
        taken[device] += 1
        if taken[device] > room.get(device, MOST_IN_FLIGHT):
            return number
    return MOST_IN_FLIGHT
