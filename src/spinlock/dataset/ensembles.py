"""The rollouts of a dataset's rows, frame by frame: the same weights and noise, as long as asked for."""

import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spinlock.dataset.open import Dataset
from spinlock.dataset.replay import field_faults
from spinlock.errors import InterruptedRunError, StorageError
from spinlock.execution.simulate import Sampled
from spinlock.execution.stacks import sample_of
from spinlock.operators import operator_digest
from spinlock.visualization.cells import ChannelStatistics
from spinlock.visualization.spool import Spool

RUNAWAY = 100.0
"""A realization that diverges within the clip runs away where |x| exceeds so many times the rms of frame 0:
a few such frames would leave no colours for all the others."""


@dataclass(frozen=True)
class Ensemble:
    """The rollout of one row: its shown frames in a scratch file.

    Attributes
    ----------
    times
        The time steps of its frames, ascending.
    finite_steps
        How many time steps each realization is finite for, frame 0 included.
    statistics
        Of each channel over all frames and realizations, those that run away left out.
    settled
        The frames [F, M] of realizations that are finite and do not run away.
    """

    times: range
    finite_steps: np.ndarray
    statistics: ChannelStatistics
    settled: NDArray[np.bool_]
    device: torch.device
    _spool: Spool

    @property
    def grid(self) -> int:
        """Side of the fields."""
        return self._spool.shape[-1]

    def frame(self, number: int) -> Tensor:
        """Return frame ``number`` of all realizations, float32 [M, C, g, g]; NaN where they diverged."""
        members = len(self.finite_steps)
        states = torch.from_numpy(self._spool.read(number * members, members))
        states[torch.from_numpy(self.finite_steps <= self.times[number])] = float("nan")
        return states.to(self.device)

    def is_telling(self, number: int) -> bool:
        """Return whether no realization runs away in frame ``number``."""
        finite = self.finite_steps > self.times[number]
        return bool(self.settled[number][finite].all())

    def close(self) -> None:
        """Give the scratch space back."""
        self._spool.close()


class _Recorder:
    """Writes the shown frames of the first realizations to a scratch file, and gathers their statistics."""

    def __init__(self, times: range, realizations: int, channels: int, grid: int, folder: Path) -> None:
        self._times, self._realizations, self._pixels = times, realizations, grid**2
        self.spool = Spool(folder, (channels, grid, grid), len(times) * realizations)
        shape = len(times), realizations, channels
        self._low, self._high = np.full(shape, np.inf), np.full(shape, -np.inf)
        self._sum, self._squares = np.zeros(shape), np.zeros(shape)

    def see(self, realization: int, time: int, state: Tensor) -> None:
        """Take note of a finite state [C, g, g]."""
        if realization >= self._realizations or time not in self._times:
            return
        number = self._times.index(time)
        self.spool.write(number * self._realizations + realization, state.cpu().numpy())
        place, flat = (number, realization), state.flatten(1)
        self._low[place], self._high[place] = (end.cpu().numpy() for end in torch.aminmax(flat, dim=1))
        wide = flat.double()
        self._sum[place], self._squares[place] = wide.sum(1).cpu().numpy(), wide.square().sum(1).cpu().numpy()

    def settled(self, finite_steps: np.ndarray) -> NDArray[np.bool_]:
        """Return the frames [F, M] of realizations that are finite and do not run away."""
        finite = np.asarray(self._times)[:, None] < finite_steps
        size = np.sqrt(self._squares[0, 0].sum() / (self._pixels * self._squares.shape[-1]))
        largest = np.maximum(-self._low, self._high).max(axis=-1)
        runaway = (finite_steps <= self._times[-1]) & (largest > RUNAWAY * size) & (size > 0)
        return finite & ~runaway

    def statistics(self, settled: NDArray[np.bool_]) -> ChannelStatistics:
        """Return the statistics of the settled frames; frame 0 is always among them."""
        count = self._pixels * np.count_nonzero(settled)
        mean = self._sum[settled].sum(axis=0) / count
        variance = self._squares[settled].sum(axis=0) / count - mean**2
        return ChannelStatistics(
            self._low[settled].min(axis=0),
            self._high[settled].max(axis=0),
            mean,
            np.sqrt(np.maximum(variance, 0.0)),
        )


def roll_out_row(
    dataset: Dataset,
    row: int,
    times: range,
    realizations: int,
    device: torch.device,
    folder: Path,
    stop: threading.Event,
) -> Ensemble:
    """Return the rollout of a row at some time steps, of its first realizations; ``stop`` ends it early.

    All realizations are run, as they may share statistics.

    Raises
    ------
    StorageError
        Where, in the environment that made the dataset, weights or frames are not those stored.
    InterruptedRunError
        After ``stop``.
    """
    draw, simulation = dataset.draw(row), dataset.config.simulation
    recorder = _Recorder(times, realizations, simulation.num_channels, draw.grid_size, folder)

    try:
        sample = sample_of(
            dataset.plan,
            draw,
            device,
            keep=(simulation.num_timesteps,) if times[-1] >= simulation.num_timesteps else (),
            num_timesteps=max(1, times[-1]),
            classify=False,
            checkpoint=partial(check_going, stop),
            on_frame=recorder.see,
        )
        _check_equal(dataset, row, sample, device)
    except BaseException:
        recorder.spool.close()
        raise
    finite_steps = sample.rollout.finite_steps[:realizations]
    settled = recorder.settled(finite_steps)
    return Ensemble(times, finite_steps, recorder.statistics(settled), settled, device, recorder.spool)


def check_going(stop: threading.Event) -> None:
    """Raise `InterruptedRunError` where a run is to stop."""
    if stop.is_set():
        raise InterruptedRunError("interrupted")


def _check_equal(dataset: Dataset, row: int, sample: Sampled, device: torch.device) -> None:
    """Compare weights, frame 0 and, where it was reached, the final frame with what is stored."""
    if not dataset.made_on(device):
        return
    faults = []
    if operator_digest(sample.operator) != dataset.metadata["operator_digests"][row]:
        faults.append(f"row {row}: its operator has other weights")
    faults += field_faults(dataset, row, _fields(dataset, sample))
    if faults:
        raise StorageError(
            f"{dataset.path}: {faults[0]}. The dataset or this installation of Spinlock was changed; "
            "`spinlock validate --replay` tells more"
        )


def _fields(dataset: Dataset, sample: Sampled) -> dict[str, np.ndarray]:
    fields = {"inputs/fields": sample.initial.cpu().numpy()}
    if sample.rollout.timesteps:
        final = sample.rollout.frames[:, 0].cpu().numpy().copy()
        if dataset.layout.precision == "float16":
            final[sample.rollout.float16_steps <= sample.rollout.timesteps[0]] = np.nan
        fields["outputs/fields"] = final
    return fields
