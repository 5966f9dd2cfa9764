"""Exports are read back by the packages they are for, and hold what the dataset holds."""

import gc
import io
import json
import sys
import tarfile

import numpy as np
import pyarrow.parquet
import pytest
import webdataset
from the_well.data import WellDataset

import tiny
from spinlock.cli.program import run
from spinlock.dataset import open_dataset
from spinlock.dataset.export import FORMATS, export
from spinlock.dataset.splits import split
from spinlock.errors import StorageError, UnknownNameError, UsageError

GRIDS = (16, 24)


def tree(folder):
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


# --- parquet ---


def test_parquet_holds_parameters_and_metadata(everything, tmp_path):
    with open_dataset(everything) as dataset:
        parts = split(dataset, {"train": 0.75, "test": 0.25})
        written = export(dataset, "parquet", tmp_path / "out", parts)
        table = pyarrow.parquet.read_table(tmp_path / "out" / "samples.parquet").to_pydict()
        assert written["samples"] == 12
        assert table["index"] == list(range(12))
        assert [row for row in range(12) if table["split"][row] == "test"] == parts["test"].tolist()
        for name, values in dataset.parameters.items():
            assert table[f"parameter_{name}"] == values.tolist()
        for name, values in dataset.metadata.items():
            assert np.array_equal(np.array(table[name]), values, equal_nan=name == "lyapunov"), name
    assert set(tree(tmp_path / "out")) == {"samples.parquet", "spinlock.json"}


def test_parquet_holds_features_by_name(tmp_path):
    path = tiny.generate(tmp_path / "a.h5", tiny.PLAIN, {"features.during_generation": True})
    with open_dataset(path) as dataset:
        export(dataset, "parquet", tmp_path / "out")
        layout = dataset.layout.features
        stored = dataset.table("features/sdf/aggregated/features")
        each = dataset.table("features/sdf/per_trajectory/features")
    table = pyarrow.parquet.read_table(tmp_path / "out" / "features.parquet")
    assert table.column_names == ["index", *(name for name, _ in layout.aggregated)]
    assert np.array_equal(np.stack([table[name] for name, _ in layout.aggregated], 1), stored, equal_nan=True)
    long = pyarrow.parquet.read_table(tmp_path / "out" / "features_per_trajectory.parquet")
    assert long["index"].to_pylist() == [0, 0, 1, 1, 2, 2]
    assert long["realization"].to_pylist() == [0, 1] * 3
    columns = np.stack([long[name] for name, _ in layout.per_trajectory], 1)
    assert np.array_equal(columns, each.reshape(6, -1), equal_nan=True)


