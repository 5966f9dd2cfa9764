"""What became of every rollout, by initial condition, policy and parameter: the bias of a collection."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.dataset.acting import acting_rows
from spinlock.storage import StoredDataset

GROUPINGS = ("ic_types", "rollout_policies", "grid_sizes", "noise_regimes")
"""Columns of metadata that samples are grouped by."""

SAID_BY_THEM = ("update_policy", "grid_size")
"""Parameters whose values are such a column."""

INTERVALS = 4
"""Parts of the unit interval that a sampled number is cut into; a parameter of few values is not cut."""

MOST_GROUPS = 64
"""Groups of one grouping; where there are more values, the largest groups are told, and how many are not."""

EVERY = slice(None)
"""All samples."""

Group = dict[str, Any]


def account(file: StoredDataset, num_timesteps: int) -> dict[str, Any]:
    """Return what became of all rollouts, and of those of every type, policy and parameter range.

    Every sample is in exactly one group of each grouping, and has exactly one dynamics label, so the counts
    of a grouping add up to those of the whole; of a parameter that does not act everywhere, to those of the
    samples in which it acts. Needs no torch.

    Returns
    -------
    dict
        ``all``: a group; ``by``: grouping → its groups, in order of value. A group says ``value`` (a name, or
        the smallest and the largest value met, as text), ``samples``, ``rollouts`` (samples × realizations),
        ``stopped`` (rollouts that left the finite range), ``overflowed`` (rollouts that float16 could not
        hold), and ``dynamics``: label → samples. Of more than 64 groups the smallest are one, ``others``.
    """
    count = _Count(file, num_timesteps)
    by = {name: count.groups(*_values(file.table(f"metadata/{name}"))) for name in GROUPINGS}
    points = file.table("parameters/params") if file.layout.parameters else np.empty((file.layout.samples, 0))
    for column, parameter in enumerate(file.layout.parameters):
        if parameter.name in SAID_BY_THEM:
            continue
        rows = np.flatnonzero(acting_rows(file, parameter.name))
        values = file.table(f"parameters/values/{parameter.name}")[rows]
        few = values.dtype.kind in "USb" or np.unique(values).size <= INTERVALS
        parts = _values(values) if few else _intervals(values, points[rows, column])
        by[parameter.name] = count.groups(*parts, rows)
    (whole,) = count.groups(["all"], np.zeros(file.layout.samples, np.int64))
    return {"all": whole, "by": by}


class _Count:
    """Counts what became of the samples of each group."""

    def __init__(self, file: StoredDataset, num_timesteps: int) -> None:
        finite = file.table("metadata/finite_steps")
        self._realizations = finite.shape[1]
        self._stopped = (finite <= num_timesteps).sum(axis=1)
        paths = {spec.path for spec in file.describe_arrays()}
        overflow = "metadata/overflow_steps"
        self._overflowed = (file.table(overflow) > 0).sum(axis=1) if overflow in paths else 0 * self._stopped
        self._labels, self._label = np.unique(file.table("metadata/dynamics"), return_inverse=True)

    def groups(
        self, names: list[str], group: NDArray[np.int64], rows: NDArray[np.int64] | slice = EVERY
    ) -> list[Group]:
        """Return the groups named, given the number of the group of each sample, or of those in ``rows``."""
        samples = np.bincount(group, minlength=len(names))
        if len(names) > MOST_GROUPS:
            rank = np.argsort(np.argsort(-samples, kind="stable"))
            kept = np.flatnonzero(rank < MOST_GROUPS - 1)
            place = np.full(len(names), kept.size)
            place[kept] = np.arange(kept.size)
            names = [*(names[number] for number in kept), f"{len(names) - kept.size} others"]
            group = place[group]
            samples = np.bincount(group, minlength=len(names))
        sums = [np.bincount(group, each[rows], len(names)) for each in (self._stopped, self._overflowed)]
        labels = np.zeros((len(names), self._labels.size), np.int64)
        np.add.at(labels, (group, self._label[rows]), 1)
        return [
            {
                "value": name,
                "samples": int(samples[number]),
                "rollouts": int(samples[number]) * self._realizations,
                "stopped": int(sums[0][number]),
                "overflowed": int(sums[1][number]),
                "dynamics": {
                    str(label): int(times)
                    for label, times in zip(self._labels, labels[number], strict=True)
                    if times
                },
            }
            for number, name in enumerate(names)
        ]


def _values(column: NDArray[Any]) -> tuple[list[str], NDArray[np.int64]]:
    """Return every value that occurs, as text, and which of them each sample has."""
    values, group = np.unique(column, return_inverse=True)
    names = [f"{one:.4g}" if isinstance(one, np.floating) else str(one) for one in values]
    return names, group


def _intervals(values: NDArray[Any], points: NDArray[np.float64]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the equal parts of a sampled axis that hold samples: those of a logarithmic one are so too."""
    parts = np.clip(np.nan_to_num(points) * INTERVALS, 0, INTERVALS - 1).astype(np.int64)
    met, group = np.unique(parts, return_inverse=True)
    ranges = [values[group == number] for number in range(met.size)]
    return [f"{part.min():.4g} … {part.max():.4g}" for part in ranges], group
