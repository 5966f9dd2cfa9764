"""Rows made on demand are those of the file, bit for bit, however far along they stand."""

import pickle

import numpy as np
import pytest

import tiny
from spinlock.dataset import VirtualDataset, open_dataset
from spinlock.errors import UsageError


def same(made, stored):
    assert made.index == stored.index
    for name in ("inputs", "outputs", "trajectories"):
        first, second = getattr(made, name), getattr(stored, name)
        assert (first is None) == (second is None)
        if first is not None:
            assert first.dtype == second.dtype == np.float32
            assert first.shape == second.shape
            assert first.tobytes() == second.tobytes(), name
    assert made.parameters == stored.parameters
    assert made.metadata.keys() == stored.metadata.keys()
    for name, value in made.metadata.items():
        assert np.array_equal(value, stored.metadata[name], equal_nan=name == "lyapunov"), name


def test_rows_are_those_of_the_file(everything):
    with open_dataset(everything) as stored:
        virtual = VirtualDataset(stored.config)
        assert len(virtual) == 12
        assert virtual.timesteps == stored.timesteps
        for index in (0, 5, -1):
            same(virtual[index], stored[index])


@pytest.mark.parametrize("precision", ["float16", "bitround:7"])
def test_rows_have_the_precision_of_the_file(tmp_path, precision):
    changes = {"dataset.storage.precision": precision, "simulation.num_timesteps": 2}
    path = tiny.generate(tmp_path / "a.h5", tiny.PLAIN, changes)
    with open_dataset(path) as stored:
        same(VirtualDataset(stored.config)[1], stored[1])


def test_a_row_far_along_is_a_row(tmp_path):
    """A dataset of that length has the row, and one that is longer begins with the same rows."""
    config = tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, {"sampling.total_samples": 10**9 + 1})
    far = VirtualDataset(config)
    longer = VirtualDataset(config, length=2**32)
    same(far[10**9], longer[10**9])
    assert not np.array_equal(far[10**9].outputs, far[0].outputs)
    assert longer[-1].index == 2**32 - 1
    assert list(tmp_path.glob("*.h5*")) == []


def test_it_pickles_as_its_configuration(tmp_path):
    config = tiny.config_of(tmp_path / "a.h5", tiny.PLAIN)
    virtual = VirtualDataset(config, length=10**6)
    content = pickle.dumps(virtual)
    assert len(content) < 20_000
    copy = pickle.loads(content)
    assert len(copy) == 10**6
    same(copy[999_999], virtual[999_999])


def test_operator_and_rollout_are_those_of_the_row(everything):
    with open_dataset(everything) as stored:
        virtual = VirtualDataset(stored.config)
        first, second = virtual.operator(3), stored.operator(3)
        for name, value in first.state_dict().items():
            assert value.equal(second.state_dict()[name])
        made, again = virtual.rollout(3, num_timesteps=19), stored.rollout(3, num_timesteps=19)
        assert made.frames.numpy().tobytes() == again.frames.numpy().tobytes()


@pytest.mark.parametrize("length", [0, -1, 2**32 + 1])
def test_lengths_beyond_the_counter_are_refused(tmp_path, length):
    with pytest.raises(UsageError, match=r"must be in \[1, 4294967296\]"):
        VirtualDataset(tiny.config_of(tmp_path / "a.h5", tiny.PLAIN), length=length)


@pytest.mark.parametrize("index", [3, -4])
def test_a_row_that_is_not_there_is_refused(tmp_path, index):
    with pytest.raises(IndexError, match="this dataset holds 3 rows"):
        VirtualDataset(tiny.config_of(tmp_path / "a.h5", tiny.PLAIN))[index]
