"""Open a dataset: rows as arrays, operators rebuilt, rollouts run again and further."""

import json
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from spinlock import __version__
from spinlock.dataset.statements import check_statements
from spinlock.errors import StorageError
from spinlock.storage import DatasetFile, Layout

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure
    from torch import nn

    from spinlock.config.model import Config
    from spinlock.dataset.animation import Animation
    from spinlock.execution.plan import Draw, Plan
    from spinlock.rollout import Rollout
    from spinlock.storage.atomic import Checkpoint
    from spinlock.storage.feature_copy import Block
    from spinlock.storage.feature_layout import FeatureFacts, FeatureLayout


@dataclass(frozen=True)
class Sample:
    """One row of a dataset, on its native grid g.

    Attributes
    ----------
    index
        The row, which is the draw.
    inputs
        Frame 0, float32 [C, g, g].
    outputs
        The final frames, float32 [M, C, g, g]; NaN where a realization diverged.
    trajectories
        The stored frames, float32 [M, F, C, g, g], or None where none are stored; their numbers are the
        dataset's ``timesteps``.
    parameters
        The sampled parameters, decoded.
    metadata
        Initial condition, policy, dynamics and the other tables of ``/metadata``, by name.
    """

    index: int
    inputs: np.ndarray
    outputs: np.ndarray
    trajectories: np.ndarray | None
    parameters: Mapping[str, Any]
    metadata: Mapping[str, Any]


def complete_file(path: str | Path) -> DatasetFile:
    """Open a dataset file, or raise `StorageError` where it is only a shard of one."""
    file = DatasetFile(path)
    try:
        check_statements(file)
    except BaseException:
        file.close()
        raise
    return file


