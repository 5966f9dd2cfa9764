"""A dataset that is never stored: each row is made when it is asked for, with the bits it has in a file."""

import operator
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinlock.config import config_from_stored, load_config
from spinlock.config.model import Config
from spinlock.dataset.drawn import Drawn
from spinlock.dataset.sample import Sample
from spinlock.errors import UsageError, needing
from spinlock.execution.devices import prepare_process, resolve_device
from spinlock.execution.plan import Plan, make_plan
from spinlock.execution.simulate import build_operator, stored_row
from spinlock.execution.stacks import sample_of
from spinlock.keys import MAX_INDEX

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn


class VirtualDataset(Drawn):
    """The dataset of a configuration, computed row by row; nothing is written.

    ``ds[i]`` takes one rollout, whatever i is: draws, weights, initial conditions and noise are found by
    index. Its fields are those that `spinlock generate` stores, bit for bit in the same environment (features
    apart, which rows do not hold). It pickles as its configuration.

    Parameters
    ----------
    config
        A configuration, or what `spinlock.config.load_config` makes one of: a path, or a mapping of sections.
    length
        N, if it is not to be ``sampling.total_samples``: rows do not depend on how many there are.
    device
        Where to compute, as in the configuration.

    Raises
    ------
    UsageError
        For a length that is not positive, or longer than the random numbers' counter (2³²).

    Examples
    --------
    >>> from spinlock.dataset import VirtualDataset
    >>> ds = VirtualDataset("configs/experiments/test_100.yaml", length=2**32)
    >>> ds[10**9].outputs.shape
    (3, 3, 32, 32)
    """

    def __init__(
        self,
        config: Config | str | Path | Mapping[str, Any],
        *,
        length: int | None = None,
        device: str = "cpu",
    ) -> None:
        self.config = config if isinstance(config, Config) else load_config(config)
        self.device = device
        self._length = self.config.sampling.total_samples if length is None else operator.index(length)
        if not 1 <= self._length <= MAX_INDEX:
            raise UsageError(f"length {self._length} is out of range: it must be in [1, {MAX_INDEX}]")

    def __getstate__(self) -> dict[str, Any]:
        """Return the configuration in plain values; the plan is made anew."""
        return {"config": self.config.model_dump(mode="json"), "length": self._length, "device": self.device}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up the configuration."""
        self.config, self.device = config_from_stored(state["config"]), state["device"]
        self._length = state["length"]

    @cached_property
    def plan(self) -> Plan:
        """The plan of the configuration."""
        prepare_process()
        return make_plan(self.config)

    @property
    def timesteps(self) -> tuple[int, ...]:
        """The frame numbers of the trajectories that rows hold; empty if the configuration stores none."""
        return self.plan.timesteps

    def __len__(self) -> int:
        """Return N."""
        return self._length

    def __getitem__(self, index: int) -> Sample:
        """Return a row, made now; negative indices count from the end.

        Raises
        ------
        IndexError
            If there is no such row.
        """
        from spinlock.dataset.replay import as_stored, row_fields

        draw = self.draw(operator.index(index))
        row = stored_row(self.plan, sample_of(self.plan, draw, resolve_device(self.device)))
        fields = as_stored(self.plan.layout, row_fields(row))
        return Sample(
            index=draw.index,
            inputs=fields["inputs/fields"],
            outputs=fields["outputs/fields"],
            trajectories=fields.get("outputs/trajectories"),
            parameters={name: draw.values[name] for name in self.plan.space.names},
            metadata={
                path.removeprefix("metadata/"): value
                for path, value in row.table.items()
                if path.startswith("metadata/")
            },
        )

    def to_pandas(self, rows: Iterable[int] | None = None) -> "pd.DataFrame":
        """Return one table of what is known of rows before any rollout; its index ``sample`` is the row.

        Columns: every sampled parameter, decoded, by its name, and ``ic_labels``, ``ic_types``,
        ``grid_sizes`` and ``rollout_policies``, as `spinlock.dataset.Dataset.to_pandas` gives them for the
        file of the configuration; ``attrs`` as there.

        Parameters
        ----------
        rows
            Which rows, in any order, negative ones counted from the end; all N if not given.

        Raises
        ------
        IndexError
            If there is no such row.
        UsageError
            Where pandas is not installed.
        """
        with needing("pandas", "the table"):
            from spinlock.dataset.pandas_view import virtual_table
        chosen = np.arange(len(self)) if rows is None else np.fromiter(map(self._row, rows), np.int64)
        return virtual_table(self, chosen)

    def operator(self, index: int, device: str = "cpu") -> "nn.Module":
        """Return the operator of a row; ``operator(x)`` maps [B, C, g, g] to the same."""
        return build_operator(self.plan, self.draw(index), resolve_device(device))
