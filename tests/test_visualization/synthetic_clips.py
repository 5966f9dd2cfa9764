"""Clips of synthetic ensembles, and the colours that a test expects of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spinlock.keys import Key
from spinlock.numerics.random import SampleKeys
from spinlock.visualization.aggregates import EnsembleFrame
from spinlock.visualization.cells import Cells, ChannelStatistics, columns_of
from spinlock.visualization.clip import Clip
from spinlock.visualization.scales import ColourStyle
from spinlock.visualization.sheet import SheetStyle

ALL = ("mean", "variance", "stddev", "envelope", "overlay", "entropy", "pca", "ssim", "spectral")


def trajectories(frames, members, channels, grid, seed=0):
    """Return keyed standard normal fields [T, M, C, g, g]."""
    keys = SampleKeys.of(Key(seed, "pictures"), torch.arange(frames), ("noise",))
    return keys.normal("noise", members, channels, grid, grid)


def limits(states: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and greatest finite value of each channel; (0, 0) where there is none."""
    flat = states.transpose(0, 2).flatten(1)
    finite = flat.isfinite()
    low = torch.where(finite, flat, torch.inf).amin(dim=1)
    high = torch.where(finite, flat, -torch.inf).amax(dim=1)
    return torch.where(low > high, 0.0, low), torch.where(low > high, 0.0, high)


def statistics_of(states: Tensor, bounds: tuple[Tensor, Tensor]) -> ChannelStatistics:
    """Return the statistics of each channel of states [T, M, C, g, g]; 0 where nothing is finite."""
    flat = states.transpose(0, 2).flatten(1).double().numpy()
    finite = [channel[np.isfinite(channel)] for channel in flat]
    mean = np.array([channel.mean() if channel.size else 0.0 for channel in finite])
    deviation = np.array([channel.std() if channel.size else 0.0 for channel in finite])
    return ChannelStatistics(*(end.double().numpy() for end in bounds), mean, deviation)


def cells_of(states: Tensor, folder: Path, names: Sequence[str] = (), shown=2, cell=None) -> Cells:
    """Return the cells of states [T, M, C, g, g]; as large as the grid unless a size is given."""
    frames, _, channels, grid, _ = states.shape
    shown = min(shown, states.shape[1])
    bounds = limits(states)
    known = statistics_of(states, bounds)
    cells = Cells(columns_of(shown, names, channels), frames, grid, cell or (grid, grid), known, folder)
    for number, frame in enumerate(states):
        cells.add(number, frame[:shown], EnsembleFrame.of(frame, *bounds))
    return cells


@contextmanager
def clip_of(
    operators: Sequence[Tensor],
    folder: Path,
    names: Sequence[str] = (),
    *,
    shown: int = 2,
    cell: tuple[int, int] | None = None,
    colours: ColourStyle | None = None,
    spacing: bool = False,
) -> Iterator[Clip]:
    """Yield the clip of operators, each a tensor [T, M, C, g, g]."""
    cell = cell or tuple(operators[0].shape[-2:])
    rows = [cells_of(states, folder, names, shown, cell) for states in operators]
    labels = [[f"#{number}"] for number in range(len(rows))]
    times = range(len(operators[0]))
    clip = Clip(rows, labels, times, colours or ColourStyle(), SheetStyle(cell, spacing))
    try:
        yield clip
    finally:
        clip.close()


def picture(clip: Clip, number: int, row: int, column: int) -> NDArray[np.uint8]:
    """Return the pixels of one cell of a frame, read back from the sheet."""
    return clip.frame(number)[clip.sheet.place(row, column)]


def quantiles(values: NDArray[np.floating]) -> tuple[float, float]:
    """Return the 1 % and 99 % quantiles of all values."""
    low, high = np.quantile(np.asarray(values, np.float64), (0.01, 0.99))
    return float(low), float(high)


def agrees(found: NDArray[np.uint8], unit: NDArray[np.float64], table: NDArray[np.uint8]) -> bool:
    """Return whether pixels [h, w, 3] are the colormap's at [h, w] of [0, 1], ties of rounding aside."""
    level = 255.0 * np.clip(unit, 0.0, 1.0)
    either = [table[np.rint(np.clip(level + step, 0, 255)).astype(int)] for step in (-2e-3, 2e-3)]
    return bool(np.logical_or(*((found == colours).all(axis=-1) for colours in either)).all())
