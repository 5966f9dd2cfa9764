"""The cells of one operator over a clip: realizations beside aggregates, kept at the size they are shown."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from spinlock.visualization.aggregates import Aggregate, EnsembleFrame, aggregates
from spinlock.visualization.spool import Spool

MOST_SAMPLES = 2**16
"""Samples of a cell, unless there are very many cells."""

Kind = Literal["field", "overlay", "components", "heatmap"]


@dataclass(frozen=True)
class Column:
    """One column of pictures: a realization, or an aggregate.

    Attributes
    ----------
    name
        Its heading.
    kind
        How its maps become colours.
    maps
        Their places among all maps of a row.
    aggregate
        What computes them; None for a realization.
    """

    name: str
    kind: Kind
    maps: slice
    aggregate: Aggregate | None = None


def columns_of(shown: int, names: Sequence[str], channels: int) -> tuple[Column, ...]:
    """Return the columns of a clip: the first realizations, then the aggregates of those names.

    Raises
    ------
    UnknownNameError
        For an aggregate that does not exist, with the near miss.
    """
    columns: list[Column] = []
    place = 0
    for number in range(shown):
        columns.append(Column(f"realization {number}", "field", slice(place, place + channels)))
        place += channels
    for name in names:
        entry = aggregates[name]
        depth = entry.depth(channels)
        columns.append(Column(name, entry.kind, slice(place, place + depth), entry))
        place += depth
    return tuple(columns)


def kept_size(grid: int, cell: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width that fields are kept at: no larger than a cell, nor than themselves."""
    return min(grid, cell[0]), min(grid, cell[1])


@dataclass(frozen=True)
class ChannelStatistics:
    """Least and greatest value, mean and standard deviation of each channel over a clip, float64 [C] each."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


class Cells:
    """The maps of one operator's cells for every frame, in a scratch file, and what their colours need.

    Parameters
    ----------
    columns
        What to show.
    frames
        Length of the clip.
    grid
        Side of the fields.
    cell
        Height and width of a cell in pixels; fields larger than that are averaged over areas, smaller ones
        are kept as they are.
    statistics
        Of the operator's fields.
    folder
        Where the scratch file stands.
    most_samples
        Pixels of a cell, over the whole clip, that its colour bounds are taken from; all if there are fewer.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        frames: int,
        grid: int,
        cell: tuple[int, int],
        statistics: ChannelStatistics,
        folder: Path,
        most_samples: int | None = None,
    ) -> None:
        self.columns, self.statistics = tuple(columns), statistics
        self.size = kept_size(grid, cell)
        self.remarks = np.full((len(columns), frames), np.nan)
        self._spool = Spool(folder, (columns[-1].maps.stop, *self.size), frames)
        pixels = self.size[0] * self.size[1]
        self._stride = _sample_stride(frames * pixels, pixels, most_samples or MOST_SAMPLES)
        count = -(-frames * pixels // self._stride)
        # one array from the start: small ones kept between large temporaries would fragment the heap
        self._samples, self._sampled = np.empty((columns[-1].maps.stop, count), np.float32), 0
        self._previous: dict[int, Tensor] = {}

    def add(
        self,
        number: int,
        realizations: Float[Tensor, "k c g g"],
        ensemble: EnsembleFrame | None,
        counted: Sequence[bool] | None = None,
    ) -> None:
        """Keep frame ``number``; frames come in the order of time.

        Parameters
        ----------
        realizations
            Those that are shown themselves; NaN where they diverged.
        ensemble
            What the aggregates are of; None where no realization is finite.
        counted
            Columns whose pixels count for colour bounds; all if not given.
        """
        maps = [*realizations]
        for place, column in enumerate(self.columns):
            if column.aggregate:
                maps.append(self._aggregate(place, column, number, realizations, ensemble))
        kept = self._at_kept_size(torch.cat(maps))
        self._spool.write(number, kept)
        flat = kept.reshape(len(kept), -1)
        sample = flat[:, -number * flat.shape[1] % self._stride :: self._stride]
        place = slice(self._sampled, self._sampled + sample.shape[1])
        self._samples[:, place] = sample
        for column, counts in zip(self.columns, counted or (), strict=False):
            if not counts:
                self._samples[column.maps, place] = np.nan
        self._sampled = place.stop

    def _aggregate(
        self,
        place: int,
        column: Column,
        number: int,
        realizations: Tensor,
        ensemble: EnsembleFrame | None,
    ) -> Tensor:
        assert column.aggregate is not None
        if ensemble is None:
            depth = column.maps.stop - column.maps.start
            return realizations.new_full((depth, *realizations.shape[2:]), float("nan"))
        if place in self._previous:
            ensemble = replace(ensemble, previous=self._previous[place])
        maps = column.aggregate(ensemble)
        if column.kind == "components":
            self._previous[place] = maps
        if column.aggregate.remark:
            self.remarks[place, number] = column.aggregate.remark(ensemble)
        return maps

    def _at_kept_size(self, maps: Float[Tensor, "d g g"]) -> NDArray[np.float32]:
        if maps.shape[1:] != self.size:
            maps = functional.interpolate(maps[None], self.size, mode="area")[0]
        return maps.cpu().numpy()

    def maps(self, number: int) -> NDArray[np.float32]:
        """Return all maps of a frame, float32 [d, h, w]."""
        return self._spool.read(number)[0]

    def samples(self, column: Column) -> NDArray[np.float32]:
        """Return evenly spread pixels of a column's maps over the clip [d, n], the finite ones."""
        found = self._samples[column.maps, : self._sampled]
        return found[:, np.isfinite(found).all(axis=0)]

    def close(self) -> None:
        """Give the scratch space back."""
        self._spool.close()


def _sample_stride(positions: int, pixels: int, most: int) -> int:
    """Return the least stride for at most so many samples that shares no divisor with a frame's pixels.

    So it visits every pixel, row and column before it comes back to one.
    """
    stride = -(-positions // most)
    while math.gcd(stride, pixels) > 1:
        stride += 1
    return stride
