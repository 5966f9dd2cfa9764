"""Normalization statistics: mean, deviation and range of each channel, streamed over rows and kept beside."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.dataset.open import Dataset
from spinlock.errors import StorageError, UsageError
from spinlock.registry import unknown_name
from spinlock.storage import commit_text

FIELDS = ("inputs", "outputs", "trajectories")


@dataclass(frozen=True)
class ChannelStatistics:
    """What the finite values of each channel are like; lists of C numbers, float64.

    Attributes
    ----------
    count
        Values that were finite.
    mean, std
        Mean and standard deviation (divisor: count).
    minimum, maximum
        The range.
    """

    count: list[int]
    mean: list[float]
    std: list[float]
    minimum: list[float]
    maximum: list[float]


@dataclass
class Moments:
    """Running moments of each channel: any order of the same blocks agrees to rounding.

    Blocks are merged by the formula of Chan, Golub & LeVeque (1979): with δ the difference of the means,
    mean = mean_a + δ·n_b/n, and M2 = M2_a + M2_b + δ²·n_a·n_b/n.

    Attributes
    ----------
    channels
        C.
    count, mean, squares, minimum, maximum
        Of the finite values of each channel [C]: how many, their mean, M2, and their range.
    """

    channels: int
    count: NDArray[np.int64] = field(init=False)
    mean: NDArray[np.float64] = field(init=False)
    squares: NDArray[np.float64] = field(init=False)
    minimum: NDArray[np.float64] = field(init=False)
    maximum: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        """Begin with no values."""
        self.count = np.zeros(self.channels, np.int64)
        self.mean, self.squares = np.zeros(self.channels), np.zeros(self.channels)
        self.minimum, self.maximum = np.full(self.channels, np.inf), np.full(self.channels, -np.inf)

    def add(self, fields: NDArray[np.floating]) -> None:
        """Take in fields [..., C, H, W]; values that are not finite are left out."""
        by_channel = np.moveaxis(fields, -3, 0).reshape(self.channels, -1).astype(np.float64)
        for channel, values in enumerate(by_channel):
            finite = values[np.isfinite(values)]
            if finite.size:
                self._merge(channel, finite)

    def _merge(self, channel: int, values: NDArray[np.float64]) -> None:
        before, mean = int(self.count[channel]), values.mean()
        total = before + values.size
        delta = mean - self.mean[channel]
        self.squares[channel] += np.square(values - mean).sum() + delta**2 * before * values.size / total
        self.mean[channel] += delta * values.size / total
        self.count[channel] = total
        self.minimum[channel] = min(self.minimum[channel], values.min())
        self.maximum[channel] = max(self.maximum[channel], values.max())

    def result(self) -> ChannelStatistics:
        """Return the statistics so far.

        Raises
        ------
        UsageError
            Where a channel had no finite value.
        """
        if not self.count.all():
            raise UsageError("there are no statistics: a channel has no finite value in the rows given")
        std = np.sqrt(self.squares / self.count)
        columns = (self.count, self.mean, std, self.minimum, self.maximum)
        return ChannelStatistics(*(column.tolist() for column in columns))


def statistics(dataset: Dataset, what: str, rows: Iterable[int] | None = None) -> ChannelStatistics:
    """Return the statistics of ``inputs``, ``outputs`` or ``trajectories`` over rows, all if none are given.

    Take the rows of the training split, or the others leak into it. Memory is that of one row. Frames after a
    realization diverged are NaN and left out.

    Raises
    ------
    UnknownNameError
        For fields that the dataset does not hold.
    UsageError
        Where a channel has no finite value.
    """
    held = FIELDS if dataset.timesteps else FIELDS[:2]
    if what not in held:
        raise unknown_name("field", what, held)
    path = "outputs/trajectories" if what == "trajectories" else f"{what}/fields"
    moments = Moments(dataset.layout.channels)
    for row in range(len(dataset)) if rows is None else rows:
        moments.add(dataset.array(path, int(row)))
    return moments.result()


def save_statistics(path: str | Path, computed: ChannelStatistics, dataset: Dataset) -> None:
    """Write statistics to a JSON file, with the digest of the dataset that they are of."""
    content = {"digest": dataset.digest, "statistics": asdict(computed)}
    commit_text(Path(path), json.dumps(content, indent=1))


def load_statistics(path: str | Path, dataset: Dataset) -> ChannelStatistics:
    """Return the statistics that `save_statistics` wrote.

    Raises
    ------
    StorageError
        Where the file holds none, or those of another dataset.
    """
    try:
        content: dict[str, Any] = json.loads(Path(path).read_text())
        digest, found = content["digest"], ChannelStatistics(**content["statistics"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path} holds no statistics ({error})") from error
    if digest != dataset.digest:
        raise StorageError(f"{path} holds the statistics of another dataset: compute them again")
    return found
