"""Rows that are draws of a plan, stored or not: counted, drawn and rolled out alike."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from spinlock.counting import counted
from spinlock.dataset.sample import Sample

if TYPE_CHECKING:
    from spinlock.execution.plan import Draw, Plan
    from spinlock.rollout import Rollout


class Drawn(ABC):
    """A sequence of rows; row i is draw i of a plan.

    Attributes
    ----------
    device
        Where rows are rolled out unless a call says otherwise.
    """

    device: str = "cpu"

    @cached_property
    def plan(self) -> "Plan":
        """The plan."""
        raise NotImplementedError

    @abstractmethod
    def __len__(self) -> int:
        """Return N."""

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Return a row; negative indices count from the end."""

    def __iter__(self) -> Iterator[Sample]:
        """Iterate over the rows in order."""
        return (self[index] for index in range(len(self)))

    def _row(self, index: int) -> int:
        row = index + len(self) if index < 0 else index
        if not 0 <= row < len(self):
            raise IndexError(f"row {index} is out of range: {self._name} holds {counted(len(self), 'row')}")
        return row

    @property
    def _name(self) -> str:
        """What messages call it."""
        return "this dataset"

    def draw(self, index: int) -> "Draw":
        """Return the recipe of a row: every parameter and the initial condition."""
        return self.plan.draw(self._row(index))

    def rollout(
        self,
        index: int,
        num_timesteps: int | None = None,
        num_realizations: int | None = None,
        device: str | None = None,
    ) -> "Rollout":
        """Return the rollout of a row with all its frames, torch float32 [M, T + 1, C, g, g].

        In the environment that made the dataset, the frames are those stored, bit for bit (before rounding to
        the storage precision); more timesteps or realizations continue them.

        Parameters
        ----------
        index
            The row.
        num_timesteps, num_realizations
            Operator applications and ensemble size; those of the dataset if not given.
        device
            Where to compute; that of the dataset if not given.

        Raises
        ------
        IndexError
            If there is no such row.
        UsageError
            If steps or realizations are none, or too many for the random numbers' counter.
        """
        from spinlock.execution.devices import prepare_process, resolve_device
        from spinlock.execution.stacks import sample_of

        prepare_process()
        steps = self.plan.config.simulation.num_timesteps if num_timesteps is None else num_timesteps
        return sample_of(
            self.plan,
            self.draw(index),
            resolve_device(device or self.device),
            keep=tuple(range(steps + 1)),
            num_timesteps=steps,
            num_realizations=num_realizations,
        ).rollout
