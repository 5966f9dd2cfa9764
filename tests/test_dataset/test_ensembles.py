"""The ensembles shown are the dataset's own: stored frames to the last bit, and what follows them."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from spinlock.dataset import open_dataset
from spinlock.dataset.ensembles import Ensemble, roll_out_row
from spinlock.errors import InterruptedRunError, StorageError
from test_dataset.forgery import forge

CPU = torch.device("cpu")
STORED_STEPS = tiny.EVERYTHING["simulation"]["num_timesteps"]
REALIZATIONS = tiny.EVERYTHING["simulation"]["num_realizations"]


def rolled(path: Path, row: int, times: range, folder: Path, realizations: int = REALIZATIONS) -> Ensemble:
    with open_dataset(path) as dataset, tiny.unchecked_shapes():
        return roll_out_row(dataset, row, times, realizations, CPU, folder, threading.Event())


def frames(ensemble: Ensemble) -> np.ndarray:
    """All frames [M, F, C, g, g], and the scratch file closed."""
    try:
        return np.stack([ensemble.frame(k).numpy() for k in range(len(ensemble.times))], axis=1)
    finally:
        ensemble.close()


@pytest.mark.parametrize("row", range(12))
def test_every_frame_is_the_stored_one(everything: Path, tmp_path: Path, row: int) -> None:
    with open_dataset(everything) as dataset:
        stored = dataset[row].trajectories
    shown = frames(rolled(everything, row, range(STORED_STEPS + 1), tmp_path))
    assert stored is not None
    assert np.array_equal(shown.view(np.uint32), stored.view(np.uint32))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("row", range(0, 12, 3))
def test_longer_rollouts_continue_the_stored_one(everything: Path, tmp_path: Path, row: int) -> None:
    with open_dataset(everything) as dataset, tiny.unchecked_shapes():
        stored = dataset[row].trajectories
        longer = dataset.rollout(row, num_timesteps=30)
    ensemble = rolled(everything, row, range(31), tmp_path)
    assert np.array_equal(ensemble.finite_steps, longer.finite_steps)
    shown = frames(ensemble)
    assert np.array_equal(shown, longer.frames.numpy(), equal_nan=True)
    assert np.array_equal(shown[:, : STORED_STEPS + 1], stored, equal_nan=True)


def test_a_stride_takes_every_so_manyth_frame_of_the_same_rollout(everything: Path, tmp_path: Path) -> None:
    whole = frames(rolled(everything, 4, range(18), tmp_path))
    assert np.array_equal(
        frames(rolled(everything, 4, range(0, 18, 5), tmp_path)), whole[:, ::5], equal_nan=True
    )


def test_fewer_realizations_are_the_first_ones_of_all(everything: Path, tmp_path: Path) -> None:
    for row in range(12):  # operators with batch normalization are among them: all realizations are run
        whole = frames(rolled(everything, row, range(6), tmp_path))
        assert np.array_equal(
            frames(rolled(everything, row, range(6), tmp_path, 1)), whole[:1], equal_nan=True
        )


def test_one_frame_is_the_initial_condition(everything: Path, tmp_path: Path) -> None:
    with open_dataset(everything) as dataset:
        inputs = dataset[2].inputs
    shown = frames(rolled(everything, 2, range(1), tmp_path))
    assert shown.shape[1] == 1
    assert all(np.array_equal(member[0], inputs) for member in shown)


def test_realizations_without_noise_are_all_told(tmp_path: Path) -> None:
    path = tiny.generate(tmp_path / "a.h5", tiny.PLAIN, {"simulation.num_realizations": 3})
    shown = frames(rolled(path, 1, range(5), tmp_path))
    with open_dataset(path) as dataset:
        assert dataset.draw(1).noise.silent
        longer = dataset.rollout(1, num_timesteps=4)
    assert np.array_equal(shown, longer.frames.numpy())
    assert np.array_equal(shown[0], shown[2])


def test_bounds_are_those_of_what_is_shown(everything: Path, tmp_path: Path) -> None:
    for row in (0, 5, 7):
        ensemble = rolled(everything, row, range(0, 18, 2), tmp_path, 2)
        known, settled = ensemble.statistics, ensemble.settled
        shown = frames(ensemble).astype(np.float64)
        shown[~settled.T] = np.nan
        over = (0, 1, 3, 4)
        assert np.array_equal(known.low, np.nanmin(shown, axis=over))
        assert np.array_equal(known.high, np.nanmax(shown, axis=over))
        assert known.mean == pytest.approx(np.nanmean(shown, axis=over), abs=1e-12)
        assert known.deviation == pytest.approx(np.nanstd(shown, axis=over), rel=1e-9)
        if row != 5:
            continue
        assert settled[0].all()


EXPLOSIVE = {
    "parameter_space.architecture": {
        "gain": {"type": "choice", "choices": [6.0]},
        "normalization": {"type": "choice", "choices": ["none"]},
    },
    "simulation.num_realizations": 3,
}


def test_what_runs_away_before_it_diverges_is_left_out_of_the_statistics(tmp_path: Path) -> None:
    path = tiny.generate(tmp_path / "e.h5", tiny.PLAIN, EXPLOSIVE)
    ensemble = rolled(path, 0, range(40), tmp_path)
    assert (ensemble.finite_steps < 40).all()
    shown = frames(ensemble).astype(np.float64)
    limit = 100.0 * np.sqrt(np.mean(shown[0, 0] ** 2))
    largest = np.abs(shown).max(axis=(2, 3, 4))
    with np.errstate(invalid="ignore"):
        assert np.array_equal(ensemble.settled, (largest <= limit).T)
    assert np.nanmax(largest) > 1e5  # without the rule this would be the scale of the clip
    assert max(ensemble.statistics.high.max(), -ensemble.statistics.low.min()) <= limit
    telling = [ensemble.is_telling(k) for k in range(40)]
    assert telling[0]
    assert not all(telling)
    # up to the last finite frame nothing has diverged yet: a growing run is shown as it is
    whole = rolled(path, 0, range(int(ensemble.finite_steps.min())), tmp_path)
    whole.close()
    assert whole.settled.all()


@pytest.mark.parametrize("field", ["inputs", "outputs"])
def test_a_row_that_is_not_what_is_stored_is_refused(everything: Path, tmp_path: Path, field: str) -> None:
    forged = forge(
        everything, tmp_path / "f.h5", {3: lambda row: replace(row, **{field: getattr(row, field) * 2})}
    )
    rolled(forged, 2, range(18), tmp_path).close()
    with pytest.raises(StorageError, match=f"row 3: {field}/fields is not what its draw makes"):
        rolled(forged, 3, range(18), tmp_path)
    if field == "outputs":  # a clip that ends before the final frame cannot tell
        rolled(forged, 3, range(17), tmp_path).close()


def test_another_operator_is_refused(everything: Path, tmp_path: Path) -> None:
    def other_weights(row):
        return replace(row, table={**row.table, "metadata/operator_digests": "0" * 64})

    forged = forge(everything, tmp_path / "f.h5", {3: other_weights})
    with pytest.raises(StorageError, match="row 3: its operator has other weights"):
        rolled(forged, 3, range(2), tmp_path)


def test_float16_storage_is_compared_after_rounding(tmp_path: Path) -> None:
    path = tiny.generate(tmp_path / "h.h5", tiny.PLAIN, {"dataset.storage.precision": "float16"})
    shown = frames(rolled(path, 0, range(3), tmp_path, 2))
    with open_dataset(path) as dataset:
        assert not np.array_equal(dataset[0].outputs, shown[:, 1])
        assert np.array_equal(dataset[0].outputs, shown[:, 1].astype(np.float16).astype(np.float32))


def test_a_rollout_stops_when_it_is_told_to(everything: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with open_dataset(everything) as dataset, pytest.raises(InterruptedRunError):
        roll_out_row(dataset, 0, range(5000), 3, CPU, tmp_path, stop)
    assert list(tmp_path.iterdir()) == []
