"""Open a dataset: rows as arrays, operators rebuilt, rollouts run again and further."""

import json
import operator
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinlock import __version__
from spinlock.dataset.drawn import Drawn
from spinlock.dataset.sample import Sample, plain
from spinlock.dataset.statements import check_statements
from spinlock.errors import StorageError, needing
from spinlock.storage import Layout, StoredDataset, open_stored, with_features
from spinlock.storage.closing import Closing
from spinlock.storage.forms import require_writable_form

if TYPE_CHECKING:
    import pandas as pd
    import torch
    import xarray
    from matplotlib.figure import Figure
    from torch import nn

    from spinlock.config.model import Config
    from spinlock.dataset.animation import Animation
    from spinlock.execution.plan import Plan
    from spinlock.storage import FinalFile
    from spinlock.storage.atomic import Checkpoint
    from spinlock.storage.feature_copy import Block
    from spinlock.storage.feature_layout import FeatureFacts, FeatureLayout


def complete_file(path: str | Path) -> StoredDataset:
    """Open a dataset, or raise `StorageError` where it is only a shard of one."""
    file = open_stored(path)
    try:
        check_statements(file)
    except BaseException:
        file.close()
        raise
    return file


class Dataset(Closing, Drawn):
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
        """Where it stands."""
        return self._file.path

    @property
    def _name(self) -> str:
        return str(self.path)

    def __len__(self) -> int:
        """Return N."""
        return self._file.layout.samples

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
            metadata={name: plain(column[row]) for name, column in self.metadata.items()},
        )

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
    def stored_bytes(self) -> int:
        """The size of all its files."""
        return self._file.stored_bytes

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

    def require_writable_form(self, path: Path) -> None:
        """Raise `UsageError` where `copy_with_features` cannot write to such a path."""
        require_writable_form(self._file, path)

    def copy_with_features(
        self,
        path: Path,
        features: "FeatureLayout",
        blocks: "Iterable[Block]",
        facts: "FeatureFacts",
        checkpoint: "Checkpoint",
    ) -> "FinalFile":
        """Write the dataset with these features to a path, as `spinlock.storage.with_features` does."""
        return with_features(self._file, path, features, blocks, facts, checkpoint)

    def copy_to_zarr(self, path: Path) -> "FinalFile":
        """Write the dataset as a Zarr store, at a path of this machine or a `Url`."""
        from spinlock.storage.zarr_sources import copy_to_zarr

        return copy_to_zarr(self._file, path)

    def array(self, path: str, index: int, part: tuple[slice, ...] = ()) -> np.ndarray:
        """Return one row of fields by the array's path in the file, float32 [..., C, g, g].

        ``part`` holds slices of the first axes (realizations, frames); only what they need is read.
        """
        return self._file.row(path, self._row(index), part=part)

    def padded(self, path: str, index: int) -> np.ndarray:
        """Return one row of fields by the array's path, [..., C, G, G], padded with NaN."""
        return self._file.row(path, self._row(index), size=self.layout.side)

    def to_xarray(self) -> "xarray.Dataset":
        """Return a view with named axes that reads rows when they are asked for; needs the package xarray.

        Raises
        ------
        UsageError
            Where xarray is not installed.
        """
        with needing("xarray", "the view"):
            from spinlock.dataset.xarray_view import to_xarray
        return to_xarray(self)

    def to_pandas(self, features: bool = True) -> "pd.DataFrame":
        """Return one table of all samples; its index ``sample`` is the row, which is the draw.

        Columns: every sampled parameter, decoded, by its name; the tables of ``/metadata`` (those with a
        value for each realization m as ``finite_steps_m``); every aggregated feature. Names are categories,
        numbers stay numbers. ``attrs["groups"]`` lists the columns of ``parameters``, ``metadata`` and
        ``features``, ``attrs["units"]`` has the units of those that have one.

        NaN: ``lyapunov`` of samples that diverged or made fewer than 16 steps, features that are not defined
        for a sample, and all features of samples that an extraction left out.

        Parameters
        ----------
        features
            Whether features, if the dataset has any, become columns.

        Raises
        ------
        UsageError
            Where pandas is not installed.
        StorageError
            Where a table is damaged.
        """
        with needing("pandas", "the table"):
            from spinlock.dataset.pandas_view import dataset_table
        return dataset_table(self, features=features)

    def table(self, path: str) -> np.ndarray:
        """Return a table by its path in the file, N rows; text as str."""
        return self._file.table(path)

    def document(self, path: str) -> str:
        """Return a text that stands in an array of its own, by its path in the file."""
        return self._file.document(path)

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
        MissingPartError
            If a part that it names is registered nowhere here.
        StorageError
            If this version of Spinlock makes another plan of the stored configuration.
        """
        from spinlock.config.missing_parts import naming_missing_parts
        from spinlock.execution.plan import make_plan

        with naming_missing_parts(self._file.config):
            plan = make_plan(self.config)
        stored = self._file.attributes["plan_digest"]
        if plan.digest != stored:
            version = self._file.attributes["spinlock_version"]
            raise StorageError(
                f"{self.path}: spinlock {version} made it by the plan {stored[:12]}…, spinlock {__version__} "
                f"makes {plan.digest[:12]}… of its configuration: rows can be read, not made again"
            )
        return plan

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

    def plot_metadata(self) -> "Figure":
        """Return a matplotlib figure of the whole dataset: what was sampled, and what became of it.

        It shows the dynamics by initial condition and by update policy, the share of realizations that are
        finite at each step, the Lyapunov exponents, two parameters against each other (gain and noise scale
        where there are both), the features by their first two principal components, and the marginal
        distribution of each parameter. Of more than 4,000 samples, 4,000 chosen by keys are points; bars
        count all. Colours and markers are the dynamics labels. ``.savefig(path)`` writes it.
        """
        from spinlock.dataset.metadata_plot import plot_metadata

        return plot_metadata(self._file)

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


def open_dataset(path: str | Path) -> Dataset:
    """Open a dataset for reading.

    Raises
    ------
    StorageError
        For a file that is missing, foreign, cut short, half-written or damaged, or only a shard of a dataset.
    """
    return Dataset(path)