def test_parquet_without_its_package_says_what_to_install(plain, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with open_dataset(plain) as dataset, pytest.raises(UsageError, match=r'pip install "spinlock\[export\]"'):
        export(dataset, "parquet", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# --- WebDataset ---


@pytest.mark.filterwarnings("ignore")  # its reader leaves the file to the garbage collector
def test_webdataset_reads_every_row(everything, tmp_path):
    with open_dataset(everything) as dataset:
        export(dataset, "webdataset", tmp_path / "out")
        pipeline = webdataset.WebDataset(str(tmp_path / "out" / "train-000000.tar"), shardshuffle=False)
        samples = list(pipeline.decode())
        assert len(samples) == 12
        for sample, row in zip(samples, dataset, strict=True):
            assert sample["__key__"] == f"{row.index:010d}"
            for name in ("inputs", "outputs", "trajectories"):
                assert sample[f"{name}.npy"].tobytes() == getattr(row, name).tobytes()
            facts = sample["json"]
            assert facts["index"] == row.index
            assert facts["parameters"] == row.parameters
            assert facts["metadata"]["finite_steps"] == row.metadata["finite_steps"].tolist()
        del pipeline, samples, sample
        gc.collect()


def test_the_same_rows_give_the_same_tar(plain, tmp_path):
    with open_dataset(plain) as dataset:
        for name in ("a", "b"):
            export(dataset, "webdataset", tmp_path / name, {"test": np.array([2, 0])})
    first, second = (tree(tmp_path / name)["test-000000.tar"].read_bytes() for name in ("a", "b"))
    assert first == second
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        assert [name.split(".")[0] for name in tar.getnames()] == ["0000000002"] * 3 + ["0000000000"] * 3


def test_many_rows_become_several_tars(plain, tmp_path, monkeypatch):
    monkeypatch.setattr("spinlock.dataset.exports.webdataset.ROWS_PER_TAR", 2)
    with open_dataset(plain) as dataset:
        assert export(dataset, "webdataset", tmp_path / "out")["files"] == 2
    assert set(tree(tmp_path / "out")) == {"train-000000.tar", "train-000001.tar", "spinlock.json"}


# --- The Well ---


@pytest.mark.filterwarnings("ignore")  # of the package that reads
def test_the_well_reads_every_complete_rollout(everything, tmp_path):
    with open_dataset(everything) as dataset:
        written = export(dataset, "well", tmp_path / "out")
        finite = dataset.metadata["finite_steps"]
        expected = {
            grid: [
                (row, realization)
                for row in range(12)
                for realization in range(3)
                if dataset.metadata["grid_sizes"][row] == grid and finite[row, realization] == 18
            ]
            for grid in GRIDS
        }
        assert written["left_out"] == (finite < 18).sum() > 0
        assert written["trajectories"] == 36 - written["left_out"]
        assert str(written["left_out"]) in written["note"]
        for grid, places in expected.items():
            name = f"everything_{grid}"
            well = WellDataset(
                path=str(tmp_path / "out" / name),
                well_split_name="train",
                n_steps_input=1,
                n_steps_output=17,
                use_normalization=False,
            )
            assert well.metadata.n_trajectories_per_file == [len(places)]
            assert well.metadata.spatial_resolution == (grid, grid)
            assert well.metadata.boundary_condition_types == ["PERIODIC"]
            assert len(well) == len(places)
            for number, (row, realization) in enumerate(places):
                item = well[number]
                frames = np.concatenate([item["input_fields"], item["output_fields"]])
                assert np.array_equal(np.moveaxis(frames, -1, 1), dataset[row].trajectories[realization])
                scalars = dict(
                    zip(well.metadata.constant_scalar_names, item["constant_scalars"].tolist(), strict=True)
                )
                assert scalars["index"] == row
                assert scalars["gain"] == pytest.approx(dataset.parameters["gain"][row])


@pytest.mark.filterwarnings("ignore")
def test_the_well_has_first_and_last_frames_where_no_others_are_stored(plain, tmp_path):
    with open_dataset(plain) as dataset:
        export(dataset, "well", tmp_path / "out", {"validation": np.array([1])})
        path = tmp_path / "out" / "plain_16" / "data" / "valid"
        well = WellDataset(path=str(path), n_steps_input=1, n_steps_output=1, use_normalization=False)
        item = well[1]
        assert np.array_equal(np.moveaxis(item["input_fields"].numpy(), -1, 1)[0], dataset[1].inputs)
        assert np.array_equal(np.moveaxis(item["output_fields"].numpy(), -1, 1)[0], dataset[1].outputs[1])


# --- all ---


@pytest.mark.parametrize("to", FORMATS)
def test_an_export_says_where_it_comes_from(plain, tmp_path, to):
    with open_dataset(plain) as dataset:
        export(dataset, to, tmp_path / "out", {"train": np.array([0, 2]), "test": np.array([1])})
        facts = json.loads((tmp_path / "out" / "spinlock.json").read_text())
        assert facts["plan_digest"] == dataset.plan.digest
        assert facts["digest"] == dataset.digest
        assert facts["splits"] == {"train": [0, 2], "test": [1]}


@pytest.mark.parametrize("to", FORMATS)
def test_an_export_that_fails_leaves_nothing(plain, tmp_path, to, monkeypatch):
    def failing(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spinlock.dataset.export._facts", failing)
    with open_dataset(plain) as dataset, pytest.raises(StorageError, match="out cannot be written"):
        export(dataset, to, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_exists_is_left_alone(plain, tmp_path):
    with open_dataset(plain) as dataset, pytest.raises(UsageError, match="exists: choose another --output"):
        export(dataset, "webdataset", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_layout_that_does_not_exist_is_refused(plain, tmp_path):
    with open_dataset(plain) as dataset, pytest.raises(UnknownNameError, match="did you mean 'well'"):
        export(dataset, "wel", tmp_path / "out")


def test_the_command_exports_by_split(everything, tmp_path, capsys):
    words = ["export", "--dataset", str(everything), "--to", "webdataset", "--output", str(tmp_path / "out")]
    assert run([*words, "--split-by", "operator", "--seed", "3", "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert written["splits"] == {"train": 10, "validation": 1, "test": 1}
    assert set(tree(tmp_path / "out")) == {
        "train-000000.tar",
        "validation-000000.tar",
        "test-000000.tar",
        "spinlock.json",
    }
    assert run([*words[:-1], str(tmp_path / "b")]) == 0
    assert "rows   train 12" in " ".join(capsys.readouterr().out.split("  "))
    assert run([*words, "--seed", "3"]) == 2
    assert "--seed is that of a split" in capsys.readouterr().err
