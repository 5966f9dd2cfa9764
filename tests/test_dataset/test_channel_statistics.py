"""Statistics of channels: those of all finite values at once, from one row at a time."""

import numpy as np
import pytest

from spinlock.dataset import open_dataset
from spinlock.dataset.statistics import (
    Moments,
    load_statistics,
    save_statistics,
    statistics,
)
from spinlock.errors import StorageError, UnknownNameError, UsageError


@pytest.mark.parametrize("what", ["inputs", "outputs", "trajectories"])
def test_they_are_those_of_all_finite_values(everything, what):
    with open_dataset(everything) as dataset:
        rows = [0, 3, 7, 11]
        found = statistics(dataset, what, rows)
        for channel in range(2):
            values = np.concatenate(
                [np.moveaxis(getattr(dataset[row], what), -3, 0)[channel].ravel() for row in rows]
            ).astype(np.float64)
            finite = values[np.isfinite(values)]
            assert found.count[channel] == finite.size
            assert found.mean[channel] == pytest.approx(finite.mean(), rel=1e-9, abs=1e-9)
            assert found.std[channel] == pytest.approx(finite.std(), rel=1e-9)
            assert (found.minimum[channel], found.maximum[channel]) == (finite.min(), finite.max())


def test_all_rows_are_the_default_and_rows_left_out_do_not_count(everything):
    with open_dataset(everything) as dataset:
        assert statistics(dataset, "inputs") == statistics(dataset, "inputs", range(12))
        assert statistics(dataset, "inputs", range(6)) != statistics(dataset, "inputs")


def test_a_large_mean_does_not_swallow_a_small_deviation():
    """A sum of squares minus the square of the sum would give nothing right here."""
    moments = Moments(1)
    values = 1e8 + np.random.default_rng(0).normal(size=(50, 1, 8, 8))
    for block in values:
        moments.add(block)
    assert moments.result().std[0] == pytest.approx(values.std(), rel=1e-6)


def test_values_that_are_not_finite_are_left_out_and_nothing_else_is_refused():
    moments = Moments(2)
    moments.add(np.array([[[1.0, np.nan]], [[np.inf, 3.0]]]))
    assert moments.result().mean == [1.0, 3.0]
    with pytest.raises(UsageError, match="a channel has no finite value"):
        Moments(1).result()


def test_they_are_kept_beside_the_dataset_they_are_of(everything, plain, tmp_path):
    path = tmp_path / "statistics.json"
    with open_dataset(everything) as dataset, open_dataset(plain) as other:
        found = statistics(dataset, "inputs", range(2))
        save_statistics(path, found, dataset)
        assert load_statistics(path, dataset) == found
        with pytest.raises(StorageError, match="statistics of another dataset: compute them again"):
            load_statistics(path, other)
        path.write_text("{}")
        with pytest.raises(StorageError, match="holds no statistics"):
            load_statistics(path, dataset)


def test_fields_that_are_not_there_are_refused(plain):
    with open_dataset(plain) as dataset, pytest.raises(UnknownNameError, match="known: inputs, outputs"):
        statistics(dataset, "trajectories")
