"""All frames of a row, exactly: those stored where they are complete, else those of an exact replay."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from spinlock.dataset.open import Dataset
from spinlock.dataset.replay import field_faults, row_fields
from spinlock.errors import StorageError, UsageError
from spinlock.execution.devices import resolve_device
from spinlock.execution.simulate import stored_row
from spinlock.execution.stacks import sample_of
from spinlock.operators import operator_digest

Origin = Literal["stored trajectories", "replay"]


@dataclass(frozen=True)
class Frames:
    """A row's frames, float32 [M, T, C, g, g], and the operator that made them."""

    frames: Tensor
    operator: nn.Module


class FrameSource:
    """Gives the frames of each row of a dataset on a device.

    Raises
    ------
    UsageError
        Where frames are not all stored in float32, and this machine cannot make them again bit for bit.
    """

    def __init__(self, dataset: Dataset, device: str = "auto") -> None:
        self._dataset = dataset
        self.count = dataset.config.simulation.num_timesteps + 1
        complete = dataset.timesteps == tuple(range(self.count)) and dataset.layout.precision == "float32"
        self.origin: Origin = "stored trajectories" if complete else "replay"
        self.device = self._device(device)

    def _device(self, name: str) -> torch.device:
        """Return the device asked for; ``auto`` is, for a replay, the one that made the dataset."""
        if self.origin == "stored trajectories":
            return resolve_device(name)
        here = [resolve_device("auto"), torch.device("cpu")] if name == "auto" else [resolve_device(name)]
        for device in here:
            if self._dataset.made_on(device):
                return device
        stored = "not stored" if not self._dataset.timesteps else "not all stored in float32"
        raise UsageError(
            f"{self._dataset.path}: its trajectories are {stored}, and this machine cannot make them again "
            "bit for bit (device model, torch build or instruction set differ, see `spinlock info`). Extract "
            "the features where the dataset was made, or generate it with dataset.storage.trajectories: all "
            "or with features.during_generation: true"
        )

    def row(self, index: int) -> Frames:
        """Return the frames of a row.

        Raises
        ------
        StorageError
            Where what is made again is not what is stored.
        """
        return self._stored(index) if self.origin == "stored trajectories" else self._replayed(index)

    def _stored(self, index: int) -> Frames:
        frames = self._dataset[index].trajectories
        assert frames is not None
        operator = self._dataset.operator(index, str(self.device))
        return Frames(torch.from_numpy(frames).to(self.device), operator)

    def _replayed(self, index: int) -> Frames:
        plan = self._dataset.plan
        sample = sample_of(plan, plan.draw(index), self.device, keep=tuple(range(self.count)), classify=False)
        faults = list(field_faults(self._dataset, index, row_fields(stored_row(plan, sample))))
        if operator_digest(sample.operator) != self._dataset.metadata["operator_digests"][index]:
            faults.append(f"row {index}: its operator has other weights")
        if faults:
            raise StorageError(
                f"{self._dataset.path}: {faults[0]}. The dataset or this installation of Spinlock was "
                "changed; `spinlock validate --replay` tells more, and the dataset can be generated again"
            )
        return Frames(sample.rollout.frames, sample.operator)
