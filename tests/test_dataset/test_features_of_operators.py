"""The features of 64 operators at the edge of chaos: finite where they must be, and none a constant."""

from pathlib import Path

import numpy as np
import pytest

from spinlock.config import load_config
from spinlock.dataset import DatasetGenerationPipeline, open_dataset
from spinlock.features.storage import HDF5FeatureReader
from tiny import ROOT, unchecked_shapes

ROWS = 64


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("edge") / "edge.h5"
    changes = {
        "dataset.output_path": str(output),
        "dataset.storage.trajectories": "none",
        "sampling.total_samples": ROWS,
        "simulation.device": "cpu",
        "simulation.num_realizations": 2,
        "simulation.num_timesteps": 15,
        "simulation.num_channels": 3,
        "parameter_space.operator.grid_size": {"type": "choice", "choices": [40, 48]},
        "features.during_generation": True,
    }
    config = load_config(
        ROOT / "configs" / "experiments" / "edge_of_chaos.yaml",
        [("test", key, value) for key, value in changes.items()],
    )
    with unchecked_shapes():
        DatasetGenerationPipeline(config).generate()
    return output


def test_every_column_is_finite_where_the_rollout_is_and_none_is_constant(dataset: Path) -> None:
    with open_dataset(dataset) as ds:
        finite = np.asarray(ds.metadata["finite_steps"])
    with HDF5FeatureReader(dataset) as reader:
        tables = {
            "per_timestep": reader.get_sdf_per_timestep(),
            "per_trajectory": reader.get_sdf_per_trajectory(),
            "aggregated": reader.get_sdf_aggregated(),
        }
        columns = reader.columns
    whole = (finite == 16).all(axis=1)
    assert whole.sum() > 40
    for table, values in tables.items():
        known = values[whole]
        assert np.isfinite(known).all(), table
        flat = known.reshape(-1, known.shape[-1]).astype(np.float64)
        still = [name for name, column in zip(columns[table], flat.T, strict=True) if column.std() == 0]
        assert not still, f"{table}: {still}"


def test_rollouts_that_end_have_features_up_to_there(dataset: Path) -> None:
    with open_dataset(dataset) as ds:
        finite = np.asarray(ds.metadata["finite_steps"])
    with HDF5FeatureReader(dataset) as reader:
        assert np.array_equal(reader.finite_steps, finite)
        per_timestep = reader.get_sdf_per_timestep()
        counts = reader.n_realizations
    frames = np.arange(16)
    assert np.array_equal(counts, (frames[None, :, None] < finite[:, None, :]).sum(axis=2))
    assert np.array_equal(np.isfinite(per_timestep).all(axis=2), counts > 0)
