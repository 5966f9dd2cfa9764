"""Windows: stretches of consecutive stored frames of one realization."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spinlock.dataset.finite import finite_frames
from spinlock.dataset.open import Dataset
from spinlock.errors import UsageError


@dataclass(frozen=True)
class Window:
    """How trajectories are cut: ``length`` stored frames, a new window every ``stride`` stored frames."""

    length: int
    stride: int = 1

    def __post_init__(self) -> None:
        """Refuse windows of nothing."""
        if self.length < 1 or self.stride < 1:
            raise UsageError(f"window {self.length}, {self.stride}: length and stride must be at least 1")


class WindowIndex:
    """Where each window of some rows stands; only windows whose frames are all finite count.

    Windows are numbered row by row, realization by realization, from early to late. Memory is one number for
    each realization.
    """

    def __init__(self, dataset: Dataset, rows: NDArray[np.int64], window: Window) -> None:
        self.rows, self.window = rows, window
        frames = np.asarray(dataset.timesteps)
        usable = finite_frames(dataset.metadata, rows)
        self.realizations = usable.shape[1]
        finite = np.searchsorted(frames, usable.ravel())
        self._counts = np.maximum(0, (finite - window.length) // window.stride + 1)

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.cumsum(self._counts)

    def __len__(self) -> int:
        """Return the number of windows."""
        return int(self._ends[-1]) if self._ends.size else 0

    def place(self, number: int) -> tuple[int, int, int]:
        """Return row, realization and first frame (its place among those stored) of a window."""
        which = int(np.searchsorted(self._ends, number, side="right"))
        before = int(self._ends[which - 1]) if which else 0
        row, realization = divmod(which, self.realizations)
        return int(self.rows[row]), realization, (number - before) * self.window.stride
