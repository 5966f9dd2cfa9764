"""Aggregates: pictures of an ensemble at one time, one file per aggregate."""

from typing import TYPE_CHECKING, Any

from spinlock.visualization.aggregates.catalogue import (
    DEFAULT_AGGREGATES,
    Aggregate,
    aggregate,
    aggregates,
)

if TYPE_CHECKING:
    from spinlock.visualization.aggregates.frame import EnsembleFrame

__all__ = ["DEFAULT_AGGREGATES", "Aggregate", "EnsembleFrame", "aggregate", "aggregates"]


def __getattr__(name: str) -> Any:
    """Import `EnsembleFrame` when it is asked for: the catalogue itself does without torch."""
    if name == "EnsembleFrame":
        from spinlock.visualization.aggregates.frame import EnsembleFrame

        return EnsembleFrame
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
