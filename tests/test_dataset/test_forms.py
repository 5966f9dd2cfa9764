"""Whatever form a dataset has, everything that reads it reads the same."""

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import xarray
import zarr
from torch.utils.data import DataLoader

import tiny
from spinlock.cli.program import run
from spinlock.dataset import open_dataset
from spinlock.dataset.describe import describe
from spinlock.dataset.export import export
from spinlock.dataset.splits import split
from spinlock.dataset.statistics import statistics
from spinlock.dataset.validate import validate
from spinlock.errors import StorageError
from spinlock.execution import plan
from spinlock.features.storage import HDF5FeatureReader
from spinlock.storage.feature_layout import EXTRACTION_TIME
from spinlock.storage.schema import arrays
from spinlock.torch import SpinlockDataset, SpinlockIterable
from test_dataset.form_scenes import comparable, put

FORMS = ("h5", "spin", "zarr")

CHANGES = {
    "sampling.total_samples": 4,
    "simulation.num_timesteps": 8,
    "simulation.num_realizations": 2,
    "dataset.storage.trajectories": {"every": 4},
}


def make(output: Path, changes=None, **how) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "FEWEST_SHARDS", 2)
        return tiny.generate(output, tiny.EVERYTHING, CHANGES | (changes or {}), **how)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    return {form: make(folder / f"a.{form}") for form in FORMS}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by name."""
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


@pytest.fixture
def opened(three):
    datasets = {form: open_dataset(path) for form, path in three.items()}
    yield datasets
    for dataset in datasets.values():
        dataset.close()


def test_all_forms_of_a_configuration_hold_the_same_bytes(three):
    right = comparable(three["h5"])
    assert comparable(three["spin"]) == right
    assert comparable(three["zarr"]) == right
    with open_dataset(three["h5"]) as dataset:
        assert right.keys() >= {spec.path for spec in arrays(dataset.layout) if spec.kind == "table"}
    for path in three.values():
        beside = {one.name for one in path.parent.glob(f"{path.name}*")}
        assert beside == tiny.with_companions(path)


@pytest.mark.parametrize("form", ["spin", "zarr"])
def test_an_index_keeps_what_a_run_makes_of_it(three, form, tmp_path):
    """The run that finds the dataset complete changes nothing."""
    path = tmp_path / f"a.{form}"
    put(three[form], path)
    before = tree(path)
    make(path)
    assert tree(path) == before


@pytest.mark.slow
@pytest.mark.parametrize("form", ["spin", "zarr"])
def test_worker_processes_make_the_same_bytes(three, form, tmp_path):
    """They make a shard of each row: which rows share a shard changes no byte."""
    parallel = CHANGES | {"simulation.parallelism": {"strategy": "process", "workers": 2}}
    made = tiny.generate(tmp_path / f"a.{form}", tiny.EVERYTHING, parallel)
    assert comparable(made) == comparable(three["h5"])


@pytest.mark.parametrize("features", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_features_of_the_run_and_no_parameters_are_the_same_in_every_form(tmp_path, features):
    changes = {"sampling.total_samples": 2, "features.during_generation": features}
    bare = {**tiny.PLAIN, "parameter_space": {"operator": {}}}
    made = [tiny.generate(tmp_path / f"b.{form}", tiny.changed(bare, changes)) for form in FORMS]
    right, *others = (comparable(path) for path in made)
    assert all(other == right for other in others)
    assert any("features" in name for name in right) == features
    assert [validate(path, replay=1).failures for path in made] == [[], [], []]


def test_info_and_validate_say_the_same(three, capsys):
    told = []
    for path in three.values():
        assert run(["info", "--dataset", str(path), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        form = {one["path"]: (one["shape"], one["dtype"], one["dims"]) for one in found["arrays"]}
        kept = ("samples", "distributions", "rollouts", "parameters", "timesteps", "features")
        told.append((form, {name: found[name] for name in kept}))
        assert found["bytes"] == sum(one.stat().st_size for one in files(path))
        assert run(["validate", "--dataset", str(path), "--replay", "1", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["valid"]
    assert told[0] == told[1] == told[2]


def files(path: Path) -> list[Path]:
    return [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]


def test_sizes_of_arrays_are_those_on_the_disk(three):
    found = {
        form: {one["path"]: one["stored_bytes"] for one in describe(path)["arrays"]}
        for form, path in three.items()
    }
    assert {name: found["spin"][name] for name in ("inputs/fields", "outputs/fields")} == {
        name: found["h5"][name] for name in ("inputs/fields", "outputs/fields")
    }
    stored = sum(one.stat().st_size for one in (three["zarr"] / "outputs/fields").rglob("*") if one.is_file())
    assert found["zarr"]["outputs/fields"] == stored


def test_operators_rollouts_plots_and_statistics_are_the_same(opened):
    weights, frames, means = [], [], []
    for dataset in opened.values():
        weights.append([one.detach().numpy().tobytes() for one in dataset.operator(1).parameters()])
        frames.append(dataset.rollout(1, num_timesteps=3).frames.numpy().tobytes())
        means.append(statistics(dataset, "outputs", [0, 1, 3]))
        assert isinstance(dataset.plot(0), mpl.figure.Figure)
    assert weights[0] == weights[1] == weights[2]
    assert frames[0] == frames[1] == frames[2]
    assert means[0] == means[1] == means[2]


def test_items_streams_and_splits_are_the_same(opened):
    def epoch(dataset):
        items = SpinlockDataset(dataset, arrays=("inputs", "outputs", "trajectories"), crop=16, roll=True)
        stream = DataLoader(SpinlockIterable(items, batch_size=2, seed=3), batch_size=None)
        return [{name: value.numpy().tobytes() for name, value in batch.items()} for batch in stream]

    epochs = [epoch(dataset) for dataset in opened.values()]
    assert len(epochs[0]) == 2
    assert epochs[0] == epochs[1] == epochs[2]
    parts = [split(dataset, {"train": 0.5, "test": 0.5}) for dataset in opened.values()]
    assert all(np.array_equal(one["train"], parts[0]["train"]) for one in parts)


@pytest.mark.parametrize("form", ["spin", "zarr"])
@pytest.mark.parametrize(
    "context",
    [
        "fork",
        pytest.param("forkserver", marks=pytest.mark.slow),
        pytest.param("spawn", marks=pytest.mark.slow),
    ],
)
def test_workers_of_a_loader_give_what_the_process_itself_gives(opened, form, context):
    items = SpinlockDataset(opened[form], arrays=("inputs", "trajectories"), crop=16)
    items[0]  # it is open, and zarr's thread runs, before the workers are made
    here = list(DataLoader(items, batch_size=2))
    there = list(DataLoader(items, batch_size=2, num_workers=2, multiprocessing_context=context))
    assert len(here) == len(there) == 2
    for one, other in zip(here, there, strict=True):
        assert all(one[name].numpy().tobytes() == other[name].numpy().tobytes() for name in one)


def test_exports_are_the_same(opened, tmp_path):
    made = []
    for form, dataset in opened.items():
        output = tmp_path / form / "out"
        output.parent.mkdir()
        export(dataset, "webdataset", output)
        found = tree(output)
        found.pop("spinlock.json")
        made.append(found)
    assert made[0] == made[1] == made[2]


def test_a_clip_is_drawn_of_every_form(three, tmp_path):
    clips = []
    for form, path in three.items():
        words = f"visualize-dataset --dataset {path} --output {tmp_path / form}.gif --steps 1 --quiet"
        assert run(words.split()) == 0
        clips.append((tmp_path / f"{form}.gif").read_bytes())
    assert clips[0] == clips[1] == clips[2]


@pytest.mark.parametrize("form", [pytest.param("spin", marks=pytest.mark.slow), "zarr"])
def test_features_are_added_in_place_and_into_another_form(three, tmp_path, form, capsys):
    path = tmp_path / f"a.{form}"
    put(three[form], path)
    other = tmp_path / "b.h5"
    assert run(["extract-features", "--dataset", str(path), "--output", str(other), "--quiet"]) == 0
    assert run(["extract-features", "--dataset", str(path), "--quiet"]) == 0
    assert comparable(path) == comparable(other)
    assert validate(path, replay=1).failures == []
    with HDF5FeatureReader(path) as reader:
        assert np.isfinite(reader.extraction_time).all()
        assert reader.get_sdf_aggregated().shape == (4, 271)
    assert run(["extract-features", "--dataset", str(path), "--quiet"]) == 2
    assert "has features already" in capsys.readouterr().err
    beside = tiny.with_companions(path) | tiny.with_companions(other)
    assert {one.name for one in tmp_path.iterdir()} == beside


def test_a_directory_of_shards_is_not_made_of_a_dataset_that_has_none(three, tmp_path, capsys):
    for form in ("h5", "zarr"):
        words = ["extract-features", "--dataset", str(three[form]), "--output", str(tmp_path / "b.spin")]
        assert run([*words, "--quiet"]) == 2
        said = capsys.readouterr().err
        assert "made of shards" in said
        assert "give an --output ending in .h5 or .zarr" in said
    assert list(tmp_path.iterdir()) == []


# --- other programs ---


def test_xarray_opens_file_and_store_with_named_axes(opened, three):
    dataset = opened["h5"]
    whole = xarray.open_datatree(three["zarr"], engine="zarr")
    for group in ("inputs", "outputs", "metadata", "parameters/values"):
        file = xarray.open_dataset(three["h5"], engine="h5netcdf", group=group)
        store = xarray.open_dataset(three["zarr"], engine="zarr", group=group)
        names = set(store.variables) & set(file.variables)
        assert names >= {spec.path.rpartition("/")[2] for spec in arrays(dataset.layout)
                         if spec.path.rpartition("/")[0] == group}  # fmt: skip
        for name in names:
            if f"{group}/{name}" not in {spec.path for spec in arrays(dataset.layout)}:
                continue
            spec = next(spec for spec in arrays(dataset.layout) if spec.path == f"{group}/{name}")
            assert store[name].dims == file[name].dims == spec.dims
            left, right = store[name].values, file[name].values
            if spec.dtype == "string":
                right = np.array([value.decode() for value in right.tolist()], dtype=object)
                assert left.tolist() == right.tolist()
            else:
                assert np.array_equal(left, right, equal_nan=left.dtype.kind == "f"), spec.path
            assert whole[f"{group}/{name}"].dims == spec.dims
        file.close()
        store.close()
    whole.close()


def test_plain_zarr_reads_the_rows_that_we_read(opened, three):
    fields = zarr.open_group(three["zarr"], mode="r")["outputs/fields"]
    for row, sample in enumerate(opened["zarr"]):
        grid = sample.outputs.shape[-1]
        assert np.asarray(fields[row])[..., :grid, :grid].tobytes() == sample.outputs.tobytes()


def test_seconds_of_extraction_alone_tell_forms_apart(three, tmp_path):
    """The control: what is left out of comparisons is one array, and another row is noticed."""
    path = make(tmp_path / "c.zarr", {"sampling.sobol.seed": 44})
    assert comparable(path) != comparable(three["zarr"])
    assert comparable(path).keys() == comparable(three["zarr"]).keys()
    assert EXTRACTION_TIME not in comparable(path)


# --- where a dataset stands ---


@pytest.mark.parametrize("form", FORMS)
def test_a_dataset_opened_by_a_relative_path_is_read_from_anywhere(three, form, tmp_path, monkeypatch):
    monkeypatch.chdir(three[form].parent)
    with open_dataset(three[form].name) as dataset, open_dataset(three[form]) as whole:
        monkeypatch.chdir(tmp_path)
        assert dataset[1].outputs.tobytes() == whole[1].outputs.tobytes()


@pytest.mark.parametrize("name", ["no.h5", "no.spin", "no.zarr", "memory://no.zarr"])
def test_what_is_not_there_is_not_called_damaged(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    report = validate(name)
    assert report.failures
    assert report.notes == []


@pytest.mark.parametrize(("form", "remedy"), [("h5", "--repair"), ("spin", "--repair"), ("zarr", "--force")])
def test_the_remedy_for_damage_is_one_that_works(three, form, remedy, tmp_path):
    path = tmp_path / f"a.{form}"
    put(three[form], path)
    file = {"h5": path, "spin": path / "index.h5", "zarr": path / "metadata/lyapunov/c/0"}[form]
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(StorageError, match=remedy):
        open_dataset(path)
    assert remedy in validate(path).notes[0]
