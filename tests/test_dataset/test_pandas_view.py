"""The pandas table holds what the dataset holds, for every form, and costs what its columns cost."""

import sys

import numpy as np
import pandas as pd
import pytest

import tiny
from spinlock.dataset import VirtualDataset, open_dataset
from spinlock.dataset.extract import FeatureExtractionPipeline
from spinlock.dataset.pandas_view import FREE_TEXT, _Column, _table
from spinlock.errors import UsageError
from spinlock.features.storage import HDF5FeatureReader

SETTINGS = tiny.changed(
    tiny.PLAIN,
    {
        "parameter_space.architecture.normalization": {"type": "choice", "choices": ["none", "layer"]},
        "parameter_space.architecture.num_layers": {"type": "integer", "bounds": [1, 2]},
        "parameter_space.rollout.update_policy": {"type": "choice", "choices": ["residual", "convex"]},
        "sampling.total_samples": 5,
        "simulation.num_timesteps": 4,
    },
)


@pytest.fixture(scope="module")
def hdf5(tmp_path_factory):
    """Five samples, the last of which has no features."""
    path = tiny.generate(tmp_path_factory.mktemp("pandas") / "x.h5", SETTINGS)
    FeatureExtractionPipeline(path, max_samples=4).extract()
    return path


@pytest.fixture(scope="module", params=[".h5", ".spin", ".zarr"])
def dataset(request, hdf5, tmp_path_factory):
    path = hdf5
    if request.param == ".spin":
        changes = {"features.during_generation": True}
        path = tiny.generate(tmp_path_factory.mktemp("form") / "x.spin", SETTINGS, changes)
    elif request.param == ".zarr":
        path = tmp_path_factory.mktemp("form") / "x.zarr"
        with open_dataset(hdf5) as source:
            source.copy_to_zarr(path)
    with open_dataset(path) as opened:
        yield opened


def test_parameters_and_metadata_are_those_of_the_dataset(dataset):
    table = dataset.to_pandas()
    assert table.index.name == "sample"
    assert table.index.tolist() == list(range(5))
    assert table.attrs["groups"]["parameters"] == list(dataset.parameters)
    for name, column in dataset.parameters.items():
        assert table[name].tolist() == column.tolist(), name
        assert isinstance(table[name].dtype, pd.CategoricalDtype) == (column.dtype.kind == "U"), name
    for name, column in dataset.metadata.items():
        columns = [name] if column.ndim == 1 else [f"{name}_{m}" for m in range(column.shape[1])]
        assert set(columns) <= set(table.attrs["groups"]["metadata"])
        stored = column.reshape(5, -1)
        for place, shown in enumerate(columns):
            assert np.array_equal(table[shown], stored[:, place], equal_nan=stored.dtype.kind == "f"), shown
    kinds = {name: table[name].dtype for name in ("dynamics", *FREE_TEXT)}
    assert [isinstance(kind, pd.CategoricalDtype) for kind in kinds.values()] == [True, False, False]
    assert table.groupby("dynamics", observed=True).size().sum() == 5


def test_features_are_those_of_the_reader_with_their_units(dataset):
    table = dataset.to_pandas()
    names = table.attrs["groups"]["features"]
    with HDF5FeatureReader(dataset.path) as reader:
        assert names == reader.columns["aggregated"]
        stored = reader.get_sdf_aggregated()
        units = {one["name"]: one["unit"] for one in reader.get_sdf_schema()}
    assert table[names].to_numpy().tobytes() == stored.tobytes()
    assert table[names].dtypes.unique().tolist() == [np.float32]
    shown = table.attrs["units"]
    assert shown["energy_growth_rate_mean"] == units["energy_growth_rate"] == "1/step"
    assert "energy_growth_rate_cv" not in shown
    assert (shown["lyapunov"], shown["grid_size"], shown["finite_steps_1"]) == ("1/step", "px", "frames")
    assert set(shown) <= set(table.columns)


def test_every_column_belongs_to_one_group(dataset):
    table = dataset.to_pandas()
    grouped = [name for group in table.attrs["groups"].values() for name in group]
    assert grouped == table.columns.tolist()
    assert len(set(grouped)) == len(grouped)


def test_samples_left_out_of_an_extraction_have_nan_features_and_all_else(hdf5):
    with open_dataset(hdf5) as dataset:
        table = dataset.to_pandas()
        features = table.attrs["groups"]["features"]
        assert table.loc[4, features].isna().all()
        assert not table.loc[3, features].isna().all()
        assert table["lyapunov"].isna().all()  # four steps: no twin was run
        without = dataset.to_pandas(features=False)
    assert without.attrs["groups"]["features"] == []
    assert without.columns.tolist() == table.columns[: len(without.columns)].tolist()


def test_a_dataset_without_features_has_a_table_without_them(plain):
    with open_dataset(plain) as dataset:
        assert dataset.to_pandas().attrs["groups"]["features"] == []


def test_changing_the_table_changes_nothing_in_the_dataset(plain):
    with open_dataset(plain) as dataset:
        before = dataset.parameters["gain"].copy()
        table = dataset.to_pandas()
        table.loc[:, "gain"] = 0.0
        assert np.array_equal(dataset.parameters["gain"], before)
        assert np.array_equal(dataset.to_pandas()["gain"], before)


def test_a_virtual_dataset_knows_its_draws_without_a_rollout(hdf5, monkeypatch):
    monkeypatch.setattr("spinlock.dataset.virtual.sample_of", None)
    with open_dataset(hdf5) as stored:
        table, virtual = stored.to_pandas(), VirtualDataset(stored.config)
    made = virtual.to_pandas()
    shared = [name for group in made.attrs["groups"].values() for name in group]
    assert set(shared) == {
        *virtual.plan.space.names,
        "ic_labels",
        "ic_types",
        "grid_sizes",
        "rollout_policies",
    }
    pd.testing.assert_frame_equal(made, table[made.columns])
    some = virtual.to_pandas(rows=[3, -5])
    assert some.index.tolist() == [3, 0]
    assert some.loc[3, "gain"] == table.loc[3, "gain"]
    with pytest.raises(IndexError, match="row 5 is out of range"):
        virtual.to_pandas(rows=[5])


def test_a_virtual_dataset_of_defaults_names_them(tmp_path):
    virtual = VirtualDataset(tiny.config_of(tmp_path / "a.h5", tiny.PLAIN), length=2**32)
    table = virtual.to_pandas(rows=range(2**32 - 2, 2**32))
    assert table["rollout_policies"].tolist() == ["autoregressive"] * 2
    assert table["gain"].tolist() == [virtual.draw(row).values["gain"] for row in table.index]


def test_a_name_that_is_taken_gets_its_group():
    columns = [_Column(group, "gain", "", np.zeros(2)) for group in ("parameters", "features")]
    assert _table(columns, np.arange(2)).columns.tolist() == ["gain", "features_gain"]


def test_without_pandas_the_error_names_the_extra(plain, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.delitem(sys.modules, "spinlock.dataset.pandas_view")
    with open_dataset(plain) as dataset, pytest.raises(UsageError, match=r'pip install "spinlock\[pandas\]"'):
        dataset.to_pandas()
    virtual = VirtualDataset(tiny.config_of(tmp_path / "a.h5", tiny.PLAIN))
    with pytest.raises(UsageError, match=r"the table needs the package pandas"):
        virtual.to_pandas()
