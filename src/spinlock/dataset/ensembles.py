"""The rollouts of a dataset's rows, frame by frame: the same weights and noise, as long as asked for."""

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spinlock.dataset.open import Dataset
from spinlock.dataset.replay import field_faults
from spinlock.errors import InterruptedRunError, StorageError
from spinlock.execution.simulate import Sampled, simulate
from spinlock.operators import operator_digest
from spinlock.visualization.spool import Spool


@dataclass(frozen=True)
class Ensemble:
    """The rollout of one row: its shown frames in a scratch file.

    Attributes
    ----------
    times
        The time steps of its frames, ascending.
    finite_steps
        Finite time steps of each realization, counted from 0.
    bounds
        Least and greatest value of each channel over all frames and realizations, two times [C].
    """

    times: range
    finite_steps: np.ndarray
    bounds: tuple[Tensor, Tensor]
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

    def close(self) -> None:
        """Give the scratch space back."""
        self._spool.close()


def roll_out_row(
    dataset: Dataset,
    row: int,
    times: range,
    realizations: int,
    device: torch.device,
    folder: Path,
    stop: threading.Event,
) -> Ensemble:
    """Return the rollout of a row at some time steps; ``stop`` ends it early.

    All realizations are run where they share statistics (batch normalization); else the first ones, whose
    bits do not depend on the others.

    Raises
    ------
    StorageError
        Where, in the environment that made the dataset, weights or frames are not those stored.
    InterruptedRunError
        After ``stop``.
    """
    plan, draw = dataset.plan, dataset.draw(row)
    simulation = plan.config.simulation
    channels, grid = simulation.num_channels, draw.grid_size
    spool = Spool(folder, (channels, grid, grid), len(times) * realizations)
    bounds = _Bounds(channels, device)

    def keep(realization: int, time: int, state: Tensor) -> None:
        if realization < realizations and time in times:
            bounds.see(state)
            spool.write(times.index(time) * realizations + realization, state.cpu().numpy())

    def checkpoint() -> None:
        if stop.is_set():
            raise InterruptedRunError("interrupted")

    stored = simulation.num_timesteps
    try:
        sample = simulate(
            plan,
            draw,
            device,
            keep=(stored,) if times[-1] >= stored else (),
            num_timesteps=max(1, times[-1]),
            classify=False,
            checkpoint=checkpoint,
            on_frame=keep,
        )
        _check_equal(dataset, row, sample, device)
    except BaseException:
        spool.close()
        raise
    finite_steps = sample.rollout.finite_steps[:realizations]
    return Ensemble(times, finite_steps, (bounds.low, bounds.high), device, spool)


class _Bounds:
    """Least and greatest value of each channel of the states seen: frame 0 at least, which is finite."""

    def __init__(self, channels: int, device: torch.device) -> None:
        self.low = torch.full((channels,), float("inf"), device=device)
        self.high = -self.low

    def see(self, state: Tensor) -> None:
        low, high = torch.aminmax(state.flatten(1), dim=1)
        self.low, self.high = torch.minimum(self.low, low), torch.maximum(self.high, high)


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
