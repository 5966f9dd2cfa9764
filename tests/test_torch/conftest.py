"""One small dataset with trajectories, one grid, and a realization that diverges."""

import pytest

import tiny
from spinlock.dataset import open_dataset

CHANGES = {
    "parameter_space.architecture.gain": {"type": "continuous", "bounds": [0.7, 60.0], "log_scale": True},
    "parameter_space.architecture.normalization": {"type": "choice", "choices": ["none", "instance"]},
    "sampling.total_samples": 21,
    "simulation.num_timesteps": 6,
    "simulation.num_channels": 2,
    "dataset.storage.trajectories": "all",
}


@pytest.fixture(scope="session")
def everything(tmp_path_factory):
    return tiny.everything(tmp_path_factory)


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    return tiny.plain(tmp_path_factory)


@pytest.fixture(scope="session")
def trained_on(tmp_path_factory):
    return tiny.generate(tmp_path_factory.mktemp("torch") / "a.h5", tiny.PLAIN, CHANGES)


@pytest.fixture
def stored(trained_on):
    with open_dataset(trained_on) as dataset:
        yield dataset
