"""A dataset as one `pandas.DataFrame`: parameters, metadata and features, a row for each sample."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spinlock.config.parameters import known_parameters
from spinlock.operators import families
from spinlock.storage.feature_layout import AGGREGATED, SCHEMA
from spinlock.storage.schema import row_tables

if TYPE_CHECKING:
    from spinlock.dataset.open import Dataset
    from spinlock.dataset.virtual import VirtualDataset

METADATA_UNITS = {
    "finite_steps": "frames",
    "overflow_steps": "frames",
    "lyapunov": "1/step",
    "grid_sizes": "px",
}
"""Units of the tables of ``/metadata``; the others are names and texts."""

FREE_TEXT = ("ic_options", "operator_digests")
"""Texts that differ from row to row; the others are names out of few, and become categories."""


@dataclass(frozen=True)
class _Column:
    """A column: the group it belongs to, its name, its unit (empty where it has none), its values [N]."""

    group: str
    name: str
    unit: str
    values: Any


def dataset_table(dataset: "Dataset", *, features: bool) -> pd.DataFrame:
    """Return the table of a stored dataset, N rows; columns as in `Dataset.to_pandas`."""
    layout, units = dataset.layout, _parameter_units()
    columns = [
        _Column("parameters", p.name, units.get(p.name, ""), dataset.table(f"parameters/values/{p.name}"))
        for p in layout.parameters
    ]
    for spec in row_tables(layout):
        name = spec.path.removeprefix("metadata/")
        if spec.path.startswith("metadata/"):
            columns += _metadata(name, dataset.table(spec.path))
    if features and layout.features is not None:
        columns += _features(dataset, [name for name, _ in layout.features.aggregated])
    return _table(columns, np.arange(len(dataset)))


def virtual_table(dataset: "VirtualDataset", rows: NDArray[np.int64]) -> pd.DataFrame:
    """Return the table of the draws of given rows; columns as in `VirtualDataset.to_pandas`."""
    drawn, facts = dataset.plan.columns(rows)
    units = _parameter_units()
    columns = [_Column("parameters", name, units.get(name, ""), values) for name, values in drawn.items()]
    for name in sorted(facts):
        columns += _metadata(name, facts[name])
    return _table(columns, rows)


def _parameter_units() -> dict[str, str]:
    """Return the units of the parameters that have one."""
    numbers = {name: option.number for name, option in known_parameters(families).items()}
    return {name: number.unit for name, number in numbers.items() if number is not None and number.unit}


def _metadata(name: str, values: NDArray[Any]) -> Iterator[_Column]:
    """Yield a table of ``/metadata`` as a column, or as one for each realization."""
    unit = METADATA_UNITS.get(name, "")
    if values.ndim == 1:
        yield _Column("metadata", name, unit, values)
        return
    for realization in range(values.shape[1]):
        yield _Column("metadata", f"{name}_{realization}", unit, values[:, realization])


def _features(dataset: "Dataset", names: list[str]) -> Iterator[_Column]:
    """Yield the aggregated features; mean and std have the unit of their feature, cv and counts have none."""
    stated = {one["name"]: one["unit"] for one in json.loads(dataset.document(SCHEMA))}
    values = dataset.table(AGGREGATED)
    for place, name in enumerate(names):
        base, _, statistic = name.rpartition("_")
        own = stated.get(name, stated.get(base, "") if statistic in ("mean", "std") else "")
        yield _Column("features", name, "" if own == "1" else own, values[:, place])


def _table(columns: list[_Column], index: NDArray[np.int64]) -> pd.DataFrame:
    """Return columns as one table; a name that an earlier group has gets its group before it."""
    values: dict[str, Any] = {}
    groups: dict[str, list[str]] = {"parameters": [], "metadata": [], "features": []}
    units: dict[str, str] = {}
    for column in columns:
        name = column.name if column.name not in values else f"{column.group}_{column.name}"
        values[name] = _as_pandas(column)
        groups[column.group].append(name)
        if column.unit:
            units[name] = column.unit
    table = pd.DataFrame(values, index=pd.Index(index, name="sample"))
    table.attrs = {"groups": groups, "units": units}
    return table


def _as_pandas(column: _Column) -> Any:
    """Return values as pandas holds them best: names as categories, numbers and free text as they are."""
    if column.values.dtype.kind != "U" or column.name in FREE_TEXT:
        return column.values
    names, codes = np.unique(column.values, return_inverse=True)
    return pd.Categorical.from_codes(codes, categories=names.tolist())
