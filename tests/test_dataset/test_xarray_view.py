"""The xarray view holds what the dataset holds, lazily, for every form."""

import importlib.metadata
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from spinlock.dataset import open_dataset
from spinlock.dataset.extract import FeatureExtractionPipeline
from spinlock.dataset.xarray_view import SpinlockEngine
from spinlock.errors import StorageError
from tiny import EVERYTHING, changed, environment, generate

SETTINGS = changed(EVERYTHING, {"sampling.total_samples": 5, "simulation.num_timesteps": 4})


@pytest.fixture(scope="module", params=[".h5", ".spin", ".zarr"])
def path(request, tmp_path_factory):
    output = generate(tmp_path_factory.mktemp("view") / f"x{request.param}", SETTINGS)
    FeatureExtractionPipeline(output).extract()
    return output


@pytest.fixture
def view(path):
    with xr.open_dataset(path, engine=SpinlockEngine) as opened:
        yield opened


@pytest.fixture
def dataset(path):
    with open_dataset(path) as opened:
        yield opened


def test_fields_are_those_of_the_rows(view, dataset):
    assert view["trajectories"].dims == ("sample", "realization", "frame", "channel", "y", "x")
    assert set(dataset.metadata["grid_sizes"]) == {16, 24}
    for sample in dataset:
        g = sample.inputs.shape[-1]
        for name in ("inputs", "outputs", "trajectories"):
            values = view[name].isel(sample=sample.index).values
            assert values[..., :g, :g].tobytes() == getattr(sample, name).tobytes()
            assert np.isnan(values[..., g:, :]).all()
            assert np.isnan(values[..., :, g:]).all()


@pytest.mark.parametrize(
    "key",
    [
        (2,),
        (slice(None, None, -2), 1),
        ([3, 0, 3], slice(1, 2), 2),
        (slice(1, 4), [2, 0], slice(0, 5, 2), 1, [5, 3], slice(3, 9)),
        (slice(0, 0), 1),
        (4, 1, 2, 1, 3, 5),
        (-1, -1, -1),
    ],
)
def test_every_way_of_indexing_agrees_with_the_whole(view, key):
    whole = xr.Variable(view["trajectories"].dims, view["trajectories"].values)
    assert np.array_equal(view["trajectories"].variable[key].values, whole[key].values, equal_nan=True)


def test_tables_parameters_and_features(view, dataset):
    for name, column in dataset.metadata.items():
        assert np.array_equal(view[name].values, column, equal_nan=column.dtype.kind == "f"), name
    for name, column in dataset.parameters.items():
        assert np.array_equal(view[name].values, column), name
    assert view["points"].coords["parameter"].values.tolist() == list(dataset.parameters)
    assert view["frame"].values.tolist() == list(dataset.timesteps)
    mean = view["per_timestep"].sel(per_timestep_column="spatial_mean").values
    first = dataset[0].trajectories[:, 0].astype(np.float64).mean()
    assert mean[0, 0] == pytest.approx(first, rel=1e-4, abs=1e-6)
    assert view.attrs["plan_digest"] == dataset.plan.digest


def test_nothing_is_read_before_it_is_asked_for(path, monkeypatch):
    from spinlock.dataset.open import Dataset

    rows = []
    padded = Dataset.padded
    monkeypatch.setattr(
        Dataset, "padded", lambda self, name, row: rows.append(row) or padded(self, name, row)
    )
    with xr.open_dataset(path, engine=SpinlockEngine) as view:
        chosen = view["outputs"].isel(sample=slice(1, 3))
        assert rows == []
        assert np.isfinite(chosen.values).any()
    assert rows == [1, 2]


def test_variables_can_be_dropped_and_the_view_closed(path):
    view = xr.open_dataset(path, engine=SpinlockEngine, drop_variables=["trajectories", "dynamics"])
    assert not {"trajectories", "dynamics"} & set(view.variables)
    view.close()
    if path.suffix != ".zarr":
        with pytest.raises(StorageError, match="closed"):
            view["outputs"].isel(sample=0).load()


def test_the_engine_is_found_by_its_name(path):
    """Only an installed package has entry points."""
    named = importlib.metadata.entry_points(group="xarray.backends")
    if "spinlock" not in named.names:
        pytest.skip("the package is not installed here")
    source = f"import xarray; print(xarray.open_dataset({str(path)!r}, engine='spinlock').sizes['sample'])"
    done = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=120,
        check=False,
    )
    assert done.stdout.strip() == "5", done.stderr


def test_only_spin_directories_are_claimed(path):
    assert SpinlockEngine().guess_can_open(path) == (path.suffix == ".spin")
    assert not SpinlockEngine().guess_can_open("no/such.spin")


def test_without_xarray_the_extra_is_named(dataset, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    monkeypatch.delitem(sys.modules, "spinlock.dataset.xarray_view", raising=False)
    with pytest.raises(Exception, match=r"spinlock\[xarray\]"):
        dataset.to_xarray()
