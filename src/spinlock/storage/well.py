"""Writing HDF5 files in the layout of The Well (Ohana et al. 2024), which its own package reads."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from spinlock.storage.atomic import write_errors

AXES = ("x", "y")


@dataclass(frozen=True)
class WellFile:
    """What a file of The Well says before its fields.

    Attributes
    ----------
    dataset_name
        The same in all files of a dataset.
    grid
        Side of the square, periodic grid.
    timesteps
        The frame numbers, which are its times.
    trajectories
        How many there are.
    channels
        Names of the scalar fields.
    scalars
        For each name a number for each trajectory, constant in time.
    """

    dataset_name: str
    grid: int
    timesteps: tuple[int, ...]
    trajectories: int
    channels: tuple[str, ...]
    scalars: Mapping[str, NDArray[np.float32]]


def write_well_file(path: Path, what: WellFile, trajectories: Iterable[NDArray[np.float32]]) -> None:
    """Write trajectories [F, C, g, g], one at a time, as scalar fields [trajectory, time, x, y].

    The first axis of a field is y in a dataset of ours; it is x in the file, as rows and columns are only
    named differently.

    Raises
    ------
    StorageError
        Where the file cannot be written.
    """
    with write_errors(path), h5py.File(path, "w") as file:
        _write_head(file, what)
        fields = _create_fields(file, what)
        for number, frames in enumerate(trajectories):
            for channel, field in enumerate(fields):
                field[number] = frames[:, channel]


def _write_head(file: h5py.File, what: WellFile) -> None:
    _describe(
        file,
        dataset_name=what.dataset_name,
        grid_type="cartesian",
        n_spatial_dims=len(AXES),
        n_trajectories=what.trajectories,
        simulation_parameters=_names(()),
    )
    dimensions = file.create_group("dimensions")
    _describe(dimensions, spatial_dims=_names(AXES))
    places = np.arange(what.grid, dtype=np.float32) / what.grid
    for name, values in (("time", np.array(what.timesteps, np.float32)), *((axis, places) for axis in AXES)):
        dimension = dimensions.create_dataset(name, data=values)
        _describe(dimension, sample_varying=False, **({} if name == "time" else {"time_varying": False}))
    conditions = file.create_group("boundary_conditions")
    for axis in AXES:
        condition = conditions.create_group(f"{axis}_periodic")
        edges = np.zeros(what.grid, bool)
        edges[[0, -1]] = True
        condition.create_dataset("mask", data=edges)
        _describe(
            condition,
            associated_dims=_names((axis,)),
            associated_fields=_names(()),
            bc_type="PERIODIC",
            sample_varying=False,
            time_varying=False,
        )
    scalars = file.create_group("scalars")
    _describe(scalars, field_names=_names(what.scalars))
    for name, values in what.scalars.items():
        scalar = scalars.create_dataset(name, data=np.asarray(values, np.float32))
        _describe(scalar, sample_varying=True, time_varying=False)


def _create_fields(file: h5py.File, what: WellFile) -> list[h5py.Dataset]:
    groups = [file.create_group(f"t{order}_fields") for order in range(3)]
    for group, names in zip(groups, (what.channels, (), ()), strict=True):
        _describe(group, field_names=_names(names))
    shape = (what.trajectories, len(what.timesteps), what.grid, what.grid)
    fields = []
    for name in what.channels:
        field = groups[0].create_dataset(name, shape, np.float32, chunks=(1, *shape[1:]))
        _describe(field, dim_varying=[True, True], sample_varying=True, time_varying=True)
        fields.append(field)
    return fields


def _describe(item: h5py.Group | h5py.Dataset, **attributes: Any) -> None:
    for name, value in attributes.items():
        item.attrs[name] = value


def _names(names: Iterable[str]) -> NDArray[Any]:
    return np.array(list(names), dtype=h5py.string_dtype())
