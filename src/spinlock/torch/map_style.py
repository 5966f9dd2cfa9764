"""A dataset for `torch.utils.data.DataLoader`: items by number, read lazily in each worker."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from spinlock.dataset.open import Dataset, open_dataset
from spinlock.dataset.statistics import ChannelStatistics
from spinlock.dataset.virtual import VirtualDataset
from spinlock.errors import UsageError
from spinlock.registry import unknown_name
from spinlock.torch.augmentation import Augmentation
from spinlock.torch.window import Window, WindowIndex

ARRAYS = ("inputs", "outputs", "trajectories", "parameters")

Item = dict[str, torch.Tensor]


class SpinlockDataset(torch.utils.data.Dataset[Item]):
    """Rows of a dataset, or windows of their trajectories, as dictionaries of tensors.

    An item is a pure function of (dataset, arguments, epoch, number), in whichever worker it is made. It
    pickles; each process opens the file for itself (fork, spawn and forkserver). A `DataLoader` asks for a
    batch at a time, whose rows are read in the order in which they stand.

    Parameters
    ----------
    source
        An open dataset, its path, or a `VirtualDataset`, whose rows are made as they are asked for.
    rows
        The rows that items are made of, such as a split; all if not given.
    arrays
        What an item holds: ``inputs`` [C, h, w], ``outputs`` [M, C, h, w], ``trajectories`` [M, F, C, h, w]
        (float32; NaN where a realization diverged) and ``parameters`` [P], the point in the unit cube
        (float64). ``index`` (the row) is always there.
    window
        Items are windows of stored trajectories instead: ``frames`` [length, C, h, w], with ``index``,
        ``realization`` and ``start`` (the frame number of the first). Windows are finite throughout.
    crop, roll, normalize, seed
        As for `spinlock.torch.augmentation.Augmentation`.

    Raises
    ------
    UsageError
        For rows that do not exist, grids that do not go into one batch, windows where no trajectories are
        stored.
    UnknownNameError
        For an array that does not exist.

    Examples
    --------
    >>> from spinlock.torch import SpinlockDataset
    >>> items = SpinlockDataset("datasets/test_100.h5", arrays=("inputs", "outputs"), crop=32)
    >>> items[0]["outputs"].shape
    torch.Size([3, 3, 32, 32])
    """

    def __init__(
        self,
        source: Dataset | VirtualDataset | str | Path,
        *,
        rows: ArrayLike | None = None,
        arrays: Sequence[str] = ("inputs", "outputs"),
        window: Window | None = None,
        crop: int | None = None,
        roll: bool = False,
        normalize: Mapping[str, ChannelStatistics] | None = None,
        seed: int = 0,
    ) -> None:
        self.source = open_dataset(source) if isinstance(source, str | Path) else source
        self.rows = None if rows is None else _checked_rows(rows, len(self.source))
        self.arrays = _checked_arrays(self.source, arrays)
        self.augmentation = Augmentation(crop, roll, normalize, seed)
        self._check_grids()
        self.windows = None if window is None else self._windows(window)
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()  # workers that live on see it change

    def _check_grids(self) -> None:
        if isinstance(self.source, VirtualDataset):
            grids = self.source.plan.grids
        else:
            column = self.source.metadata["grid_sizes"]
            grids = np.unique(column if self.rows is None else column[self.rows]).tolist()
        crop = self.augmentation.crop
        if crop is None and len(grids) > 1:
            raise UsageError(
                f"rows have grids of {', '.join(map(str, grids))} pixels, which do not go into one batch: "
                f"give crop={min(grids)}, or the rows of one grid"
            )
        if crop is not None and crop > min(grids):
            raise UsageError(f"crop {crop} is larger than the smallest grid, {min(grids)}")

    def _windows(self, window: Window) -> WindowIndex:
        if isinstance(self.source, VirtualDataset) or not self.source.timesteps:
            raise UsageError(
                "windows are cut from stored trajectories: generate with dataset.storage.trajectories: all"
            )
        rows = np.arange(len(self.source)) if self.rows is None else self.rows
        return WindowIndex(self.source, rows, window)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of what items are numbered by: plan, rows and windows; equal for a dataset on demand."""
        source = self.source
        plan = source.plan.digest if isinstance(source, VirtualDataset) else source.attributes["plan_digest"]
        rows = b"" if self.rows is None else self.rows.tobytes()
        window = None if self.windows is None else self.windows.window
        return hashlib.sha256(f"{plan} {window} ".encode() + rows).hexdigest()

    @property
    def epoch(self) -> int:
        """The epoch that rolls and crops are keyed by; setting it reaches workers that live on."""
        return int(self._epoch.item())

    @epoch.setter
    def epoch(self, number: int) -> None:
        self._epoch.fill_(number)

    def __len__(self) -> int:
        """Return the number of items."""
        if self.windows is not None:
            return len(self.windows)
        return len(self.source) if self.rows is None else len(self.rows)

    def __getitem__(self, number: int) -> Item:
        """Return an item; negative numbers count from the end.

        Raises
        ------
        IndexError
            If there is no such item.
        """
        item = number + len(self) if number < 0 else number
        if not 0 <= item < len(self):
            raise IndexError(f"item {number} is out of range: there are {len(self)}")
        return self._window(item) if self.windows is not None else self._row(item)

    def __getitems__(self, numbers: Sequence[int]) -> list[Item]:
        """Return several items in the order asked for; they are read in the order in which they stand."""
        made = {number: self[number] for number in sorted(set(numbers))}
        return [made[number] for number in numbers]

    def _row(self, item: int) -> Item:
        row = item if self.rows is None else int(self.rows[item])
        if isinstance(self.source, VirtualDataset):
            sample = self.source[row]
            found = {name: getattr(sample, name) for name in self.arrays if name != "parameters"}
        else:
            found = {
                name: self.source.array(_path(name), row) for name in self.arrays if name != "parameters"
            }
        shown = self._tensors(found, item)
        if "parameters" in self.arrays:
            shown["parameters"] = torch.from_numpy(self._point(row))
        return shown | {"index": torch.from_numpy(np.array(row))}

    def _point(self, row: int) -> NDArray[np.float64]:
        if isinstance(self.source, VirtualDataset):
            return self.source.draw(row).point.copy()
        return self.source.points[row].copy()

    def _window(self, item: int) -> Item:
        assert self.windows is not None
        assert isinstance(self.source, Dataset)
        row, realization, start = self.windows.place(item)
        part = slice(realization, realization + 1), slice(start, start + self.windows.window.length)
        found = self.source.array(_path("trajectories"), row, part)[0]
        places = {"index": row, "realization": realization, "start": self.source.timesteps[start]}
        numbers = {name: torch.tensor(place) for name, place in places.items()}
        return self._tensors({"frames": found}, item) | numbers

    def _tensors(self, fields: Mapping[str, NDArray[np.float32]], item: int) -> Item:
        if not fields:
            return {}
        shown = self.augmentation.shown(fields, item, self.epoch) if self.augmentation.acts else fields
        return {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in shown.items()}


def _path(name: str) -> str:
    return "outputs/trajectories" if name == "trajectories" else f"{name}/fields"


def _checked_rows(rows: ArrayLike, count: int) -> NDArray[np.int64]:
    chosen = np.asarray(rows)
    if chosen.ndim != 1 or chosen.size == 0 or chosen.dtype.kind not in "iu":
        raise UsageError("rows must be a list of at least one integer")
    if chosen.min() < 0 or chosen.max() >= count:
        raise UsageError(f"rows must lie in [0, {count}): the dataset holds no others")
    return chosen.astype(np.int64)


def _checked_arrays(source: Dataset | VirtualDataset, arrays: Sequence[str]) -> tuple[str, ...]:
    held = ARRAYS if source.timesteps else tuple(name for name in ARRAYS if name != "trajectories")
    for name in arrays:
        if name not in held:
            raise unknown_name("array", name, held)
    return tuple(arrays)
