"""Extraction afterwards: the numbers of the generation, nothing lost, and the dataset never in danger."""

import json
import logging
import signal

import h5py
import numpy as np
import pytest

import tiny
from spinlock.dataset import FeatureExtractionPipeline, open_dataset
from spinlock.dataset.progress import Silent
from spinlock.errors import InterruptedRunError, UsageError
from spinlock.execution import plan
from spinlock.features.catalogue import features_of
from spinlock.storage.features import HDF5FeatureReader
from test_dataset.feature_files import (
    AGGREGATED,
    BARE,
    KILLED_AT,
    MEASURED,
    PER_TIMESTEP,
    PER_TRAJECTORY,
    TIMES,
    checked,
    copied,
    extract,
    extracting,
    feature_arrays,
    left_over,
    other_arrays,
    part_files,
    same_features,
    wait_for_parts,
)

SAMPLES = {"sampling.total_samples": 6}


def made(factory, name, changes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "FEWEST_SHARDS", 3)
        return tiny.generate(factory.mktemp(name) / f"{name}.h5", tiny.EVERYTHING, changes | SAMPLES)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The dataset with features from its generation, and no trajectories."""
    return made(tmp_path_factory, "measured", MEASURED | BARE)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The same without features."""
    return made(tmp_path_factory, "bare", BARE)


@pytest.fixture(scope="module")
def replayed(bare, tmp_path_factory):
    """That with features extracted by replay."""
    path = copied(bare, tmp_path_factory.mktemp("replayed") / "replayed.h5")
    assert extract(path).origin == "replay"
    return path


@pytest.fixture
def dataset(bare, tmp_path):
    """A file without features to work on."""
    return copied(bare, tmp_path / "a.h5")


def test_generation_replay_and_stored_trajectories_give_the_same_bits(
    measured, replayed, everything, tmp_path
):
    stored = copied(everything, tmp_path / "stored.h5")
    summary = extract(stored)
    assert summary.origin == "stored trajectories"
    assert (summary.extracted, summary.samples) == (12, 12)
    assert same_features(measured, replayed)
    assert same_features(measured, stored, rows=6)


def test_nothing_else_changes(measured, bare, replayed):
    assert other_arrays(replayed) == other_arrays(bare)
    assert other_arrays(measured) == other_arrays(bare)
    with open_dataset(bare) as before, open_dataset(replayed) as after:
        assert {**after.attributes, "layout": 0} == {**before.attributes, "layout": 0}
        assert after.digest != before.digest


def test_what_was_extracted_is_valid_and_can_be_replayed(measured, replayed):
    for path in (measured, replayed):
        report = checked(path, replay=4)
        assert report.failures == []
        assert report.notes == []


@pytest.mark.parametrize(
    "storage",
    [
        {"dataset.storage.trajectories": "all", "dataset.storage.precision": "float16"},
        {"dataset.storage.trajectories": "all", "dataset.storage.precision": "bitround:7"},
        {"dataset.storage.trajectories": {"every": 4}},
    ],
    ids=str,
)
def test_frames_that_are_rounded_or_incomplete_are_replayed(measured, tmp_path, storage, few_shards):
    path = tiny.generate(tmp_path / "a.h5", tiny.EVERYTHING, storage | {"sampling.total_samples": 4})
    assert extract(path).origin == "replay"
    assert same_features(measured, path, rows=4)


def test_the_batch_size_changes_no_bit(replayed, dataset):
    extract(dataset, batch_size=5)
    assert same_features(replayed, dataset)


def test_parts_of_another_batch_size_count(replayed, dataset, caplog):
    stop_after(dataset, 5, batch_size=2)
    assert [path.stem for path in part_files(dataset)] == ["0000000000-0000000002", "0000000002-0000000004"]
    with caplog.at_level(logging.INFO, "spinlock"):
        extract(dataset, batch_size=4)
    assert "going on: 4 of 6 samples were done before" in caplog.text
    assert same_features(replayed, dataset)


class Stopping(Silent):
    """Somebody who presses Ctrl-C after a number of samples."""

    def __init__(self, after):
        self.left = after

    def advance(self):
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)


def stop_after(path, samples, **how):
    before = path.read_bytes()
    with (
        tiny.unchecked_shapes(),
        pytest.raises(InterruptedRunError, match="Run the same command again to go on"),
    ):
        FeatureExtractionPipeline(path, **how).extract(Stopping(samples))
    assert path.read_bytes() == before


