"""Parquet: tables of what is known about each sample, for pandas, polars or DuckDB; fields stay behind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.dataset.exports.request import Request, Written
from spinlock.errors import missing_package
from spinlock.storage.feature_layout import AGGREGATED, PER_TRAJECTORY

ROWS_PER_GROUP = 16_384


def write_parquet(request: Request, folder: Path) -> Written:
    """Write ``samples.parquet``, and ``features.parquet``, ``features_per_trajectory.parquet`` of features.

    ``samples``: a row for each sample with its index, split, every parameter, and the tables of ``/metadata``
    (``finite_steps`` is a list of M). ``features``: index and the aggregated columns.
    ``features_per_trajectory``: index, realization and its columns.
    """
    counts = {"samples": _write(folder / "samples.parquet", _samples(request))}
    layout = request.dataset.layout.features
    if layout is not None:
        names = {table: [name for name, _ in columns] for table, columns in layout.columns.items()}
        aggregated = _features(request, AGGREGATED, names["aggregated"])
        per_trajectory = _features(request, PER_TRAJECTORY, names["per_trajectory"])
        counts["features"] = _write(folder / "features.parquet", aggregated)
        counts["trajectories"] = _write(folder / "features_per_trajectory.parquet", per_trajectory)
    return Written(counts)


def _chosen(request: Request) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return all rows of all splits, ascending, and the split of each."""
    rows = np.concatenate(list(request.splits.values()))
    names = np.repeat(list(request.splits), [part.size for part in request.splits.values()])
    order = np.argsort(rows)
    return rows[order], names[order]


def _samples(request: Request) -> Iterator[dict[str, Any]]:
    dataset = request.dataset
    rows, splits = _chosen(request)
    for first in range(0, rows.size, ROWS_PER_GROUP):
        part = slice(first, first + ROWS_PER_GROUP)
        columns: dict[str, Any] = {"index": rows[part], "split": splits[part]}
        for name, values in dataset.parameters.items():
            columns[f"parameter_{name}"] = values[rows[part]]
        for name, values in dataset.metadata.items():
            taken = values[rows[part]]
            columns[name] = taken if taken.ndim == 1 else taken.tolist()
        yield columns


def _features(request: Request, path: str, names: list[str]) -> Iterator[dict[str, Any]]:
    rows, _ = _chosen(request)
    table = request.dataset.table(path)
    for first in range(0, rows.size, ROWS_PER_GROUP):
        part = rows[first : first + ROWS_PER_GROUP]
        values = table[part]
        columns: dict[str, Any] = {"index": part}
        if values.ndim == 3:
            realizations = values.shape[1]
            columns = {
                "index": np.repeat(part, realizations),
                "realization": np.tile(np.arange(realizations), part.size),
            }
            values = values.reshape(-1, values.shape[2])
        yield columns | {name: values[:, column] for column, name in enumerate(names)}


def _write(path: Path, groups: Iterator[dict[str, Any]]) -> int:
    """Write tables of the same columns to one file; return how many rows they have."""
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter
    except ImportError:
        raise missing_package("pyarrow", "the layout parquet", "export") from None
    writer, count = None, 0
    try:
        for columns in groups:
            table = pa.table({name: pa.array(values) for name, values in columns.items()})
            writer = writer or ParquetWriter(path, table.schema)
            writer.write_table(table)
            count += table.num_rows
    finally:
        if writer is not None:
            writer.close()
    return count
