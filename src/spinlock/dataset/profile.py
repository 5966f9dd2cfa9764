"""Where the time of a run went, and how many bytes: stage by stage, summed over workers."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from spinlock.execution import stages
from spinlock.execution.stages import STAGES, StageClock
from spinlock.storage import Receipt


@dataclass(frozen=True)
class StageProfile:
    """One stage: seconds over all workers, their share of all stages, bytes taken in and given out."""

    stage: str
    seconds: float
    share: float
    bytes_in: int
    bytes_out: int


@dataclass(frozen=True)
class Profile:
    """Where the time of one run went; shards of earlier runs are left out.

    Attributes
    ----------
    stages
        Planning, the stages of the workers in order, finalizing.
    executor, workers
        Who ran the shards.
    wall_seconds
        From the first line of the run to the finished file.
    worker_wall_seconds
        The part of it in which workers ran.
    worker_seconds
        Seconds of the workers' stages, over all workers; at most ``workers · worker_wall_seconds`` on a CPU.
        Beside a GPU rows are encoded while others are computed, and their seconds add up.
    """

    stages: tuple[StageProfile, ...]
    executor: str
    workers: int
    wall_seconds: float
    worker_wall_seconds: float
    worker_seconds: float


class Profiler:
    """Measures what the driver does, and joins to it what the receipts of this run say of the workers."""

    def __init__(self) -> None:
        self._clock = StageClock()
        self._started = self._since = stages.now()
        self._doing = "planning"

    def begin(self, what: str) -> None:
        """End what the driver was doing, and begin ``workers`` (waiting for them) or ``finalizing``."""
        before, self._since = self._since, stages.now()
        self._clock.add(self._doing, self._since - before)
        self._doing = what

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return stages.now() - self._started

    def profile(
        self,
        receipts: Sequence[Receipt],
        before: Container[int],
        final_bytes: int,
        executor: str,
        workers: int,
    ) -> Profile:
        """Return the profile of a run that ends now and made the shards that are not in ``before``."""
        self.begin("nothing")
        clock = self._clock
        for receipt in receipts:
            if receipt.shard not in before:
                _join(clock, receipt)
        clock.move("finalizing", sum(receipt.size for receipt in receipts), final_bytes)
        names = [name for name in ("planning", *STAGES, "finalizing") if name in clock.seconds]
        return Profile(
            stages=tuple(_stages(clock, names)),
            executor=executor,
            workers=workers,
            wall_seconds=self._since - self._started,
            worker_wall_seconds=clock.seconds.get("workers", 0.0),
            worker_seconds=sum(clock.seconds[name] for name in names if name in STAGES),
        )


def _join(clock: StageClock, receipt: Receipt) -> None:
    for stage, seconds in receipt.timings.items():
        clock.add(stage, seconds)
    for stage, (taken, given) in receipt.traffic.items():
        clock.move(stage, taken, given)


def _stages(clock: StageClock, names: Sequence[str]) -> Iterator[StageProfile]:
    total = sum(clock.seconds[name] for name in names)
    for name in names:
        taken, given = clock.traffic.get(name, (0, 0))
        seconds = clock.seconds[name]
        yield StageProfile(name, round(seconds, 6), seconds / total if total else 0.0, taken, given)