def test_ctrl_c_keeps_what_was_committed(replayed, dataset, tmp_path):
    stop_after(dataset, 5, batch_size=2)
    assert len(part_files(dataset)) == 2
    extract(dataset)
    assert same_features(replayed, dataset)
    assert left_over(tmp_path) == []


def test_a_damaged_part_is_computed_again(replayed, dataset):
    stop_after(dataset, 6, batch_size=1)
    tiny.flip(part_files(dataset)[1], 300)
    part_files(dataset)[3].write_bytes(b"")
    extract(dataset)
    assert same_features(replayed, dataset)


def test_parts_of_another_choice_do_not_count(replayed, dataset, caplog):
    stop_after(dataset, 3, batch_size=2, categories=["spatial"])
    with caplog.at_level(logging.INFO, "spinlock"):
        extract(dataset)
    assert "going on" not in caplog.text
    assert same_features(replayed, dataset)


@pytest.mark.slow
def test_an_extraction_killed_three_times_ends_with_the_same_bytes(replayed, dataset, tmp_path):
    before = dataset.read_bytes()
    for count in (1, 3, 4):
        with extracting(dataset, "--batch-size", 1) as process:
            wait_for_parts(process, dataset, count)
            process.kill()
        assert dataset.read_bytes() == before
    extract(dataset)
    assert same_features(replayed, dataset)
    assert other_arrays(replayed) == other_arrays(dataset)
    assert left_over(tmp_path) == []


STEPS = ["create", "features", "sealed", "rename"]


@pytest.mark.parametrize(
    "step", [pytest.param(s, marks=[] if s == "rename" else [pytest.mark.slow]) for s in STEPS]
)
def test_a_kill_while_writing_leaves_the_old_file(replayed, dataset, tmp_path, step):
    before = dataset.read_bytes()
    with extracting(dataset, code=KILLED_AT.format(step=step)) as process:
        assert process.wait(120) == -signal.SIGKILL
    assert dataset.read_bytes() == before
    assert len(part_files(dataset)) == 1
    extract(dataset)
    assert same_features(replayed, dataset)
    assert left_over(tmp_path) == []


def test_a_kill_after_the_file_took_its_place_is_completed(replayed, dataset, tmp_path):
    with extracting(dataset, code=KILLED_AT.format(step="fsync directory")) as process:
        assert process.wait(120) == -signal.SIGKILL
    assert same_features(replayed, dataset)
    with pytest.raises(UsageError, match="has features already"):
        extract(dataset, categories=["spatial"])
    done = dataset.read_bytes()
    assert extract(dataset).seconds is None
    assert dataset.read_bytes() == done
    assert left_over(tmp_path) == []
    with pytest.raises(UsageError, match="has features already"):
        extract(dataset)


def test_features_are_not_replaced_unasked(replayed, tmp_path):
    path = copied(replayed, tmp_path / "a.h5")
    with pytest.raises(UsageError, match=r"has features already .* --overwrite\. Nothing was changed"):
        extract(path)
    assert path.read_bytes() == replayed.read_bytes()
    assert left_over(tmp_path) == []
    extract(path, overwrite=True, categories=["cross_channel"])
    assert not same_features(replayed, path)
    extract(path, overwrite=True)
    assert same_features(replayed, path)
    assert other_arrays(path) == other_arrays(replayed)


def test_a_copy_leaves_the_dataset_alone(replayed, dataset, tmp_path):
    before = dataset.read_bytes()
    output = tmp_path / "new" / "copy.h5"
    assert extract(dataset, output=output).path == str(output)
    assert same_features(replayed, output)
    assert dataset.read_bytes() == before
    assert left_over(tmp_path) == []
    with pytest.raises(UsageError, match=r"copy\.h5 exists; choose another --output"):
        extract(dataset, output=output)
    extract(dataset, output=output, overwrite=True, max_samples=1)
    assert not same_features(replayed, output)


def test_a_link_stands_for_what_it_leads_to(replayed, dataset, tmp_path):
    link = tmp_path / "link.h5"
    link.symlink_to(dataset)
    extract(link)
    assert link.is_symlink()
    assert same_features(replayed, dataset)


def columns_of(category):
    """The places of a category's columns in each array."""
    indices = {
        entry.index
        for entry in features_of("field", "frame", "trajectory", "operator")
        if entry.category == category
    }

    def places(array):
        return np.isin(array.attrs["registry_index"], list(indices))

    return places


