"""What a dataset says of itself beside its arrays: looked at before anything is built on it."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spinlock.errors import SpinlockError, StorageError
from spinlock.storage import StoredDataset

TEXTS = ("creation_date", "plan_digest", "spinlock_version", "version")

ENVIRONMENT = {"device", "device_model", "instruction_set", "torch"}
"""What every statement about where numbers were computed names, as `numerical_environment` does."""

RATIOS = ("discrepancy_ratio", "correlation_ratio", "imbalance_ratio")

MALFORMED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError)
"""What is raised by work on values that are not of the kind they should be."""


def check_statements(file: StoredDataset) -> None:
    """Raise `StorageError` unless a file has the attributes that every dataset has, in their form."""
    if not file.config:
        raise StorageError(
            f"{file.path} is a shard of an unfinished run, not a dataset; run `spinlock generate` to the end"
        )
    with understood(file.path):
        for name in TEXTS:
            if not isinstance(file.attributes.get(name), str):
                raise TypeError(f"its {name} is no text")
        provenance = file.stated("provenance")
        environments_of(provenance["environments"])
        timings_of(provenance["timings"])
        metrics = file.stated("sampling_metrics")
        if not isinstance(metrics["verdict"], str):
            raise TypeError("its sampling_metrics have no verdict")
        if not all(metrics.get(name) is None or _is_number(metrics[name]) for name in RATIOS):
            raise TypeError("its sampling_metrics are no numbers")
        if not _is_number(file.config["simulation"]["num_timesteps"]):
            raise ValueError("its config has no simulation.num_timesteps")


def environments_of(value: Any) -> list[dict[str, str]]:
    """Return the environments of a stored statement; `ValueError` unless each has its keys, with texts."""
    if not isinstance(value, list) or not value or not all(map(_is_environment, value)):
        raise ValueError("it names no environments")
    return [dict(one) for one in value]


def timings_of(value: Any) -> dict[str, float]:
    """Return the seconds of each stage of a stored statement; `ValueError` unless finite and >= 0."""
    numbers = isinstance(value, dict) and all(map(_is_number, value.values()))
    if not numbers or not all(math.isfinite(seconds) and seconds >= 0 for seconds in value.values()):
        raise ValueError("it has timings that are no seconds")
    return {stage: float(seconds) for stage, seconds in value.items()}


def _is_environment(value: Any) -> bool:
    return isinstance(value, Mapping) and value.keys() == ENVIRONMENT and all(map(_is_text, value.values()))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


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
