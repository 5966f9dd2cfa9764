"""The layout of The Well: ``<name>_<grid>/data/<split>/*.hdf5``, a directory for each grid."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spinlock.dataset.exports.request import Request, Written
from spinlock.dataset.finite import finite_frames
from spinlock.storage.well import WellFile, write_well_file

SPLITS = {"train": "train", "validation": "valid", "valid": "valid", "test": "test"}
"""The names that its package knows."""

Places = NDArray[np.int64]


def write_well(request: Request, folder: Path) -> Written:
    """Write a file for each grid and split; a trajectory is one realization of one row.

    Frames are those stored, or frame 0 and the last one where no trajectories are. The Well has no mark for
    frames that do not exist, so realizations that stopped before the end are left out, and counted.
    """
    dataset = request.dataset
    grids = dataset.metadata["grid_sizes"]
    written, left_out = 0, 0
    for split, rows in request.splits.items():
        for grid in np.unique(grids[rows]).tolist():
            chosen = rows[grids[rows] == grid]
            places = _complete(request, chosen)
            left_out += chosen.size * dataset.layout.realizations - len(places)
            if not len(places):
                continue
            name = f"{request.name}_{grid}"
            path = folder / name / "data" / SPLITS.get(split, split) / f"{name}.hdf5"
            path.parent.mkdir(parents=True)
            write_well_file(path, _described(request, name, grid, places), _trajectories(request, places))
            written += len(places)
    return Written(
        {"trajectories": written, "left_out": left_out},
        f"{left_out} rollouts that stopped before the end are left out" if left_out else "",
    )


def _complete(request: Request, rows: Places) -> Places:
    """Return row and realization of every rollout whose frames all exist, int64 [K, 2]."""
    dataset = request.dataset
    complete = finite_frames(dataset.metadata, rows) > dataset.config.simulation.num_timesteps
    which, realizations = np.nonzero(complete)
    return np.stack([rows[which], realizations], axis=1)


def _described(request: Request, name: str, grid: int, places: Places) -> WellFile:
    dataset = request.dataset
    numbers = {
        column: values[places[:, 0]].astype(np.float32)
        for column, values in dataset.parameters.items()
        if values.dtype.kind in "fiub"
    }
    last = dataset.config.simulation.num_timesteps
    return WellFile(
        dataset_name=name,
        grid=grid,
        timesteps=dataset.timesteps or (0, last),
        trajectories=len(places),
        channels=tuple(f"channel_{channel}" for channel in range(dataset.layout.channels)),
        scalars={"index": places[:, 0].astype(np.float32), **numbers},
    )


def _trajectories(request: Request, places: Places) -> Iterator[NDArray[np.float32]]:
    dataset = request.dataset
    for row, realization in places.tolist():
        one = slice(realization, realization + 1)
        if dataset.timesteps:
            yield dataset.array("outputs/trajectories", row, (one,))[0]
        else:
            yield np.concatenate(
                [dataset.array("inputs/fields", row)[None], dataset.array("outputs/fields", row, (one,))]
            )
