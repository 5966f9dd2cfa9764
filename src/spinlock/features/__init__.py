"""Summary descriptor features: numbers that describe a sample's frames, trajectories and operator."""

from typing import TYPE_CHECKING, Any

from spinlock.features.catalogue import SDF_VERSION, Feature, feature, registry

if TYPE_CHECKING:
    from spinlock.features.extraction import extract
    from spinlock.features.table import FeatureTable

__all__ = ["SDF_VERSION", "Feature", "FeatureTable", "extract", "feature", "registry"]


def __getattr__(name: str) -> Any:
    """Import `extract` and `FeatureTable` when asked for: the catalogue itself does without torch."""
    if name == "extract":
        from spinlock.features.extraction import extract

        return extract
    if name == "FeatureTable":
        from spinlock.features.table import FeatureTable

        return FeatureTable
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
