"""Reading the features of a dataset."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.registry import unknown_name
from spinlock.storage.closing import Closing
from spinlock.storage.feature_layout import (
    AGGREGATED,
    EXTRACTION_TIME,
    FEATURES,
    FINITE_STEPS,
    NUM_REALIZATIONS,
    PER_TIMESTEP,
    PER_TRAJECTORY,
    SCHEMA,
    SDF,
    FeatureLayout,
)
from spinlock.storage.forms import open_stored

SDF_PREFIXES = {"1.0.0": 59}
"""Versions that are the first features of later ones, and how many those are."""


@dataclass(frozen=True)
class FeatureRegistry:
    """The features of a file: their names in the order of their indices.

    ``len(registry)``, ``name in registry``, ``registry[name]`` and iteration work as for a dict of indices.
    """

    version: str
    indices: Mapping[str, int]

    @property
    def num_features(self) -> int:
        """The number of features."""
        return len(self.indices)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, by index."""
        return tuple(self.indices)

    def __getitem__(self, name: str) -> int:
        """Return the index of a feature, or raise `UnknownNameError` with the near miss."""
        if name not in self.indices:
            raise unknown_name("feature", name, self.indices)
        return self.indices[name]

    def __contains__(self, name: object) -> bool:
        """Return whether a feature has that name."""
        return name in self.indices

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self.indices)

    def __len__(self) -> int:
        """Return the number of features."""
        return len(self.indices)


class HDF5FeatureReader(Closing):
    """Reads the features of a dataset; use it as a context manager.

    Columns stand in the order of ``columns``; a sample that was left out has NaN everywhere.

    Parameters
    ----------
    path
        The dataset file.
    sdf_version
        One of `SDF_PREFIXES` reads the first features alone; by default everything the file has is read.

    Raises
    ------
    StorageError
        For a file that is missing or damaged, has no features, or not those of that version.
    """

    def __init__(self, path: str | Path, sdf_version: str | None = None) -> None:
        self._file = open_stored(path)
        try:
            self._layout = self._chosen(sdf_version)
        except BaseException:
            self._file.close()
            raise

    def _chosen(self, version: str | None) -> FeatureLayout:
        stored = self._file.layout.features
        if stored is None:
            raise StorageError(
                f"{self._file.path} has no features: add them with `spinlock extract-features --dataset "
                f"{self._file.path}`, or generate it with features.during_generation: true"
            )
        if version in (None, stored.version):
            return stored
        if version not in SDF_PREFIXES:
            raise StorageError(
                f"{self._file.path} has features of version {stored.version}, not {version}; "
                f"it can be read as {', '.join(sorted({stored.version, *SDF_PREFIXES}))}"
            )
        return stored.first(SDF_PREFIXES[version], version)

    @property
    def stored_bytes(self) -> int:
        """The size of the dataset."""
        return self._file.stored_bytes

    @property
    def version(self) -> str:
        """The version of the features as they are read."""
        return self._layout.version

    @property
    def columns(self) -> dict[str, list[str]]:
        """The names of the columns of ``per_timestep``, ``per_trajectory`` and ``aggregated``."""
        return {name: [column for column, _ in pairs] for name, pairs in self._layout.columns.items()}

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """What the file says about its features: conventions, categories, when and where they were made."""
        return self._file.group_attributes(FEATURES) | self._file.group_attributes(SDF)

    def get_sdf_registry(self) -> FeatureRegistry:
        """Return the features by name."""
        return FeatureRegistry(self._layout.version, self._layout.registry)

    def get_sdf_schema(self) -> list[dict[str, Any]]:
        """Return what each feature is: level, category, range, unit, shortest trajectory and more."""
        described = json.loads(self._file.document(SCHEMA))
        return [feature for feature in described if feature["name"] in self._layout.registry]

    def get_sdf_per_timestep(self) -> NDArray[np.float32]:
        """Return the features of each frame, averaged over realizations, float32 [N, T, columns]."""
        return self._read(PER_TIMESTEP, len(self._layout.per_timestep))

    def get_sdf_per_trajectory(self) -> NDArray[np.float32]:
        """Return the features of each trajectory, float32 [N, M, columns]."""
        return self._read(PER_TRAJECTORY, len(self._layout.per_trajectory))

    def get_sdf_aggregated(self) -> NDArray[np.float32]:
        """Return mean, std and cv of each trajectory feature, then the operator's, float32 [N, columns]."""
        return self._read(AGGREGATED, len(self._layout.aggregated))

    def _read(self, path: str, width: int) -> NDArray[np.float32]:
        return np.ascontiguousarray(self._file.table(path)[..., :width])

    @property
    def n_realizations(self) -> NDArray[np.uint16]:
        """Realizations averaged in each frame, uint16 [N, T]."""
        return self._file.table(NUM_REALIZATIONS)

    @property
    def finite_steps(self) -> NDArray[np.int32]:
        """Frames used of each trajectory, int32 [N, M]; 0 for samples that were left out."""
        return self._file.table(FINITE_STEPS)

    @property
    def extraction_time(self) -> NDArray[np.float64]:
        """Seconds that each sample took, float64 [N]."""
        return self._file.table(EXTRACTION_TIME)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