@pytest.mark.parametrize("category", ["spatial", "cross_channel", "operator_sensitivity", "causality"])
def test_columns_of_other_categories_are_nan(replayed, dataset, category):
    extract(dataset, categories=[category], max_samples=3)
    places = columns_of(category)
    with h5py.File(dataset) as chosen, h5py.File(replayed) as whole:
        assert json.loads(chosen["features/sdf"].attrs["categories"]) == [category]
        seen = 0
        for path in (PER_TIMESTEP, PER_TRAJECTORY, AGGREGATED):
            inside = places(chosen[path])
            seen += inside.sum()
            values, wanted = chosen[path][:3], whole[path][:3]
            assert tiny.same_bits(values[..., inside], wanted[..., inside])
            assert np.isnan(values[..., ~inside]).all()
            assert np.isfinite(wanted[..., ~inside]).any() or inside.all()
    assert seen > 0
    assert checked(dataset, replay=3).failures == []


def test_rows_beyond_the_last_sample_asked_for_are_blank(replayed, dataset):
    summary = extract(dataset, max_samples=4, batch_size=3)
    assert (summary.extracted, summary.samples) == (4, 6)
    assert same_features(replayed, dataset, rows=4)
    with HDF5FeatureReader(dataset) as reader:
        assert np.isnan(reader.get_sdf_per_timestep()[4:]).all()
        assert np.isnan(reader.get_sdf_per_trajectory()[4:]).all()
        assert np.isnan(reader.get_sdf_aggregated()[4:]).all()
        assert (reader.finite_steps[4:] == 0).all()
        assert (reader.n_realizations[4:] == 0).all()
        assert np.isfinite(reader.extraction_time).tolist() == [True] * 4 + [False] * 2
    assert checked(dataset, replay=3).failures == []
    extract(dataset, max_samples=50, overwrite=True)
    assert same_features(replayed, dataset)


def test_the_first_features_alone(replayed, dataset):
    extract(dataset, sdf_version="1.0.0")
    with HDF5FeatureReader(dataset) as old, HDF5FeatureReader(replayed, sdf_version="1.0.0") as prefix:
        assert old.version == prefix.version == "1.0.0"
        assert old.get_sdf_registry().num_features == prefix.get_sdf_registry().num_features == 59
        assert old.get_sdf_registry() == prefix.get_sdf_registry()
        assert old.get_sdf_per_timestep().shape == (6, 18, 46)
        assert old.get_sdf_per_trajectory().shape == (6, 3, 13)
        assert old.get_sdf_aggregated().shape == (6, 39)
        for read in ("get_sdf_per_timestep", "get_sdf_per_trajectory", "get_sdf_aggregated"):
            assert tiny.same_bits(getattr(old, read)(), getattr(prefix, read)())
        assert old.get_sdf_schema() == prefix.get_sdf_schema()
    assert checked(dataset, replay=3).failures == []


def test_the_dataset_own_choice_is_the_default(tmp_path, few_shards):
    changes = BARE | {"features.categories": ["spatial"], "sampling.total_samples": 1}
    path = tiny.generate(tmp_path / "a.h5", tiny.EVERYTHING, changes)
    assert extract(path).categories == ("spatial",)


def test_another_environment_cannot_replay_but_reads_what_is_stored(
    replayed, dataset, everything, tmp_path, monkeypatch
):
    stored = copied(everything, tmp_path / "stored.h5")
    here = {"device": "cpu", "device_model": "arm", "instruction_set": "NEON", "torch": "9"}
    for module in ("execution.environment", "dataset.extract", "dataset.feature_rows", "dataset.replay"):
        monkeypatch.setattr(f"spinlock.{module}.numerical_environment", lambda _: here)
    before = dataset.read_bytes()
    with pytest.raises(
        UsageError, match="are not stored, and this machine cannot make them again bit for bit"
    ):
        extract(dataset)
    assert dataset.read_bytes() == before
    assert left_over(tmp_path) == []
    extract(stored, max_samples=6)
    assert same_features(replayed, stored, rows=6)
    with HDF5FeatureReader(stored) as reader:
        assert json.loads(reader.attributes["environments"]) == [here]


def test_times_are_those_of_the_extraction(replayed):
    with HDF5FeatureReader(replayed) as reader:
        assert ((reader.extraction_time > 0) & (reader.extraction_time < 60)).all()
        assert reader.attributes["family_versions"] == '{"sdf": "2.0.0"}'
        assert reader.attributes["includes_initial_state"] == 1
        assert reader.attributes["boundary"] == "periodic"
    assert TIMES not in feature_arrays(replayed)
