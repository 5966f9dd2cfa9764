"""Where the features of a sample stand: three tables, their columns, and the summary over realizations."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Float64, Int32, UInt16

from spinlock.features.catalogue import Feature, features_of

STATISTICS = ("mean", "std", "cv")
"""Over the realizations in which a feature is defined: mean, sample standard deviation, std/|mean|."""

LARGEST_CV = 1e3


@dataclass(frozen=True)
class Columns:
    """The features of each table, in the order of its columns.

    ``per_timestep`` holds the features of fields and frames, ``per_trajectory`` those of trajectories, and
    ``aggregated`` mean, std and cv of each of the latter, feature after feature, then those of the operator.
    """

    per_timestep: tuple[Feature, ...]
    per_trajectory: tuple[Feature, ...]
    operator: tuple[Feature, ...]

    @classmethod
    def of_registry(cls) -> "Columns":
        """Return the columns of all registered features."""
        return cls(
            tuple(features_of("field", "frame")),
            tuple(features_of("trajectory")),
            tuple(features_of("operator")),
        )

    @cached_property
    def names(self) -> dict[str, list[str]]:
        """The names of the columns of each table."""
        summaries = [f"{entry.name}_{word}" for entry in self.per_trajectory for word in STATISTICS]
        return {
            "per_timestep": [entry.name for entry in self.per_timestep],
            "per_trajectory": [entry.name for entry in self.per_trajectory],
            "aggregated": summaries + [entry.name for entry in self.operator],
        }

    @cached_property
    def indices(self) -> dict[str, list[int]]:
        """The registry index of each column of each table."""
        repeated = [entry.index for entry in self.per_trajectory for _ in STATISTICS]
        return {
            "per_timestep": [entry.index for entry in self.per_timestep],
            "per_trajectory": [entry.index for entry in self.per_trajectory],
            "aggregated": repeated + [entry.index for entry in self.operator],
        }


@dataclass(frozen=True)
class SampleFeatures:
    """The features of one sample: its frames, its realizations, and their summary with its operator.

    ``finite_steps`` counts the leading frames of each realization that were used, and ``n_realizations`` the
    realizations that each frame's features average over; ``seconds`` is what the extraction took.
    """

    per_timestep: Float32[np.ndarray, "t f"]
    per_trajectory: Float32[np.ndarray, "m g"]
    aggregated: Float32[np.ndarray, "a"]
    finite_steps: Int32[np.ndarray, "m"]
    n_realizations: UInt16[np.ndarray, "t"]
    seconds: float = 0.0


@dataclass(frozen=True)
class FeatureTable:
    """The features of N samples.

    Attributes
    ----------
    per_timestep
        [N, T, 56] float32: features of fields, averaged over channels, and of frames, each averaged over the
        realizations that are finite at that frame.
    per_trajectory
        [N, M, 87] float32.
    aggregated
        [N, 271] float32: mean, std and cv over realizations of each trajectory feature, then the features of
        the operator.
    finite_steps
        [N, M] int32: the leading frames of each realization that are finite, which alone are used.
    n_realizations
        [N, T] uint16: realizations averaged at each frame.
    columns
        The names of the columns of the three tables.
    """

    per_timestep: Float32[np.ndarray, "n t f"]
    per_trajectory: Float32[np.ndarray, "n m g"]
    aggregated: Float32[np.ndarray, "n a"]
    finite_steps: Int32[np.ndarray, "n m"]
    n_realizations: UInt16[np.ndarray, "n t"]
    columns: dict[str, list[str]]


def summarized(values: Float64[np.ndarray, "m g"]) -> Float64[np.ndarray, "g 3"]:
    """Return mean, sample standard deviation and cv of each column over its rows that are numbers.

    cv = std/|mean|, at most 1000, and 0 where both are 0. Without numbers all are NaN, with one of them std
    and cv are.
    """
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    mean = np.divide(total, count, out=np.full(values.shape[1], np.nan), where=count > 0)
    squares = np.where(known, np.square(values - mean), 0.0).sum(axis=0)
    std = np.sqrt(np.divide(squares, count - 1, out=np.full(values.shape[1], np.nan), where=count > 1))
    scale = np.abs(mean)
    cv = np.divide(std, scale, out=np.full(values.shape[1], LARGEST_CV), where=std < LARGEST_CV * scale)
    cv = np.where(std == 0, 0.0, np.where(np.isnan(std), np.nan, cv))
    return np.stack([mean, std, cv], axis=1)


def averaged(rows: Sequence[Float64[np.ndarray, "t f"]]) -> Float64[np.ndarray, "t f"]:
    """Return the mean over the realizations whose values are numbers, added up in the order given."""
    total, count = np.zeros(rows[0].shape), np.zeros(rows[0].shape, dtype=np.int64)
    for row in rows:
        known = ~np.isnan(row)
        total += np.where(known, row, 0.0)
        count += known
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
