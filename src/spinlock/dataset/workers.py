"""How many workers a run has: told as it begins, and again where an executor finds out as it goes."""

from collections.abc import Sequence

import torch

from spinlock.config.model import Config
from spinlock.counting import counted
from spinlock.dataset.progress import Progress
from spinlock.execution.devices import computed_elsewhere


def where_computed(config: Config, devices: Sequence[torch.device]) -> str:
    """Return in words where a run computes."""
    return "devices of the cluster" if computed_elsewhere(config) else str(devices[0])


class WorkerCount:
    """Tells a run's progress how many workers it has, and remembers the most.

    Parameters
    ----------
    config
        The run's.
    devices
        The devices of this machine.
    kind
        The executor.
    allowed
        How many workers there may be; on a cluster there may be fewer.
    """

    def __init__(
        self, progress: Progress, config: Config, devices: Sequence[torch.device], kind: str, allowed: int
    ) -> None:
        self._progress, self._kind = progress, kind
        self._where = where_computed(config, devices)
        self.most = 0 if computed_elsewhere(config) else allowed
        self._say(f"{'' if self.most else 'up to '}{counted(allowed, 'worker')}")

    def found(self, count: int) -> None:
        """Tell that there are so many by now."""
        self.most = max(self.most, count)
        self._say(counted(count, "worker"))

    def _say(self, workers: str) -> None:
        self._progress.stage(f"simulating ({self._kind}, {workers}, {self._where})")
