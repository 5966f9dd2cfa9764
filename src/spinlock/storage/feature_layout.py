"""The features of a dataset: the arrays under ``/features``, their columns, and what is said about them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.errors import OptionError
from spinlock.storage.array_spec import ArraySpec

FEATURES, SDF = "features", "features/sdf"
SCHEMA = f"{SDF}/schema"
PER_TIMESTEP = f"{SDF}/per_timestep/features"
PER_TRAJECTORY = f"{SDF}/per_trajectory/features"
AGGREGATED = f"{SDF}/aggregated/features"
FINITE_STEPS = f"{SDF}/per_trajectory/finite_steps"
NUM_REALIZATIONS = f"{SDF}/per_timestep/n_realizations"
EXTRACTION_TIME = f"{SDF}/aggregated/metadata/extraction_time"

MOST_COLUMNS, MOST_FRAMES, MOST_SCHEMA_BYTES = 2**12, 2**17, 2**24

TABLES = ("per_timestep", "per_trajectory", "aggregated")
"""The groups of the three arrays."""

Columns = tuple[tuple[str, int], ...]
"""Columns of an array in their order: the name of each, and the index of its feature."""


@dataclass(frozen=True)
class FeatureLayout:
    """Everything that decides the arrays of the features.

    Attributes
    ----------
    frames
        T, frame 0 included.
    version
        Version of the features.
    per_timestep, per_trajectory, aggregated
        The columns of the three arrays.
    registry_hash
        SHA-256 of the definitions: features of other definitions never come into the same file.
    schema_bytes
        Size of the table that describes every feature (JSON, UTF-8).

    Raises
    ------
    OptionError
        Where a value is impossible.
    """

    frames: int
    version: str
    per_timestep: Columns
    per_trajectory: Columns
    aggregated: Columns
    registry_hash: str
    schema_bytes: int

    def __post_init__(self) -> None:
        """Refuse what no file can have."""
        for name, limit in (("frames", MOST_FRAMES), ("schema_bytes", MOST_SCHEMA_BYTES)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= limit:
                raise OptionError(f"features.{name} = {value!r} must be an integer from 1 to {limit}")
        for name in ("version", "registry_hash"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise OptionError(f"features.{name} must be text")
        for name in TABLES:
            _check_columns(name, getattr(self, name))

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "FeatureLayout":
        """Return the layout of plain values, as JSON gives them back."""
        columns = {name: tuple((column, index) for column, index in values[name]) for name in TABLES}
        return cls(**{**values, **columns})

    @property
    def columns(self) -> dict[str, Columns]:
        """The columns of the three arrays, by the names of their groups."""
        return {name: getattr(self, name) for name in TABLES}

    def first(self, count: int, version: str) -> "FeatureLayout":
        """Return the layout of the features with the first ``count`` indices, under another version."""
        kept = {
            name: tuple(pair for pair in pairs if pair[1] < count) for name, pairs in self.columns.items()
        }
        return replace(self, version=version, **kept)

    @property
    def registry(self) -> dict[str, int]:
        """The index of every feature by its name, in the order of the indices.

        The first two arrays name features; of the third the columns whose features stand in neither do.
        """
        names = {index: name for name, index in (*self.per_timestep, *self.per_trajectory)}
        for name, index in self.aggregated:
            names.setdefault(index, name)
        return {names[index]: index for index in sorted(names)}

    def row_bytes(self, realizations: int) -> int:
        """Return the bytes that the features of one sample take."""
        numbers = self.frames * len(self.per_timestep) + realizations * len(self.per_trajectory)
        return 4 * (numbers + len(self.aggregated) + realizations) + 2 * self.frames + 8


def _check_columns(name: str, columns: Columns) -> None:
    names = [column for column, _ in columns]
    sound = all(
        isinstance(column, str) and column.isascii() and column.isprintable() and column for column in names
    ) and all(isinstance(index, int) and not isinstance(index, bool) and index >= 0 for _, index in columns)
    if not sound or len(set(names)) != len(names) or not 1 <= len(names) <= MOST_COLUMNS:
        raise OptionError(
            f"features.{name} must be 1 to {MOST_COLUMNS} pairs: a name, each once, and a feature's index"
        )


@dataclass(frozen=True)
class FeatureFacts:
    """What a complete file says about its features, and shards do not hold.

    Attributes
    ----------
    schema
        The table that describes every feature, JSON.
    conventions
        Attributes of ``/features/sdf`` beside those that follow from the layout.
    origin
        Attributes of ``/features``: when and where the features were computed.
    seconds
        The time that each sample took, float64 [N]; NaN for samples that were left out.
    """

    schema: str
    conventions: Mapping[str, Any]
    origin: Mapping[str, Any]
    seconds: NDArray[np.float64]


def group_attributes(layout: FeatureLayout) -> dict[str, dict[str, Any]]:
    """Return the attributes of the feature groups that follow from the layout, by path."""
    return {
        FEATURES: {"family_versions": {"sdf": layout.version}},
        SDF: {
            "version": layout.version,
            "num_features": len(layout.registry),
            "feature_registry": json.dumps(layout.registry),
            "registry_hash": layout.registry_hash,
        },
    }


def feature_dimensions(layout: FeatureLayout) -> dict[str, int]:
    """Return the sizes of the dimensions that features add."""
    return {
        "feature_frame": layout.frames,
        "per_timestep_column": len(layout.per_timestep),
        "per_trajectory_column": len(layout.per_trajectory),
        "aggregated_column": len(layout.aggregated),
    }


def feature_arrays(layout: FeatureLayout, samples: int, realizations: int) -> list[ArraySpec]:
    """Return the arrays of the features."""
    N, M, T = ("sample", samples), ("realization", realizations), ("feature_frame", layout.frames)

    def table(path: str, axes: tuple[tuple[str, int], ...], columns: Columns, description: str) -> ArraySpec:
        names, index = zip(*columns, strict=True)
        last = (f"{path.split('/')[-2]}_column", len(columns))
        dims, shape = zip(*axes, last, strict=True)
        attributes = (("columns", names), ("registry_index", index))
        return ArraySpec(path, "table", dims, shape, "float32", description, attributes=attributes)

    return [
        table(PER_TIMESTEP, (N, T), layout.per_timestep, "Features of each frame; columns as in @columns."),
        ArraySpec(NUM_REALIZATIONS, "table", *_axes(N, T), "uint16", "Realizations averaged in each frame."),
        table(PER_TRAJECTORY, (N, M), layout.per_trajectory, "Features of each trajectory."),
        ArraySpec(FINITE_STEPS, "table", *_axes(N, M), "int32", "Frames used; 0 where none was extracted."),
        table(AGGREGATED, (N,), layout.aggregated, "Statistics over realizations; operators."),
        ArraySpec(EXTRACTION_TIME, "timing", *_axes(N), "float64", "Seconds that the extraction took."),
        ArraySpec(
            SCHEMA, "document", (), (), "string", "What each feature is, JSON.", length=layout.schema_bytes
        ),
    ]


def _axes(*axes: tuple[str, int]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    dims, shape = zip(*axes, strict=True)
    return dims, shape
