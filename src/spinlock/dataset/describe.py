"""What a dataset is, in words and numbers: the content of ``info``. Needs no torch."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from spinlock.dataset.accounting import account
from spinlock.dataset.acting import acting_rows
from spinlock.dataset.open import complete_file
from spinlock.dataset.statements import understood
from spinlock.storage import StoredDataset
from spinlock.storage.feature_layout import EXTRACTION_TIME, FEATURES, SDF

DISTRIBUTIONS = ("ic_types", "ic_labels", "rollout_policies", "grid_sizes", "noise_regimes", "dynamics")

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Of the Lyapunov exponents."""


def describe(path: str | Path) -> dict[str, Any]:
    """Return everything `info` shows: arrays, distributions, provenance, sampling quality, configuration."""
    with complete_file(path) as file:
        return described(file)


def described(file: StoredDataset) -> dict[str, Any]:
    """Return what an open file of a complete dataset is."""
    with understood(file.path):
        attributes = dict(file.attributes)
        parsed = {
            name: json.loads(attributes.pop(name)) for name in ("config", "provenance", "sampling_metrics")
        }
        return {
            "path": str(file.path),
            "bytes": file.stored_bytes,
            "digest": file.digest,
            "samples": file.layout.samples,
            "realizations": file.layout.realizations,
            "channels": file.layout.channels,
            "timesteps": list(file.layout.timesteps),
            "attributes": {k: attributes[k] for k in sorted(attributes) if k != "layout"},
            "arrays": [vars(info) for info in file.describe_arrays()],
            "distributions": {name: _counts(file.table(f"metadata/{name}")) for name in DISTRIBUTIONS},
            "features": _features(file),
            "rollouts": _rollouts(file, parsed["config"]),
            "accounting": account(file, parsed["config"]["simulation"]["num_timesteps"]),
            "parameters": {p.name: _parameter(file, p.name) for p in file.layout.parameters},
            **parsed,
        }


def _counts(column: np.ndarray) -> dict[str, int]:
    return {str(value): count for value, count in Counter(column.tolist()).most_common()}


def _rollouts(file: StoredDataset, config: dict[str, Any]) -> dict[str, Any]:
    frames = config["simulation"]["num_timesteps"] + 1
    finite = file.table("metadata/finite_steps")
    exponents = file.table("metadata/lyapunov")
    known = exponents[np.isfinite(exponents)]
    return {
        "total": int(finite.size),
        "stopped": int((finite < frames).sum()),
        "samples_with_a_stopped_rollout": int((finite < frames).any(axis=1).sum()),
        "median_lyapunov": float(np.median(known)) if known.size else None,
        "lyapunov": {
            "known": int(known.size),
            "quantiles": {f"{q:g}": float(np.quantile(known, q)) for q in QUANTILES} if known.size else {},
        },
    }


def _features(file: StoredDataset) -> dict[str, Any] | None:
    layout = file.layout.features
    if layout is None:
        return None
    facts = file.group_attributes(FEATURES) | file.group_attributes(SDF)
    return {
        "version": layout.version,
        "num_features": len(layout.registry),
        "categories": json.loads(facts["categories"]),
        "columns": {name: len(columns) for name, columns in layout.columns.items()},
        "samples": int(np.isfinite(file.table(EXTRACTION_TIME)).sum()),
        "extraction_timestamp": facts["extraction_timestamp"],
        "spinlock_version": facts["spinlock_version"],
        "environments": json.loads(facts["environments"]),
    }


def _parameter(file: StoredDataset, name: str) -> dict[str, Any]:
    """Return the spread of a sampled parameter over the rows in which it acts, and their number if fewer."""
    acting = acting_rows(file, name)
    spread = _spread(file.table(f"parameters/values/{name}")[acting])
    return spread if acting.all() else {**spread, "rows": int(acting.sum())}


def _spread(column: np.ndarray) -> dict[str, Any]:
    if column.dtype.kind in "USb" or not column.size:
        return {"counts": _counts(column)}
    return {"min": column.min().item(), "median": float(np.median(column)), "max": column.max().item()}
