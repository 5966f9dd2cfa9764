"""How features are stored: their columns, the table that describes them, and a sample's entries."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from spinlock.config.model import Features as FeatureSection
from spinlock.config.values import SDF_CATEGORIES
from spinlock.storage.feature_layout import (
    AGGREGATED,
    FINITE_STEPS,
    NUM_REALIZATIONS,
    PER_TIMESTEP,
    PER_TRAJECTORY,
    FeatureLayout,
)

if TYPE_CHECKING:
    from spinlock.features.catalogue import Feature
    from spinlock.features.table import SampleFeatures

CONVENTIONS: Mapping[str, Any] = {
    "length_unit": "px",
    "time_unit": "step",
    "boundary": "periodic",
    "includes_initial_state": True,
}
"""What all features assume: lengths in pixels, rates per operator application, frame 0 among the frames."""


@dataclass(frozen=True)
class FeatureChoice:
    """Which features are measured: a version of the feature set, and categories of it."""

    version: str
    categories: tuple[str, ...]

    @classmethod
    def of(cls, section: FeatureSection) -> "FeatureChoice":
        """Return what a section of a configuration chooses."""
        known = SDF_CATEGORIES[section.sdf_version]
        chosen = known if section.categories == "all" else tuple(section.categories)
        return cls(section.sdf_version, chosen)


@cache
def feature_layout(frames: int, version: str) -> FeatureLayout:
    """Return the layout of the features of ``frames`` frames in a version of the feature set."""
    from spinlock.features.table import Columns as Tables

    features, tables = _features(version), Tables.of_registry()
    known = {feature.index for feature in features}
    columns = {
        table: tuple(
            (name, index) for name, index in zip(names, tables.indices[table], strict=True) if index in known
        )
        for table, names in tables.names.items()
    }
    return FeatureLayout(
        frames=frames,
        version=version,
        registry_hash=hashlib.sha256(_json([_definition(one) for one in features]).encode()).hexdigest(),
        schema_bytes=len(feature_schema(version).encode()),
        **columns,
    )


@cache
def feature_schema(version: str) -> str:
    """Return what each feature of a version is, as JSON: a list in the order of the indices."""
    return json.dumps([_described(feature) for feature in _features(version)], ensure_ascii=False)


def _features(version: str) -> "list[Feature]":
    from spinlock.features.catalogue import features_of

    features = features_of("field", "frame", "trajectory", "operator")
    return [feature for feature in features if feature.category in SDF_CATEGORIES[version]]


def _described(feature: "Feature") -> dict[str, Any]:
    return {
        "name": feature.name,
        "index": feature.index,
        "category": feature.category,
        "level": feature.level,
        "min_T": feature.minimum_frames,
        "min_C": feature.minimum_channels,
        "needs_operator": feature.level == "operator",
        "range": feature.bounds,
        "unit": feature.unit,
        "transform": feature.transform,
        "redundant_with": list(feature.redundant_with),
    }


def _definition(feature: "Feature") -> dict[str, Any]:
    return {**_described(feature), "variant": dict(feature.variant), "definition": feature.definition}


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def feature_entries(layout: FeatureLayout, features: "SampleFeatures") -> dict[str, Any]:
    """Return a sample's entries in the feature tables, by path."""
    return {
        PER_TIMESTEP: features.per_timestep[:, : len(layout.per_timestep)],
        NUM_REALIZATIONS: features.n_realizations,
        PER_TRAJECTORY: features.per_trajectory[:, : len(layout.per_trajectory)],
        FINITE_STEPS: features.finite_steps,
        AGGREGATED: features.aggregated[: len(layout.aggregated)],
    }


def blank_entries(layout: FeatureLayout, realizations: int) -> dict[str, Any]:
    """Return the entries of a sample that was left out: NaN, and no frame used."""
    return {
        PER_TIMESTEP: np.full((layout.frames, len(layout.per_timestep)), np.nan, np.float32),
        NUM_REALIZATIONS: np.zeros(layout.frames, np.uint16),
        PER_TRAJECTORY: np.full((realizations, len(layout.per_trajectory)), np.nan, np.float32),
        FINITE_STEPS: np.zeros(realizations, np.int32),
        AGGREGATED: np.full(len(layout.aggregated), np.nan, np.float32),
    }
