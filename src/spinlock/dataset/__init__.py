"""Datasets: make one, open one, check one."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spinlock.dataset.extract import FeatureExtractionPipeline
    from spinlock.dataset.generate import DatasetGenerationPipeline
    from spinlock.dataset.open import Dataset, open_dataset
    from spinlock.dataset.sample import Sample
    from spinlock.dataset.virtual import VirtualDataset

__all__ = [
    "Dataset",
    "DatasetGenerationPipeline",
    "FeatureExtractionPipeline",
    "Sample",
    "VirtualDataset",
    "open_dataset",
]

_HOMES = {
    "DatasetGenerationPipeline": "generate",
    "FeatureExtractionPipeline": "extract",
    "Dataset": "open",
    "Sample": "sample",
    "VirtualDataset": "virtual",
    "open_dataset": "open",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: reading does not need what generating does."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
