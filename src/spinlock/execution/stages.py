"""The stages of a sample and of its shard, and the clock that tells how long each takes and what it moves."""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

STAGES = (
    "sampling",
    "operators",
    "initial conditions",
    "rollout",
    "features",
    "encoding",
    "writing",
)
"""What a worker does, in order: draws decoded, weights made, frame 0, the ensemble and the twin, features,
precision and compression, the shard file with its check and its receipt."""


def now() -> float:
    """Return a time in seconds that never goes back."""
    return time.perf_counter()


@dataclass
class StageClock:
    """Seconds spent in each stage, and the bytes each took in and gave out; safe in several threads."""

    seconds: dict[str, float] = field(default_factory=dict)
    traffic: dict[str, tuple[int, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of the body, also of one that fails."""
        start = now()
        try:
            yield
        finally:
            self.add(name, now() - start)

    def add(self, name: str, seconds: float) -> None:
        """Count seconds."""
        with self._lock:
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def move(self, name: str, taken: int, given: int) -> None:
        """Count the bytes that a stage took in and gave out."""
        with self._lock:
            before = self.traffic.get(name, (0, 0))
            self.traffic[name] = (before[0] + int(taken), before[1] + int(given))


def summed_seconds(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the seconds of each stage over all parts, in the order of the stages."""
    total = StageClock()
    for part in parts:
        for name, seconds in part.items():
            total.add(name, seconds)
    return {name: total.seconds[name] for name in _ordered(total.seconds)}


def _ordered(names: Mapping[str, float]) -> list[str]:
    """Return stage names in the order of `STAGES`; others, of datasets begun by an older version, last."""
    return [name for name in STAGES if name in names] + [name for name in names if name not in STAGES]
