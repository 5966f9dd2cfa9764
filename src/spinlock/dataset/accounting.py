"""What became of every rollout, by initial condition, policy and parameter: the bias of a collection."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.storage import DatasetFile

GROUPINGS = ("ic_types", "rollout_policies", "grid_sizes", "noise_regimes")
"""Columns of metadata that samples are grouped by."""

SAID_BY_THEM = ("update_policy", "grid_size")
"""Parameters whose values are such a column."""

INTERVALS = 4
"""Parts of the unit interval that a sampled number is cut into; a parameter of few values is not cut."""

Rows = NDArray[np.bool_]
Group = dict[str, Any]


def account(file: DatasetFile, num_timesteps: int) -> dict[str, Any]:
    """Return what became of all rollouts, and of those of every type, policy and parameter range.

    Every sample is in exactly one group of each grouping, and has exactly one dynamics label, so the counts
    of a grouping add up to those of the whole. Needs no torch.

    Returns
    -------
    dict
        ``all``: a group; ``by``: grouping → its groups, in order of value. A group says ``value`` (a name, or
        the smallest and the largest value met, as text), ``samples``, ``rollouts`` (samples × realizations),
        ``stopped`` (rollouts that left the finite range), ``overflowed`` (rollouts that float16 could not
        hold), and ``dynamics``: label → samples.
    """
    count = _Count(file, num_timesteps)
    by = {name: count.groups(_values(file.table(f"metadata/{name}"))) for name in GROUPINGS}
    points = file.table("parameters/params")
    for column, parameter in enumerate(file.layout.parameters):
        if parameter.name in SAID_BY_THEM:
            continue
        values = file.table(f"parameters/values/{parameter.name}")
        few = values.dtype.kind in "USb" or np.unique(values).size <= INTERVALS
        parts = _values(values) if few else _intervals(values, points[:, column])
        by[parameter.name] = count.groups(parts)
    return {"all": count.group("all", np.ones(file.layout.samples, bool)), "by": by}


class _Count:
    """Counts what became of a choice of rows."""

    def __init__(self, file: DatasetFile, num_timesteps: int) -> None:
        finite = file.table("metadata/finite_steps")
        self.realizations = finite.shape[1]
        self.stopped = (finite <= num_timesteps).sum(axis=1)
        paths = {spec.path for spec in file.describe_arrays()}
        overflow = "metadata/overflow_steps"
        self.overflowed = (file.table(overflow) > 0).sum(axis=1) if overflow in paths else 0 * self.stopped
        self.labels = file.table("metadata/dynamics")

    def group(self, value: str, rows: Rows) -> Group:
        labels, counts = np.unique(self.labels[rows], return_counts=True)
        samples = int(rows.sum())
        return {
            "value": value,
            "samples": samples,
            "rollouts": samples * self.realizations,
            "stopped": int(self.stopped[rows].sum()),
            "overflowed": int(self.overflowed[rows].sum()),
            "dynamics": dict(zip(labels.tolist(), counts.tolist(), strict=True)),
        }

    def groups(self, parts: Iterator[tuple[str, Rows]]) -> list[Group]:
        return [self.group(value, rows) for value, rows in parts]


def _values(column: NDArray[Any]) -> Iterator[tuple[str, Rows]]:
    """Yield every value that occurs, with its rows."""
    for value in np.unique(column):
        yield f"{value:.4g}" if isinstance(value, np.floating) else str(value), column == value


def _intervals(values: NDArray[Any], points: NDArray[np.float64]) -> Iterator[tuple[str, Rows]]:
    """Yield equal parts of a sampled axis that hold samples: those of a logarithmic one are so too."""
    parts = np.minimum((points * INTERVALS).astype(int), INTERVALS - 1)
    for part in np.unique(parts):
        rows = parts == part
        yield f"{values[rows].min():.4g} … {values[rows].max():.4g}", rows
