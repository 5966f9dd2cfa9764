"""The reader of stored features, which lives in `spinlock.storage.features`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spinlock.storage.features import HDF5FeatureReader

__all__ = ["HDF5FeatureReader"]


def __getattr__(name: str) -> Any:
    """Import the reader when it is asked for: who computes features needs no storage."""
    if name != "HDF5FeatureReader":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from spinlock.storage.features import HDF5FeatureReader

    return HDF5FeatureReader