class Dataset:
    """A complete dataset, opened for reading; `open_dataset` makes one.

    ``len(ds)``, ``ds[i]`` and iteration give its rows; ``ds.operator(i)`` and ``ds.rollout(i)`` make again
    what row i was made of. It pickles, and each process opens the file for itself; threads may share it.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = complete_file(path)

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what the other process makes anew from the file."""
        return {"_file": self._file}

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    def __len__(self) -> int:
        """Return N."""
        return self._file.layout.samples

    def __iter__(self) -> Iterator[Sample]:
        """Iterate over the rows in order."""
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Sample:
        """Return a row; negative indices count from the end.

        Raises
        ------
        IndexError
            If there is no such row.
        StorageError
            If a chunk of it is damaged; the message names array, row and remedy.
        """
        row = self._row(index)
        stored = "outputs/trajectories" if self.timesteps else None
        return Sample(
            index=row,
            inputs=self._file.row("inputs/fields", row),
            outputs=self._file.row("outputs/fields", row),
            trajectories=self._file.row(stored, row) if stored else None,
            parameters={name: column[row].item() for name, column in self.parameters.items()},
            metadata={name: _plain(column[row]) for name, column in self.metadata.items()},
        )

    def _row(self, index: int) -> int:
        row = index + len(self) if index < 0 else index
        if not 0 <= row < len(self):
            raise IndexError(f"row {index} is out of range: {self.path} holds {len(self)} rows")
        return row

    @property
    def timesteps(self) -> tuple[int, ...]:
        """The frame numbers of the stored trajectories; empty if none are stored."""
        return self._file.layout.timesteps

    @property
    def layout(self) -> Layout:
        """What decides the arrays."""
        return self._file.layout

    @property
    def digest(self) -> str:
        """The digest that the file is sealed with: equal digests, equal contents."""
        return self._file.digest

    @property
    def is_current(self) -> bool:
        """Whether the file at the path is still the one that was opened."""
        return self._file.is_current

    @cached_property
    def feature_attributes(self) -> dict[str, Any]:
        """What the file says about its features beside their columns; empty where it has none."""
        if self.layout.features is None:
            return {}
        return self._file.group_attributes("features") | self._file.group_attributes("features/sdf")

    def copy_with_features(
        self,
        path: Path,
        features: "FeatureLayout",
        blocks: "Iterable[Block]",
        facts: "FeatureFacts",
        checkpoint: "Checkpoint",
    ) -> None:
        """Write the dataset with these features to a path, as `spinlock.storage.feature_copy` does."""
        from spinlock.storage.feature_copy import copy_with_features

        copy_with_features(self._file, path, features, blocks, facts, checkpoint)

    def array(self, path: str, index: int, part: tuple[slice, ...] = ()) -> np.ndarray:
        """Return one row of fields by the array's path in the file, float32 on the native grid.

        ``part`` holds slices of the first axes (realizations, frames); only what they need is read.
        """
        return self._file.row(path, self._row(index), part=part)

    def table(self, path: str) -> np.ndarray:
        """Return a table by its path in the file, N rows; text as str."""
        return self._file.table(path)

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes of ``/metadata``."""
        return self._file.attributes

    @cached_property
    def points(self) -> np.ndarray:
        """The sampled points in the unit cube, float64 [N, P]."""
        if not self._file.layout.parameters:
            return np.empty((len(self), 0))
        return self._file.table("parameters/params")

    @cached_property
    def parameters(self) -> dict[str, np.ndarray]:
        """The decoded parameters, a column of N values each."""
        return {p.name: self._file.table(f"parameters/values/{p.name}") for p in self._file.layout.parameters}

    @cached_property
    def metadata(self) -> dict[str, np.ndarray]:
        """The tables of ``/metadata``, N rows each, by name."""
        return {
            info.path.removeprefix("metadata/"): self._file.table(info.path)
            for info in self._file.describe_arrays()
            if info.path.startswith("metadata/") and info.path.count("/") == 1
        }

    @cached_property
    def config(self) -> "Config":
        """The configuration that made the dataset."""
        from spinlock.config import config_from_stored

        return config_from_stored(self._file.config)

    @cached_property
    def plan(self) -> "Plan":
        """The plan of the dataset.

        Raises
        ------
        StorageError
            If this version of Spinlock makes another plan of the stored configuration.
        """
        from spinlock.execution.plan import make_plan

        plan = make_plan(self.config)
        stored = self._file.attributes["plan_digest"]
        if plan.digest != stored:
            version = self._file.attributes["spinlock_version"]
            raise StorageError(
                f"{self.path}: spinlock {version} made it by the plan {stored[:12]}…, spinlock {__version__} "
                f"makes {plan.digest[:12]}… of its configuration: rows can be read, not made again"
            )
        return plan

    def draw(self, index: int) -> "Draw":
        """Return the recipe of a row: every parameter and the initial condition."""
        return self.plan.draw(self._row(index))

    def operator(self, index: int, device: str = "cpu") -> "nn.Module":
        """Return the operator of a row, rebuilt from keys; ``operator(x)`` maps [B, C, g, g] to the same.

        Raises
        ------
        StorageError
            If its weights are not those that made the row (the stored digest proves it).
        """
        from spinlock.execution.devices import resolve_device
        from spinlock.execution.simulate import build_operator
        from spinlock.operators import operator_digest

        draw = self.draw(index)
        operator = build_operator(self.plan, draw, resolve_device(device))
        self._check_digest(draw.index, operator_digest(operator))
        return operator

    def _check_digest(self, row: int, digest: str) -> None:
        stored = str(self.metadata["operator_digests"][row])
        if digest != stored and self.same_environment:
            raise StorageError(
                f"{self.path}, row {row}: the operator rebuilt has digest {digest[:12]}…, the stored one is "
                f"{stored[:12]}…; the dataset or this installation of Spinlock was changed"
            )

    @cached_property
    def same_environment(self) -> bool:
        """Whether device model, torch build and instruction set here are those that made the dataset."""
        import torch

        return self.made_on(torch.device("cpu"))

    def made_on(self, device: "torch.device") -> bool:
        """Return whether the dataset was made on such a device, by this torch build and instruction set."""
        from spinlock.execution.environment import numerical_environment

        made = json.loads(self._file.attributes["provenance"])["environments"]
        return made == [numerical_environment(device)]

    def rollout(
        self,
        index: int,
        num_timesteps: int | None = None,
        num_realizations: int | None = None,
        device: str = "cpu",
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
            Where to compute.

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
        steps = self.config.simulation.num_timesteps if num_timesteps is None else num_timesteps
        return sample_of(
            self.plan,
            self.draw(index),
            resolve_device(device),
            keep=tuple(range(steps + 1)),
            num_timesteps=steps,
            num_realizations=num_realizations,
        ).rollout

    def plot(self, index: int, *, aggregates: "Sequence[str] | None" = None, shown: int = 3) -> "Figure":
        """Return a matplotlib figure of a row: input, realizations, aggregates, spectra; no rollout is run.

        Parameters
        ----------
        index
            The row.
        aggregates
            Names, of all realizations at the final frame; mean, envelope, entropy, spectral if not given.
        shown
            Realizations shown themselves, at most.

        Raises
        ------
        IndexError
            If there is no such row.
        UnknownNameError
            For an aggregate that does not exist.
        """
        from spinlock.dataset.plot import plot_row

        return plot_row(self, self._row(index), aggregates, shown)

    def animate(self, index: "int | Sequence[int]", *, fps: int = 20, **options: Any) -> "Animation":
        """Return a video of a row, or of several, which a notebook shows; ``.save(path)`` writes it.

        Parameters
        ----------
        index
            The row, or rows from top to bottom.
        fps
            Frames a second.
        options
            Those of `spinlock.dataset.render_options.RenderOptions`; 100 steps and cells of 128 pixels if not
            given. The rollout is made again, as by `rollout`.

        Raises
        ------
        IndexError
            If there is no such row.
        UsageError
            If no row is given, or an option is not allowed.
        """
        from spinlock.dataset.animation import animate, options_of

        rows = [*index] if isinstance(index, Iterable) else [index]
        return animate(self, [self._row(operator.index(row)) for row in rows], fps, options_of(options))

    def card(self) -> str:
        """Return the dataset card, Markdown; `spinlock generate` writes it beside the file."""
        from spinlock.dataset.card import card_of

        return card_of(self._file)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        """Return the dataset itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def open_dataset(path: str | Path) -> Dataset:
    """Open a dataset for reading.

    Raises
    ------
    StorageError
        For a file that is missing, foreign, cut short, half-written or damaged, or only a shard of a dataset.
    """
    return Dataset(path)
