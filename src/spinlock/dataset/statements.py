"""What a dataset says of itself beside its arrays: looked at before anything is built on it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spinlock.errors import SpinlockError, StorageError
from spinlock.storage import DatasetFile

TEXTS = ("creation_date", "plan_digest", "spinlock_version", "version")

RATIOS = ("discrepancy_ratio", "correlation_ratio", "imbalance_ratio")

MALFORMED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError)
"""What is raised by work on values that are not of the kind they should be."""


def check_statements(file: DatasetFile) -> None:
    """Raise `StorageError` unless a file has the attributes that every dataset has, in their form."""
    with understood(file.path):
        for name in TEXTS:
            if not isinstance(file.attributes.get(name), str):
                raise TypeError(f"its {name} is no text")
        provenance = file.stated("provenance")
        environments, timings = provenance["environments"], provenance["timings"]
        if not isinstance(environments, list) or not environments or not all(map(_is_of_texts, environments)):
            raise ValueError("its provenance names no environments")
        if not isinstance(timings, dict) or not all(map(_is_number, timings.values())):
            raise ValueError("its provenance has timings that are no numbers")
        metrics = file.stated("sampling_metrics")
        if not isinstance(metrics["verdict"], str):
            raise TypeError("its sampling_metrics have no verdict")
        if not all(metrics.get(name) is None or _is_number(metrics[name]) for name in RATIOS):
            raise TypeError("its sampling_metrics are no numbers")
        if not _is_number(file.config["simulation"]["num_timesteps"]):
            raise ValueError("its config has no simulation.num_timesteps")


def _is_of_texts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(item, str) for item in value.values())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Turn what is raised by malformed values of a file into a `StorageError` that names it."""
    try:
        yield
    except SpinlockError:
        raise
    except MALFORMED as error:
        reason = f"{type(error).__name__}: {error}" if isinstance(error, LookupError) else error
        raise StorageError(
            f"{path}: what it says of itself is malformed ({reason}), as no version of Spinlock writes it. "
            "Copy it again if it came from elsewhere, or generate it again"
        ) from error
