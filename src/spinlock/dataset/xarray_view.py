"""A dataset of any form as an `xarray.Dataset` with named axes, which reads rows when they are asked for."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from spinlock.dataset.open import Dataset, open_dataset
from spinlock.storage import form_at, location
from spinlock.storage.schema import ArraySpec, arrays

SHORT_NAMES = {
    "inputs/fields": "inputs",
    "outputs/fields": "outputs",
    "outputs/trajectories": "trajectories",
    "outputs/timesteps": "frame",
    "parameters/params": "points",
    "features/sdf/per_timestep/features": "per_timestep",
    "features/sdf/per_trajectory/features": "per_trajectory",
    "features/sdf/aggregated/features": "aggregated",
    "features/sdf/per_trajectory/finite_steps": "feature_finite_steps",
}
"""Names of variables; those of other arrays are the last part of their path."""

LEFT_OUT = {"checksum", "timing", "document"}
"""Kinds of arrays that prove or describe others."""


class _Rows(BackendArray):
    """A field whose rows are read and checked when they are indexed; smaller grids are padded with NaN."""

    def __init__(self, dataset: Dataset, spec: ArraySpec) -> None:
        self._dataset, self._path = dataset, spec.path
        self.shape, self.dtype = spec.shape, np.dtype(np.float32)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[int | slice, ...]) -> NDArray[np.float32]:
        first, *rest = key
        if not isinstance(first, slice):
            return self._row(first, rest)
        rows = range(*first.indices(self.shape[0]))
        values = [self._row(row, rest) for row in rows]
        shape = np.empty((1, *self.shape[1:]), np.bool_)[(slice(0, 0), *rest)].shape[1:] if not values else ()
        return np.stack(values) if values else np.empty((0, *shape), np.float32)

    def _row(self, row: int, rest: Iterable[int | slice]) -> NDArray[np.float32]:
        return self._dataset.padded(self._path, row)[tuple(rest)]


def to_xarray(dataset: Dataset) -> xr.Dataset:
    """Return a view of a dataset; fields are read row by row when their values are asked for.

    Variables: ``inputs``, ``outputs`` and ``trajectories`` with the axes sample, realization, frame, channel,
    y, x (rows of smaller grids are padded with NaN), ``points`` (the unit cube), every parameter decoded, the
    tables of ``/metadata``, and the tables of features with their columns as coordinates.
    """
    variables: dict[str, xr.Variable] = {}
    coordinates: dict[str, Any] = {}
    for spec in arrays(dataset.layout):
        if spec.kind in LEFT_OUT:
            continue
        name = SHORT_NAMES.get(spec.path, spec.path.rpartition("/")[2])
        if spec.kind == "field":
            data: Any = indexing.LazilyIndexedArray(_Rows(dataset, spec))
        else:
            data = dataset.table(spec.path)
        variable = xr.Variable(spec.dims, data, {"description": spec.description})
        (coordinates if name in spec.dims else variables)[name] = variable
        for stated in ("names", "columns"):
            if stated in dict(spec.attributes):
                coordinates[spec.dims[-1]] = list(dict(spec.attributes)[stated])
    facts = {
        name: value for name, value in dataset.attributes.items() if isinstance(value, str | int | float)
    }
    return xr.Dataset(variables, coordinates, facts)


class SpinlockEngine(BackendEntrypoint):
    """``xarray.open_dataset(path, engine="spinlock")``: any form of dataset, every chunk checked."""

    description = "Datasets of Spinlock: HDF5 files, .spin directories and Zarr stores"
    url = ""

    def open_dataset(
        self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None
    ) -> xr.Dataset:
        """Open a dataset and return its view; the errors are those of `spinlock.dataset.open_dataset`."""
        dataset = open_dataset(filename_or_obj)
        view = to_xarray(dataset)
        dropped = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or ())
        view = view.drop_vars(dropped)
        view.set_close(dataset.close)
        return view

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Return whether it is a `.spin` directory: the other forms have engines of their own."""
        where = location(filename_or_obj) if isinstance(filename_or_obj, str | Path) else None
        return where is not None and where.suffix == ".spin" and form_at(where) == "spin"
